"""Finding and reading another tool's history table; nothing but SELECT."""

from __future__ import annotations

import asyncpg

from migrations.adoption.tools import TABLES, HistoryKeeper, kept_by
from migrations.errors import AdoptionRefused
from migrations.model.attempt import Adoption
from migrations.model.foreign_history import ForeignHistory, Tool
from migrations.model.version import VERSION_MOST
from migrations.sql.literals import quote_where_needed
from migrations.target.look import go_on_as_ourselves
from migrations.target.session import Connection

ANY_TOOL = "auto"

COLUMNS_OF_TABLES = """
SELECT wanted.name, n.nspname AS schema, c.relname AS relation,
    pg_catalog.array_agg(a.attname::pg_catalog.text) AS columns
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
    JOIN pg_catalog.pg_class AS c
        ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(wanted.name)
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
    -- No view: its functions would run as us.
    AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog."char"[])
GROUP BY wanted.name, n.nspname, c.relname
"""
ROWS_AT_MOST = 10_000
"""Of another tool's history: a row per migration."""
COMPANION = "ar_internal_metadata"
_NO_NAMES = (
    asyncpg.InvalidNameError,
    asyncpg.PostgresSyntaxError,
    asyncpg.FeatureNotSupportedError,
)
"""What the server says of a text that cannot name a table."""


async def histories(connection: Connection) -> tuple[ForeignHistory, ...]:
    """Every history of a known tool that the session's search_path finds.

    Called in a look with a script's search_path (`migrations.target.look`), which becomes ours as
    soon as the tables are found: what stands in their place may be a tenant's view.

    One that may not be read is there with that as its problem.
    """
    found = await _columns(connection, [kept.table for kept in TABLES] + [COMPANION])
    return tuple(
        [
            await _read(connection, kept, found[kept.table][0])
            for kept in TABLES
            if kept.table in found and _is_theirs(kept, found)
        ]
    )


async def history_for(connection: Connection, adoption: Adoption) -> ForeignHistory:
    """The history that `adoption` names, or the only one there is. Raises AdoptionRefused."""
    if adoption.source != ANY_TOOL:
        return await _named(connection, known_tool(adoption.source), adoption.table)
    found = await histories(connection)
    if len(found) == 1:
        return found[0]
    if not found:
        raise AdoptionRefused(
            "no history table of a known tool is here; name the schema it is in, or mark what is "
            "applied with `ledger baseline --through VERSION`"
        )
    names = ", ".join(f"{one.tool} ({one.table})" for one in found)
    raise AdoptionRefused(f"several tools left a history here: {names}; say which with --from")


async def read_again(connection: Connection, tool: Tool, table: str) -> ForeignHistory | None:
    """The history in a table by its quoted name; `None` when the table is gone."""
    try:
        return await _read(connection, kept_by(tool), table)
    except asyncpg.UndefinedTableError:
        return None


def known_tool(name: str) -> Tool:
    """The tool of this name. Raises AdoptionRefused."""
    try:
        return Tool(name)
    except ValueError:
        known = ", ".join(tool.value for tool in Tool)
        raise AdoptionRefused(f"no tool is called {name!r}; known are {known}") from None


async def _named(connection: Connection, tool: Tool, table: str) -> ForeignHistory:
    kept = kept_by(tool)
    name = table or kept.table
    try:
        found = await _columns(connection, [name])
    except _NO_NAMES:
        found = {}
    if name not in found:
        raise AdoptionRefused(f"the table {name} of {tool} is not here; name it with --table")
    quoted, columns = found[name]
    if lacking := kept.columns - columns:
        lack = ", ".join(sorted(lacking))
        raise AdoptionRefused(f"{quoted} is no history of {tool}: it lacks the columns {lack}")
    return await _read(connection, kept, quoted)


async def _columns(
    connection: Connection, names: list[str]
) -> dict[str, tuple[str, frozenset[str]]]:
    """Per table that is there, its quoted name and its columns."""
    rows = await connection.fetch(COLUMNS_OF_TABLES, list(dict.fromkeys(names)))
    await go_on_as_ourselves(connection)
    return {
        row["name"]: (
            f"{quote_where_needed(row['schema'])}.{quote_where_needed(row['relation'])}",
            frozenset(row["columns"]),
        )
        for row in rows
    }


def _is_theirs(kept: HistoryKeeper, found: dict[str, tuple[str, frozenset[str]]]) -> bool:
    columns = found[kept.table][1]
    if kept.tool in (Tool.RAILS, Tool.DBMATE, Tool.TERN) and columns != kept.columns:
        # Others call their table so too; a list of bare versions has one column.
        return False
    if not kept.columns <= columns:
        return False
    if kept.companion:
        return (kept.companion.lstrip("!") in found) is not kept.companion.startswith("!")
    return True


async def _read(connection: Connection, kept: HistoryKeeper, table: str) -> ForeignHistory:
    try:
        await connection.execute("SAVEPOINT history")
        sql = f"{kept.sql.format(table=table)} LIMIT {ROWS_AT_MOST + 1}"
        rows = await connection.fetch(sql)
        if len(rows) > ROWS_AT_MOST:
            problem = f"{table} has more than {ROWS_AT_MOST:,} rows; look at what filled it"
            return ForeignHistory(kept.tool, table, (), len(rows), problem)
        history = kept.understand(table, rows)
        if any(len(row.version) > VERSION_MOST for row in history.rows):
            problem = f"{table} has a version of over {VERSION_MOST} characters; see who wrote it"
            return ForeignHistory(kept.tool, table, (), len(rows), problem)
        return history
    except asyncpg.InsufficientPrivilegeError:
        await connection.execute("ROLLBACK TO SAVEPOINT history")
        problem = f"{table} may not be read; GRANT SELECT on it, and USAGE on its schema"
        return ForeignHistory(kept.tool, table, (), 0, problem)
