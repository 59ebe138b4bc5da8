"""Makes the read models say what the log says, before something is decided or shown from them."""

from __future__ import annotations

import asyncpg

from ledger.errors import ReadModelsBehind
from ledger.store.port import Log
from ledger.store.views.port import Views


async def brought_up(reads: Views, log: Log) -> int:
    """Project what is in the log, or wait for the leader to, where this role may not.

    Returns the position that the read models have. Raises `ReadModelsBehind` when nobody projects.
    """
    try:
        return await reads.caught_up()
    except asyncpg.InsufficientPrivilegeError:
        return await reads.reached((await log.head()).position)


async def as_near_as_may_be(reads: Views, log: Log) -> int:
    """As `brought_up`, for what is only shown: without somebody who projects, what is there."""
    try:
        return await brought_up(reads, log)
    except ReadModelsBehind:
        return await reads.position()
