"""Who may write what: decided by the role that logged in, in the database."""

from __future__ import annotations

import re
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.events import EVENT_TYPES, EVENTS, REQUESTED_BY_OPERATORS
from ledger.errors import NotPermitted
from ledger.store.connections import Pool
from ledger.store.content import ContentStore
from ledger.store.leadership import take
from ledger.store.log.log import EventLog
from ledger.store.port import ConsumerPosition
from tests.integration.store.conftest import MemberPool
from tests.support.log_events import an_event, some_events
from tests.support.raw_event import NewEvent


def a_request() -> NewEvent:
    """Something that an operator may have recorded."""
    return NewEvent(uuid4(), "FileGone", 1, b'{"version":"1"}', b"{}")


OTHERS = sorted(set(EVENTS) - REQUESTED_BY_OPERATORS)


async def test_every_event_type_has_its_permissions(pool: Pool) -> None:
    rows = await pool.fetch("SELECT type, role FROM ledger.event_type_permission")
    granted = {(row["type"], row["role"]) for row in rows}
    assert granted == {(name, role) for name, one in EVENT_TYPES.items() for role in one.roles}


async def test_the_database_knows_the_newest_version_and_the_streams_of_every_type(
    pool: Pool,
) -> None:
    rows = await pool.fetch("SELECT type, schema_version FROM ledger.event_type")
    assert {(row["type"], row["schema_version"]) for row in rows} == {
        (name, one.version) for name, one in EVENT_TYPES.items()
    }
    names = ("fleet", "bundles", "ledger", "rollout-k7m2", "rollout-k7m2/reports", "check-k7m2")
    for stream in names:
        fitting = await pool.fetch("SELECT type FROM ledger.event_type WHERE $1 ~ streams", stream)
        assert {row["type"] for row in fitting} == {
            name
            for name, one in EVENT_TYPES.items()
            if any(re.search(kind.pattern, stream) for kind in one.streams)
        }


@pytest.mark.parametrize("company", [0, 2])
async def test_an_operator_cannot_append_what_it_did_not_decide(
    member_pool: MemberPool, log: EventLog, company: int
) -> None:
    name, theirs = await member_pool("ledger_operator")
    for type_ in OTHERS:
        allowed = [an_event(type_="RolloutPaused") for _ in range(company)]
        with pytest.raises(NotPermitted) as refused:
            await EventLog(theirs).append("rollout-1", [*allowed, an_event(type_=type_)])
        assert (refused.value.role, refused.value.event_type) == (name, type_)
    assert (await log.head()).position == 1


@pytest.mark.parametrize("count", [1, 2])
async def test_an_operators_request_is_recorded_under_its_own_role(
    member_pool: MemberPool, log: EventLog, count: int
) -> None:
    name, theirs = await member_pool("ledger_operator")
    await EventLog(theirs).append("bundles", [a_request() for _ in range(count)])
    assert {event.recorded_by for event in await log.tail(1, 1000)} == {name}
    assert len(await log.tail(1, 1000)) == count


async def test_set_role_does_not_change_who_acted(member_pool: MemberPool, log: EventLog) -> None:
    name, theirs = await member_pool("ledger_operator")
    async with theirs.acquire() as connection:
        await connection.execute("SET ROLE ledger_operator")
        await connection.fetchval(
            "SELECT ledger.request(NULL, NULL, NULL, NULL, 'bundles', 0, "
            "ARRAY[gen_random_uuid()], '{FileGone}', '{1}', ARRAY[convert_to($1, 'UTF8')], "
            "'{\"\\\\x7b7d\"}', false)",
            '{"version":"1"}',
        )
        await connection.execute("RESET ROLE")
    assert [event.recorded_by for event in await log.tail(1, 10)] == [name]


@pytest.mark.parametrize("count", [1, 2])
async def test_the_service_may_append_every_type(member_pool: MemberPool, count: int) -> None:
    _, theirs = await member_pool("ledger_service")
    for name, one in EVENT_TYPES.items():
        stream = one.streams[-1].replace("<id>", "1")
        await EventLog(theirs).append(stream, [an_event(type_=name) for _ in range(count)])
    assert (await EventLog(theirs).head()).position == 1 + count * len(EVENTS)


