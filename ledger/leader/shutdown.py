"""How a leading process ends: one error for several, and never later than it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

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


async def unless_over(leading: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
    """Return when this work is done, or what leads has ended and nobody is left to do it."""
    working = asyncio.create_task(work, name="leader-drain")
    try:
        await asyncio.wait({working, leading}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
