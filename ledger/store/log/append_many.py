"""Appending in several calls: all or none of them.

One stream's append is a call that commits by itself (`ledger.store.log.log`). Where one event makes
no sense without another in a second stream, or where a request is too large to be held at once,
several requests share a transaction. As with one, the same event ids again return the first result,
so a lost connection is answered with the same calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import asyncpg

from ledger.contracts.envelope import StoredEvent
from ledger.errors import LedgerUnreachable
from ledger.store.connections import CONNECTION_LOST, Connection
from ledger.store.log.log import RETRY_WAITS_S, EventLog
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated


class Part(NamedTuple):
    """What goes to one stream, and the version of it that was decided on."""

    stream: str
    events: Sequence[StoredEvent]
    expected_version: int


async def append_both(log: EventLog, first: Part, second: Part) -> None:
    """Append to two streams, in this order, in one transaction. Raises what `append` raises."""
    await append_parts(log, lambda: (first, second))


async def append_parts(log: EventLog, parts: Callable[[], Iterable[Part]]) -> None:
    """Append one part after the other in one transaction. Raises what `append` raises.

    `parts` is called for each try and says the same each time; of what it says, one part at a time
    is held.
    """
    for wait_s in (*RETRY_WAITS_S, None):
        try:
            async with log.connection() as connection, connection.transaction():
                for part in parts():
                    await _append(connection, part)
            return
        except CONNECTION_LOST as lost:
            if wait_s is None:
                raise LedgerUnreachable(type(lost).__name__) from lost
            await asyncio.sleep(wait_s)
        except asyncpg.PostgresError as error:
            raise translated(error) from error


async def _append(connection: Connection, part: Part) -> None:
    await connection.fetchval(
        QUERIES["request"],
        None,
        None,
        None,
        None,
        part.stream,
        part.expected_version,
        [event.event_id for event in part.events],
        [event.type for event in part.events],
        [event.schema_version for event in part.events],
        [event.body for event in part.events],
        [event.metadata for event in part.events],
        False,
    )
