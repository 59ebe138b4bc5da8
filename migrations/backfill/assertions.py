"""The assertions of a data migration: rows that come back are rows that must not be there."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from migrations.errors import DataRefused
from migrations.model.migration import Statement
from migrations.running.retry import failed_at
from migrations.running.telemetry import statement_span
from migrations.target.session import is_connection_lost
from migrations.target.target import Target

COUNTED = 100
"""More bad rows than this are "or more": the check has been answered."""


async def validate(
    target: Target, checks: tuple[Statement, ...], reading: Callable[[str], str]
) -> None:
    """Run the Validate section in the open transaction. Raises StatementFailed.

    `reading` is how a statement reads what the migration has saved.
    """
    for number, statement in enumerate(checks, start=1):
        text = f"SELECT FROM ({reading(statement.text)}) AS broken LIMIT {COUNTED}"
        try:
            with statement_span(target.settings, target.work.target, statement):
                rows = await target.connection.fetch(text)
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise
            raise failed_at(error, statement) from None
        if rows:
            raise failed_at(_broken(number, statement, len(rows)), statement)


def _broken(number: int, statement: Statement, found: int) -> DataRefused:
    many = f"{COUNTED} or more" if found == COUNTED else str(found)
    return DataRefused(
        f"Validate, check {number} on line {statement.line}: {many} rows came back where none may; "
        "every batch is committed: correct those rows and order the migration again, or roll it "
        "back"
    )
