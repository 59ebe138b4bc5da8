"""Rows that nobody ever wrote, in tables of given shapes.

A table gets as many rows as its shape says, up to a limit, each column as many nulls and different
values, of its own type. Where a column refers to another table, its values are that table's; what
is unique is, and what a sequence gives it gives. Constraints beyond that may refuse all of it: then
the table stays empty, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from migrations.printable import escaped
from migrations.rehearsal.shapes import ColumnShape, TableShape
from migrations.sql.literals import Expression, SqlValue, bind, quote_ident, quote_literal
from migrations.target.session import Connection

COLUMNS = """
    SELECT a.attname AS name, a.attnotnull AS required, a.attidentity <> '' AS identity,
        a.attgenerated <> '' AS generated,
        COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false) AS counted,
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
        COALESCE(b.typcategory, t.typcategory)::text AS category,
        COALESCE(b.typname, t.typname) AS base,
        CASE WHEN COALESCE(b.oid, t.oid) IN (1042, 1043)
            THEN COALESCE(NULLIF(a.atttypmod, -1), t.typtypmod) - 4 END AS length,
        EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indnkeyatts = 1
                AND i.indkey[0] = a.attnum) AS unique,
        f.confrelid::pg_catalog.regclass::text AS parent, r.attname AS parent_column
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type AS b ON b.oid = t.typbasetype AND t.typtype = 'd'
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN LATERAL (
        SELECT c.confrelid, c.confkey[pg_catalog.array_position(c.conkey, a.attnum)] AS key
        FROM pg_catalog.pg_constraint AS c
        WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND a.attnum = ANY (c.conkey)
            AND c.confrelid <> c.conrelid
        ORDER BY pg_catalog.cardinality(c.conkey), c.oid LIMIT 1
    ) AS f ON true
    LEFT JOIN pg_catalog.pg_attribute AS r ON r.attrelid = f.confrelid AND r.attnum = f.key
    WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
PARENTS_MOST = 1000
"""Rows of another table that are referred to."""
EMPTY = "SELECT NOT EXISTS (SELECT FROM :place)"
INSERT = """
    INSERT INTO :place (:names)
    SELECT :made FROM pg_catalog.generate_series(1, :count) AS made (ledger_row)
    ON CONFLICT DO NOTHING
"""
OF_PARENT = """(
    SELECT there.p[1 + :k % pg_catalog.cardinality(there.p)]
    FROM (SELECT ARRAY(SELECT :key FROM :parent ORDER BY 1 LIMIT :most) AS p) AS there)
"""
DEFAULTS = "INSERT INTO :place SELECT FROM pg_catalog.generate_series(1, :count)"
ROW = "ledger_row"
"""The number of a row, where its values are made; no column is called so."""
UNSAID = "SELECT NOT EXISTS (SELECT FROM :place WHERE :name IS NOT NULL)"
UPDATE = """
    UPDATE :place AS own SET :made FROM (
        SELECT ctid AS id, (pg_catalog.row_number() OVER ())::int AS ledger_row FROM :place
    ) AS numbered WHERE own.ctid = numbered.id
"""
_SHARES = 1000
"""Into so many parts nulls are counted."""
_STRIDE = 7919
"""A prime: nulls fall on rows that have nothing in common."""
_TRIES = 3
"""How often tables that refer to others are tried again."""

_BY_TYPE: Mapping[str, str] = {
    "uuid": "pg_catalog.md5({k}::text)::uuid",
    "json": "pg_catalog.json_build_object('k', {k})",
    "jsonb": "pg_catalog.jsonb_build_object('k', {k})",
    "bytea": "pg_catalog.decode(pg_catalog.md5({k}::text), 'hex')",
    "time": "time '00:00' + {k} * interval '1 second'",
    "interval": "{k} * interval '1 minute'",
    "int2": "({k} % 32767)",
}
_BY_CATEGORY: Mapping[str, str] = {
    "N": "{k}",
    "B": "({k} % 2 = 0)",
    "D": "(timestamp '2020-01-01' + {k} * interval '1 minute')",
    "I": "(inet '10.0.0.0' + {k})",
    "A": "'{{}}'",
}
"""By the category that PostgreSQL gives to a type."""


@dataclass(frozen=True, slots=True)
class FilledTable:
    """How many rows a table got; `why` it got none. `columns` are those that it had then."""

    shape: TableShape
    table: str
    rows: int
    why: str = ""
    columns: frozenset[str] = frozenset()


async def fill(
    connection: Connection, shapes: Sequence[TableShape], target: str, limit: int
) -> list[FilledTable]:
    """Make rows in those of these tables that are there and empty; others are left out.

    Raises what the driver raises where the session is lost.
    """
    waiting, done = list(shapes), []
    for last in (*[False] * (_TRIES - 1), True):
        later = []
        for shape in waiting:
            filled = await _filled(connection, shape, target, limit, patient=not last)
            if filled is None:
                later.append(shape)
            elif filled.table:
                done.append(filled)
        waiting = later
    return done


