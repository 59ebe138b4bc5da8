"""Makes the read models say what the log says, before something is decided or shown from them."""

from __future__ import annotations

import asyncio

import asyncpg

from ledger.errors import ReadModelsBehind
from ledger.store.log.log import EventLog
from ledger.store.views.queries import ReadModels

PATIENCE_S = 5.0
"""How long a reader waits for the leader to project; it does so several times per second."""
LOOK_EVERY_S = 0.1


async def brought_up(reads: ReadModels, log: EventLog) -> int:
    """Project what is in the log, or wait for the leader to, where this role may not.

    Returns the position that the read models have. Raises `ReadModelsBehind` when nobody projects.
    """
    try:
        return await reads.caught_up()
    except asyncpg.InsufficientPrivilegeError:
        return await _wait(reads, (await log.head()).position)


async def as_near_as_may_be(reads: ReadModels, log: EventLog) -> int:
    """As `brought_up`, for what is only shown: without somebody who projects, what is there."""
    try:
        return await brought_up(reads, log)
    except ReadModelsBehind:
        return await reads.position()


async def _wait(reads: ReadModels, head: int) -> int:
    until = asyncio.get_running_loop().time() + PATIENCE_S
    while (position := await reads.position()) < head:
        if asyncio.get_running_loop().time() >= until:
            raise ReadModelsBehind(position, head)
        await asyncio.sleep(LOOK_EVERY_S)
    return position
