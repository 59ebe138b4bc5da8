"""When the conductor looks at a rollout again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from ledger.leader.wakeups import Alarm
from tests.support.manual_clock import ManualClock, simulate
from tests.support.patience import PATIENCE_S
from tests.support.turns import settled

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def test_what_was_touched_is_due_once_in_the_order_of_touching() -> None:
    alarm = Alarm(ManualClock(START))
    alarm.touch(["b", "a"])
    alarm.touch(["b"])
    assert alarm.due() == ["b", "a"]
    assert alarm.due() == []


def test_a_moment_is_due_when_it_has_come_and_until_it_is_changed() -> None:
    clock = ManualClock(START)
    alarm = Alarm(clock)
    alarm.set("a", START + timedelta(seconds=5))
    assert alarm.due() == []
    clock.advance(5)
    assert alarm.due() == alarm.due() == ["a"]
    alarm.set("a", None)
    assert alarm.due() == []


def test_what_is_touched_and_timed_is_due_once() -> None:
    alarm = Alarm(ManualClock(START))
    alarm.set("a", START)
    alarm.touch(["a"])
    assert alarm.due() == ["a"]


async def test_a_touch_ends_the_sleep() -> None:
    alarm = Alarm(ManualClock(START))
    sleeping = asyncio.create_task(alarm.sleep())
    await settled()
    alarm.touch(["a"])
    async with asyncio.timeout(PATIENCE_S):
        await sleeping


async def test_touching_nothing_lets_it_sleep_on() -> None:
    alarm = Alarm(ManualClock(START))
    sleeping = asyncio.create_task(alarm.sleep())
    await asyncio.sleep(0)
    alarm.touch([])
    await settled()
    assert not sleeping.done()
    sleeping.cancel()


async def test_a_touch_before_the_sleep_is_not_slept_over() -> None:
    alarm = Alarm(ManualClock(START))
    alarm.touch(["a"])
    async with asyncio.timeout(PATIENCE_S):
        await alarm.sleep()
    assert alarm.due() == ["a"]


def test_the_next_moment_ends_the_sleep() -> None:
    clock = ManualClock(START)
    alarm = Alarm(clock)
    alarm.set("later", START + timedelta(hours=1))
    alarm.set("soon", START + timedelta(seconds=5))
    simulate(clock, alarm.sleep())
    assert clock.now() == START + timedelta(seconds=5)