async def _filled(
    connection: Connection, shape: TableShape, target: str, limit: int, *, patient: bool
) -> FilledTable | None:
    """What a table got, named only if it is there and was empty; `None` if its parents are to be
    waited for.
    """
    place = _place(shape, target)
    count = min(max(int(shape.rows), 0), limit)
    columns = await connection.fetch(COLUMNS, place)
    where = Expression(place)
    if not columns or not count or not await connection.fetchval(bind(EMPTY, {"place": where})):
        return FilledTable(shape, "", 0)
    if patient and await _lacks_parents(connection, columns):
        return None
    shaped = {one.name: one for one in shape.columns}
    made = list(_made(columns, shaped, count))
    names = Expression(", ".join(quote_ident(name) for name, _ in made))
    values = Expression(", ".join(value for _, value in made))
    template = INSERT if made else DEFAULTS
    known: dict[str, SqlValue] = {"place": where, "names": names, "made": values, "count": count}
    try:
        async with connection.transaction():
            said = await connection.execute(bind(template, known))
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        return FilledTable(shape, escaped(place), 0, _why(error))
    there = frozenset(one["name"] for one in columns)
    return FilledTable(shape, escaped(place), int(said.rpartition(" ")[2]), columns=there)


async def grow(connection: Connection, filled: FilledTable, target: str) -> FilledTable:
    """Values in columns of the shape that the table has got since, where nothing else put any.

    Raises what the driver raises where the session is lost.
    """
    if not filled.rows:
        return filled
    place = _place(filled.shape, target)
    columns = await connection.fetch(COLUMNS, place)
    known = {one.name for one in filled.shape.columns} - filled.columns
    if not any(one["name"] in known for one in columns):
        return filled
    shaped = {one.name: one for one in filled.shape.columns}
    why = ""
    for name, value in _made(columns, shaped, filled.rows):
        if name not in known:
            continue
        column, where = Expression(quote_ident(name)), Expression(place)
        made = Expression(f"{quote_ident(name)} = {value}")
        try:
            async with connection.transaction():
                if await connection.fetchval(bind(UNSAID, {"place": where, "name": column})):
                    await connection.execute(bind(UPDATE, {"place": where, "made": made}))
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            why = _why(error)
    there = frozenset(one["name"] for one in columns)
    return replace(filled, why=why or filled.why, columns=filled.columns | there)


def _place(shape: TableShape, target: str) -> str:
    return ".".join(quote_ident(one) for one in (shape.schema or target, shape.name) if one)


def _why(error: asyncpg.PostgresError) -> str:
    return escaped(str(error.args[0]) if error.args else "the server gives no reason")


async def _lacks_parents(connection: Connection, columns: Sequence[asyncpg.Record]) -> bool:
    """Whether a table that is referred to, and must be, has no row yet."""
    for one in columns:
        if one["parent"] is not None and one["required"]:
            asked = bind(EMPTY, {"place": Expression(one["parent"])})
            if await connection.fetchval(asked):
                return True
    return False


def _made(
    columns: Sequence[asyncpg.Record], shaped: Mapping[str, ColumnShape], count: int
) -> Iterator[tuple[str, str]]:
    """Columns with the expression of their values, in which `ROW` is the row's number."""
    for number, column in enumerate(columns):
        if column["generated"] or column["identity"] or column["counted"]:
            continue
        shape = shaped.get(column["name"], ColumnShape(column["name"]))
        value = _value(column, shape, number, count)
        if value is None:
            continue
        nulls = 0 if column["required"] else round(min(max(shape.nulls, 0.0), 1.0) * _SHARES)
        if nulls:
            value = (
                f"CASE WHEN ({ROW} * {_STRIDE}) % {_SHARES} < {nulls} THEN NULL ELSE {value} END"
            )
        yield column["name"], value


def _value(column: asyncpg.Record, shape: ColumnShape, number: int, count: int) -> str | None:
    """The value in a row; `None` for a type of which none can be made: then its default is it."""
    distinct = shape.distinct if shape.distinct >= 0 else -shape.distinct * count
    different = count if column["unique"] or not distinct else max(1, min(int(distinct), count))
    # Columns with as many different values do not go side by side.
    k = ROW if different == count else f"(({ROW} + {ROW} / {different} * {number}) % {different})"
    if column["parent"] is not None:
        key, parent = quote_ident(column["parent_column"]), column["parent"]
        known: dict[str, SqlValue] = {
            "key": Expression(key),
            "parent": Expression(parent),
            "k": Expression(k),
            "most": PARENTS_MOST,
        }
        return bind(OF_PARENT, known)
    base, category, type_ = column["base"], column["category"], column["type"]
    if category == "S":
        text = f"{quote_literal(column['name'] + ' ')} || {k}"
        if column["length"] is not None:
            # The number is what tells them apart, so it stays whatever is cut off.
            text = f"pg_catalog.right({text}, {int(column['length'])})"
        return f"({text})::{type_}"
    if category == "E":
        range_ = f"pg_catalog.enum_range(NULL::{type_})"
        return f"({range_})[1 + {k} % pg_catalog.cardinality({range_})]"
    template = _BY_TYPE.get(base) or _BY_CATEGORY.get(category)
    return f"({template.format(k=k)})::{type_}" if template is not None else None
