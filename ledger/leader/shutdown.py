"""How a leading process ends: one error for several, and never later than it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ledger.store.connections import Pool

END_S = 15.0
"""How long cancelled work may hold its connections."""
LOST_END_S = 3.0
"""The same when leadership is lost: its database may not answer at all, and noticing took time."""


@asynccontextmanager
async def only_the_first() -> AsyncIterator[None]:
    """One exception out of a group of them: the others are its consequences."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


@asynccontextmanager
async def bounded_end(pool: Pool) -> AsyncIterator[Callable[[float], None]]:
    """Once the end began, whatever still holds a connection after so many seconds loses it.

    A cancelled query waits for the server to say that it ended, and a server may not say it. So the
    end begins with what makes it necessary, and not when what leads has ended.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def begin(within_s: float) -> None:
        timers.append(loop.call_later(within_s, pool.terminate))

    try:
        yield begin
    finally:
        for timer in timers:
            timer.cancel()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
