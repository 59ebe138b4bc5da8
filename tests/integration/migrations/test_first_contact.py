"""A database that was never met gets its journal with its first migration, in one transaction."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from migrations.model.attempt import Verdict
from migrations.model.work import StepResult
from tests.integration.migrations.world import World, migration, until, users

WAITS = migration("001", "CREATE TABLE users (id int);\nSELECT pg_sleep(30)", "SELECT 1")
WRONG = migration("001", "CREATE TABLE users (id int);\nSELECT 1/0", "SELECT 1")
SLEEPERS = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
ENTRIES = "SELECT state, xid::text AS xid FROM migration_ledger.journal ORDER BY seq"


async def entries(world: World) -> list[tuple[str, str]]:
    """State and transaction of every entry, also of those about the target."""
    return [(state, xid) for state, xid in await world.fetch(ENTRIES)]


async def test_the_first_migration_and_the_journal_commit_together(world: World) -> None:
    await world.up(users())
    (met, first), (applied, second) = await entries(world)
    assert (met, applied) == ("met", "applied")
    assert first == second
    assert world.hearing.first_contacts == [True]


async def test_a_migration_that_fails_first_leaves_a_journal_that_says_so(world: World) -> None:
    outcome = await world.up(WRONG)
    assert outcome.steps[0].result is StepResult.FAILED
    assert [state for state, _ in await entries(world)] == ["met", "failed"]
    assert outcome.identity is not None
    assert world.hearing.first_contacts == [True]


async def test_a_migration_that_is_cancelled_first_leaves_a_journal_that_says_so(
    world: World,
) -> None:
    running = asyncio.create_task(world.up(WAITS))
    await until(lambda: _sleeps(world))
    assert world.hearing.first_contacts == []
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [state for state, _ in await entries(world)] == ["met", "failed"]
    assert world.hearing.first_contacts == [True]


async def test_without_work_to_do_the_first_contact_is_journalled_alone(world: World) -> None:
    outcome = await world.up()
    assert outcome.verdict is Verdict.DONE
    assert [state for state, _ in await entries(world)] == ["met"]
    assert world.hearing.first_contacts == [True]


async def test_a_session_that_is_lost_before_the_first_commit_has_met_nobody(world: World) -> None:
    running = asyncio.create_task(world.up(WAITS))
    while not running.done():
        await world.execute(f"SELECT pg_terminate_backend(pid) {SLEEPERS}")
        await asyncio.sleep(0.05)
    outcome = await running
    assert outcome.verdict is Verdict.FAILED
    assert outcome.identity is None
    assert world.hearing.first_contacts == []
    assert not await world.has("migration_ledger.journal")


async def _sleeps(world: World) -> bool:
    return bool(await world.fetch(f"SELECT pid {SLEEPERS}"))


async def test_a_schema_met_during_the_first_migration_of_all_goes_on_when_that_is_over(
    world: World,
) -> None:
    await world.execute("CREATE SCHEMA a")
    running = asyncio.create_task(world.up(WAITS))
    await until(lambda: _sleeps(world))
    meanwhile = await world.up(users(), target="a")
    assert meanwhile.verdict is Verdict.FAILED
    assert meanwhile.failure is not None
    assert meanwhile.failure.sqlstate == "55P03"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    after = await world.up(users(), target="a")
    assert after.verdict is Verdict.DONE
    rows = await world.fetch("SELECT count(DISTINCT database_uuid) FROM migration_ledger.journal")
    assert rows == [(1,)]
