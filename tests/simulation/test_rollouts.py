"""Rollouts of a whole ledger in memory: waves, failures, retries, and hours of patience."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

from ledger.contracts.events import (
    Budget,
    MigrationOrdered,
    RolloutCompleted,
    RolloutHalted,
    UndoStarted,
    WaveOpened,
    WhenSpent,
)
from ledger.contracts.reports import AttemptFinished, MigrationApplied, MigrationFailed
from ledger.store.log.chain import Link
from migrations.model.attempt import Verdict
from tests.support.engine_places import migration, table
from tests.support.manual_clock import simulate
from tests.support.simulated_house import WHY, SimulatedHouse

USERS, GROUPS = table("001", "users"), table("002", "groups")
FLEET = tuple(f"db{number:02}" for number in range(10))

Story = Callable[[SimulatedHouse], Awaitable[None]]


def told(story: Story, seed: int = 0) -> SimulatedHouse:
    """Run a story in a house of its own; its log must be whole afterwards."""
    house = SimulatedHouse(seed)

    async def main() -> None:
        await house.stores.initialise()
        await house.register(*FLEET)
        await story(house)
        assert await house.stores.log.verify() == Link(
            len(house.stores.log.events), house.stores.log.events[-1].chain
        )

    simulate(house.clock, main())
    return house


async def travelled(house: SimulatedHouse) -> None:
    """Ten databases in three waves, by two agents."""
    async with house.at_work(agents=2):
        rollout = await house.start(USERS, GROUPS, wave_spec="1,3,rest", in_flight=2)
        status = await house.becomes(rollout, "completed")
        assert [wave.size for wave in status.waves] == [1, 3, 6]
        assert status.counts == {"applied": 10}


def test_a_rollout_goes_wave_by_wave_and_no_wider_than_it_may() -> None:
    house = told(travelled)
    assert house.tables(FLEET) == {one: {"users", "groups"} for one in FLEET}
    assert len(house.events(MigrationApplied)) == 20
    opened = [one.position for one in house.events(WaveOpened)]
    orders = [one.position for one in house.events(MigrationOrdered)]
    in_waves = [sum(opened[n] < at for at in orders) for n in range(3)]
    assert in_waves == [10, 9, 6]
    assert house.engine.sessions == 0


def test_the_same_seed_gives_the_same_log_byte_for_byte() -> None:
    first, again, other = told(travelled, 7), told(travelled, 7), told(travelled, 8)
    assert first.stores.log.events == again.stores.log.events
    assert first.stores.log.events != other.stores.log.events


def test_failures_over_the_budget_halt_and_a_retry_goes_on_from_there() -> None:
    async def story(house: SimulatedHouse) -> None:
        for name in ("db01", "db02"):
            house.engine.named(name).tables.add("users")
        async with house.at_work():
            rollout = await house.start(USERS, wave_spec="4,rest", budget=Budget(count=1))
            halted = await house.becomes(rollout, "halted")
            assert halted.counts == {"applied": 2, "failed": 2, "pending": 6}
            assert halted.why == (
                "2 of 4 ordered databases had failed by then (10 in the rollout), budget is 1"
            )
            ordered = len(house.events(MigrationOrdered))
            await house.clock.sleep(2 * 3600.0)
            assert len(house.events(MigrationOrdered)) == ordered
            for name in ("db01", "db02"):
                house.engine.named(name).tables.discard("users")
            await house.rollouts.retry(rollout, [], WHY)
            assert (await house.becomes(rollout, "completed")).counts == {"applied": 10}

    house = told(story)
    assert sorted(house.ordered(MigrationFailed)) == ["db01", "db02"]
    (halt,) = house.events(RolloutHalted)
    (end,) = house.events(RolloutCompleted)
    assert (end.recorded_at - halt.recorded_at).total_seconds() > 7200
    assert house.tables(FLEET) == {one: {"users"} for one in FLEET}


def test_a_slow_migration_takes_the_time_that_it_takes_and_is_sent_no_second_time() -> None:
    slow = migration("001", "CREATE TABLE users (id int)", "SELECT pg_sleep(600)")

    async def story(house: SimulatedHouse) -> None:
        async with house.at_work(concurrency=5):
            rollout = await house.start(slow, deadline_s=86_400.0, expiry_s=43_200.0)
            assert (await house.becomes(rollout, "completed")).counts == {"applied": 10}

    house = told(story)
    assert house.clock.monotonic() >= 2 * 600
    for name in FLEET:
        assert len(house.engine.named(name).statements) == 2


def test_an_order_that_nobody_takes_expires_and_is_made_again_when_somebody_comes() -> None:
    async def story(house: SimulatedHouse) -> None:
        leader = house.lead()
        rollout = await house.start(USERS, expiry_s=300.0)
        await house.clock.sleep(3600.0)
        agent = house.work()
        assert (await house.becomes(rollout, "completed")).counts == {"applied": 10}
        await agent.dies()
        await leader.dies()

    house = told(story)
    assert house.clock.monotonic() >= 3600
    assert len(house.events(MigrationApplied)) == 10
    for name in FLEET:
        assert house.engine.named(name).statements == ["CREATE TABLE users (id int)"]


def test_an_agent_that_dies_at_work_is_asked_again_and_no_effect_happens_twice() -> None:
    slow = migration("001", "CREATE TABLE users (id int)", "SELECT pg_sleep(300)")

    async def story(house: SimulatedHouse) -> None:
        leader = house.lead()
        first = house.work()
        rollout = await house.start(slow, deadline_s=3600.0)
        await house.clock.sleep(150.0)
        await first.dies()
        assert house.engine.sessions == 0
        second = house.work()
        await house.until(rollout, lambda status: status.status in ("completed", "halted"))
        await second.dies()
        await leader.dies()

    house = told(story)
    done = house.events(MigrationApplied)
    assert len({one.event.model_dump()["database"] for one in done}) == len(done) == 10
    assert house.tables(FLEET) == {one: {"users"} for one in FLEET}


def test_a_leader_that_dies_is_followed_by_one_that_goes_on() -> None:
    slow = migration("001", "CREATE TABLE users (id int)", "SELECT pg_sleep(60)")

    async def story(house: SimulatedHouse) -> None:
        agent = house.work()
        leader = house.lead()
        rollout = await house.start(slow, wave_spec="2,3,rest")
        for _ in range(5):
            await house.clock.sleep(25.0)
            await leader.dies()
            await house.clock.sleep(5.0)
            leader = house.lead()
        assert (await house.becomes(rollout, "completed")).counts == {"applied": 10}
        await agent.dies()
        await leader.dies()

    house = told(story)
    assert house.stores.log.term == 6
    assert len(house.events(MigrationApplied)) == len(house.events(AttemptFinished)) == 10


def test_an_unreachable_database_fails_after_its_patience_and_the_others_go_on() -> None:
    async def story(house: SimulatedHouse) -> None:
        house.engine.named("db03").reachable = False
        async with house.at_work():
            rollout = await house.start(USERS)
            halted = await house.becomes(rollout, "halted")
            assert halted.counts == {"applied": 9, "failed": 1}
            house.engine.named("db03").reachable = True
            await house.rollouts.retry(rollout, ["db03"], WHY)
            assert (await house.becomes(rollout, "completed")).counts == {"applied": 10}

    told(story)


def test_a_pause_orders_nothing_however_long_it_lasts() -> None:
    slow = migration("001", "CREATE TABLE users (id int)", "SELECT pg_sleep(30)")

    async def story(house: SimulatedHouse) -> None:
        async with house.at_work():
            rollout = await house.start(slow, in_flight=2)
            await house.clock.sleep(45.0)
            await house.rollouts.pause(rollout, WHY)
            await house.clock.sleep(60.0)
            ordered = len(house.events(MigrationOrdered))
            await house.clock.sleep(3600.0)
            assert len(house.events(MigrationOrdered)) == ordered < 10
            await house.rollouts.resume(rollout, WHY)
            await house.becomes(rollout, "completed")

    told(story)


def test_a_check_asks_every_database_and_gives_the_silent_one_up() -> None:
    async def story(house: SimulatedHouse) -> None:
        house.engine.named("db05").reachable = False
        async with house.at_work():
            check = await house.fleet.check("", WHY)
            result = await house.checks.answers(check, 3600.0)
            reached = {row.database: row.answer is not None for row in result.rows}
            assert result.finished
            assert reached == dict.fromkeys(FLEET, True)
            answers = {row.database: row.answer for row in result.rows}
            assert [name for name, one in answers.items() if one and not one.reachable] == ["db05"]

    told(story)


def test_every_attempt_has_one_last_word() -> None:
    house = told(travelled)
    words = [one.event for one in house.events(AttemptFinished)]
    assert [getattr(one, "verdict", None) for one in words] == [Verdict.DONE] * 10


def test_a_spent_budget_takes_the_rollout_back_in_the_append_that_says_so() -> None:
    async def story(house: SimulatedHouse) -> None:
        house.engine.named("db05").tables.add("users")
        async with house.at_work():
            rollout = await house.start(
                USERS, wave_spec="3,rest", when_spent=WhenSpent.ROLLBACK, in_flight=1
            )
            halted = await house.until(rollout, lambda status: status.undone_by is not None)
            assert halted.undone_by is not None
            await house.becomes(halted.undone_by, "completed")

    house = told(story)
    (started,) = house.events(UndoStarted)
    behind = house.events()[started.position]
    assert (behind.stream, type(behind.event).__name__) == (
        f"rollout-{started.event.model_dump()['by']}",
        "RolloutPlanned",
    )
    assert house.tables(FLEET) == {one: {"users"} if one == "db05" else set() for one in FLEET}


def test_what_a_person_takes_back_comes_back_under_another_leader_too() -> None:
    async def story(house: SimulatedHouse) -> None:
        async with house.at_work():
            rollout = await house.start(USERS, GROUPS)
            await house.becomes(rollout, "completed")
        undo = await house.undo(rollout)
        async with house.at_work():
            assert (await house.becomes(undo, "completed")).counts == {"applied": 10}

    house = told(story)
    assert house.tables(FLEET) == {one: set() for one in FLEET}


def test_what_is_over_soon_is_seen_soon_and_a_long_one_is_not_looked_at_more_often() -> None:
    async def story(house: SimulatedHouse) -> None:
        rollout = await house.start(USERS)
        began, looks = house.clock.monotonic(), []
        async for _ in house.rollouts.watch(rollout):
            looks.append(house.clock.monotonic() - began)
            if len(looks) == 20:
                break
        apart = [round(later - earlier, 6) for earlier, later in pairwise(looks)]
        assert apart[0] == 0.1
        assert apart == sorted(apart)
        assert apart[-1] == 0.5

    told(story)


def test_whoever_waits_for_the_last_reports_does_not_wait_for_more_to_come() -> None:
    async def story(house: SimulatedHouse) -> None:
        leader, agent = house.lead(keeps_positions=False), house.work()
        rollout = await house.start(USERS)
        await house.becomes(rollout, "completed")
        began = house.clock.monotonic()
        # Several at once, each of whom hears of the end.
        await asyncio.gather(*(leader.supervisor.settled() for _ in range(3)))
        assert house.clock.monotonic() - began < 1.0
        assert (await house.stores.reads.position()) == (await house.stores.log.head()).position
        await agent.dies()
        await leader.dies()

    told(story)
