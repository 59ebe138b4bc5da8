"""SIGKILL of an agent, the ledger or the broker: nothing runs twice, nothing goes unrecorded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from ledger.contracts.events import LeadershipTaken, MigrationOrdered, UndoStarted
from ledger.contracts.reports import MigrationApplied
from ledger.embedded.kafka import EmbeddedKafka
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.lost_data import lose_data
from tests.support.processes import until

FIRST, SECOND = "20260101000000", "20260102000000"


async def test_an_agent_killed_in_the_middle_of_a_migration_leaves_nothing_half_done(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST, await fleet.hold())
    await fleet.serve()
    first = fleet.agent("first")
    rollout = await fleet.start("--waves", "rest")
    await until(lambda: fleet.is_running("pg_sleep"), "a migration runs")
    first.kill()
    await fleet.let_go()
    assert await fleet.with_effect(FIRST) == []
    fleet.agent("second")
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    assert {line.attempt for line in status.databases} == {1}
    await invariants.hold(fleet)


async def test_what_a_killed_agent_left_half_done_is_shown_until_its_journal_was_asked(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST)
    fleet.migration(SECOND, "SELECT pg_sleep(600);")
    await fleet.serve()
    first = fleet.agent("first")
    rollout = await fleet.start("--waves", "rest", "--in-flight", "2", "--expiry", "5")
    cut_short = fleet.tenants[:2]
    for tenant in cut_short:
        await until(partial(tenant.is_running, "pg_sleep"), "the second migration runs")
    await fleet.ledger("rollout", "pause", "--reason", "an agent is killed")
    first.kill()
    orders = (one.event for one in await fleet.events(MigrationOrdered))
    ends = max(one.expires_at for one in orders if isinstance(one, MigrationOrdered))
    await until(lambda: datetime.now(UTC) > ends, "the orders have expired")
    fleet.agent("second")

    async def unfinished() -> bool:
        return (await fleet.status(rollout)).counts == {"unfinished": 2, "pending": 4}

    await until(unfinished, "what was cut short is unfinished")
    await invariants.hold(fleet)
    await fleet.ledger("rollout", "abort", "--yes", "--reason", "wrong release")

    async def asked() -> bool:
        return (await fleet.status(rollout)).counts == {"failed": 2, "pending": 4}

    await until(asked, "the journals were asked")
    told = await fleet.ledger("rollout", "status", rollout)
    for tenant in cut_short:
        assert tenant.id in told.out
    assert told.out.count("1 of 2 migrations applied") == 2
    await invariants.hold(fleet)


async def test_an_agent_killed_after_its_commit_and_before_its_report_is_answered_for(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet = breakable
    fleet.migration(FIRST, await fleet.hold())
    await fleet.serve()
    first = fleet.agent("first")
    rollout = await fleet.start("--waves", "rest")
    await until(lambda: fleet.is_running("pg_sleep"), "a migration runs")
    # Without a broker, no report leaves the agent.
    victim.kill()
    await fleet.let_go()
    await until(lambda: _all_have_it(fleet), "all transactions are committed")
    first.kill()
    reported = len(await fleet.events(MigrationApplied))
    assert reported < 6
    await asyncio.to_thread(victim.start)
    fleet.agent("second")
    await fleet.reached(rollout, "completed")
    applied = await fleet.events(MigrationApplied)
    assert [one.metadata.recovered for one in applied[reported:]] == [True] * (6 - reported)
    assert len(applied) == 6
    await invariants.hold(fleet)


async def test_a_ledger_killed_between_append_and_publish_publishes_when_it_is_back(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet = breakable
    fleet.migration(FIRST)
    leader = await fleet.serve()
    fleet.agent()
    victim.kill()
    rollout = await fleet.start("--waves", "rest")
    assert len(await fleet.at_least(6, MigrationOrdered)) == 6
    for life in range(2):
        leader.kill()
        leader.start_again()
        await fleet.at_least(2 + life, LeadershipTaken)
    assert await fleet.with_effect(FIRST) == []
    await asyncio.to_thread(victim.start)
    status = await fleet.reached(rollout, "completed")
    assert {line.attempt for line in status.databases} == {1}
    assert len(await fleet.events(LeadershipTaken)) == 3
    await invariants.hold(fleet)


async def test_a_ledger_killed_in_the_middle_of_a_rollout_goes_on_where_it_was(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST, "SELECT pg_sleep(0.3);")
    leader = await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "1,2,rest", "--in-flight", "1")
    await fleet.at_least(2, MigrationApplied)
    leader.kill()
    leader.start_again()
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    assert len(await fleet.events(MigrationOrdered)) == 6
    await invariants.hold(fleet)


async def test_a_ledger_killed_while_a_rollout_is_taken_back_takes_it_back_once(
    fleet: Fleet,
) -> None:
    await fleet.tenants[2].execute("DELETE FROM users")
    fleet.migration(FIRST, "SELECT pg_sleep(0.3);")
    fleet.migration(SECOND, "DO $$BEGIN ASSERT EXISTS (SELECT FROM users); END$$;")
    leader = await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "1,2,rest", "--when-spent", "rollback")
    for life in range(2):
        await fleet.at_least(1, UndoStarted)
        leader.kill()
        leader.start_again()
        await fleet.at_least(2 + life, LeadershipTaken)
    undo = await fleet.reached(f"undo-{rollout}", "completed")
    assert (undo.undoes, undo.counts) == (rollout, {"applied": 3})
    assert len(await fleet.events(UndoStarted)) == 1
    assert await fleet.with_effect(FIRST) == []
    await invariants.hold(fleet)


async def test_a_broker_that_comes_back_empty_is_filled_again_from_the_log_and_the_journals(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet = breakable
    fleet.migration(FIRST, "SELECT pg_sleep(0.3);")
    fleet.migration(SECOND)
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "2,rest", "--in-flight", "2")
    await fleet.at_least(3, MigrationApplied)
    await asyncio.to_thread(lose_data, victim)
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    await invariants.hold(fleet)


async def _all_have_it(fleet: Fleet) -> bool:
    return len(await fleet.with_effect(FIRST)) == len(fleet.tenants)
