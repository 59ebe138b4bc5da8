"""What an agent at rest says of a broker that is away: once, and how long when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from agents.heartbeat import HeartbeatSender
from agents.job import Job
from agents.scheduler import Scheduler
from agents.settings import AgentSettings
from agents.texts import Library, Texts
from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import BusUnavailable
from ledger.contracts.messages import Message
from tests.support.manual_clock import ManualClock

TRIES = 50


class AwayForAWhile(LocalBus):
    """A bus that takes nothing at first."""

    def __init__(self) -> None:
        super().__init__(LocalBroker())
        self.tries = 0
        self.heard = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Fail so often, then take it."""
        self.tries += 1
        if self.tries <= TRIES:
            raise BusUnavailable(f"nobody answers, try {self.tries}")
        self.heard.set()


async def work(job: Job) -> None:
    """Nothing is done here."""


def at_rest(clock: ManualClock) -> Scheduler:
    """A scheduler that has nothing to do."""
    library = Library(Texts(1024))
    return Scheduler(1, 1, library, work, lambda job: None, lambda job: None, lambda: None, clock)


async def test_an_outage_is_told_once_and_counted_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bus = AwayForAWhile()
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    sender = HeartbeatSender(bus, AgentSettings(pool="main"), "1", at_rest(clock), clock)
    task = asyncio.create_task(sender.run())
    while not bus.heard.is_set():
        await asyncio.sleep(0)
        clock.advance(2.0)
    await asyncio.sleep(0)
    task.cancel()
    assert [one for one in caplog.messages if "broker" in one] == [
        "the broker does not hear this agent: nobody answers, try 1",
        f"the broker hears this agent again, after {TRIES} tries",
    ]
    assert sender.failing == ""
