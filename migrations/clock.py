"""What time it is, and waiting: the port, and the clock of the host, its only reader.

Whoever needs the time is given a `Clock` by the root that puts its program together, and whoever
only decides is given a moment. So nothing but this module asks the host, and a whole system can be
run on a clock that somebody moves by hand (`tests/support/manual_clock.py`).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time, and waiting until some of it has passed."""

    def now(self) -> datetime:
        """The moment, aware and in UTC. It may jump, as a host's clock does when it is set."""

    def monotonic(self) -> float:
        """Seconds from some beginning on, for measuring; never less than before."""

    async def sleep(self, seconds: float) -> None:
        """Return after this time; at once, behind whoever is ready now, when it is 0 or less."""

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Raise `TimeoutError` where the block ends, cancelled after this time; `None` waits."""


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """As the host says."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Since the host was started."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Bound a block."""
        return asyncio.timeout(seconds)


SYSTEM_CLOCK = SystemClock()


async def happens_within(clock: Clock, event: asyncio.Event, seconds: float | None) -> bool:
    """Whether `event` was set before this time had passed."""
    try:
        async with clock.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


def elapsed_ms(clock: Clock, started: float) -> int:
    """Milliseconds since `started`, a monotonic time of this clock."""
    return round((clock.monotonic() - started) * 1000)
