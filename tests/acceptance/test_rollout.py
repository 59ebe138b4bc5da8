"""A rollout over Kafka: it travels in waves, halts by its budget, and goes back where it ran."""

from __future__ import annotations

import re

from ledger.contracts.events import (
    MigrationOrdered,
    RolloutHalted,
    WaveCompleted,
    WaveOpened,
)
from tests.support import invariants
from tests.support.fleet import Fleet

FIRST, SECOND = "20260101000000", "20260102000000"
NEEDS_USERS = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM users) THEN RAISE 'no users'; END IF;
END $$;
"""


async def test_a_rollout_goes_through_the_fleet_wave_by_wave(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    fleet.migration(SECOND)
    await fleet.serve()
    fleet.agent()
    answer = await fleet.ledger("up", "--folder", str(fleet.folder), "--yes", "--waves", "1,2,rest")
    assert "6 applied" in answer.out
    steps = [
        (type(one.event).__name__, one.event.wave)
        for one in await fleet.events(WaveOpened, WaveCompleted)
        if isinstance(one.event, WaveOpened | WaveCompleted)
    ]
    assert steps == [(name, wave) for wave in range(3) for name in ("WaveOpened", "WaveCompleted")]
    assert len(await fleet.with_effect(FIRST)) == len(await fleet.with_effect(SECOND)) == 6
    await invariants.hold(fleet)


async def test_a_failing_database_halts_the_rollout_before_the_next_wave(fleet: Fleet) -> None:
    broken = fleet.tenants[1]
    await broken.execute("DELETE FROM users")
    fleet.migration(FIRST, NEEDS_USERS)
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "1,2,rest")
    status = await fleet.reached(rollout, "halted")
    why = "1 of 3 ordered databases had failed by then (6 in the rollout), budget is 0"
    assert status.why == why
    assert status.counts == {"applied": 2, "failed": 1, "pending": 3}
    assert len(await fleet.events(MigrationOrdered)) == 3
    assert len(await fleet.events(RolloutHalted)) == 1
    (problem,) = [line.problem for line in status.databases if line.status == "failed"]
    assert re.fullmatch(r"\S+\.sql:\d+: no users \(SQLSTATE P0001\)", problem)
    await invariants.hold(fleet)


async def test_a_spent_budget_takes_back_what_ran_and_touches_nothing_else(fleet: Fleet) -> None:
    broken = fleet.tenants[1]
    await broken.execute("DELETE FROM users")
    fleet.migration(FIRST)
    fleet.migration(SECOND, NEEDS_USERS)
    await fleet.serve()
    fleet.agent()
    rollout = await fleet.start("--waves", "1,2,rest", "--when-spent", "rollback")
    status = await fleet.reached(rollout, "aborted")
    assert status.counts == {"applied": 2, "failed": 1, "pending": 3}
    assert status.undone_by == f"undo-{rollout}"
    undo = await fleet.reached(f"undo-{rollout}", "completed")
    assert (undo.counts, undo.undoes) == ({"applied": 3}, rollout)
    # On the broken one the first migration was applied, so it has something to undo.
    assert await broken.value("SELECT array_agg(direction ORDER BY direction DESC) FROM ran") == [
        "up",
        "down",
    ]
    orders = [one.event for one in await fleet.events(MigrationOrdered)]
    back = [one for one in orders if isinstance(one, MigrationOrdered) and one.undoes == rollout]
    assert len(back) == 3
    for untouched in fleet.tenants[3:]:
        assert await untouched.value("SELECT count(*) FROM ran") == 0
        assert await untouched.value("SELECT to_regnamespace('migration_ledger') IS NULL")
    await invariants.hold(fleet)
