"""Whether what is applied still holds: the Verify sections, asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from migrations.clock import SYSTEM_CLOCK
from migrations.errors import ProgramRefused, Unreachable
from migrations.inspection import glance
from migrations.model.attempt import Failure, FailureClass, Limits
from migrations.model.migration import (
    Direction,
    Holds,
    Language,
    Migration,
    Program,
    Section,
    Statement,
)
from migrations.model.phases import outlived
from migrations.model.work import Silence
from migrations.running.code import check, refuse_verify_program
from migrations.running.plan import applied_versions
from migrations.running.psql import verify_in_psql
from migrations.running.psql_environment import PsqlPlace
from migrations.running.retry import StatementFailed
from migrations.running.verify_section import SAVE, answer_problem
from migrations.target import journal
from migrations.target.failure import at_section, from_error, located
from migrations.target.lookout import Lookout
from migrations.target.session import (
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)

APPLICATION_NAME = "migration-ledger verify"
"""What `pg_stat_activity` shows."""


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
    psql_shell: bool = False,
    limits: Limits = Limits(),  # noqa: B008
) -> tuple[Verification, ...]:
    """Run the Verify sections of what is applied. Raises Unreachable, ProgramRefused.

    Read-only, but for what a script of Sqitch's does and takes back. One for psql is run by psql,
    within `limits`; without leave for that, the answer says so for its migration alone.

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
        for item in wanted:
            if not _is_psqls(item):
                refuse_verify_program(programs, item, shell=psql_shell)
        lookout = Lookout(SYSTEM_CLOCK, settings, Silence(), connection)
        place = PsqlPlace(
            settings, target, limits, connection, SYSTEM_CLOCK, lookout, shell=psql_shell
        )
        return tuple([await _verified(place, programs, item) for item in wanted])
    finally:
        await close_session(connection)


def _is_psqls(migration: Migration) -> bool:
    program = migration.verify.program if migration.verify else None
    return program is not None and program.language is Language.PSQL


async def _verified(
    session: PsqlPlace, programs: frozenset[Language], migration: Migration
) -> Verification:
    section = migration.verify
    if section is None:
        return Verification(migration.version, migration.name, 0)
    if section.program is not None and _is_psqls(migration):
        failure = await _held_by_psql(session, programs, migration, section.program)
        return Verification(migration.version, migration.name, 1, failure)
    if section.program is not None:
        failure = await _held(session, migration, section)
        return Verification(migration.version, migration.name, 1, failure)
    if section.holds is Holds.NO_ERROR:
        # Its statements belong together, may write, and nothing of what they do may stay.
        transaction = session.connection.transaction()
        await transaction.start()
        try:
            await session.connection.execute(f"SET TRANSACTION READ WRITE; {SAVE}")
            failure = await _first_failure(session, migration, section)
        finally:
            await transaction.rollback()
    else:
        async with session.connection.transaction(readonly=True):
            failure = await _first_failure(session, migration, section)
    return Verification(migration.version, migration.name, len(section.statements), failure)


async def _first_failure(
    session: PsqlPlace, migration: Migration, section: Section
) -> Failure | None:
    if (refused := await _begun(session, migration)) is not None:
        return refused
    for statement in section.statements:
        failure = await _checked(session.connection, migration, statement, section.holds)
        if failure is not None:
            return failure
    return None


async def _begun(session: PsqlPlace, migration: Migration) -> Failure | None:
    """Ask as the role that the migration ran as; why that may not be."""
    try:
        if role := migration.up.options.role or session.settings.role:
            await session.connection.execute(journal.statement("set_role", role=role))
    except asyncpg.PostgresError as error:
        return at_section(from_error(error), migration, Direction.UP)
    return None


async def _held_by_psql(
    session: PsqlPlace, programs: frozenset[Language], migration: Migration, program: Program
) -> Failure | None:
    """What psql says of a verify script, if it may run it."""
    section = migration.verify
    try:
        refuse_verify_program(programs, migration, shell=session.shell)
        if section is not None:
            await verify_in_psql(session, section.options, program)
    except ProgramRefused as error:
        return from_error(error)
    except StatementFailed as failed:
        return located(failed.failure, migration, Direction.UP, None)
    return None


async def _held(session: PsqlPlace, migration: Migration, section: Section) -> Failure | None:
    """What a module's `verify` says, in a transaction as it has one after `up`."""
    transaction = session.connection.transaction(readonly=True)
    await transaction.start()
    try:
        if (refused := await _begun(session, migration)) is not None:
            return refused
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
