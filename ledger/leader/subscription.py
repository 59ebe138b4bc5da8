"""Follows the log: one tail, decoded once, heard by everything that lives in the leading process.

Appends of this process are told by the log's own object. Requests of other processes are announced;
what they append besides is noticed at the next look (`Log.look_every_s`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from ledger.contracts.envelope import Recorded
from ledger.contracts.reports import Unreadable
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from migrations.clock import Clock, happens_within

logger = logging.getLogger(__name__)

BATCH = 1000
"""Events read at once: some hundred kilobytes."""


class Subscriber(Protocol):
    """Hears every event once, in the order of the log."""

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take note of these events; must not block."""


class Follower:
    """Tails the log from `position` and tells its subscribers."""

    def __init__(
        self, log: Log, position: int, subscribers: Sequence[Subscriber], clock: Clock
    ) -> None:
        self._log = log
        self._clock = clock
        self._subscribers = subscribers
        self._poked = asyncio.Event()
        self._moved = asyncio.Condition()
        self.position = position

    def poke(self) -> None:
        """Look now: something was appended."""
        self._poked.set()

    async def reach(self, position: int) -> None:
        """Return when everything up to `position` was heard."""
        self.poke()
        async with self._moved:
            await self._moved.wait_for(lambda: self.position >= position)

    async def run(self) -> None:
        """Follow until cancelled. What cannot be read is told as such, and logged."""
        with self._log.telling(self.poke):
            while True:
                self._poked.clear()
                raw = await self._log.tail(self.position, BATCH)
                if raw:
                    self._tell([open_event(event) for event in raw])
                    async with self._moved:
                        self.position = raw[-1].position
                        self._moved.notify_all()
                if len(raw) < BATCH:
                    await happens_within(self._clock, self._poked, self._log.look_every_s)

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        for one in recorded:
            if isinstance(one.event, Unreadable):
                logger.error(
                    "the event at position %d of the log (%s, recorded by %s) cannot be read: %s; "
                    "nothing follows from it, and everything else goes on; find out who wrote it, "
                    "then set it aside with `ledger audit set-aside %d --reason WHY`",
                    one.position,
                    one.event.type,
                    one.recorded_by,
                    one.event.why,
                    one.position,
                )
        for subscriber in self._subscribers:
            subscriber.saw(recorded)
