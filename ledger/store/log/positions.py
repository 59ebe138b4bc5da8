"""How far each follower has read: the relay in the log, the intake in a partition of the reports.

A position that belongs to an append moves with it (`EventLog.append`). Here it is read, and moved
when there was nothing to append. Both are fenced by the leadership term.
"""

from __future__ import annotations

from ledger.store.connections import Pool
from ledger.store.log.log import ConsumerPosition, EventLog
from ledger.store.queries import QUERIES


async def read_positions(pool: Pool, prefix: str = "") -> dict[str, int]:
    """The saved positions by consumer, of those whose names begin with `prefix`."""
    rows = await pool.fetch(QUERIES["positions"], prefix)
    return {row["consumer"]: row["position"] for row in rows}


async def move_position(log: EventLog, position: ConsumerPosition) -> None:
    """Save a position. Raises StaleTerm, NotPermitted, LedgerUnreachable."""
    await log.append("", [], consumer=position)
