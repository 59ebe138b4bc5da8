"""Moves the read models along the log, live or beside it.

```
read_model_position ──lock──▶ read the log behind it ──▶ load the rows concerned
                                    move ◀── write what changed ◀── fold ◀┘
```

All of it in one transaction, so any number of processes may call `advance`: one works, the others
wait and then find nothing left to do. Nothing is kept in memory from one call to the next. Of an
event that cannot be read follows one row, which says where it stands (`ledger.unreadable_event`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from uuid import UUID

import asyncpg

from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import EVENTS, MigrationOrdered
from ledger.contracts.reports import Event, Report
from ledger.store.connections import Connection
from ledger.store.log.decode import read as read_body
from ledger.store.log.decode import read_again, read_metadata
from ledger.store.views.projection import Projection, keys_of
from ledger.store.views.storage import copy, load, write
from ledger.store.views.tables import DATABASE_EVENT, FOLDED, LIVE, SHADOW, TABLES
from migrations.gc_tuning import without_collector

BATCH = 1000
"""Events of one live transaction: short enough that its locks and its bloat do not matter."""
MOST = 5000
"""The same when many wait: a busy leader would fall behind further and further, else."""
FOLD_BATCH = 2000
"""Events read at once when the whole log is folded: some megabytes."""
HELD_ROWS = 300_000
"""Rows held in memory before they are written and forgotten: some hundred megabytes."""

POSITION = "SELECT position FROM ledger.read_model_position"
LOCK_POSITION = "SELECT position FROM ledger.read_model_position FOR UPDATE"
MOVE_POSITION = "UPDATE ledger.read_model_position SET position = $1"
HEAD = "SELECT position FROM ledger.head"
NO_END = "SET LOCAL idle_in_transaction_session_timeout = 0"
"""For what folds a whole log: much is done between two of its statements."""
READ_LOG = """
    SELECT position, stream, recorded_by, recorded_at, metadata, type, schema_version, body
    FROM ledger.log WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
"""

RebuildProgress = Callable[[int, int], None]
"""Hears the position reached and the position to reach."""
Named = Sequence[tuple[str, int]]
"""Databases and the positions of events that name them, in the order of the log."""
UNREAD = frozenset({one for one in EVENTS.values() if issubclass(one, Report)} | {MigrationOrdered})
"""Orders and reports are most of a log, and no row is made of their metadata."""
UNSAID, UNNAMED, UNNUMBERED = Metadata(), UUID(int=0), 0
"""Stand for what was not read: no row is made of an event's id or number in its stream either."""


class Names(Protocol):
    """What becomes of the rows of `database_event` when the whole log is folded."""

    async def take(self, named: Named, reached: int) -> None:
        """Take all rows up to the position `reached` that were not taken yet."""


class CopiedNames:
    """Rows of `database_event` written into the live table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take(self, named: Named, reached: int) -> None:
        """Write these."""
        await copy(self._connection, LIVE, DATABASE_EVENT, named)


async def advance(connection: Connection, limit: int = BATCH) -> int:
    """Take up to `limit` events into the live tables; the position reached."""
    async with connection.transaction():
        position: int = await connection.fetchval(LOCK_POSITION)
        head: int = await connection.fetchval(HEAD) or 0
        events = read(await connection.fetch(READ_LOG, position, head, limit), read_again)
        if not events:
            return position
        projection = Projection()
        await load(connection, LIVE, projection, keys_of(events))
        for recorded in events:
            projection.take(recorded)
        await write(connection, LIVE, projection)
        await copy(connection, LIVE, DATABASE_EVENT, projection.named)
        reached = events[-1].position
        await connection.execute(MOVE_POSITION, reached)
        return reached


async def catch_up(connection: Connection) -> int:
    """Advance until everything that was in the log when this was called is taken in."""
    head: int = await connection.fetchval(HEAD) or 0
    position: int = await connection.fetchval(POSITION)
    while position < head:
        position = await advance(connection, max(BATCH, min(head - position, MOST)))
    return position


async def rebuild(connection: Connection, progress: RebuildProgress | None = None) -> int:
    """Empty the live tables and build them again from the whole log, in one transaction.

    Readers see the old rows until it is done.
    """
    async with connection.transaction():
        await connection.execute(NO_END)
        await connection.fetchval(LOCK_POSITION)
        head: int = await connection.fetchval(HEAD) or 0
        for table in TABLES:
            await connection.execute(f"DELETE FROM {LIVE}.{table.name}")  # noqa: S608  ours
        await fold(connection, LIVE, CopiedNames(connection), head, progress)
        await connection.execute(MOVE_POSITION, head)
        return head


async def fold(
    connection: Connection,
    schema: str,
    names: Names,
    upto: int,
    progress: RebuildProgress | None = None,
) -> int:
    """Fold the log from its beginning into the empty tables of `schema`; the position reached.

    Every row stays in memory as long as there are not too many; written and forgotten, a row is
    loaded again when an event concerns it.
    """
    position, projection, whole = 0, Projection(), True
    with without_collector():
        rows = await connection.fetch(READ_LOG, position, upto, FOLD_BATCH)
        while rows:
            last: int = rows[-1]["position"]
            events = [] if whole else read(rows)
            await load(connection, schema, projection, keys_of(events))
            # The server reads on while these events are folded.
            following = asyncio.create_task(
                connection.fetch(READ_LOG, last, upto, FOLD_BATCH), name="read-on"
            )
            await asyncio.sleep(0)
            try:
                events = events or read(rows)
                for recorded in events:
                    projection.take(recorded)
            finally:
                rows = await following
            position = events[-1].position
            if len(projection) >= HELD_ROWS:
                await names.take(projection.named, position)
                await write(connection, schema, projection)
                if whole and schema == SHADOW:
                    for table in FOLDED:
                        await connection.execute(table.make_key())
                projection, whole = Projection(), False
            if progress is not None:
                progress(position, upto)
        await names.take(projection.named, position)
        await write(connection, schema, projection)
        # The collector, once back, would walk through everything that is still held.
        del projection, rows
    return position


def read(
    rows: Iterable[asyncpg.Record], opened: Callable[[str, int, bytes], Event] = read_body
) -> list[Recorded]:
    """The events in these rows of the log; `Unreadable` stands for what cannot be read.

    `opened` makes an event of its type, schema version and body; what others of this process have
    just read need not be decoded again.
    """
    events: list[Recorded] = []
    for row in rows:
        position, stream, by, at, metadata, kind, version, body = row
        event = opened(kind, version, body)
        said = UNSAID if type(event) in UNREAD else read_metadata(metadata)
        events.append(Recorded(position, stream, UNNUMBERED, UNNAMED, event, said, by, at))
    return events
