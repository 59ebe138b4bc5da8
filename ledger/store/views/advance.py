"""Moves the read models along the log, live or beside it.

```
read_model_position ──lock──▶ read the log behind it ──patches──▶ merge ──▶ write ──▶ move
```

All of it in one transaction, so any number of processes may call `advance`: one works, the others
wait and then find nothing left to do. An event that cannot be read changes no row; where it stands
is written down (`ledger.unreadable_event`), and shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import asyncpg

from ledger.contracts.reports import Event, Unreadable
from ledger.store.connections import Connection
from ledger.store.log.decode import read, read_again
from ledger.store.views.patches import Batch
from ledger.store.views.projected_rows import EventPlace
from ledger.store.views.projections import databases_of, patches
from ledger.store.views.rebuild import CopiedNames, Filling
from ledger.store.views.table_sql import LIVE
from ledger.store.views.tables import TABLES
from ledger.store.views.write import write
from migrations.gc_tuning import without_collector

BATCH = 1000
"""Events of one live transaction: short enough that its locks and its bloat do not matter."""
FOLD_BATCH = 2000
"""Events read at once when the whole log is folded: some megabytes."""
HELD_ROWS = 300_000
"""Rows merged in memory before they are written then: about two hundred megabytes."""

POSITION = "SELECT position FROM ledger.read_model_position"
LOCK_POSITION = "SELECT position FROM ledger.read_model_position FOR UPDATE"
MOVE_POSITION = "UPDATE ledger.read_model_position SET position = $1"
HEAD = "SELECT position FROM ledger.head"
NOTE_UNREADABLE = """
    INSERT INTO ledger.unreadable_event (position, type, why) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""
READ_LOG = """
    SELECT position, stream, recorded_by, recorded_at, metadata, type, schema_version, body
    FROM ledger.log WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
"""
"""The first five are a `EventPlace`."""

RebuildProgress = Callable[[int, int], None]
"""Hears the position reached and the position to reach."""


async def advance(connection: Connection, limit: int = BATCH) -> int:
    """Take up to `limit` events into the live tables; the position reached."""
    async with connection.transaction():
        position: int = await connection.fetchval(LOCK_POSITION)
        head: int = await connection.fetchval(HEAD) or 0
        batch = Batch()
        rows = await connection.fetch(READ_LOG, position, head, limit)
        reached = fold_rows(rows, position, batch, read_again)
        if reached != position:
            await write(connection, LIVE, batch)
            if batch.unreadable:
                await connection.executemany(NOTE_UNREADABLE, batch.unreadable)
            await connection.execute(MOVE_POSITION, reached)
        return reached


async def catch_up(connection: Connection) -> int:
    """Advance until everything that was in the log when this was called is taken in."""
    head: int = await connection.fetchval(HEAD) or 0
    position: int = await connection.fetchval(POSITION)
    while position < head:
        position = await advance(connection)
    return position


async def rebuild(connection: Connection, progress: RebuildProgress | None = None) -> int:
    """Empty the live tables and build them again from the whole log, in one transaction.

    Readers see the old rows until it is done.
    """
    async with connection.transaction():
        await connection.fetchval(LOCK_POSITION)
        head: int = await connection.fetchval(HEAD) or 0
        for table in TABLES:
            await connection.execute(f"DELETE FROM {LIVE}.{table.name}")  # noqa: S608  ours
        filling = Filling(connection, LIVE, CopiedNames(connection, LIVE))
        await fold(connection, filling, head, progress)
        await connection.execute(MOVE_POSITION, head)
        return head


async def fold(
    connection: Connection, filling: Filling, upto: int, progress: RebuildProgress | None = None
) -> int:
    """Fold the log from its beginning into the tables of `filling`; the position reached."""
    position, batch = 0, Batch()
    with without_collector():
        rows = await connection.fetch(READ_LOG, position, upto, FOLD_BATCH)
        while rows:
            last: int = rows[-1]["position"]
            # The server reads on while these rows are folded.
            following = asyncio.create_task(connection.fetch(READ_LOG, last, upto, FOLD_BATCH))
            await asyncio.sleep(0)
            try:
                position = fold_rows(rows, position, batch)
            finally:
                rows = await following
            if position != last:
                rows = await connection.fetch(READ_LOG, position, upto, FOLD_BATCH)
            if len(batch) >= HELD_ROWS:
                await filling.take(batch, position, last=False)
                batch = Batch()
            if progress is not None:
                progress(position, upto)
        await filling.take(batch, position, last=True)
        # The collector, once back, would walk through everything that is still held.
        del batch, rows
    return position


def fold_rows(
    rows: Iterable[asyncpg.Record],
    after: int,
    batch: Batch,
    opened: Callable[[str, int, bytes], Event] = read,
) -> int:
    """Merge what these rows of the log say into `batch`; the position of the last one read.

    `opened` makes an event of its type, schema version and body; what others of this process have
    just read need not be decoded again.
    """
    reached = after
    for row in rows:
        place = EventPlace._make(row[:5])
        event = opened(*row[5:])
        if isinstance(event, Unreadable):
            batch.unreadable.append((place.position, event.type, event.why))
        batch.add(patches(event, place))
        reached = place.position
        for database in databases_of(event):
            batch.named.append((database, reached))
    return reached
