"""Two agents on one database: what a partition that moves may not make them say."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import AttemptFinished
from ledger.contracts.topics import CANCELS, COMMANDS_PARTITIONS
from ledger.contracts.wire import encode_command
from migrations.model.attempt import Mode, Verdict
from migrations.target.lock import key_for
from tests.fixtures.postgres import TenantDatabases
from tests.integration.agents.conftest import (
    ADD_NOTE,
    BROKEN,
    HELD_BACK,
    SLEEP,
    SLEEP_LONG,
    Desk,
    Place,
    asleep,
    backends,
    columns,
    holding,
    wrong_agent,
)
from tests.support.orders import changed
from tests.support.patience import PATIENCE_S
from tests.support.processes import until
from tests.support.wrong_clock import Watch

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger check'
"""
PAST = datetime(2020, 1, 1, tzinfo=UTC)
AHEAD_S = 45.0
"""By so much a clock is ahead that makes an order expire: less than clocks may be apart."""
GATE = 4711
GATED = (
    "20260101000004_gated.sql",
    b"-- +migrate Up\nALTER TABLE users ADD COLUMN gated text;\n-- +migrate StatementBegin\n"
    b"DO $$ BEGIN WHILE NOT pg_try_advisory_xact_lock(%d) LOOP PERFORM pg_sleep(0.05); END LOOP; "
    b"END $$;\n-- +migrate StatementEnd\n"
    b"-- +migrate Down\nALTER TABLE users DROP COLUMN gated;\n" % GATE,
)
"""A migration that ends when a test lets it."""


@pytest.fixture
async def moving_database(tenant_databases: TenantDatabases) -> str:
    """A database whose partition goes to the second agent that joins the pool."""
    while True:
        for url in await tenant_databases(4):
            name = urlsplit(url).path.lstrip("/")
            if zlib.crc32(name.encode()) % COMMANDS_PARTITIONS % 2 == 1:
                return url


@asynccontextmanager
async def at_work(
    place: Place, desk: Desk, url: str, command: ApplyCommand, *files: tuple[str, bytes]
) -> AsyncIterator[None]:
    """One agent in the middle of its work, and another that has got the command as well."""
    async with place.agent(desk.pool, name="one"):
        await desk.send(command, files=files)
        await asleep(url)
        async with place.agent(desk.pool, name="two"):

            async def both() -> bool:
                return await backends(url) == 2

            await until(both, "the second agent waits for the first one")
            yield


async def waits(url: str) -> None:
    """Return when somebody waits to look at the database at rest."""
    connection = await asyncpg.connect(url)

    async def one() -> bool:
        return bool(await connection.fetchval(WAITING))

    try:
        await until(one, "somebody waits for the lock")
    finally:
        await connection.close()


