"""Whether what is applied still holds: the Verify sections, asked again, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from migrations.errors import Unreachable
from migrations.inspection import glance
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Direction, Holds, Language, Migration, Section, Statement
from migrations.model.phases import outlived
from migrations.running.code import check, refuse_verify_programs
from migrations.running.plan import applied_versions
from migrations.running.retry import StatementFailed
from migrations.running.verify_section import SAVE, answer_problem
from migrations.target.failure import from_error, located
from migrations.target.session import (
    UNFILTERED,
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)

APPLICATION_NAME = "migration-ledger verify"
"""What `pg_stat_activity` shows."""


_PSQLS = Failure(
    FailureClass.PROGRAM,
    "its verify script is one for psql, which runs it right after the change; run it by hand to "
    "ask again",
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one applied migration's Verify section; `failure` is `None` when it holds."""

    version: str
    name: str
    checks: int
    failure: Failure | None = None


async def verify(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    *,
    target: str = "",
    programs: frozenset[Language] = frozenset(),
) -> tuple[Verification, ...]:
    """Run the Verify sections of what is applied, read-only. Raises Unreachable, ProgramRefused.

    A migration that a later one builds upon may rightly fail its check: the answer is a report, not
    a judgement. The earlier phases of a change are not asked once its contract is applied.
    """
    found = await glance(settings, target)
    if not found.reachable and found.failure is not None:
        raise Unreachable(found.failure.message)
    applied = applied_versions(found.entries)
    connection = await open_session(
        settings, application_name=APPLICATION_NAME, target=target, read_only=True
    )
    try:
        over = outlived(migrations, applied)
        wanted = [
            item
            for item in migrations
            if item.version in applied and item.version not in over and item.verify
        ]
        refuse_verify_programs(programs, wanted)
        session = _Session(connection, settings, target)
        return tuple([await _verified(session, item) for item in wanted])
    finally:
        await close_session(connection)


@dataclass(frozen=True, slots=True)
class _Session:
    """The read-only session that checks are asked in."""

    connection: Connection
    settings: ConnectionSettings
    schema: str


async def _verified(session: _Session, migration: Migration) -> Verification:
    section = migration.verify
    if section is None:
        return Verification(migration.version, migration.name, 0)
    if section.program is not None and section.program.language is Language.PSQL:
        return Verification(migration.version, migration.name, 1, _PSQLS)
    if section.program is not None:
        failure = await _held(session, section)
        return Verification(migration.version, migration.name, 1, failure)
    if section.holds is Holds.NO_ERROR:
        # Its statements belong together, may write, and nothing of what they do may stay.
        transaction = session.connection.transaction()
        await transaction.start()
        try:
            await session.connection.execute(f"SET TRANSACTION READ WRITE; {SAVE}")
            failure = await _first_failure(session.connection, migration, section)
        finally:
            await transaction.rollback()
    else:
        async with session.connection.transaction(readonly=True):
            failure = await _first_failure(session.connection, migration, section)
    return Verification(migration.version, migration.name, len(section.statements), failure)


async def _first_failure(
    connection: Connection, migration: Migration, section: Section
) -> Failure | None:
    await connection.execute(UNFILTERED)
    for statement in section.statements:
        failure = await _checked(connection, migration, statement, section.holds)
        if failure is not None:
            return failure
    return None


async def _held(session: _Session, section: Section) -> Failure | None:
    """What a module's `verify` says, in a transaction as it has one after `up`."""
    transaction = session.connection.transaction(readonly=True)
    await transaction.start()
    try:
        await session.connection.execute(UNFILTERED)
        await check(session.connection, session.settings, session.schema, section)
    except StatementFailed as failed:
        return failed.failure
    finally:
        await transaction.rollback()
    return None


async def _checked(
    connection: Connection, migration: Migration, statement: Statement, holds: Holds
) -> Failure | None:
    try:
        problem = await answer_problem(connection, statement, holds)
    except asyncpg.PostgresError as error:
        return located(from_error(error), migration, Direction.UP, statement)
    if not problem:
        return None
    return located(Failure(FailureClass.VERIFY, problem), migration, Direction.UP, statement)
