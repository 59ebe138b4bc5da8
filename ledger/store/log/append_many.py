"""Appending in several calls: all or none of them.

One stream's append is a call that commits by itself (`ledger.store.log.log`). Where one event makes
no sense without another in a second stream, or where a request is too large to be held at once,
several requests share a transaction. As with one, the same event ids again return the first result,
so a lost connection is answered with the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ledger.contracts.envelope import StoredEvent
from ledger.store.connections import Connection
from ledger.store.log.log import EventLog, answered
from ledger.store.queries import QUERIES


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

    async def append() -> None:
        async with log.connection() as connection, connection.transaction():
            for part in parts():
                await _append(connection, part)

    await answered(append)


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
