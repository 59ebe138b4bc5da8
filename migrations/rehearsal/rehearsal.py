"""One folder, rehearsed on one database that is thrown away; what goes wrong is an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg

from migrations import standalone
from migrations.catalog.snapshot import Snapshot
from migrations.catalog.visit import visit_in
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.errors import Unreachable
from migrations.model.attempt import Limits, Verdict
from migrations.model.baselines import set_aside
from migrations.model.folder_history import schema_of
from migrations.model.migration import Language, Migration
from migrations.model.work import Outcome
from migrations.rehearsal.comparison import left_behind, lost, notes_of, problem_of
from migrations.rehearsal.contents import Contents, contents_of
from migrations.rehearsal.fixtures import CheckFile, Fixtures
from migrations.rehearsal.play import MS, check, seed
from migrations.rehearsal.results import (
    MigrationRehearsal,
    PartList,
    Rehearsal,
    RehearsalPart,
    RehearsalProblem,
)
from migrations.rehearsal.rows import FilledTable, fill, grow
from migrations.rehearsal.shapes import TableShape
from migrations.rehearsal.times import StatementTimes, file_of
from migrations.target.failure import from_error
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    is_connection_lost,
    open_session,
    server_version,
)

APPLICATION_NAME = "migration-ledger test"
"""What `pg_stat_activity` shows."""
ROWS_MOST = 10_000
"""Enough to see what is lost; all of them are read after each way back."""
IRREVERSIBLE = "it has no down section, so it cannot be taken back"
NOT_REACHED = "not reached: what came before it failed"
NO_VERIFY = "it has no Verify section"
UNSAID = "it did not run, and nobody says why"
NO_AFTER = "nothing is declared that must be true then"

_AWAY = (
    "the server of the scratch database went away, so the rehearsal has no result; see that it "
    "runs, and start again"
)
_ON_THE_WAY = (
    RehearsalPart.VERIFY,
    RehearsalPart.DOWN,
    RehearsalPart.SCHEMA,
    RehearsalPart.CONTENTS,
    RehearsalPart.UP_AGAIN,
    RehearsalPart.AFTER,
)
_BACK = (
    RehearsalPart.DOWN,
    RehearsalPart.SCHEMA,
    RehearsalPart.CONTENTS,
    RehearsalPart.UP_AGAIN,
)


class RehearsalListener(Protocol):
    """Hears how far a rehearsal is. Methods return quickly and never raise."""

    def begun(self, label: str, number: int, total: int) -> None:
        """A migration is rehearsed, the `number`th of `total`."""

    def ended(self, result: MigrationRehearsal) -> None:
        """It was."""


@dataclass(frozen=True, slots=True)
class RehearsalStage:
    """Where a rehearsal is, and what is allowed there.

    `settings` lead to a database that nobody needs. `target` is the journal's key, `ready` are
    versions that only have to be there: they are applied first, and not rehearsed.
    """

    settings: ConnectionSettings
    target: str = ""
    limits: Limits = field(default_factory=Limits)
    programs: frozenset[Language] = frozenset()
    psql_shell: bool = False
    ready: frozenset[str] = frozenset()
    shapes: tuple[TableShape, ...] = ()
    """Tables that get rows like these, as soon as they are there."""
    rows_most: int = ROWS_MOST
    """Rows that one table gets."""
    clock: Clock = SYSTEM_CLOCK


async def rehearse(
    stage: RehearsalStage,
    migrations: Sequence[Migration],
    fixtures: Fixtures,
    listener: RehearsalListener,
) -> Rehearsal:
    """Take each migration up, down and up again, in the order given.

    Raises Unreachable, and what the driver raises where the server goes away.
    """
    began = stage.clock.monotonic()
    aside = set_aside(migrations, ())
    going = [one for one in migrations if one.version not in aside]
    rehearsed = [one for one in going if one.version not in stage.ready]
    async with _session(stage) as connection:
        course = _Course(stage, going, fixtures, connection)
        results = await course.prepare()
        for number, one in enumerate(rehearsed, start=1):
            if course.lost:
                result = _skipped(one, NOT_REACHED)
            else:
                listener.begun(one.label, number, len(rehearsed))
                result = await course.rehearse(one)
                listener.ended(result)
            results.append(result)
        version = server_version(connection)
    took = int((stage.clock.monotonic() - began) * MS)
    left_out = [
        f"{one.label} is not rehearsed: {aside[one.version]}"
        for one in migrations
        if one.version in aside and one.version not in stage.ready
    ]
    return Rehearsal(version, tuple(results), (*left_out, *notes_of(results, course.filled)), took)


@asynccontextmanager
async def _session(stage: RehearsalStage) -> AsyncIterator[Connection]:
    """A session for what is asked between two runs. Raises Unreachable."""
    connection = await open_session(
        stage.settings, application_name=APPLICATION_NAME, target=stage.target
    )
    try:
        yield connection
    except DRIVER_ERRORS as error:
        if not is_connection_lost(connection, error):
            raise
        raise Unreachable(_AWAY) from None
    finally:
        await close_session(connection)


def _skipped(migration: Migration, why: str) -> MigrationRehearsal:
    parts = PartList()
    parts.skipped(why, RehearsalPart.UP)
    return MigrationRehearsal(
        migration.version, migration.label, file_of(migration), tuple(parts.found)
    )


class _Course:
    """The database, and how far its migrations are."""

    def __init__(
        self,
        stage: RehearsalStage,
        migrations: Sequence[Migration],
        fixtures: Fixtures,
        connection: Connection,
    ) -> None:
        self._stage = stage
        self._all = migrations
        self._fixtures = fixtures
        self._connection = connection
        self._waiting = stage.shapes
        self.filled: list[FilledTable] = []
        """Tables that got rows, or should have got some."""
        self.lost = False
        """Whether the database is in a state from which nothing goes on."""

    async def prepare(self) -> list[MigrationRehearsal]:
        """Play what comes first, and apply what only has to be there; what failed of it."""
        if self._fixtures.first is not None:
            problem = await seed(self._connection, self._fixtures.first)
            if problem is not None:
                self.lost = True
                parts = PartList()
                parts.failed(RehearsalPart.BEFORE, 0, problem)
                name = self._fixtures.first.name
                return [MigrationRehearsal("", name, name, tuple(parts.found))]
        for one in self._all:
            if one.version not in self._stage.ready:
                continue
            parts, times = PartList(), StatementTimes()
            await self._seed(one, parts)
            await self._up(one, RehearsalPart.UP, parts, times)
            result = self._result(one, parts, times)
            if result.problems:
                self.lost = True
                return [result]
        return []

    async def rehearse(self, migration: Migration) -> MigrationRehearsal:
        """One migration through all its parts."""
        parts, times, ignored = PartList(), StatementTimes(), StatementTimes()
        await self._fill()
        await self._seed(migration, parts)
        before, rows = await self._snapshot(), await self._contents()
        if not await self._up(migration, RehearsalPart.UP, parts, times):
            self.lost = True
            parts.skipped("it did not go up", *_ON_THE_WAY)
            return self._result(migration, parts, times)
        await self._verify(migration, parts)
        if migration.down is None:
            why = "it runs again when it changes" if migration.repeatable else IRREVERSIBLE
            parts.skipped(why, *_BACK)
        elif not await self._down(migration, parts, times):
            parts.skipped("it was not taken back", *_BACK[1:])
        else:
            await self._compare(migration, before, rows, parts)
            if not await self._up(migration, RehearsalPart.UP_AGAIN, parts, ignored):
                self.lost = True
                parts.skipped("it did not go up again", RehearsalPart.AFTER)
                return self._result(migration, parts, times)
        await self._check(self._fixtures.after.get(migration.version), parts)
        return self._result(migration, parts, times)

    def _result(
        self, migration: Migration, parts: PartList, times: StatementTimes
    ) -> MigrationRehearsal:
        notes = tuple(f"{one.part}: {one.note}" for one in parts.found if one.note)
        return MigrationRehearsal(
            migration.version,
            migration.label,
            file_of(migration),
            tuple(parts.found),
            tuple(times.found),
            notes,
        )

    async def _fill(self) -> None:
        """Make rows in tables of known shapes that are there by now."""
        schema = schema_of(self._stage.target)
        self.filled = [await grow(self._connection, one, schema) for one in self.filled]
        made = await fill(self._connection, self._waiting, schema, self._stage.rows_most)
        self.filled += made
        there = {one.shape for one in made}
        self._waiting = tuple(one for one in self._waiting if one not in there)

    async def _seed(self, migration: Migration, parts: PartList) -> None:
        file = self._fixtures.before.get(migration.version)
        if file is None:
            return
        began = self._now_ms()
        problem = await seed(self._connection, file)
        if problem is None:
            parts.passed(RehearsalPart.BEFORE, self._now_ms() - began)
        else:
            parts.failed(RehearsalPart.BEFORE, self._now_ms() - began, problem)

    async def _up(
        self, migration: Migration, part: RehearsalPart, parts: PartList, times: StatementTimes
    ) -> bool:
        """Whether it went up; all before it are there."""
        through = self._all[: self._all.index(migration) + 1]
        stage, began = self._stage, self._now_ms()
        outcome = await standalone.up(
            stage.settings,
            through,
            stage.limits,
            times,
            target=stage.target,
            # Of a fleet, some databases may have a later one, and lack this one.
            out_of_order=True,
            programs=stage.programs,
            psql_shell=stage.psql_shell,
        )
        return self._took(outcome, part, parts, self._now_ms() - began)

    async def _down(self, migration: Migration, parts: PartList, times: StatementTimes) -> bool:
        """Whether it was taken back."""
        stage, began = self._stage, self._now_ms()
        outcome = await standalone.down(
            stage.settings,
            [migration],
            stage.limits,
            times,
            target=stage.target,
            programs=stage.programs,
            psql_shell=stage.psql_shell,
        )
        return self._took(outcome, RehearsalPart.DOWN, parts, self._now_ms() - began)

    def _took(
        self, outcome: Outcome, part: RehearsalPart, parts: PartList, duration_ms: int
    ) -> bool:
        # What a step itself took is nearer to the truth than what connecting adds.
        duration_ms = sum(step.duration_ms for step in outcome.steps) or duration_ms
        failure = outcome.failure
        if outcome.verdict is Verdict.DONE and failure is None:
            parts.passed(part, duration_ms)
            return True
        problem = problem_of(failure) if failure is not None else RehearsalProblem(UNSAID)
        parts.failed(part, duration_ms, problem)
        return False

    async def _verify(self, migration: Migration, parts: PartList) -> None:
        if migration.verify is None:
            parts.skipped(NO_VERIFY, RehearsalPart.VERIFY)
            return
        stage, began = self._stage, self._now_ms()
        found = await standalone.verify(
            stage.settings,
            [migration],
            target=stage.target,
            programs=stage.programs,
            psql_shell=stage.psql_shell,
            limits=stage.limits,
        )
        problems = [problem_of(one.failure) for one in found if one.failure is not None]
        if problems:
            parts.failed(RehearsalPart.VERIFY, self._now_ms() - began, *problems)
        else:
            parts.passed(RehearsalPart.VERIFY, self._now_ms() - began)

    async def _snapshot(self) -> Snapshot | RehearsalProblem:
        found = await visit_in(self._connection, self._stage.target)
        if found.snapshot is not None:
            return found.snapshot
        return problem_of(found.failure) if found.failure else RehearsalProblem(UNSAID)

    async def _contents(self) -> Contents | RehearsalProblem:
        try:
            return await contents_of(self._connection)
        except asyncpg.PostgresError as error:
            if self._connection.is_closed():
                raise
            return problem_of(from_error(error))

    async def _compare(
        self,
        migration: Migration,
        before: Snapshot | RehearsalProblem,
        rows: Contents | RehearsalProblem,
        parts: PartList,
    ) -> None:
        """Compare the database with what it was before the up."""
        began = self._now_ms()
        after = await self._snapshot()
        unread = [one for one in (before, after) if isinstance(one, RehearsalProblem)]
        if isinstance(before, Snapshot) and isinstance(after, Snapshot):
            other = left_behind(migration, before, after)
            unread = [other] if other is not None else []
        if unread:
            parts.failed(RehearsalPart.SCHEMA, self._now_ms() - began, *unread)
        else:
            parts.passed(RehearsalPart.SCHEMA, self._now_ms() - began)
        began = self._now_ms()
        there = await self._contents()
        took = self._now_ms() - began
        if isinstance(rows, RehearsalProblem) or isinstance(there, RehearsalProblem):
            closed = rows if isinstance(rows, RehearsalProblem) else there
            why = closed.message if isinstance(closed, RehearsalProblem) else ""
            parts.skipped(f"rows cannot be read: {why}", RehearsalPart.CONTENTS)
            return
        seeds = self._fixtures.before.get(migration.version)
        problems, note = lost(migration, rows, there, seeds)
        if problems:
            parts.failed(RehearsalPart.CONTENTS, took, *problems)
        else:
            parts.passed(RehearsalPart.CONTENTS, took, note)

    async def _check(self, file: CheckFile | None, parts: PartList) -> None:
        if file is None:
            parts.skipped(NO_AFTER, RehearsalPart.AFTER)
            return
        began = self._now_ms()
        problems = await check(self._connection, file, self._stage.clock)
        if problems:
            parts.failed(RehearsalPart.AFTER, self._now_ms() - began, *problems)
        else:
            parts.passed(RehearsalPart.AFTER, self._now_ms() - began)

    def _now_ms(self) -> int:
        return int(self._stage.clock.monotonic() * MS)
