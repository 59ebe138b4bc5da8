"""Verify sections: does the change hold? Asked inside the transaction that makes it.

The rule: every SELECT (also VALUES and TABLE) must return at least one row, and the first column of
every row must be true. Everything else must not raise an error. Where a format has another rule
(`Holds.NO_ERROR`), no statement may raise one, and what they changed is taken back; such a section
is asked in a transaction of its own, when the change is committed, and psql may have to run it.
"""

from __future__ import annotations

import asyncpg

from migrations.errors import VerifyFailed
from migrations.model.migration import (
    VERIFY_SAVEPOINT,
    Holds,
    Language,
    Migration,
    Program,
    Section,
    Statement,
)
from migrations.running.code import check
from migrations.running.psql import verify_in_psql
from migrations.running.psql_environment import PsqlPlace
from migrations.running.retry import failed_at, lost_at
from migrations.running.telemetry import VERIFY_SPAN, part_span, statement_span
from migrations.target.session import UNFILTERED, Connection, is_connection_lost
from migrations.target.target import Target

SAVE = f"SAVEPOINT {VERIFY_SAVEPOINT}"
_TAKE_BACK = f"ROLLBACK TO SAVEPOINT {VERIFY_SAVEPOINT}; RELEASE SAVEPOINT {VERIFY_SAVEPOINT}"


async def verify(target: Target, migration: Migration) -> None:
    """Run the Verify section in the open transaction, if there is one. Raises StatementFailed."""
    section = migration.verify
    if section is None or _psqls(section) is not None:
        return
    with part_span(VERIFY_SPAN):
        await target.connection.execute(UNFILTERED)
        await check(target.connection, target.settings, target.work.target, section)
        if section.holds is Holds.NO_ERROR:
            await target.connection.execute(SAVE)
        await _ask(target, section)
        if section.holds is Holds.NO_ERROR:
            await target.connection.execute(_TAKE_BACK)


async def verify_by_psql(target: Target, migration: Migration) -> None:
    """Let psql run the Verify section, if only psql can. Raises StatementFailed."""
    section = migration.verify
    program = _psqls(section) if section is not None else None
    if section is not None and program is not None:
        with part_span(VERIFY_SPAN):
            await verify_in_psql(PsqlPlace.of(target), section.options, program)


def _psqls(section: Section) -> Program | None:
    of_psql = section.program is not None and section.program.language is Language.PSQL
    return section.program if of_psql else None


async def _ask(target: Target, section: Section) -> None:
    """Run the statements of a Verify section. Raises StatementFailed."""
    for statement in section.statements:
        try:
            with statement_span(target.settings, target.work.target, statement):
                problem = await answer_problem(target.connection, statement, section.holds)
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise lost_at(error, statement) from None
            raise failed_at(error, statement) from None
        if problem:
            message = f"Verify, line {statement.line}: {problem}; the change does not hold"
            raise failed_at(VerifyFailed(message), statement)


async def answer_problem(connection: Connection, statement: Statement, holds: Holds) -> str:
    """What is wrong with the answer to one check; empty when it holds. Raises PostgresError."""
    if holds is Holds.NO_ERROR or not statement.summary.startswith("SELECT"):
        await connection.execute(statement.text)
        return ""
    rows = await connection.fetch(statement.text)
    if not rows:
        return "no row came back"
    wrong = sum(1 for row in rows if len(row) == 0 or row[0] is not True)
    return f"the first column is not true in {wrong:,} of {len(rows):,} rows" if wrong else ""
