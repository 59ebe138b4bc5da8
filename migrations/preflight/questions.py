"""Asks a database at a glance, then what is left at once, and what fails there one by one.

```
a glance ─▶ nothing out of the ordinary                                one round trip
   │ something is, or settings have questions of their own
   ▼
begin (read-only) ─ names ─▶ what is left, one row ─ ROLLBACK          one more
                                  │ one of them fails
                                  └──▶ each by itself; the one that fails is unknown, and why
```
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import asyncpg

from migrations.model.preflight import PreflightPolicy, TouchedTables
from migrations.preflight.glance import ARCHIVER, Said, glance
from migrations.printable import escaped
from migrations.sql.grammar import GrammarError, parse
from migrations.sql.literals import Expression, SqlValue, bind, quote_literal
from migrations.sql.named_statements import named_statements
from migrations.target.binary_copy import queried_behind, text
from migrations.target.session import Connection, is_connection_lost

_SQL = named_statements(__package__, "questions.sql")


class PreflightQuestion(StrEnum):
    """What is asked together."""

    SERVER = "server"
    TABLES = "tables"
    LOCKS = "locks"
    SNAPSHOTS = "snapshots"
    CONNECTIONS = "connections"
    REPLICATION = "replication"
    ARCHIVER = "archiver"
    BACKUP = "backup"
    SPACE = "space"


_OF_TABLES = (PreflightQuestion.SERVER, PreflightQuestion.TABLES, PreflightQuestion.LOCKS)
CLOSED = "permission denied for view {view}"
"""What the server says of a view, and we of the functions under it."""
_VIEWS = {PreflightQuestion.SERVER: "pg_roles"}
"""What it is about, where it is not about sessions."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server said to each question, or why not; nothing where there was nothing to ask."""

    said: Mapping[PreflightQuestion, Said] = field(default_factory=dict)
    refused: Mapping[PreflightQuestion, str] = field(default_factory=dict)
    touched: TouchedTables = field(default_factory=TouchedTables)


async def answers(
    connection: Connection, policy: PreflightPolicy, touched: TouchedTables, role: str | None
) -> Answers:
    """Ask everything, in a session without a transaction; `role` is whose rights are asked about.

    Raises what a lost connection raises; what the server refuses is in the answer.
    """
    asked = _questions(policy, touched)
    refused = {
        one: "the setting holds no single SELECT" for one, query in asked.items() if query is None
    }
    said = await _at_a_glance(connection, asked, policy, touched, role)
    left = {one: query for one, query in asked.items() if query is not None and one not in said}
    try:
        said |= await _ask(connection, left, touched, role) if left else {}
    except asyncpg.PostgresError as error:
        await _leave(connection, error)
        for one, query in left.items():
            try:
                said |= await _ask(connection, {one: query}, touched, role)
            except asyncpg.PostgresError as alone:
                await _leave(connection, alone)
                refused[one] = escaped(str(alone).partition("\n")[0])
    closed = {
        one: CLOSED.format(view=_VIEWS.get(one, "pg_stat_activity"))
        for one, answer in said.items()
        if answer.get("may_see") is False
    }
    return Answers(
        {one: answer for one, answer in said.items() if one not in closed},
        refused | closed,
        touched,
    )


async def _at_a_glance(
    connection: Connection,
    asked: Collection[PreflightQuestion],
    policy: PreflightPolicy,
    touched: TouchedTables,
    role: str | None,
) -> dict[PreflightQuestion, Said]:
    """What is settled; nothing where the server refuses that look: it is asked why, one by one."""
    try:
        found = await glance(connection, asked, policy, touched, role)
    except asyncpg.PostgresError as error:
        await _leave(connection, error)
        return {}
    return {PreflightQuestion(one): said for one, said in found.items()}


def single_select(query: str) -> bool:
    """Whether a text is one SELECT by PostgreSQL's own grammar, so that it may stand in another."""
    try:
        found = list(parse(query))
    except GrammarError:
        return False
    if len(found) != 1 or found[0].field != "select_stmt":
        return False
    return not found[0].node.HasField("into_clause")


def _questions(
    policy: PreflightPolicy, touched: TouchedTables
) -> dict[PreflightQuestion, str | None]:
    """The text of each that is asked; `None` for a setting that is none.

    In a session of its own a question costs what its plan costs: what cannot matter is left out.
    """
    backup, space = policy.backup_query, policy.space_query
    matters = {
        PreflightQuestion.SERVER: True,
        PreflightQuestion.TABLES: bool(touched.tables),
        PreflightQuestion.LOCKS: bool(touched.tables),
        PreflightQuestion.SNAPSHOTS: touched.waits_for_snapshots,
        PreflightQuestion.CONNECTIONS: True,
        PreflightQuestion.REPLICATION: True,
        PreflightQuestion.ARCHIVER: not backup,
    }
    asked: dict[PreflightQuestion, str | None] = {
        one: _SQL.get(one, ARCHIVER) for one, does in matters.items() if does
    }
    for one, query in ((PreflightQuestion.BACKUP, backup), (PreflightQuestion.SPACE, space)):
        if query:
            asked[one] = _within(one, query) if single_select(query) else None
    return asked


def _within(one: PreflightQuestion, query: str) -> str:
    # On lines of its own, because it may end in a comment.
    return bind(_SQL[one], {"query": Expression(f"\n{query.rstrip().rstrip(';')}\n")})


async def _ask(
    connection: Connection,
    asked: Mapping[PreflightQuestion, str | None],
    touched: TouchedTables,
    role: str | None,
) -> dict[PreflightQuestion, Said]:
    values: dict[str, SqlValue] = {
        "role": role,
        "names": _array([one.name for one in touched.tables]),
        "wanted": _array(
            [f"{one.wanted}/{'own' if one.owners_only else ''}" for one in touched.tables]
        ),
    }
    columns = ", ".join(f"({query})::text AS {one.value}" for one, query in asked.items())
    common = f"WITH RECURSIVE {_SQL['here']}"
    if not asked.keys().isdisjoint(_OF_TABLES):
        common += _SQL["touched"]
    query = bind(f"{common} SELECT {columns}", values)
    first = bind(_SQL["begin_asking"], values)
    (row,) = await queried_behind(connection, first, query, dict.fromkeys(asked, text), "ROLLBACK")
    return {one: json.loads(row[one]) for one in asked}


def _array(values: list[str]) -> Expression:
    return Expression(f"ARRAY[{', '.join(map(quote_literal, values))}]")


async def _leave(connection: Connection, error: asyncpg.PostgresError) -> None:
    """Leave the failed transaction. Raises the error if the session is gone with it."""
    if is_connection_lost(connection, error):
        raise error
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