async def last_words(desk: Desk, command: ApplyCommand, count: int) -> list[AttemptFinished]:
    """The last words on `command`, of every agent that has one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [
                one.report
                for one in desk.heard
                if isinstance(one.report, AttemptFinished) and one.report.command == command.command
            ]
            if len(found) >= count:
                return found
            await desk.listen(0.2)


def bodies(desk: Desk) -> dict[object, set[str]]:
    """What was said under each id: one body, or the log takes it for a contradiction."""
    found: dict[object, set[str]] = {}
    for one in desk.heard:
        found.setdefault(one.event_id, set()).add(one.report.model_dump_json())
    return found


async def test_what_is_expired_for_an_agent_that_joins_is_answered_by_what_the_one_at_work_does(
    inside: Place, inside_desk: Desk, moving_database: str
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=AHEAD_S - 5)
    command = inside_desk.apply(moving_database, [GATED], expires_at=expires_at)
    gate = await asyncpg.connect(moving_database)
    await gate.execute(f"SELECT pg_advisory_lock({GATE})")
    async with inside.agent(inside_desk.pool, name="one"):
        await inside_desk.send(command, files=[GATED])
        await asleep(moving_database)
        ahead = Watch(timedelta(seconds=AHEAD_S))
        async with wrong_agent(inside, inside_desk.pool, ahead, name="two"):
            await waits(moving_database)
            assert "AttemptFinished" not in inside_desk.reports_on(command)
            await gate.close()
            one, two = await last_words(inside_desk, command, 2)
    assert one == two
    assert (one.verdict, one.changed) == (Verdict.DONE, 1)
    assert all(len(said) == 1 for said in bodies(inside_desk).values())
    assert "gated" in await columns(moving_database)


async def test_a_cancellation_reaches_the_agent_that_works_after_its_partition_moved(
    inside: Place, inside_desk: Desk, moving_database: str
) -> None:
    command = inside_desk.apply(moving_database, [SLEEP_LONG])
    async with at_work(inside, inside_desk, moving_database, command, SLEEP_LONG):
        await inside_desk.send(inside_desk.cancel(command))
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.CANCELLED
    assert "slept_long" not in await columns(moving_database)


async def test_an_agent_hears_a_cancellation_that_does_not_come_with_its_commands(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [SLEEP_LONG])
    async with place.agent(desk.pool):
        await desk.send(command, files=[SLEEP_LONG])
        await asleep(tenant_database)
        message = encode_command(desk.cancel(command))
        await desk.bus.publish([replace(message, topic=CANCELS)])
        assert (await desk.finished(command)).verdict is Verdict.CANCELLED
    assert "slept_long" not in await columns(tenant_database)


async def test_a_cancellation_for_another_pool_stops_nothing(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [HELD_BACK])
    async with inside.agent(inside_desk.pool):
        async with holding(tenant_database):
            await inside_desk.send(command, files=[HELD_BACK])
            await asleep(tenant_database)
            elsewhere = replace(inside_desk.cancel(command), pool="elsewhere")
            message = encode_command(elsewhere)
            await inside_desk.bus.publish([replace(message, topic=CANCELS)])
        assert (await inside_desk.finished(command)).verdict is Verdict.DONE


async def test_both_agents_say_the_same_of_what_was_cancelled(
    inside: Place, inside_desk: Desk, moving_database: str
) -> None:
    command = inside_desk.apply(moving_database, [ADD_NOTE, SLEEP_LONG])
    files = [ADD_NOTE, SLEEP_LONG]
    async with at_work(inside, inside_desk, moving_database, command, *files):
        await inside_desk.send(inside_desk.cancel(command))
        one, two = await last_words(inside_desk, command, 2)
    assert one == two
    assert (one.verdict, one.changed) == (Verdict.CANCELLED, 1)
    assert all(len(said) == 1 for said in bodies(inside_desk).values())


async def test_nobody_answers_for_a_database_while_another_session_holds_its_lock(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    cancelled = inside_desk.apply(tenant_database, [ADD_NOTE])
    holder = await asyncpg.connect(tenant_database)
    await holder.execute(f"SELECT pg_advisory_lock({key_for('').value})")
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(cancelled))
        await inside_desk.send(cancelled)
        await waits(tenant_database)
        await inside_desk.listen(0.2)
        assert inside_desk.reports_on(cancelled) == []
        await holder.close()
        assert (await inside_desk.finished(cancelled)).verdict is Verdict.CANCELLED


async def test_an_order_whose_time_runs_out_while_it_waits_for_the_lock_is_not_begun(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=AHEAD_S - 5)
    command = inside_desk.apply(tenant_database, [ADD_NOTE], expires_at=expires_at)
    holder = await asyncpg.connect(tenant_database)
    await holder.execute(f"SELECT pg_advisory_lock({key_for('').value})")
    watch = Watch()
    async with wrong_agent(inside, inside_desk.pool, watch):
        await inside_desk.send(command, files=[ADD_NOTE])
        await inside_desk.until(lambda one: one.report.command == command.command)
        # The time runs out, by less than clocks may be apart.
        watch.wrong = timedelta(seconds=AHEAD_S)
        await holder.close()
        finished = await inside_desk.finished(command)
    assert (finished.verdict, finished.changed) == (Verdict.EXPIRED, 0)
    assert "note" not in await columns(tenant_database)


@pytest.mark.parametrize("how", ["done", "failed", "nothing to do", "expired", "cancelled"])
@pytest.mark.parametrize("other", [True, False], ids=["another agent", "the same agent"])
async def test_an_overtaken_command_that_is_delivered_again_is_answered_as_it_was(
    inside: Place, inside_desk: Desk, tenant_database: str, how: str, other: bool
) -> None:
    desk = inside_desk
    files = [ADD_NOTE, BROKEN] if how == "failed" else [ADD_NOTE]
    before = desk.apply(tenant_database, [ADD_NOTE])
    command = desk.apply(tenant_database, files)
    if how == "expired":
        command = changed(command, expires_at=PAST)
    later = desk.apply(tenant_database, [ADD_NOTE], mode=Mode.ROLLBACK)
    again = [desk.cancel(command), command] if how == "cancelled" else [command]
    async with inside.agent(desk.pool):
        if how == "nothing to do":
            other_rollout = changed(before, rollout=f"another-{desk.rollout}")
            await desk.send(other_rollout, files=files)
            await desk.finished(other_rollout)
        await desk.send(*again, files=files)
        first = await desk.finished(command)
        await desk.send(later)
        await desk.finished(later)
        if not other:
            await desk.send(*again)
            assert len(await last_words(desk, command, 2)) == 2
    if other:
        async with inside.agent(desk.pool):
            await desk.send(*again)
            assert len(await last_words(desk, command, 2)) == 2
    assert (await last_words(desk, command, 2))[1] == first
    said = {one.event_id: one.report.model_dump_json() for one in desk.heard}
    assert all(bodies(desk)[event_id] == {body} for event_id, body in said.items())


async def test_an_overtaken_command_that_never_worked_is_refused_in_the_same_words_by_all(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    later = inside_desk.apply(tenant_database, [ADD_NOTE], mode=Mode.ROLLBACK)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(later, files=[ADD_NOTE])
        await inside_desk.finished(later)
        await inside_desk.send(command)
        first = await inside_desk.finished(command)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command)
        words = await last_words(inside_desk, command, 2)
    assert first.failure is not None
    assert (first.verdict, first.failure.kind) == (Verdict.REFUSED, "fence")
    assert words == [first, first]
    assert "note" not in await columns(tenant_database)


async def test_an_agent_without_the_texts_refuses_nothing_that_another_one_is_doing(
    inside: Place, inside_desk: Desk, moving_database: str
) -> None:
    command = inside_desk.apply(moving_database, [SLEEP])
    (step,) = command.order.steps
    forged = step.model_copy(update={"checksum": "0" * 64})
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[SLEEP])
        first = await inside_desk.finished(command)
        await inside_desk.send(changed(command, steps=(forged,)))
        words = await last_words(inside_desk, command, 2)
    assert first.verdict is Verdict.DONE
    assert words == [first, first]