@pytest.mark.parametrize("count", [1, 2])
async def test_nobody_may_append_a_type_that_is_not_known(log: EventLog, count: int) -> None:
    with pytest.raises(NotPermitted) as refused:
        await log.append("rollout-1/reports", [an_event(type_="Invented") for _ in range(count)])
    assert refused.value.event_type == "Invented"


async def test_a_viewer_reads_and_appends_nothing(member_pool: MemberPool, log: EventLog) -> None:
    _, theirs = await member_pool("ledger_viewer")
    with pytest.raises(NotPermitted):
        await EventLog(theirs).append("rollout-1/reports", [an_event(type_="RolloutPaused")])
    assert len(await EventLog(theirs).tail(0, 10)) == 1
    with pytest.raises(NotPermitted):
        await ContentStore(theirs).put_many([b"text"])


@pytest.mark.parametrize("role", ["ledger_viewer", "ledger_operator", "ledger_service"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger.log SELECT * FROM ledger.log",
        "UPDATE ledger.log SET body = ''",
        "DELETE FROM ledger.log",
        "TRUNCATE ledger.log",
        "UPDATE ledger.head SET position = 0",
        "UPDATE ledger.head SET term = 9",
        "INSERT INTO ledger.event_type_permission VALUES ('X', 'ledger_operator')",
        "UPDATE ledger.consumer_position SET position = 0",
        "UPDATE ledger.content SET body = ''",
        "DELETE FROM ledger.content",
        "SELECT ledger.initialise(gen_random_uuid())",
        "SELECT ledger.set_position('relay', 1, 0)",
    ],
)
async def test_no_role_writes_but_through_the_functions(
    member_pool: MemberPool, role: str, statement: str
) -> None:
    _, theirs = await member_pool(role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await theirs.execute(statement)


async def test_an_operator_stores_texts_and_cannot_lead(
    member_pool: MemberPool, ledger_url: str
) -> None:
    _, theirs = await member_pool("ledger_operator")
    await ContentStore(theirs).put_many([b"text"])
    async with theirs.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock(1818584167, 1)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT ledger.begin_term('me', 'here')")
        await connection.execute("SELECT pg_advisory_unlock_all()")
    leadership = await take(ledger_url, "owner", "here")
    assert leadership.term == 1
    await leadership.release()


@pytest.mark.parametrize("count", [1, 2])
async def test_an_operator_cannot_move_a_read_position(
    member_pool: MemberPool, pool: Pool, count: int
) -> None:
    _, theirs = await member_pool("ledger_operator")
    requests = [an_event(type_="RolloutPaused") for _ in range(count)]
    for events in (requests, []):
        with pytest.raises(NotPermitted):
            await EventLog(theirs).append(
                "rollout-1/reports", events, consumer=ConsumerPosition("relay", 9, 0)
            )
    assert await EventLog(pool).positions() == {}


async def test_a_public_function_cannot_be_put_before_ours(
    member_pool: MemberPool, owner: asyncpg.Connection[asyncpg.Record], log: EventLog
) -> None:
    await owner.execute(
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;"
        "CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'"
    )
    _, theirs = await member_pool("ledger_operator")
    async with theirs.acquire() as connection:
        await connection.execute("SET search_path = evil, pg_catalog")
    await EventLog(theirs).append("bundles", [a_request()])
    await EventLog(theirs).append("bundles", [a_request() for _ in range(2)])
    assert not hasattr(await log.verify(), "why")


async def test_a_member_of_both_roles_may_do_what_either_may(
    member_pool: MemberPool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    name, theirs = await member_pool("ledger_viewer")
    await owner.execute(f'GRANT ledger_service TO "{name}"')
    assert (await EventLog(theirs).append("rollout-1/reports", some_events(1))).first_position == 2
