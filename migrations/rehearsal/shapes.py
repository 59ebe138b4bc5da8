"""Shapes of tables: how many rows, and of each column how many nulls and different values.

They come from what the server's own ANALYZE has counted, and hold no value of any row: what
`pg_stats` keeps of those, the most frequent ones and the bounds of histograms, is not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from migrations.errors import RunError
from migrations.model.attempt import Failure
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.target.failure import from_error
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)

APPLICATION_NAME = "migration-ledger shapes"
"""What `pg_stat_activity` shows."""
FORM = 1
"""Of the file; changes when it is read otherwise."""
SHAPES_MAX_BYTES = 64 * 2**20
"""Of a file: 20,000 tables of ten columns take 20 MB."""
TABLES = """
    SELECT n.nspname AS schema, c.relname AS name, c.reltuples::float8 AS rows,
        pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname, 'nulls', COALESCE(s.null_frac, 0),
            'distinct', COALESCE(s.n_distinct, 0)) ORDER BY a.attnum)::text AS columns
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_stats AS s
        ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
        AND s.inherited = (c.relkind = 'p')
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', $2)
        AND n.nspname NOT LIKE 'pg\\_toast%' AND ($1 = '' OR n.nspname = $1)
    GROUP BY n.nspname, c.relname, c.reltuples ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """Of a column: which part of it is null, and how many different values it has.

    `distinct` is as `pg_stats` says it: below 0 a part of the rows, 0 not known.
    """

    name: str
    nulls: float = 0.0
    distinct: float = 0.0


@dataclass(frozen=True, slots=True)
class TableShape:
    """Of a table: an estimate of its rows, below 0 if nobody has counted, and its columns.

    The schema is empty for the one that is the target.
    """

    schema: str
    name: str
    rows: float
    columns: tuple[ColumnShape, ...]


async def visited(
    settings: ConnectionSettings, target: str = ""
) -> tuple[TableShape, ...] | Failure:
    """The same of a database, in a session of its own that changes nothing, or why not."""
    try:
        connection = await open_session(
            settings, application_name=APPLICATION_NAME, target=target, read_only=True
        )
        try:
            return await shapes_of(connection, target)
        finally:
            await close_session(connection)
    except (RunError, *DRIVER_ERRORS) as error:
        return from_error(error)


async def shapes_of(connection: Connection, target: str = "") -> tuple[TableShape, ...]:
    """The shapes of a database's tables, or of those in one schema. Raises PostgresError."""
    rows = await connection.fetch(TABLES, target, JOURNAL_SCHEMA)
    return tuple(
        TableShape(
            "" if target else row["schema"],
            row["name"],
            row["rows"],
            tuple(ColumnShape(**column) for column in json.loads(row["columns"])),
        )
        for row in rows
    )


def written(shapes: tuple[TableShape, ...]) -> bytes:
    """The file: JSON, a table per line."""
    lines = ",\n".join(json.dumps(asdict(one), ensure_ascii=False) for one in shapes)
    return f'{{"form": {FORM}, "tables": [\n{lines}\n]}}\n'.encode()


def read(content: bytes) -> tuple[TableShape, ...]:
    """What a file says. Raises ValueError for what is none of ours."""
    if len(content) > SHAPES_MAX_BYTES:
        raise ValueError("this is larger than any file of shapes")
    try:
        document = json.loads(content)
        if document["form"] != FORM:
            raise ValueError("another form")
        return tuple(_table(one) for one in document["tables"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("this is no file of shapes") from None


def _table(one: Mapping[str, Any]) -> TableShape:
    columns = tuple(
        ColumnShape(_name(each["name"]), _number(each["nulls"]), _number(each["distinct"]))
        for each in one["columns"]
    )
    schema = one["schema"]
    return TableShape(
        _name(schema) if schema else "", _name(one["name"]), _number(one["rows"]), columns
    )


def _name(said: object) -> str:
    if not isinstance(said, str) or not said or "\0" in said:
        raise ValueError("no name")
    return said


def _number(said: object) -> float:
    if not isinstance(said, int | float) or not abs(said) < 1e18:
        raise ValueError("no number")
    return float(said)
