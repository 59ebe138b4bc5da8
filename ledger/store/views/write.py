"""Writes a merged batch of patches: one statement for each set of columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from ledger.store.connections import Connection
from ledger.store.views.patches import Batch, Patch, PatchKind
from ledger.store.views.table_sql import change_sql, put_sql
from ledger.store.views.tables import DATABASE_EVENT, Table

Rows = Sequence[tuple[Any, ...]]


async def write(connection: Connection, schema: str, batch: Batch) -> None:
    """Apply `batch` to the tables in `schema`, whatever is in them."""
    for _, table, layer in batch.layers():
        await write_rows(connection, schema, table, layer.values())
    if batch.named:
        sql = put_sql(DATABASE_EVENT, schema, False)
        await connection.execute(sql, *zip(*batch.named, strict=True))


async def write_rows(
    connection: Connection, schema: str, table: Table, rows: Iterable[Patch]
) -> None:
    """Apply patches of one table, each of another row."""
    for sql, values in _statements(table, schema, tuple(rows)):
        await connection.execute(sql, *zip(*values, strict=True))


def whole_rows(table: Table, rows: Iterable[Patch]) -> list[tuple[Any, ...]]:
    """Key and columns of rows that are whole, in the order of the table."""
    columns = itemgetter(*table.columns)
    return [row.key + columns(row.sets) for row in rows]


def _statements(table: Table, schema: str, rows: Sequence[Patch]) -> Iterator[tuple[str, Rows]]:
    for kind in (PatchKind.PUT, PatchKind.ENSURE):
        whole = whole_rows(table, (row for row in rows if row.kind is kind))
        if whole:
            yield put_sql(table, schema, kind is PatchKind.ENSURE), whole
    parts: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Any, ...]]] = {}
    for row in rows:
        if row.kind is PatchKind.CHANGE:
            sets, fills = tuple(sorted(row.sets)), tuple(sorted(row.fills or ()))
            values = [*(row.sets[name] for name in sets), *map((row.fills or {}).get, fills)]
            parts.setdefault((sets, fills), []).append((*row.key, *values))
    for columns, values_of_rows in parts.items():
        yield change_sql(table, schema, *columns), values_of_rows
