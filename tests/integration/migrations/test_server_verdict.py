"""The live server confirms which statements a transaction block refuses."""

from __future__ import annotations

import asyncpg
import pytest

from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.support.transaction_rules import (
    ALLOWED_INSIDE,
    PREPARATION,
    REFUSED_INSIDE_AND_BY_US,
    REFUSED_INSIDE_AND_RUN_OUTSIDE,
)

ACTIVE_SQL_TRANSACTION = "25001"
SYNTAX_ERROR = "42601"

SINCE_15 = frozenset({"REINDEX DATABASE", "REINDEX SYSTEM"})
"""Written so, without the database's name; 14 does not know the syntax."""


async def verdicts(url: str, statements: tuple[str, ...]) -> dict[str, str | None]:
    """SQLSTATE of each statement inside a transaction that is rolled back; `None`: accepted."""
    found: dict[str, str | None] = {}
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(PREPARATION)
        for statement in statements:
            found[statement] = await _verdict(connection, statement)
    finally:
        await connection.close()
    return found


async def _verdict(connection: asyncpg.Connection, statement: str) -> str | None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return error.sqlstate
    finally:
        await transaction.rollback()
    return None


async def test_the_server_allows_what_we_call_transactional(
    superuser_database: FreshDatabase,
) -> None:
    found = await verdicts(await superuser_database(), ALLOWED_INSIDE)
    assert [statement for statement, state in found.items() if state is not None] == []


@pytest.mark.parametrize("statements", [REFUSED_INSIDE_AND_RUN_OUTSIDE, REFUSED_INSIDE_AND_BY_US])
async def test_the_server_refuses_what_we_run_outside_or_refuse(
    superuser_database: FreshDatabase, postgres_server: PostgresServer, statements: tuple[str, ...]
) -> None:
    found = await verdicts(await superuser_database(), statements)
    unknown = SINCE_15 if postgres_server.version.startswith("14") else frozenset[str]()
    expected = {
        statement: SYNTAX_ERROR if statement in unknown else ACTIVE_SQL_TRANSACTION
        for statement in statements
    }
    assert found == expected
