"""Services and a leader that meet in one moment, in memory: who is first, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from ledger.contracts.events import (
    Budget,
    LeadershipTaken,
    MigrationOrdered,
    RetryRequested,
    RolloutHalted,
    RolloutPaused,
    RolloutStarted,
)
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished
from ledger.domain.refusals import BusyDatabases, RequestRefusal, WrongStatus
from ledger.errors import AnotherLeader, LedgerError, StaleTerm
from ledger.leader.inspector import KEPT_S, TRIM_EVERY_S
from ledger.service.plans import PlanRequest
from ledger.store.port import FoundLook
from migrations.model.attempt import Verdict
from tests.support.engine_places import migration, table
from tests.support.manual_clock import simulate
from tests.support.simulated_house import HOST, OPTIONS, WHY, SimulatedHouse

USERS, GROUPS = table("001", "users"), table("002", "groups")
FLEET = tuple(f"db{number}" for number in range(5))


def told(story: Callable[[SimulatedHouse], Awaitable[None]], seed: int = 0) -> SimulatedHouse:
    """Run a story in a house of its own."""
    house = SimulatedHouse(seed)

    async def main() -> None:
        await house.stores.initialise()
        await house.register(*FLEET)
        await story(house)

    simulate(house.clock, main())
    return house


def test_of_planners_in_one_moment_one_gets_the_databases() -> None:
    async def story(house: SimulatedHouse) -> None:
        bundle = await house.bundle(USERS)
        request = PlanRequest("up", None, OPTIONS, bundle=bundle, asked=WHY)
        plans = [await house.rollouts.plan(request) for _ in range(4)]
        starting = [house.rollouts.start(plan) for plan in plans]
        answers = await asyncio.gather(*starting, return_exceptions=True)
        assert [type(one) for one in answers if not isinstance(one, str)] == [BusyDatabases] * 3

    assert len(told(story).events(RolloutStarted)) == 1


def test_registrations_in_one_moment_all_find_their_place() -> None:
    async def story(house: SimulatedHouse) -> None:
        def join(name: str) -> Awaitable[object]:
            place = Connection.at(HOST, name, user="app")
            return house.fleet.add(name, "main", place, {}, WHY)

        await asyncio.gather(*[join(f"new{number}") for number in range(4)])
        known = [one.database for one in await house.fleet.list()]
        assert known == [*FLEET, "new0", "new1", "new2", "new3"]

    told(story)


def test_of_the_same_request_twice_in_one_moment_the_second_is_refused() -> None:
    async def story(house: SimulatedHouse) -> None:
        rollout = await house.start(USERS)
        pauses = [house.rollouts.pause(rollout, WHY) for _ in range(3)]
        answers = await asyncio.gather(*pauses, return_exceptions=True)
        assert sorted(type(one).__name__ for one in answers) == [
            "NoneType",
            *[WrongStatus.__name__] * 2,
        ]

    assert len(told(story).events(RolloutPaused)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_no_order_follows_a_pause_whenever_it_comes(seed: int) -> None:
    slow = migration("001", "CREATE TABLE users (id int)", "SELECT pg_sleep(3)")

    async def story(house: SimulatedHouse) -> None:
        async with house.at_work():
            rollout = await house.start(slow, in_flight=1)
            await house.clock.sleep(house.chance.between(0.0, 12.0))
            await house.rollouts.pause(rollout, WHY)
            await house.clock.sleep(60.0)

    house = told(story, seed)
    (paused,) = house.events(RolloutPaused)
    assert all(one.position < paused.position for one in house.events(MigrationOrdered))


@pytest.mark.parametrize("seed", range(6))
def test_no_order_follows_a_halt_whenever_it_comes(seed: int) -> None:
    """The budget is exceeded by no more than was in hand when it was spent."""

    async def story(house: SimulatedHouse) -> None:
        for name in FLEET:
            # One fails at once, the other after a few tries to connect.
            if house.chance.between(0.0, 1.0) < 0.5:
                house.engine.named(name).tables.add("users")
            else:
                house.engine.named(name).reachable = False
        async with house.at_work():
            rollout = await house.start(USERS, in_flight=2, budget=Budget(count=1))
            halted = await house.becomes(rollout, "halted")
            assert 2 <= halted.counts["failed"] <= 3

    house = told(story, seed)
    (halt,) = house.events(RolloutHalted)
    assert all(one.position < halt.position for one in house.events(MigrationOrdered))


def test_a_deposed_leader_ends_and_records_nothing() -> None:
    async def story(house: SimulatedHouse) -> None:
        first = house.lead()
        await house.clock.sleep(1.0)
        with pytest.raises(AnotherLeader):
            house.lead()
        # Its session is gone, and it does not know it yet: another one leads.
        house.stores.log.leader = None
        second = house.lead()
        await house.clock.sleep(1.0)
        await house.start(USERS)
        await asyncio.wait([first.task])
        assert isinstance(first.task.exception(), StaleTerm)
        await house.clock.sleep(1.0)
        assert not second.task.done()
        await second.dies()

    house = told(story)
    taken = [one.event for one in house.events(LeadershipTaken)]
    assert [getattr(one, "term", 0) for one in taken] == [1, 2]
    assert len(house.events(MigrationOrdered)) == len(FLEET)


def test_an_agent_whose_clock_is_wrong_begins_nothing_and_another_one_does() -> None:
    async def story(house: SimulatedHouse) -> None:
        for name in FLEET:
            house.engine.named(name).off = timedelta(hours=2)
        leader, agent = house.lead(), house.work()
        rollout = await house.start(USERS)
        await house.clock.sleep(30.0)
        assert not any(house.tables(FLEET).values())
        assert (await house.rollouts.status(rollout)).status == "running"
        for name in FLEET:
            house.engine.named(name).off = timedelta(0)
        await house.becomes(rollout, "completed")
        await agent.dies()
        await leader.dies()

    house = told(story)
    verdicts = {getattr(one.event, "verdict", None) for one in house.events(AttemptFinished)}
    assert verdicts == {Verdict.REFUSED, Verdict.DONE}


def test_a_request_that_is_refused_leaves_no_trace() -> None:
    async def story(house: SimulatedHouse) -> None:
        rollout = await house.start(USERS)
        before = len(house.stores.log.events)
        for asking in (
            house.rollouts.resume(rollout, WHY),
            house.rollouts.retry(rollout, ["db0"], WHY),
            house.rollouts.retry(rollout, ["nobody"], WHY),
            house.rollouts.resolve(rollout, "db0", "001", applied=True, asked=WHY),
        ):
            with pytest.raises((RequestRefusal, LedgerError)):
                await asking
        assert len(house.stores.log.events) == before

    assert not told(story).events(RetryRequested)


def test_schemas_that_were_sent_are_forgotten_though_nobody_looks_any_more() -> None:
    async def story(house: SimulatedHouse) -> None:
        looks = house.stores.looks
        leader = house.lead()
        await looks.put([FoundLook("check-one", "db0", 1, True, 1, b"{}", "a schema")])
        await house.clock.sleep(TRIM_EVERY_S)
        assert await looks.snapshots("one", ["db0"]) == {"db0": "a schema"}
        await house.clock.sleep(KEPT_S + TRIM_EVERY_S)
        assert await looks.snapshots("one", ["db0"]) == {}
        assert [one.database for one in await looks.of_check("one")] == ["db0"]
        await leader.dies()

    told(story)
