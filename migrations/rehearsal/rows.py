"""Rows that nobody ever wrote, in tables of given shapes.

A table gets as many rows as its shape says, up to a limit, each column as many nulls and different
values, of its own type. Where columns refer to another table, their values are those of a row of
that; what is unique is, what a sequence gives it gives, and conditions hold
(`migrations.rehearsal.row_values`). What a table demands beyond that, by a trigger or an exclusion,
may refuse all of it: then the table stays empty, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from migrations.printable import escaped
from migrations.rehearsal.demands import TableDemands, demands_of
from migrations.rehearsal.row_values import (
    PARENTS_MOST,
    MadeColumns,
    RowsWanted,
    made,
    parents_counted,
)
from migrations.rehearsal.shapes import TableShape
from migrations.sql.literals import Expression, SqlValue, bind, quote_ident
from migrations.target.session import Connection

EMPTY = "SELECT NOT EXISTS (SELECT FROM :place)"
COUNT = "SELECT pg_catalog.count(*) FROM (SELECT FROM :place LIMIT :most) AS found"
INSERT = """
    INSERT INTO :place (:names)
    SELECT :names FROM (
        SELECT :made FROM pg_catalog.generate_series(1, :count) AS made (ledger_row)
        :joins
    ) AS whole WHERE :whole
    ON CONFLICT DO NOTHING
"""
DEFAULTS = "INSERT INTO :place SELECT FROM pg_catalog.generate_series(1, :count)"
UNSAID = "SELECT NOT EXISTS (SELECT FROM :place WHERE :name IS NOT NULL)"
UPDATE = """
    UPDATE :place AS own SET :made FROM (
        SELECT numbered.ledger_id, :values FROM (
            SELECT ctid AS ledger_id, (pg_catalog.row_number() OVER ())::int AS ledger_row, whole.*
            FROM :place AS whole) AS numbered
        :joins
    ) AS found WHERE own.ctid = found.ledger_id
"""
PATIENCE = "SET LOCAL statement_timeout TO '60s'"
"""Trying what conditions let in may take long; a rehearsal without rows is better than none."""
_TRIES = 3
"""How often tables that refer to others are tried again."""


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
    demands = await demands_of(connection, place)
    where = Expression(place)
    if not (demands.columns and count):
        return FilledTable(shape, "", 0)
    if not await connection.fetchval(bind(EMPTY, {"place": where})):
        return FilledTable(shape, "", 0)
    if patient and await _lacks_parents(connection, demands):
        return None
    shapes = {one.name: one for one in shape.columns}
    wanted = RowsWanted(count, shapes, await _parents(connection, demands))
    rows, why = 0, ""
    for solved in (True, False) if demands.conditions else (False,):
        rows, why = await _inserted(connection, place, demands, wanted, solved=solved)
        if rows:
            return FilledTable(shape, escaped(place), rows, columns=demands.names)
    why = why or "of all that was tried nothing is what it demands"
    return FilledTable(shape, escaped(place), 0, why)


async def _inserted(
    connection: Connection, place: str, demands: TableDemands, wanted: RowsWanted, *, solved: bool
) -> tuple[int, str]:
    """How many rows a table took, and why none."""
    columns = made(demands, wanted, solved=solved)
    required = {one.name for one in demands.columns if one.required}
    whole = [f"{quote_ident(name)} IS NOT NULL" for name, _ in columns.values if name in required]
    known: dict[str, SqlValue] = {
        "place": Expression(place),
        "count": wanted.count,
        "names": Expression(", ".join(quote_ident(name) for name, _ in columns.values)),
        "made": _aliased(columns),
        "joins": Expression(columns.joins),
        "whole": Expression(" AND ".join(whole) if whole and solved else "true"),
    }
    try:
        async with connection.transaction():
            await connection.execute(PATIENCE)
            said = await connection.execute(bind(INSERT if columns.values else DEFAULTS, known))
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        return 0, _why(error)
    return int(said.rpartition(" ")[2]), ""


async def grow(connection: Connection, filled: FilledTable, target: str) -> FilledTable:
    """Values in columns of the shape that the table has got since, where nothing else put any.

    Raises what the driver raises where the session is lost.
    """
    if not filled.rows:
        return filled
    place = _place(filled.shape, target)
    demands = await demands_of(connection, place)
    known = {one.name for one in filled.shape.columns} - filled.columns
    new = [one.name for one in demands.columns if one.name in known]
    if not new:
        return filled
    empty = [name for name in new if await connection.fetchval(_unsaid(place, name))]
    why = await _updated(connection, place, demands, filled, empty) if empty else ""
    if why and len(empty) > 1:
        # One that takes no value keeps none from the others.
        whys = [await _updated(connection, place, demands, filled, [one]) for one in empty]
        why = next(filter(None, whys), "")
    return replace(filled, why=why or filled.why, columns=filled.columns | demands.names)


async def _updated(
    connection: Connection,
    place: str,
    demands: TableDemands,
    filled: FilledTable,
    new: Sequence[str],
) -> str:
    """Put values into these columns; why that was not possible, if it was not."""
    shapes = {one.name: one for one in filled.shape.columns}
    fixed = {one: f"numbered.{quote_ident(one)}" for one in demands.names if one not in new}
    wanted = RowsWanted(filled.rows, shapes, await _parents(connection, demands), fixed)
    why = ""
    for solved in (True, False) if demands.conditions else (False,):
        columns = made(demands, wanted, solved=solved)
        if not columns.values:
            return ""
        names = [quote_ident(name) for name, _ in columns.values]
        known: dict[str, SqlValue] = {
            "place": Expression(place),
            "made": Expression(", ".join(f"{name} = found.{name}" for name in names)),
            "values": _aliased(columns),
            "joins": Expression(columns.joins),
        }
        try:
            async with connection.transaction():
                await connection.execute(PATIENCE)
                await connection.execute(bind(UPDATE, known))
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            why = _why(error)
        else:
            return ""
    return why


def _unsaid(place: str, name: str) -> str:
    return bind(UNSAID, {"place": Expression(place), "name": Expression(quote_ident(name))})


def _aliased(columns: MadeColumns) -> Expression:
    return Expression(
        ", ".join(f"{value} AS {quote_ident(name)}" for name, value in columns.values)
    )


def _place(shape: TableShape, target: str) -> str:
    return ".".join(quote_ident(one) for one in (shape.schema or target, shape.name) if one)


def _why(error: asyncpg.PostgresError) -> str:
    return escaped(str(error.args[0]) if error.args else "the server gives no reason")


async def _lacks_parents(connection: Connection, demands: TableDemands) -> bool:
    """Whether a table that is referred to, and must be, has no row yet."""
    required = {one.name for one in demands.columns if one.required}
    for one in demands.references:
        empty = bind(EMPTY, {"place": Expression(one.parent)})
        if required & set(one.columns) and await connection.fetchval(empty):
            return True
    return False


async def _parents(connection: Connection, demands: TableDemands) -> Mapping[str, int]:
    return {
        parent: await connection.fetchval(
            bind(COUNT, {"place": Expression(parent), "most": PARENTS_MOST})
        )
        for parent in parents_counted(demands)
    }
