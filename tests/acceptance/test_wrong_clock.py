"""Agents on hosts whose clock is wrong: nothing loops, and the clock is named."""

from __future__ import annotations

import json

import pytest

from ledger.contracts.events import MigrationOrdered
from ledger.contracts.reports import AttemptFinished
from ledger.domain.patience import TRIES
from migrations.model.attempt import Verdict
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.processes import until

FIRST = "20260101000000"
TWO_HOURS_S = "7200"


@pytest.mark.parametrize(
    ("wrong_s", "how"), [(TWO_HOURS_S, "2 h ahead of"), (f"-{TWO_HOURS_S}", "2 h behind")]
)
async def test_a_wrong_clock_makes_no_loop_is_named_and_the_rollout_can_be_steered(
    fleet: Fleet, wrong_s: str, how: str
) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    wrong = fleet.agent("wrong", WRONG_CLOCK_S=wrong_s)
    rollout = await fleet.start("--waves", "rest", "--expiry", "60", "--budget", "100%")
    await until(lambda: _named(fleet, rollout, how), "the status names the clock")
    orders = await fleet.at_least(12, MigrationOrdered)
    assert len(orders) <= TRIES * len(fleet.tenants)
    assert await fleet.with_effect(FIRST) == []

    # The wrong one goes, a right one comes, and a person need not wait for the next try.
    wrong.ask_to_stop()
    assert await wrong.ended() == 0
    fleet.agent("right")
    await fleet.ledger("rollout", "retry", rollout, "--yes", code=None)
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    await invariants.hold(fleet)


async def test_a_rollout_whose_agents_refuse_for_their_clock_is_aborted_at_the_first_try(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    fleet.agent("wrong", WRONG_CLOCK_S=TWO_HOURS_S)
    rollout = await fleet.start("--waves", "rest", "--expiry", "60")
    await fleet.at_least(6, AttemptFinished)
    await fleet.ledger("rollout", "abort", rollout, "--yes", "--cancel")
    status = await fleet.reached(rollout, "aborted")
    events = [one.event for one in await fleet.events(AttemptFinished)]
    finished = [one for one in events if isinstance(one, AttemptFinished)]
    refused = [one for one in finished if one.verdict is Verdict.REFUSED]
    assert {one.failure.kind for one in refused if one.failure} == {"clock"}
    # What an agent had in hand when the word came is cancelled.
    in_hand = [one for one in finished if one.verdict is Verdict.CANCELLED]
    assert len(refused) + len(in_hand) == len(finished)
    assert "applied" not in status.counts
    assert status.counts.get("failed", 0) <= len(in_hand)


async def _named(fleet: Fleet, rollout: str, how: str) -> bool:
    answer = await fleet.ledger("rollout", "status", rollout, "-o", "json")
    rows = json.loads(answer.out)["items"]
    named = [
        row for row in rows if "clock of agent" in row["waits_for"] and how in row["waits_for"]
    ]
    return bool(named)
