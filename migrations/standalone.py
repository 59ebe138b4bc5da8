"""One database without a ledger: what the commands of `ledger db` do, for development.

The journal is the same, with an empty rollout. On a database that belongs to a fleet, changes are
refused unless they are allowed with a reason; the ledger's next contact then makes events of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import uuid4

import asyncpg

from migrations.entries import RESOLVE, Entry
from migrations.errors import Unreachable
from migrations.failure import from_error, located
from migrations.inspection import Inspection, inspect
from migrations.migration import Direction, Migration, Statement
from migrations.plan import applied_versions, half_done
from migrations.runner import run
from migrations.session import Connection, ConnectionSettings, close_session, open_session
from migrations.verify import answer_problem
from migrations.work import Epoch, Failure, Limits, Mode, Observer, Outcome, Verdict, Work

APPLICATION_NAME = "migration-ledger verify"
"""What `pg_stat_activity` shows."""


class Standing(StrEnum):
    """How a migration stands on a database."""

    APPLIED = "applied"
    CHANGED = "changed"
    """Applied with another up section than the file has now."""
    PENDING = "pending"
    HALF_DONE = "half done"
    MISSING = "missing"
    """Applied, and not among the files."""


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One migration's standing; `at` and `rollout` of the entry that says so."""

    version: str
    name: str
    standing: Standing
    at: datetime | None = None
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The standing of every migration, files first; `failure` when the database cannot be asked."""

    lines: tuple[StatusLine, ...]
    owner: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one applied migration's Verify section; `failure` is `None` when it holds."""

    version: str
    name: str
    checks: int
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """Leave to change a database that belongs to a ledger, and why."""

    reason: str


async def up(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    limits: Limits,
    observer: Observer,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Apply what is not applied yet, in the order given."""
    work = _work(Mode.UP, migrations, target, outside)
    return await run(settings, work, limits, observer, allow_outside=outside is not None)


async def down(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    limits: Limits,
    observer: Observer,
    *,
    count: int = 1,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Undo the newest `count` of the given migrations that are applied or half done."""
    found = await inspect(settings, target)
    if found.failure is not None:
        return Outcome(Verdict.FAILED, (), found.identity, found.journal_head, found.failure)
    there = {*applied_versions(found.entries), *half_done(found.entries)}
    newest = [item for item in reversed(migrations) if item.version in there][:count]
    work = _work(Mode.DOWN, newest, target, outside)
    return await run(settings, work, limits, observer, allow_outside=outside is not None)


async def status(
    settings: ConnectionSettings, migrations: Sequence[Migration], *, target: str = ""
) -> Status:
    """How each migration stands; read-only."""
    found = await inspect(settings, target)
    if found.failure is not None:
        return Status((), found.owner, found.failure)
    return Status(_lines(found, migrations), found.owner)


async def verify(
    settings: ConnectionSettings, migrations: Sequence[Migration], *, target: str = ""
) -> tuple[Verification, ...]:
    """Run the Verify sections of what is applied, read-only. Raises Unreachable.

    A migration that a later one builds upon may rightly fail its check: the answer is a report, not
    a judgement.
    """
    found = await inspect(settings, target)
    if not found.reachable and found.failure is not None:
        raise Unreachable(found.failure.message)
    applied = applied_versions(found.entries)
    connection = await open_session(
        settings, application_name=APPLICATION_NAME, search_path=target, read_only=True
    )
    try:
        wanted = [item for item in migrations if item.version in applied and item.verify]
        return tuple([await _verified(connection, item) for item in wanted])
    finally:
        await close_session(connection)


async def _verified(connection: Connection, migration: Migration) -> Verification:
    statements = migration.verify.statements if migration.verify else ()
    for statement in statements:
        failure = await _checked(connection, migration, statement)
        if failure is not None:
            return Verification(migration.version, migration.name, len(statements), failure)
    return Verification(migration.version, migration.name, len(statements))


async def _checked(
    connection: Connection, migration: Migration, statement: Statement
) -> Failure | None:
    try:
        problem = await answer_problem(connection, statement)
    except asyncpg.PostgresError as error:
        return located(from_error(error), migration, Direction.UP, statement)
    if not problem:
        return None
    return located(Failure("verify", problem), migration, Direction.UP, statement)


def _work(
    mode: Mode, migrations: Sequence[Migration], target: str, outside: Outside | None
) -> Work:
    # Without an owner the stored epoch stays as it is, whatever this one says.
    return Work(
        command_id=uuid4(),
        rollout="",
        epoch=Epoch(0, 0),
        mode=mode,
        migrations=tuple(migrations),
        target=target,
        reason=outside.reason if outside else "",
    )


def _lines(found: Inspection, migrations: Sequence[Migration]) -> tuple[StatusLine, ...]:
    applied = applied_versions(found.entries)
    begun = half_done(found.entries)
    lines = [
        _line(migration, applied.get(migration.version), begun=migration.version in begun)
        for migration in migrations
    ]
    known = {migration.version for migration in migrations}
    missing = [entry for version, entry in applied.items() if version not in known]
    lines += [
        StatusLine(entry.migration, "", Standing.MISSING, entry.finished_at, entry.rollout)
        for entry in missing
    ]
    return tuple(lines)


def _line(migration: Migration, entry: Entry | None, *, begun: bool) -> StatusLine:
    if entry is None or begun:
        standing = Standing.HALF_DONE if begun else Standing.PENDING
        return StatusLine(migration.version, migration.name, standing)
    same = entry.direction == RESOLVE or entry.up_checksum == migration.up.checksum
    standing = Standing.APPLIED if same else Standing.CHANGED
    return StatusLine(migration.version, migration.name, standing, entry.finished_at, entry.rollout)
