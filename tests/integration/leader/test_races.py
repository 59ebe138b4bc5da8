"""Reports that come between the conductor's decision and its append: the log's order counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.events import (
    AttemptTimedOut,
    InspectionOrdered,
    MigrationOrdered,
    RolloutHalted,
    WaveOpened,
)
from ledger.contracts.reports import AttemptFinished, MigrationFailed, Report
from migrations.model.attempt import Verdict
from tests.support.house import (
    House,
    answers,
    failures,
    finished,
)
from tests.support.race import Race, names, orders_behind, refusal, two_of_three

ENDS = {
    "its last word alone": lambda command: [failures(command)[-1]],
    "all of it": failures,
    "a refusal": lambda command: [refusal(command), finished(command, Verdict.REFUSED)],
}


@pytest.mark.parametrize("reports", ENDS.values(), ids=ENDS.keys())
async def test_a_failure_that_nobody_has_heard_of_halts_before_the_next_order(
    house: House, race: Race, reports: Callable[[ApplyCommand], list[Report]]
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *reports(bolt))
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "halted")
    assert race.refused == ["MigrationOrdered"]
    assert sorted(names(await house.events(MigrationOrdered))) == ["acme", "bolt"]


async def test_while_the_last_word_on_a_failure_is_missing_nothing_is_ordered(
    house: House, race: Race
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        first, last = failures(bolt)[:-1], failures(bolt)[-1]
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *first)
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, AttemptFinished)
        await house.at_least(1, MigrationFailed)
        await actor.say(f"rollout-{rollout}", last)
        await house.becomes(rollout, "halted")
    assert await orders_behind(house, MigrationFailed) == []


async def test_a_failure_that_is_no_failure_in_the_end_lets_it_go_on(
    house: House, race: Race
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        first = failures(bolt)[:-1]
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *first)
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, MigrationFailed)
        await actor.say(f"rollout-{rollout}", finished(bolt, Verdict.CANCELLED))
        await actor.ordered("bolt", attempt=2)
        await actor.ordered("crane")


async def test_failures_that_the_budget_bears_do_not_hold_anything_up(
    house: House, race: Race
) -> None:
    async with two_of_three(house, budget="1") as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *failures(bolt))
        await actor.applies(await actor.ordered("acme"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
    assert (race.done, race.refused) == (["MigrationOrdered"], [])


async def test_a_budget_that_several_spend_together_is_spent(house: House, race: Race) -> None:
    more = [f"d{number}" for number in range(8)]
    await house.register(*more)
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=5, budget="2")
        (first, *others) = [one for one in await actor.commands(5) if isinstance(one, ApplyCommand)]

        async def three_fail() -> None:
            for one in others[:3]:
                await race.report(rollout, *failures(one))

        race.before["MigrationOrdered"] = three_fail
        await actor.applies(first)
        await house.becomes(rollout, "halted")
    assert race.refused == ["MigrationOrdered"]
    assert len(await house.events(MigrationOrdered)) == 5


async def test_what_only_makes_room_never_holds_an_order_up(house: House, race: Race) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *answers(bolt))
        await actor.applies(await actor.ordered("acme"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
    assert (race.done, race.refused) == (["MigrationOrdered"], [])


async def test_failures_of_another_rollout_are_its_own(house: House, race: Race) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=1)
        acme = await actor.ordered("acme")
        await house.register("dune")
        other = await house.start(select="id=dune")
        dune = await actor.ordered("dune")
        race.before["MigrationOrdered"] = lambda: race.report(other, *failures(dune))
        await actor.applies(acme)
        for database in ("bolt", "crane"):
            await actor.applies(await actor.ordered(database))
        await house.becomes(rollout, "completed")
        await house.becomes(other, "halted")
    assert race.refused == []


async def test_a_stray_word_on_an_attempt_that_has_ended_stops_nothing(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(waves="1,rest")
        acme = await actor.ordered("acme")
        race.before["WaveOpened"] = lambda: race.report(rollout, refusal(acme))
        await actor.applies(acme)
        await actor.commands(3)
    assert race.done == ["WaveOpened"]
    assert len(await house.events(WaveOpened)) == 2
    assert await house.events(RolloutHalted) == []


async def test_an_answer_that_nobody_has_heard_of_is_no_time_out(house: House, race: Race) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", expiry_s=0.5, deadline_s=1.0)
        acme = await actor.ordered("acme")
        race.before["AttemptTimedOut"] = lambda: race.report(rollout, *answers(acme))
        await house.becomes(rollout, "completed")
    assert race.refused == ["AttemptTimedOut"]
    assert await house.events(AttemptTimedOut) == []


async def test_a_late_answer_that_nobody_has_heard_of_spares_the_look(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", expiry_s=0.5, deadline_s=1.0)
        acme = await actor.ordered("acme")
        race.before["InspectionOrdered"] = lambda: race.report(rollout, *answers(acme))
        await house.becomes(rollout, "completed")
    assert "InspectionOrdered" in race.refused
    assert await house.events(InspectionOrdered) == []
