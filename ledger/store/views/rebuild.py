"""Fills empty tables from the beginning of the log, batch after batch, in linear time.

```
rows not written before ──COPY──▶ ┐
rows written before ──statements─▶ tables, in a few hundred megabytes whatever their size
```

Copying takes a third of the time of the statements. To tell the two apart, a batch leaves behind
the hashes of the keys that it wrote. Two keys of one hash do no harm: the statements are right
for rows that are not there as well, they only take longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from ledger.store.connections import Connection
from ledger.store.views.patches import CHANGE, Batch, Layer, Patch
from ledger.store.views.table_sql import SHADOW, key_sql, shadow_sql
from ledger.store.views.tables import APPLIED, ATTEMPT, DATABASE_EVENT, PARTS, TABLES, Table
from ledger.store.views.write import whole_rows, write_rows

Named = Sequence[tuple[str, int]]
"""Databases and the positions of events that name them, in the order of the log."""
SHADOWED = tuple(table for table in TABLES if table is not DATABASE_EVENT)
"""Tables that are compared as a whole; the rows of the other one never change once written."""


class Names(Protocol):
    """What becomes of the rows of `database_event`."""

    async def take(self, named: Named, reached: int) -> None:
        """Take all rows up to the position `reached` that were not taken yet."""


class CopiedNames:
    """Rows of `database_event` written into the live table."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def take(self, named: Named, reached: int) -> None:
        """Write these."""
        await _copy(self._connection, self._schema, DATABASE_EVENT, named)


class Filling:
    """Empty tables in `schema` that are being filled."""

    def __init__(self, connection: Connection, schema: str, names: Names) -> None:
        self._connection = connection
        self._schema = schema
        self._names = names
        self._there: dict[Table, set[int]] = {table: set() for table in TABLES}
        self._keyed: set[Table] = set() if schema == SHADOW else set(TABLES)

    async def make_shadows(self) -> None:
        """Make the tables, without keys."""
        for table in SHADOWED:
            await self._connection.execute(shadow_sql(table))

    async def take(self, batch: Batch, reached: int, *, last: bool) -> None:
        """Write `batch`, which goes up to the position `reached`; nothing comes after the last."""
        # The server sorts the names while the rows are put together here.
        names = asyncio.create_task(self._names.take(batch.named, reached), name="names")
        await asyncio.sleep(0)
        try:
            parts = [self._parted(*of_table, batch) for of_table in batch.layers()]
        finally:
            await names
        for (number, table, layer), (new, rest) in zip(batch.layers(), parts, strict=True):
            await _copy(self._connection, self._schema, table, new)
            await self._change(table, rest)
            if number == 0 and table not in PARTS and not last:
                self._there[table].update(map(hash, layer))

    def _parted(
        self, number: int, table: Table, layer: Layer, batch: Batch
    ) -> tuple[list[tuple[Any, ...]], list[Patch]]:
        """Rows to copy, because they were not written before, and the rest."""
        there = self._there[PARTS.get(table, table)]
        if number > 0 or table in PARTS:
            return [], list(layer.values()) if number or there else []
        new: list[Patch] = []
        rest: list[Patch] = []
        for key, row in layer.items():
            known = bool(there) and hash(key) in there
            whole = self._with_order(batch, row) if table is APPLIED and not known else row
            if known or whole is None:
                rest.append(row)
            elif row.kind is not CHANGE:
                new.append(whole)
        return whole_rows(table, new), rest

    def _with_order(self, batch: Batch, row: Patch) -> Patch | None:
        """What `APPLIED.computed` does where rows are not copied; `None` if it has to do it."""
        if row.sets["ordered_position"] is not None:
            return row
        found = batch.ordered_position(row.sets["command"], row.sets["position"])
        if found is None and self._there[ATTEMPT]:
            return None
        return row._replace(sets={**row.sets, "ordered_position": found or 0})

    async def _change(self, table: Table, rows: Sequence[Patch]) -> None:
        if not rows:
            return
        written = PARTS.get(table, table)
        for keyed in (written, ATTEMPT) if table is APPLIED else (written,):
            if keyed not in self._keyed:
                await self._connection.execute(key_sql(keyed))
                self._keyed.add(keyed)
        await write_rows(self._connection, self._schema, table, rows)


async def _copy(connection: Connection, schema: str, table: Table, rows: Named | Any) -> None:
    if rows:
        columns = [*table.key, *table.columns]
        await connection.copy_records_to_table(
            table.name, schema_name=schema, records=rows, columns=columns
        )
