"""A person steers: pause, resume, abort, retry, resolve; and is told what everything waits for."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg

from ledger.contracts.events import MigrationOrdered, OutcomeResolved, RolloutPaused
from ledger.contracts.reports import MigrationFailed
from migrations.target.lock import key_for
from tests.support import invariants
from tests.support.fleet import Fleet, Tenant
from tests.support.patience import PATIENCE_S
from tests.support.processes import found, until

FIRST = "20260101000000"
NEEDS_USERS = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM users) THEN RAISE 'no users'; END IF;
END $$;
"""
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE 'migration-ledger%'"
)


async def test_a_pause_lets_what_runs_finish_and_a_resume_goes_on(fleet: Fleet) -> None:
    fleet.migration(FIRST, await fleet.hold())
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "rest", "--in-flight", "2")
    await until(lambda: fleet.tenants[0].is_running("pg_sleep"), "the migration runs")
    asked = asyncio.create_task(fleet.ledger("rollout", "pause", "--reason", "high load"))
    await fleet.at_least(1, RolloutPaused)
    await fleet.let_go()
    assert f"pause rollout {rollout}" in (await asked).err
    paused = await fleet.reached(rollout, "paused")
    ordered = len(await fleet.events(MigrationOrdered))
    assert paused.counts == {"applied": ordered, "pending": 6 - ordered}
    assert 2 <= ordered < 6
    # What the leader does next, it does knowing of the pause.
    await fleet.ledger("fleet", "check")
    assert len(await fleet.events(MigrationOrdered)) == ordered
    answer = await fleet.ledger("rollout", "resume", "--yes")
    assert "6 applied" in answer.out
    await invariants.hold(fleet)


async def test_an_abort_with_cancel_ends_what_runs_and_takes_it_back(fleet: Fleet) -> None:
    fleet.migration(FIRST, "SELECT pg_sleep(600);")
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "rest", "--in-flight", "2")
    for tenant in fleet.tenants[:2]:
        await until(partial(tenant.is_running, "pg_sleep"), "the migration runs")
    await fleet.ledger("rollout", "abort", "--cancel", "--yes", "--reason", "wrong release")
    await fleet.reached(rollout, "aborted")
    failed = await fleet.at_least(2, MigrationFailed)
    kinds = {one.event.failure.kind for one in failed if isinstance(one.event, MigrationFailed)}
    assert kinds == {"cancelled"}
    assert await fleet.with_effect(FIRST) == []
    for tenant in fleet.tenants:
        await until(partial(_is_left, tenant), "no session is left")
    await invariants.hold(fleet)


async def test_a_failed_database_is_tried_again_when_its_data_is_mended(fleet: Fleet) -> None:
    broken = fleet.tenants[0]
    await broken.execute("CREATE TABLE kept AS SELECT * FROM users; DELETE FROM users")
    fleet.migration(FIRST, NEEDS_USERS)
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "1,rest")
    halted = await fleet.reached(rollout, "halted")
    assert halted.counts == {"failed": 1, "pending": 5}
    await broken.execute("INSERT INTO users SELECT * FROM kept; DROP TABLE kept")
    await fleet.ledger("rollout", "retry", "--yes", "--reason", "data mended", "--no-wait")
    done = await fleet.reached(rollout, "completed")
    assert done.counts == {"applied": 6}
    assert [line.attempt for line in done.databases] == [2, 1, 1, 1, 1, 1]
    await invariants.hold(fleet)


async def test_a_persons_word_settles_what_nobody_answers_for(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    rollout = await fleet.start("--waves", "1,rest", "--expiry", "1", "--deadline", "2")
    await until(lambda: _is_unknown(fleet, rollout), "the order is past its deadline")
    # What the person has done by hand is what the migration makes.
    await fleet.tenants[0].execute(f"CREATE TABLE {fleet.migrations[FIRST]} (id int)")
    word = ("--applied", "--reason", "made by hand, seen", "--yes")
    await fleet.ledger("resolve", "db00", FIRST, *word)
    fleet.agent()
    await fleet.reached(rollout, "completed")
    (resolved,) = await fleet.events(OutcomeResolved)
    assert resolved.metadata.reason == "made by hand, seen"
    assert await fleet.tenants[0].value("SELECT count(*) FROM ran") == 0
    await invariants.hold(fleet)


async def test_an_order_without_an_answer_becomes_unknown_and_its_journal_settles_it(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST, await fleet.hold())
    await fleet.serve()
    first = fleet.agent("first")
    rollout = await fleet.start("--waves", "1,rest", "--expiry", "5", "--deadline", "6")
    await until(lambda: fleet.tenants[0].is_running("pg_sleep"), "the migration runs")
    first.freeze()
    await until(lambda: _is_unknown(fleet, rollout), "the order is past its deadline")
    first.kill()
    await fleet.let_go()
    fleet.agent("second")
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    assert status.databases[0].attempt == 2
    await invariants.hold(fleet)


async def test_status_names_who_holds_the_lock_that_a_database_waits_for(fleet: Fleet) -> None:
    fleet.migration(FIRST, "ALTER TABLE users ADD COLUMN note text;")
    await fleet.serve()
    fleet.agent()
    locker = await asyncpg.connect(fleet.tenants[0].url)
    reader = await asyncpg.connect(fleet.tenants[1].url)
    try:
        await locker.execute(f"SELECT pg_advisory_lock({key_for('').value})")
        await reader.execute("BEGIN; SELECT count(*) FROM users")
        rollout = await fleet.start("--waves", "rest", "--lock-timeout", "0.2")
        began = datetime.now(UTC) - timedelta(seconds=PATIENCE_S)
        pids = [locker.get_server_pid(), reader.get_server_pid()]
        for database, pid in zip(("db00", "db01"), pids, strict=True):
            said = await found(
                partial(_waits_for, fleet, rollout, database, f"pid {pid}"),
                f"status names pid {pid}",
            )
            assert datetime.fromisoformat(said["since"]) >= began
            moment = f"{said['since'][:10]} {said['since'][11:19]}Z"
            assert f", since {moment}" in said["waits_for"]
            assert ("next retry at " in said["waits_for"]) == (said["until"] is not None)
        answer = await fleet.ledger("rollout", "status", rollout)
        assert f"pid {pids[0]}" in answer.out
    finally:
        await locker.close()
        await reader.close()
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    await invariants.hold(fleet)


async def _is_left(tenant: Tenant) -> bool:
    """Whether all our sessions have left the database."""
    return int(await tenant.value(SESSIONS)) == 0


async def _is_unknown(fleet: Fleet, rollout: str) -> bool:
    return (await fleet.status(rollout)).counts.get("unknown", 0) == 1


async def _waits_for(
    fleet: Fleet, rollout: str, database: str, words: str
) -> dict[str, Any] | None:
    answer = await fleet.ledger("rollout", "status", rollout, "-o", "json")
    items: list[dict[str, Any]] = json.loads(answer.out)["items"]
    (line,) = [item for item in items if item["database"] == database]
    return line if words in line["waits_for"] else None
