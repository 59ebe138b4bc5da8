"""Does a table fit a data migration, and how many rows are to be expected: asked of its catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from migrations.backfill.keyset import Keyset
from migrations.errors import DataRefused
from migrations.model.migration import Batches
from migrations.sql.literals import bind
from migrations.sql.named_statements import named_statements
from migrations.sql.written_names import quoted_path
from migrations.target.session import Connection

COUNTED_ROWS = 100_000
"""Up to here rows are counted (milliseconds); above, the server's own estimate is good enough."""

_SQL = named_statements("migrations.backfill", "data.sql")
_TABLES = ("r", "p")


@dataclass(frozen=True, slots=True)
class FittingTable:
    """A table that a data migration goes through, and the types of its columns, quoted."""

    keyset: Keyset
    types: Mapping[str, str]


async def fitting_table(connection: Connection, batches: Batches) -> FittingTable:
    """The table and its key, proven to be one. Raises DataRefused."""
    table = batches.table
    try:
        # As it is written; else as SQL reads it without quotes.
        names = {"exactly": quoted_path(table), "table": table}
        found = await connection.fetch(bind(_SQL["table_facts"], names))
    except (asyncpg.PostgresError, ValueError):
        found = []
    if not found or found[0]["kind"] not in _TABLES:
        what = f"{table} is no table" if found else f"there is no table {table}"
        raise DataRefused(f"{what}; write table=name or table=schema.name on the Data marker")
    (row,) = found
    oid = {"oid": row["oid"]}
    columns = {c["name"]: c for c in await connection.fetch(bind(_SQL["columns"], oid))}
    _check_columns(batches, columns)
    indexes = await connection.fetch(bind(_SQL["unique_indexes"], oid))
    _check_unique(batches, [tuple(index["columns"]) for index in indexes])
    types = {name: column["type"] for name, column in columns.items()}
    keyset = Keyset(row["name"], batches.key, tuple(types[name] for name in batches.key))
    return FittingTable(keyset, types)


async def rows_estimated(connection: Connection, keyset: Keyset) -> int | None:
    """About how many rows there are; `None` for a large table that was never analyzed."""
    # Of a query there is no estimate.
    limit = "" if keyset.is_query else f" LIMIT {COUNTED_ROWS + 1}"
    counted: int = await connection.fetchval(
        f"SELECT pg_catalog.count(*) FROM (SELECT FROM {keyset.table} AS key{limit}) AS counted"  # noqa: S608
    )
    if counted <= COUNTED_ROWS or keyset.is_query:
        return counted
    (row,) = await connection.fetch(
        bind(_SQL["table_facts"], {"exactly": keyset.table, "table": None})
    )
    estimate: int | None = row["estimate"]
    return estimate if estimate is not None and estimate > 0 else None


def _check_columns(batches: Batches, columns: dict[str, asyncpg.Record]) -> None:
    for name in (*batches.key, *batches.columns, *batches.backup):
        if name not in columns:
            raise DataRefused(
                f"{batches.table} has no column {name}; it has {', '.join(sorted(columns))}"
            )
    fixed = [name for name in batches.backup if columns[name]["fixed"]]
    if fixed:
        raise DataRefused(
            f"the column {fixed[0]} of {batches.table} cannot be restored from a backup: "
            f"{columns[fixed[0]]['fixed']}; leave it out of backup=, or change that first"
        )
    nullable = [name for name in batches.key if not columns[name]["required"]]
    if nullable:
        raise DataRefused(
            f"the key column {nullable[0]} of {batches.table} may be NULL, and paging would leave "
            "such rows out; make it NOT NULL, or name a key that is"
        )
    nested = [name for name in batches.key if columns[name]["nested"]]
    if nested:
        raise DataRefused(
            f"the key column {nested[0]} of {batches.table} has the type "
            f"{columns[nested[0]]['type_called']}, and only plain values can be paged by; name "
            "another key, or build one with CREATE UNIQUE INDEX CONCURRENTLY"
        )


def _check_unique(batches: Batches, indexes: list[tuple[str, ...]]) -> None:
    if batches.key in indexes:
        return
    written = ",".join(batches.key)
    for index in indexes:
        if set(index) == set(batches.key):
            raise DataRefused(
                f"the unique index on {batches.table} has another order than key={written}; "
                f"write key={','.join(index)}"
            )
    known = "; or ".join(f"key={','.join(index)}" for index in indexes)
    instead = f"write {known}" if known else "build one with CREATE UNIQUE INDEX CONCURRENTLY"
    raise DataRefused(
        f"no unique index of {batches.table} has exactly the key {written}; {instead}"
    )
