"""What a table demands of its rows: types, references, keys, and conditions that must hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import asyncpg

from migrations.target.session import Connection

COLUMNS = """
    WITH RECURSIVE under (number, type, modifier, required, depth) AS (
        SELECT a.attnum, a.atttypid, a.atttypmod, a.attnotnull, 0
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT u.number, t.typbasetype, t.typtypmod, u.required OR t.typnotnull, u.depth + 1
        FROM under AS u JOIN pg_catalog.pg_type AS t ON t.oid = u.type WHERE t.typtype = 'd'
    ), based AS (
        SELECT DISTINCT ON (number) * FROM under ORDER BY number, depth DESC
    )
    SELECT a.attname::text AS name, b.required,
        a.attidentity <> '' OR a.attgenerated <> ''
            OR COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false)
            AS given,
        pg_catalog.format_type(b.type, b.modifier) AS type,
        t.typcategory::text AS category, t.typname::text AS base, b.modifier,
        COALESCE(e.typcategory::text, '') AS element,
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid)
            AS labels
    FROM based AS b
    JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = pg_catalog.to_regclass($1) AND a.attnum = b.number
    JOIN pg_catalog.pg_type AS t ON t.oid = b.type
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    ORDER BY a.attnum
"""
KEYS = """
    SELECT ARRAY(
        SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (n, at)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.n
        WHERE k.at <= i.indnkeyatts ORDER BY k.at) AS columns
    FROM pg_catalog.pg_index AS i
    WHERE i.indrelid = pg_catalog.to_regclass($1) AND i.indisunique AND i.indexprs IS NULL
    ORDER BY i.indnkeyatts, i.indexrelid
"""
REFERENCES = """
    SELECT c.confrelid::pg_catalog.regclass::text AS parent, ARRAY(
            SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (n, at)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.n
            ORDER BY k.at) AS columns,
        ARRAY(
            SELECT a.attname::text FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY AS k (n, at)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.n
            ORDER BY k.at) AS keys
    FROM pg_catalog.pg_constraint AS c
    WHERE c.conrelid = pg_catalog.to_regclass($1) AND c.contype = 'f'
        AND (c.confrelid = c.conrelid) = $2
    ORDER BY pg_catalog.cardinality(c.conkey) DESC, c.oid
"""
CONDITIONS = """
    WITH RECURSIVE under (name, type) AS (
        SELECT a.attname::text, a.atttypid FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT u.name, t.typbasetype
        FROM under AS u JOIN pg_catalog.pg_type AS t ON t.oid = u.type WHERE t.typtype = 'd'
    )
    SELECT pg_catalog.pg_get_expr(c.conbin, c.conrelid) AS expression, false AS of_domain, ARRAY(
        SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (n, at)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.n
        ORDER BY k.at) AS columns
    FROM pg_catalog.pg_constraint AS c
    WHERE c.conrelid = pg_catalog.to_regclass($1) AND c.contype = 'c'
    UNION ALL
    SELECT pg_catalog.pg_get_expr(c.conbin, 0), true, ARRAY[u.name]
    FROM under AS u JOIN pg_catalog.pg_constraint AS c ON c.contypid = u.type AND c.contype = 'c'
    UNION ALL
    SELECT pg_catalog.string_agg(pg_catalog.concat('(', COALESCE(
            pg_catalog.pg_get_partition_constraintdef(p.relid), 'true'), ')'), ' OR '),
        false, ARRAY(
            SELECT DISTINCT a.attname::text
            FROM pg_catalog.pg_partition_tree($1::text::regclass) AS l
            JOIN pg_catalog.pg_partitioned_table AS k ON k.partrelid = l.relid
            JOIN pg_catalog.pg_attribute AS a
                ON a.attrelid = k.partrelid AND a.attnum = ANY (k.partattrs::int2[]))
    FROM pg_catalog.pg_partition_tree($1::text::regclass) AS p WHERE p.isleaf
        AND p.relid <> pg_catalog.to_regclass($1)
    HAVING pg_catalog.count(*) > 0
"""
"""Those of the table, of its columns' domains, and of the partitions in which its rows are."""


@dataclass(frozen=True, slots=True)
class RowColumn:
    """A column: `type`, `category` and `base` are those under a domain; `given` needs no value.

    `modifier` holds length or precision as PostgreSQL does, -1 for none; `element` is the category
    of what an array holds, `labels` how many an enum has.
    """

    name: str
    required: bool
    given: bool
    type: str
    category: str
    base: str
    modifier: int = -1
    element: str = ""
    labels: int = 0


@dataclass(frozen=True, slots=True)
class RowReference:
    """Columns that hold what the columns `keys` of another table hold."""

    columns: tuple[str, ...]
    parent: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowCondition:
    """What must not be false of a row; of a domain's, the value is called VALUE."""

    columns: tuple[str, ...]
    expression: str
    of_domain: bool = False


@dataclass(frozen=True, slots=True)
class TableDemands:
    """All of it. References with more columns come first, keys with fewer."""

    columns: tuple[RowColumn, ...]
    references: tuple[RowReference, ...] = ()
    to_itself: tuple[RowReference, ...] = ()
    """Those to other rows of the same table."""
    keys: tuple[tuple[str, ...], ...] = ()
    conditions: tuple[RowCondition, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Those of the columns."""
        return frozenset(one.name for one in self.columns)


async def demands_of(connection: Connection, place: str) -> TableDemands:
    """What the table of this name demands; no columns where it is not there.

    Raises PostgresError.
    """
    columns = tuple(RowColumn(**dict(row)) for row in await connection.fetch(COLUMNS, place))
    if not columns:
        return TableDemands(())
    references = await connection.fetch(REFERENCES, place, False)
    to_itself = await connection.fetch(REFERENCES, place, True)
    keys = await connection.fetch(KEYS, place)
    conditions = await connection.fetch(CONDITIONS, place)
    return TableDemands(
        columns,
        _references(references),
        _references(to_itself),
        tuple(tuple(row["columns"]) for row in keys),
        tuple(
            RowCondition(tuple(row["columns"]), row["expression"], row["of_domain"])
            for row in conditions
        ),
    )


def _references(rows: Iterable[asyncpg.Record]) -> tuple[RowReference, ...]:
    return tuple(
        RowReference(tuple(row["columns"]), row["parent"], tuple(row["keys"])) for row in rows
    )
