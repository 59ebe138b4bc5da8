"""One planner at a time: no two rollouts may claim the same database in the same moment.

Whether a database is free is read before the plan is appended, and a plan appends to a stream of
its own, whose version says nothing about other rollouts. So planners queue on an advisory lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger.store.log.log import EventLog

LOCK = "SELECT pg_advisory_lock(1818584167, 3)"
UNLOCK = "SELECT pg_advisory_unlock(1818584167, 3)"


@asynccontextmanager
async def exclusive(log: EventLog) -> AsyncIterator[None]:
    """Hold the planners' lock until the block ends."""
    async with log.connection() as connection:
        await connection.execute(LOCK)
        try:
            yield
        finally:
            await connection.execute(UNLOCK)
