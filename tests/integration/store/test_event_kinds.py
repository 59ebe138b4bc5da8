"""What the database takes as an event of this log: known types, known versions, their own streams.

By every role, in a call for one event as in one for many, however the call is put together.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from ledger.errors import DuplicateEventDiffers, NotPermitted, RequestUnfit, StoreError
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from tests.integration.store.conftest import MemberPool
from tests.support.log_events import an_event, some_events
from tests.support.raw_event import NewEvent

STREAM = "rollout-1/reports"
UPGRADE = """
    UPDATE ledger.event_type SET schema_version = 2 WHERE type = 'MigrationApplied';
    INSERT INTO ledger.event_type VALUES ('FromTheFuture', 1, '^(rollout-[a-z0-9]+/reports)$');
    INSERT INTO ledger.event_type_permission VALUES ('FromTheFuture', 'ledger_service');
"""
"""What a schema file says of a version and of a type that come later."""


def gone(stream_version: int = 1) -> NewEvent:
    """What an operator may have recorded in the stream `bundles`."""
    return NewEvent(uuid4(), "FileGone", stream_version, b'{"version":"1"}', b"{}")


@pytest.mark.parametrize("company", [0, 2])
@pytest.mark.parametrize("version", [0, 2, 2**31 - 1])
async def test_an_operator_is_refused_a_version_that_is_not_known(
    member_pool: MemberPool, log: EventLog, company: int, version: int
) -> None:
    _, theirs = await member_pool("ledger_operator")
    events = [*(gone() for _ in range(company)), gone(version)]
    with pytest.raises(RequestUnfit, match=f"its version {version} is not known here") as refused:
        await EventLog(theirs).append("bundles", events)
    assert refused.value.event_type == "FileGone"
    assert (await log.head()).position == 1


@pytest.mark.parametrize("company", [0, 2])
@pytest.mark.parametrize("stream", ["fleet", "rollout-1", "bundles\n", "bundles/reports"])
async def test_an_operator_is_refused_a_stream_of_another_kind(
    member_pool: MemberPool, log: EventLog, company: int, stream: str
) -> None:
    _, theirs = await member_pool("ledger_operator")
    with pytest.raises(RequestUnfit, match="it does not belong into the stream"):
        await EventLog(theirs).append(stream, [gone() for _ in range(1 + company)])
    assert (await log.head()).position == 1


@pytest.mark.parametrize("role", ["ledger_operator", "ledger_service"])
@pytest.mark.parametrize("count", [1, 2])
async def test_no_role_appends_a_type_that_is_not_known_however_well_the_rest_fits(
    member_pool: MemberPool, log: EventLog, role: str, count: int
) -> None:
    _, theirs = await member_pool(role)
    for type_ in ("Invented", "migrationapplied", "MigrationApplied ", ""):
        with pytest.raises(NotPermitted) as refused:
            await EventLog(theirs).append(STREAM, [an_event(type_=type_) for _ in range(count)])
        assert refused.value.event_type == type_
    assert (await log.head()).position == 1


ID = "gen_random_uuid()"
BYTES = r"'\x7b7d'::bytea"
WHOLE = (
    f"ARRAY[{ID}, {ID}]",
    "'{FileGone,FileGone}'",
    "'{1,1}'",
    *([f"ARRAY[{BYTES}, {BYTES}]"] * 2),
)
MISSHAPEN = {
    "an id is NULL": (0, f"ARRAY[{ID}, NULL]"),
    "a type is NULL": (1, "'{FileGone,NULL}'"),
    "every type is NULL": (1, "'{NULL,NULL}'"),
    "a version is NULL": (2, "'{1,NULL}'"),
    "a body is NULL": (3, f"ARRAY[{BYTES}, NULL]"),
    "metadata is NULL": (4, f"ARRAY[NULL, {BYTES}]"),
    "types are NULL": (1, "NULL"),
    "versions are NULL": (2, "NULL"),
    "a type too many": (1, "'{FileGone,FileGone,FileGone}'"),
    "a type too few": (1, "'{FileGone}'"),
    "a version too many": (2, "'{1,1,1}'"),
    "no versions": (2, "'{}'"),
    "a body too few": (3, f"ARRAY[{BYTES}]"),
    "types in a row of their own": (1, "'{{FileGone,FileGone}}'"),
    "versions one below the other": (2, "'{{1},{1}}'"),
    "types counted from nought": (1, "'[0:1]={FileGone,FileGone}'"),
}


@pytest.mark.parametrize("role", ["ledger_operator", "ledger_service"])
@pytest.mark.parametrize("name", MISSHAPEN)
async def test_a_call_of_another_shape_is_refused_and_leaves_nothing(
    member_pool: MemberPool, log: EventLog, role: str, name: str
) -> None:
    _, theirs = await member_pool(role)
    place, wrong = MISSHAPEN[name]
    columns = ", ".join(wrong if at == place else whole for at, whole in enumerate(WHOLE))
    given = f"'bundles', 0, {columns}, false"
    call = f"append({given}, NULL, NULL, NULL)"
    if role == "ledger_operator":
        call = f"request(NULL, NULL, NULL, NULL, {given})"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await theirs.fetchval(f"SELECT ledger.{call}")
    # An operator's bodies are read first, and those here are none.
    assert refused.value.sqlstate in ("LG007", "LG010" if role == "ledger_operator" else "LG007")
    assert (await log.head()).position == 1


@pytest.mark.parametrize("missing", range(5))
async def test_a_call_for_one_event_without_a_part_is_refused(
    member_pool: MemberPool, log: EventLog, missing: int
) -> None:
    _, theirs = await member_pool("ledger_service")
    (event,) = some_events(1)
    given = [event.event_id, event.type, event.schema_version, event.body, event.metadata]
    given[missing] = None
    with pytest.raises(asyncpg.PostgresError) as refused:
        await theirs.fetchval(QUERIES["append_one"], STREAM, None, *given, None)
    assert refused.value.sqlstate == "LG007"
    assert (await log.head()).position == 1


async def test_a_premise_lets_nothing_through_that_an_append_refuses(
    member_pool: MemberPool, log: EventLog
) -> None:
    _, theirs = await member_pool("ledger_service")
    (event,) = some_events(1)
    for stream, version in ((STREAM, 2), ("rollout-1", 1)):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await theirs.fetchval(
                QUERIES["append_on_premise"], 1, [], None, [], stream, None,
                [event.event_id], [event.type], [version], [event.body], [event.metadata], None,
            )  # fmt: skip
        assert refused.value.sqlstate == "LG010"
    assert (await log.head()).position == 1


@pytest.mark.parametrize("company", [0, 2])
async def test_a_schema_file_alone_adds_a_version_and_a_type_and_the_old_version_stays_welcome(
    member_pool: MemberPool, owner: asyncpg.Connection[asyncpg.Record], company: int
) -> None:
    """An agent or a leader of before the upgrade goes on until it is replaced."""
    _, theirs = await member_pool("ledger_service")
    log = EventLog(theirs)
    newer = replace(an_event(), schema_version=2)
    later = an_event(type_="FromTheFuture")
    for event in (newer, later):
        with pytest.raises(StoreError):
            await log.append(STREAM, [event])
    await owner.execute(UPGRADE)

    await log.append(STREAM, [*some_events(company), newer])
    await log.append(STREAM, [*some_events(company), later])
    await log.append(STREAM, some_events(1 + company))

    assert (await log.head()).position == 4 + 3 * company
    with pytest.raises(RequestUnfit, match="its version 3 is not known here, the newest is 2"):
        await log.append(STREAM, [*some_events(company), replace(an_event(), schema_version=3)])
    with pytest.raises(DuplicateEventDiffers):
        await log.append(STREAM, [*some_events(company), replace(newer, schema_version=1)])
