"""When to look again: named things that were touched, or whose moment has come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from migrations.clock import Clock, happens_within

IDLE_S = 30.0
"""Longest sleep when no moment is set."""


class Alarm:
    """Keeps, per name, whether it was touched and the moment it waits for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments: dict[str, datetime] = {}
        self._touched: dict[str, None] = {}
        self._woken = asyncio.Event()

    def touch(self, names: Iterable[str]) -> None:
        """Something happened to these: they are due now."""
        self._touched.update(dict.fromkeys(names))
        if self._touched:
            self._woken.set()

    def set(self, name: str, moment: datetime | None) -> None:
        """`name` is due at `moment`, or by itself never."""
        if moment is None:
            self._moments.pop(name, None)
        else:
            self._moments[name] = moment

    def due(self) -> list[str]:
        """What is due, in the order of touching; touches are forgotten with it."""
        now = self._clock.now()
        timed = {name: None for name, moment in self._moments.items() if moment <= now}
        due = list(self._touched | timed)
        self._touched.clear()
        self._woken.clear()
        return due

    async def sleep(self) -> None:
        """Until something is touched or the next moment comes."""
        left = [(moment - self._clock.now()).total_seconds() for moment in self._moments.values()]
        wait_s = min(max(min(left, default=IDLE_S), 0.0), IDLE_S)
        await happens_within(self._clock, self._woken, wait_s)
