"""Plays fixtures in a session of its own: rows that stay, and checks of which nothing stays."""

from __future__ import annotations

import asyncpg

from migrations.clock import Clock
from migrations.model.migration import Holds, Statement
from migrations.printable import escaped
from migrations.rehearsal.fixtures import CheckFile, FixtureCheck, SeedFile
from migrations.rehearsal.results import RehearsalProblem
from migrations.running.verify_section import answer_problem
from migrations.target.session import Connection

MS = 1000.0


async def seed(connection: Connection, file: SeedFile) -> RehearsalProblem | None:
    """Run the statements in one transaction; what is wrong with the first that fails.

    Raises what the driver raises where the session is lost.
    """
    transaction = connection.transaction()
    await transaction.start()
    for statement in file.statements:
        try:
            await connection.execute(statement.text)
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            await transaction.rollback()
            return _failed(file.name, statement, error)
    try:
        await transaction.commit()
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        return RehearsalProblem(f"at the end: {_said(error)}", file.name)
    return None


async def check(
    connection: Connection, file: CheckFile, clock: Clock
) -> tuple[RehearsalProblem, ...]:
    """What does not hold; all checks are asked. Nothing of what they do stays.

    Raises what the driver raises where the session is lost.
    """
    problems = []
    transaction = connection.transaction()
    await transaction.start()
    try:
        for one in file.checks:
            savepoint = connection.transaction()
            await savepoint.start()
            problem = await _asked(connection, file.name, one, clock)
            if problem is not None:
                problems.append(problem)
            if problem is not None or one.sqlstate:
                await savepoint.rollback()
            else:
                await savepoint.commit()
    finally:
        if not connection.is_closed():
            await transaction.rollback()
    return tuple(problems)


async def _asked(
    connection: Connection, name: str, one: FixtureCheck, clock: Clock
) -> RehearsalProblem | None:
    statement, began = one.statement, clock.monotonic()
    try:
        why = await _answer(connection, one)
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        if not one.sqlstate:
            return _failed(name, statement, error)
        if error.sqlstate == one.sqlstate:
            return None
        why = f"another error came than {one.sqlstate}: {_said(error)}"
    took_ms = (clock.monotonic() - began) * MS
    if not why and one.within_ms is not None and took_ms > one.within_ms:
        why = f"it took {took_ms:,.0f} ms, and may take {one.within_ms:,.0f} ms"
    return RehearsalProblem(why, name, statement.line) if why else None


async def _answer(connection: Connection, one: FixtureCheck) -> str:
    """What is wrong with what a statement returns; empty when nothing is. Raises PostgresError."""
    if one.sqlstate:
        await connection.execute(one.statement.text)
        return f"no error came, and {one.sqlstate} is expected"
    if one.rows is None:
        return await answer_problem(connection, one.statement, Holds.TRUE)
    count = len(await connection.fetch(one.statement.text))
    if count == one.rows:
        return ""
    expected = f"{one.rows or 'none'} {'are' if one.rows > 1 else 'is'} expected"
    return f"{count:,} rows came back, and {expected}"


def _failed(name: str, statement: Statement, error: asyncpg.PostgresError) -> RehearsalProblem:
    """What the server says of a statement, at the line that it means; rows are the author's own."""
    position = str(getattr(error, "position", None) or "")
    above = statement.text[: int(position) - 1].count("\n") if position.isdecimal() else 0
    return RehearsalProblem(_said(error), name, statement.line + above)


def _said(error: asyncpg.PostgresError) -> str:
    message = str(error.args[0]) if error.args else "the server gives no reason"
    detail = getattr(error, "detail", None)
    said = f"{message} ({detail})" if detail else message
    return f"{escaped(said)} (SQLSTATE {error.sqlstate})"
