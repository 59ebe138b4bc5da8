"""What the rules of `ledger lint` say of statements is what the server does with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from migrations.lint.finding import Effect
from migrations.lint.folder_catalog import KnownColumn, type_of
from migrations.lint.rules import REGISTRY
from migrations.lint.rules.columns import is_free
from migrations.sql.grammar import parse
from tests.support.lint_cases import CASES, USERS, LintCase

TYPES = (
    ("varchar(100)", ("text", "varchar(200)", "varchar(50)", "varchar", "char(100)", "int")),
    ("varchar", ("text", "varchar(10)")),
    ("text", ("varchar", "varchar(10)", "json")),
    ("numeric(8,2)", ("numeric(12,2)", "numeric", "numeric(12,4)", "numeric(6,2)", "int")),
    ("numeric", ("numeric(8,2)",)),
    ("int", ("bigint", "text", "numeric", "smallint", "int")),
    ("bigint", ("int",)),
    ("timestamp(3)", ("timestamp(6)", "timestamp", "timestamp(0)", "date")),
    ("timestamptz(3)", ("timestamptz", "timestamptz(1)")),
    ("timestamp", ("timestamp(3)", "timestamp(6)")),
    ("time(3)", ("time(6)", "time", "time(1)")),
    ("varbit(8)", ("varbit(16)", "varbit", "varbit(4)")),
    ("cidr", ("inet", "text")),
    ("inet", ("cidr",)),
    ("bit(8)", ("bit(16)", "varbit(8)")),
    ("json", ("jsonb", "text")),
)
CHANGES = [(before, after) for before, targets in TYPES for after in targets]
NOT_HERE = ("UNLOGGED", "EXPRESSION", "TABLESPACE", "ACCESS METHOD")
"""Set, these need another table, or a tablespace or access method that these servers lack."""
REWRITES = [
    case
    for case in CASES
    if REGISTRY[case.rule].effect is Effect.REWRITES
    and not any(f"SET {word}" in case.wrong for word in NOT_HERE)
]
BLOCKS = [
    case
    for case in CASES
    if REGISTRY[case.rule].effect is Effect.BLOCKS_WRITES
    # One needs an extension, one a partition that is attached, one a function.
    and case.rule not in ("exclusion-blocks", "detach-blocks", "trigger-lock")
]
TABLES = "SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
LOCKED = """
    SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = ANY ($1)
        AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
"""Locks that no write gets past."""
TABLE_NODE = "SELECT pg_relation_filenode('users')"


@pytest.fixture
async def connection(
    fresh_database: Callable[[], Awaitable[str]],
) -> AsyncIterator[asyncpg.Connection]:
    """A session in a database that has the tables of the cases, with a row."""
    opened = await asyncpg.connect(await fresh_database())
    await opened.execute(USERS)
    await opened.execute("INSERT INTO users (id, email, age) VALUES (1, 'a', 2)")
    await opened.execute("INSERT INTO shops VALUES (1), (2)")
    yield opened
    await opened.close()


async def rewrites(connection: asyncpg.Connection, text: str) -> bool:
    """Whether the table is written anew."""
    before = await connection.fetchval(TABLE_NODE)
    await connection.execute(text)
    return bool(await connection.fetchval(TABLE_NODE) != before)


@pytest.mark.parametrize("case", REWRITES, ids=lambda case: case.rule)
async def test_what_is_said_to_rewrite_a_table_does_and_the_other_form_does_not(
    connection: asyncpg.Connection, case: LintCase
) -> None:
    if "VIRTUAL" in case.right and connection.get_server_version().major < 18:
        pytest.skip("the server has no virtual columns")
    if "VACUUM" in case.wrong or "VACUUM" in case.right:
        assert await rewrites(connection, case.wrong.rstrip(";"))
        assert not await rewrites(connection, case.right.rstrip(";"))
        return
    changing = connection.transaction()
    await changing.start()
    assert await rewrites(connection, case.wrong)
    await changing.rollback()
    assert not await rewrites(connection, case.right)


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (14, "ALTER TABLE plain SET UNLOGGED"),
        (17, "ALTER TABLE plain ALTER COLUMN more SET EXPRESSION AS (id + 2)"),
    ],
)
async def test_a_table_that_nothing_refers_to_is_written_anew_too(
    connection: asyncpg.Connection, since: int, text: str
) -> None:
    if connection.get_server_version().major < since:
        pytest.skip(f"came with PostgreSQL {since}")
    await connection.execute(
        "CREATE TABLE plain (id int, more int GENERATED ALWAYS AS (id + 1) STORED)"
    )
    node = "SELECT pg_relation_filenode('plain')"
    before = await connection.fetchval(node)
    await connection.execute(text)
    assert await connection.fetchval(node) != before


@pytest.mark.parametrize("case", BLOCKS, ids=lambda case: case.rule)
async def test_what_is_said_to_block_writes_takes_a_lock_that_does(
    connection: asyncpg.Connection, case: LintCase
) -> None:
    there = [row["oid"] for row in await connection.fetch(TABLES)]
    async with connection.transaction():
        await connection.execute(case.wrong)
        assert await connection.fetch(LOCKED, there)


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_change_of_type_is_free_exactly_if_the_server_touches_no_row(
    connection: asyncpg.Connection, before: str, after: str
) -> None:
    await connection.execute(f"ALTER TABLE users ADD COLUMN x {before}")
    # Rows that are only read, to see whether each fits, are read under the same lock.
    visited = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'users'"
    async with connection.transaction():
        scanned = await connection.fetchval(visited)
        written = await rewrites(
            connection, f"ALTER TABLE users ALTER COLUMN x TYPE {after} USING x::{after}"
        )
        read = await connection.fetchval(visited) != scanned
    assert is_free(_known(before), *_known_type(after)) is not (written or read)


def _known_type(written: str) -> tuple[str, tuple[int, ...]]:
    (statement,) = parse(f"ALTER TABLE a ADD COLUMN b {written}")
    command = statement.node.cmds[0].alter_table_cmd
    return type_of(getattr(command, "def").column_def.type_name)


def _known(written: str) -> KnownColumn:
    return KnownColumn(*_known_type(written))
