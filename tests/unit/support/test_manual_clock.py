"""The clock of simulations: it moves when it is told, and in a simulation by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from migrations.clock import happens_within
from tests.support.manual_clock import START, ManualClock, SeededChance, simulate


async def test_it_stands_still_until_it_is_told() -> None:
    clock = ManualClock()
    sleeping = asyncio.create_task(clock.sleep(10.0))
    await asyncio.sleep(0)
    clock.advance(9.9)
    await asyncio.sleep(0)
    assert not sleeping.done()
    clock.advance(0.1)
    await sleeping
    assert (clock.now(), clock.monotonic()) == (START + timedelta(seconds=10), 10.0)


def test_days_pass_in_no_time_and_in_their_order() -> None:
    clock, woken = ManualClock(), list[tuple[str, float]]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(sleep("c", 86_400.0), sleep("a", 1.5), sleep("b", 3_600.0))

    simulate(clock, main())
    assert woken == [("a", 1.5), ("b", 3_600.0), ("c", 86_400.0)]


def test_a_bound_ends_what_takes_too_long_and_leaves_alone_what_does_not() -> None:
    clock = ManualClock()

    async def main() -> tuple[bool, bool]:
        event = asyncio.Event()
        late = await happens_within(clock, event, 60.0)
        asyncio.get_running_loop().call_soon(event.set)
        soon = await happens_within(clock, event, 60.0)
        await clock.sleep(120.0)
        return late, soon

    assert simulate(clock, main()) == (False, True)
    assert clock.monotonic() == 180.0


def test_what_runs_in_a_thread_takes_no_time() -> None:
    clock = ManualClock()

    async def main() -> int:
        asleep = asyncio.create_task(clock.sleep(3_600.0))
        answer = await asyncio.to_thread(sum, [1, 2, 3])
        assert not asleep.done()
        asleep.cancel()
        return answer

    assert simulate(clock, main()) == 6


def test_a_wait_that_nothing_can_end_is_told() -> None:
    with pytest.raises(AssertionError, match="nothing can end"):
        simulate(ManualClock(), asyncio.Event().wait())


def test_a_wait_outside_of_the_clock_is_told() -> None:
    with pytest.raises(AssertionError, match="own clock"):
        simulate(ManualClock(), asyncio.sleep(0.001))


def test_the_same_seed_gives_the_same_ids_and_another_one_others() -> None:
    def drawn(seed: int) -> tuple[object, ...]:
        chance = SeededChance(seed)
        return chance.uuid(), chance.ordered_uuid(), chance.text("abc", 9), chance.between(1, 2)

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
