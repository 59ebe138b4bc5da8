"""Databases in memory: `migrations.engine.Engine` without a server, with the same promises.

A database is a set of tables and a journal. Which section runs, what a second delivery finds and
who is refused is decided by the same pure rules as on PostgreSQL (`migrations.running.plan`,
`migrations.target.preconditions`), and the journal is chained by the same hashes; only what a
statement does is a model: it makes or drops a table, takes time (`pg_sleep`), or fails. Whether it
keeps the promises shows `tests/conformance/test_engine.py`.

What it does not model, and says so: migrations outside of one transaction, data in batches,
programs, and taking over another tool's history.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from migrations.catalog.snapshot import Snapshot
from migrations.catalog.visit import Visit
from migrations.chance import Chance
from migrations.clock import Clock, elapsed_ms
from migrations.errors import (
    ClockApart,
    IdentityMismatch,
    LockUnavailable,
    Refused,
    RunError,
    TooLate,
    Unavailable,
    Unreachable,
)
from migrations.inspection import Inspection, with_entries
from migrations.model.attempt import (
    Adoption,
    DatabasePlace,
    Failure,
    FailureClass,
    Identity,
    Limits,
    Mode,
    Rights,
    Verdict,
)
from migrations.model.clocks import ComparedClock
from migrations.model.foreign_history import ForeignHistory
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.preflight import (
    CheckBounds,
    PreflightCheck,
    PreflightRequest,
    PreflightResult,
    judged,
)
from migrations.model.work import Observer, Outcome, StepOutcome, StepResult, Work
from migrations.running.plan import Execute, Halt, Known, left_half_done, plan
from migrations.running.prerequisites import refuse_behind
from migrations.running.reconnection import ConnectionLost, Reconnection
from migrations.target.entries import (
    RESOLVE,
    Entry,
    NewEntry,
    Said,
    State,
    entry_about_target,
    entry_for,
    genesis,
    next_head,
)
from migrations.target.failure import from_error, in_file, located
from migrations.target.journal import Record
from migrations.target.preconditions import (
    check_epoch,
    check_head,
    check_identity,
    outside_changes,
)
from migrations.target.refusals import stale_epoch
from migrations.target.session import ConnectionSettings

SERVER_VERSION = 180_000
SYSTEM = "7000000000000000001"
POLL_S = 0.05

_CREATE = re.compile(r"\s*CREATE TABLE (\w+)", re.IGNORECASE)
_DROP = re.compile(r"\s*DROP TABLE (\w+)", re.IGNORECASE)
_SLEEP = re.compile(r"\s*SELECT pg_sleep\(([\d.]+)\)", re.IGNORECASE)
_ERROR = re.compile(r"\s*SELECT 1 ?/ ?0", re.IGNORECASE)

SETTLED = {
    Direction.UP: (State.APPLIED, StepResult.APPLIED),
    Direction.DOWN: (State.ROLLED_BACK, StepResult.ROLLED_BACK),
}
CANCELLED = Failure(
    FailureClass.CANCELLED, "the migration was cancelled; what was not committed is rolled back"
)


@dataclass(slots=True)
class MemoryDatabase:
    """One database, and what a test may do to it."""

    name: str
    oid: int
    uuid: UUID | None = None
    owner: str = ""
    tables: set[str] = field(default_factory=set)
    journals: dict[str, list[Entry]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    """Targets whose lock somebody holds."""
    reachable: bool = True
    off: timedelta = timedelta(0)
    """By how much the server's clock is wrong."""
    statements: list[str] = field(default_factory=list)
    """All that ever ran, committed or not."""

    def record(self, target: str) -> Record | None:
        """The journal of a target."""
        entries = self.journals.get(target)
        if not entries or self.uuid is None:
            return None
        return Record(self.uuid, self.owner, entries[-1].epoch, tuple(entries))

    @property
    def identity(self) -> Identity | None:
        """Who it is, once it was met."""
        return Identity(self.uuid, SYSTEM, self.oid) if self.uuid is not None else None


class SqlFailed(Exception):
    """What a server would say of a statement."""

    def __init__(self, sqlstate: str, message: str, statement: Statement) -> None:
        super().__init__(message)
        self.failure = Failure(FailureClass.SQL, message, sqlstate=sqlstate)
        self.statement = statement


def _away(settings: ConnectionSettings) -> Unavailable:
    return Unavailable(
        f"{settings.place} cannot be reached (nobody answers); check host, port and network",
        reason="nobody answers",
    )


class MemoryEngine:
    """All databases there are; one that was never asked for is there when it is."""

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self.clock = clock
        self.chance = chance
        self.databases: dict[tuple[str, int, str], MemoryDatabase] = {}
        self.sessions = 0
        """How many are open now."""

    def database(self, settings: ConnectionSettings) -> MemoryDatabase:
        """The database that these settings lead to."""
        key = (settings.host, settings.port, settings.database)
        made = MemoryDatabase(settings.database, 16_384 + len(self.databases))
        return self.databases.setdefault(key, made)

    def named(self, name: str) -> MemoryDatabase:
        """The database of this name, on whatever server."""
        return next(one for one in self.databases.values() if one.name == name)

    async def run(
        self,
        settings: ConnectionSettings,
        work: Work,
        limits: Limits,
        observer: Observer,
        *,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """As `Engine.run`."""
        try:
            database = await self._connected(settings, limits, observer, may_begin)
        except TooLate as late:
            return Outcome(Verdict.REFUSED, (), None, None, from_error(late))
        except Unreachable as error:
            return Outcome(Verdict.FAILED, (), None, None, from_error(error))
        run = MemoryRun(self, database, work, observer)
        try:
            async with self._session(), self._locked(database, work, limits, observer):
                return await run.execute(may_begin)
        except Refused as error:
            return run.outcome(Verdict.REFUSED, from_error(error))
        except RunError as error:
            return run.outcome(Verdict.FAILED, from_error(error))

    async def inspect(
        self, settings: ConnectionSettings, target: str, clock: ComparedClock | None = None
    ) -> Inspection:
        """As `Engine.inspect`."""
        await self.clock.sleep(0)
        database = self.database(settings)
        if not database.reachable:
            return Inspection(reachable=False, failure=from_error(_away(settings)))
        found = Inspection(
            reachable=True,
            server_version=SERVER_VERSION,
            tls=False,
            in_recovery=False,
            rights=Rights(create_schema=True, create_in_target=True, superuser=False),
            place=DatabasePlace(SYSTEM, database.oid),
            clocks=self._apart(database, clock),
        )
        record = database.record(target)
        if record is None:
            return found
        return replace(
            with_entries(replace(found, record=record), record.entries),
            identity=database.identity,
        )

    async def inspect_at_rest(
        self,
        settings: ConnectionSettings,
        target: str,
        observer: Observer,
        clock: ComparedClock | None = None,
    ) -> Inspection:
        """As `Engine.inspect_at_rest`."""
        database = self.database(settings)
        if database.reachable:
            async with self._hold(database, target, inf, observer):
                return await self.inspect(settings, target, clock)
        return await self.inspect(settings, target, clock)

    async def histories(
        self, settings: ConnectionSettings, target: str, wanted: Adoption | None
    ) -> tuple[ForeignHistory, ...]:
        """As `Engine.histories`: no other tool was ever here."""
        return ()

    async def snapshot(self, settings: ConnectionSettings, target: str, *, keep: bool) -> Visit:
        """As `Engine.snapshot`: the schema is what the journal says."""
        found = await self.inspect(settings, target)
        said = "\n".join(sorted(found.latest)).encode()
        return Visit(Snapshot(f"sha256:{hashlib.sha256(said).hexdigest()}", 0, len(said)))

    async def preflight(
        self, settings: ConnectionSettings, target: str, asked: PreflightRequest
    ) -> tuple[PreflightResult, ...]:
        """As `Engine.preflight`: every moment is a good one."""
        return tuple(judged(check, 0.0, "", CheckBounds(check)) for check in PreflightCheck)

    async def _connected(
        self,
        settings: ConnectionSettings,
        limits: Limits,
        observer: Observer,
        may_begin: Callable[[], bool],
    ) -> MemoryDatabase:
        """The database, which is waited for as the runner waits. Raises TooLate, Unavailable."""
        database = self.database(settings)
        reconnection = Reconnection(limits.retry_for_s, self.clock, self.chance)
        while True:
            await self.clock.sleep(0)
            if database.reachable:
                return database
            lost = ConnectionLost(_away(settings), progressed=False)
            pause = reconnection.pause_s(lost)
            if not may_begin():
                late = "the time in which this order may begin is over"
                raise TooLate(f"{late}: {lost.error.message}")
            if pause is None:
                raise reconnection.over(lost)
            observer.waiting(reconnection.told(lost), reconnection.waited_s, pause)
            await self.clock.sleep(pause)
            observer.trying_again()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[None]:
        self.sessions += 1
        try:
            yield
        finally:
            self.sessions -= 1

    @asynccontextmanager
    async def _locked(
        self, database: MemoryDatabase, work: Work, limits: Limits, observer: Observer
    ) -> AsyncIterator[None]:
        """The target's lock, after a look at the clocks."""
        if work.clock is not None:
            work.clock.check(self.clock.now() + database.off, work.clock.now())
        async with self._hold(database, work.target, limits.advisory_wait_s, observer):
            yield

    @asynccontextmanager
    async def _hold(
        self, database: MemoryDatabase, target: str, wait_s: float, observer: Observer
    ) -> AsyncIterator[None]:
        started = self.clock.monotonic()
        while target in database.held:
            waited = self.clock.monotonic() - started
            if waited >= wait_s:
                raise LockUnavailable(
                    f"another migrator has held this target's lock for longer than {wait_s:g} s; "
                    "wait for it, or end its session",
                    blocker="somebody",
                )
            observer.waiting("the target's lock, held by somebody", waited, POLL_S)
            await self.clock.sleep(POLL_S)
        database.held.add(target)
        try:
            yield
        finally:
            database.held.discard(target)

    def _apart(self, database: MemoryDatabase, clock: ComparedClock | None) -> Failure | None:
        if clock is None:
            return None
        try:
            clock.check(self.clock.now() + database.off, clock.now())
        except ClockApart as error:
            return from_error(error)
        return None


class MemoryRun:
    """One command on one database, under its lock."""

    def __init__(
        self, engine: MemoryEngine, database: MemoryDatabase, work: Work, observer: Observer
    ) -> None:
        self._clock = engine.clock
        self._chance = engine.chance
        self._database = database
        self._work = work
        self._observer = observer
        self._finished: list[StepOutcome] = []
        self._met = False
        self._epoch_kept = False
        self._outside = outside_changes(None, None)

    def outcome(self, verdict: Verdict, failure: Failure | None = None) -> Outcome:
        """What came of it."""
        record = self._database.record(self._work.target) if self._met else None
        identity = self._database.identity if record else None
        head = record.head if record else None
        half_done = left_half_done(record.entries) if record else None
        return Outcome(
            verdict,
            tuple(self._finished),
            identity,
            head,
            failure,
            self._outside,
            half_done=half_done,
        )

    async def execute(self, may_begin: Callable[[], bool]) -> Outcome:
        """Check, plan, and run up to the first failure. Raises Refused."""
        work, record = self._work, self._database.record(self._work.target)
        self._check(record)
        ours = record is not None and any(
            entry.command == work.command_id for entry in record.entries
        )
        if not ours and not may_begin():
            raise TooLate("the time in which this order may begin is over; nothing was changed")
        if not ours:
            refuse_behind(work, record.entries if record else ())
        if work.mode is Mode.ADOPT:
            raise NotImplementedError("histories of other tools are not modelled")
        self._outside = outside_changes(record, work.expectation.journal_head)
        if self._outside:
            self._observer.found_outside(self._outside)
        if record is not None:
            self._met = True
            self._epoch_kept = not work.owner or record.epoch == work.epoch
            self._tell_identity(first=False)
        self._resolve(record)
        record = self._database.record(work.target)
        for decision in plan(work, record.entries if record else ()):
            outcome = await self._carry_out(decision)
            self._finish(outcome)
            if outcome.result is StepResult.FAILED:
                return self.outcome(Verdict.FAILED, outcome.failure)
        if not self._epoch_kept:
            self._write(entry_about_target(State.VISITED) if self._met else None)
        return self.outcome(Verdict.DONE)

    def _check(self, record: Record | None) -> None:
        work, database = self._work, self._database
        if work.owner and database.owner not in ("", work.owner):
            raise IdentityMismatch(
                f"the database belongs to the fleet of ledger {database.owner}; "
                "retire it there first"
            )
        check_identity(database.identity if record else None, work.expectation)
        if record is None:
            return
        if work.owner:
            check_epoch(record, work.epoch)
        if work.owner and work.epoch < record.epoch:
            raise stale_epoch(work.epoch)
        check_head(record, work.expectation.journal_head, work.command_id, work.taken_back)

    def _resolve(self, record: Record | None) -> None:
        """A person's words, each written once."""
        known = {
            entry.migration
            for entry in (record.entries if record else ())
            if entry.command == self._work.command_id and entry.direction == RESOLVE
        }
        for word in self._work.resolutions:
            if word.version not in known:
                state = State.APPLIED if word.applied else State.NOT_APPLIED
                entry = NewEntry(word.version, RESOLVE, 0, state, None, None, reason=word.reason)
                self._write(entry)

    async def _carry_out(self, decision: Execute | Halt | Known) -> StepOutcome:
        match decision:
            case Known():
                return decision.outcome
            case Halt():
                self._observer.step_started(decision.migration, decision.direction)
                failure = in_file(decision.failure, decision.migration, decision.direction)
                return self._failed(decision.migration, decision.direction, failure, 0)
            case Execute():
                return await self._step(decision)

    async def _step(self, run: Execute) -> StepOutcome:
        """One migration in one transaction: its effect and its entry, or neither."""
        section = run.section
        if not section.transactional or section.batches or section.program or run.resume:
            raise NotImplementedError("only sections in one transaction are modelled")
        self._observer.step_started(run.migration, run.direction)
        started = self._clock.monotonic()
        tables = set(self._database.tables)
        try:
            for index, statement in enumerate(section.statements, start=1):
                began = self._clock.monotonic()
                await self._statement(statement, tables)
                took, total = elapsed_ms(self._clock, began), len(section.statements)
                self._observer.statement_finished(run.migration, statement, index, total, took)
        except asyncio.CancelledError:
            took = elapsed_ms(self._clock, started)
            self._finish(self._failed(run.migration, run.direction, CANCELLED, took))
            raise
        except SqlFailed as error:
            failure = located(error.failure, run.migration, run.direction, error.statement)
            took = elapsed_ms(self._clock, started)
            return self._failed(run.migration, run.direction, failure, took)
        state, result = SETTLED[run.direction]
        entry = replace(
            entry_for(run.migration, run.direction, 0, state),
            statements=len(section.statements),
            duration_ms=elapsed_ms(self._clock, started),
            note=run.note,
        )
        # No turn of the loop in between: this is the commit.
        self._database.tables = tables
        self._write(entry)
        return StepOutcome(
            run.migration.version,
            run.direction,
            result,
            section.checksum,
            entry.duration_ms,
            entry.statements,
            note=entry.note,
        )

    async def _statement(self, statement: Statement, tables: set[str]) -> None:
        """Do what it says to the tables of its transaction, after a round trip."""
        await self._clock.sleep(0)
        self._database.statements.append(statement.text)
        if found := _SLEEP.match(statement.text):
            await self._clock.sleep(float(found[1]))
        elif found := _CREATE.match(statement.text):
            if found[1] in tables:
                raise SqlFailed("42P07", f'relation "{found[1]}" already exists', statement)
            tables.add(found[1])
        elif found := _DROP.match(statement.text):
            if found[1] not in tables:
                raise SqlFailed("42P01", f'table "{found[1]}" does not exist', statement)
            tables.discard(found[1])
        elif _ERROR.match(statement.text):
            raise SqlFailed("22012", "division by zero", statement)

    def _failed(
        self, migration: Migration, direction: Direction, failure: Failure, duration_ms: int
    ) -> StepOutcome:
        entry = entry_for(migration, direction, 0, State.FAILED)
        self._write(replace(entry, failure=failure, duration_ms=duration_ms))
        section = migration.section(direction)
        return StepOutcome(
            migration.version,
            direction,
            StepResult.FAILED,
            section.checksum if section else "",
            duration_ms,
            0,
            failure=failure,
        )

    def _finish(self, outcome: StepOutcome) -> None:
        """Report an outcome, once."""
        if outcome not in self._finished:
            self._finished.append(outcome)
            self._observer.step_finished(outcome)

    def _write(self, entry: NewEntry | None) -> None:
        """Commit an entry, with the target's first one before it where there is none."""
        if not self._met:
            self._database.uuid = self._database.uuid or self._chance.uuid()
            self._database.owner = self._database.owner or self._work.owner
            self._chain(entry_about_target(State.MET))
            self._met = True
            self._tell_identity(first=True)
        if entry is not None:
            self._chain(entry)
        self._epoch_kept = True

    def _chain(self, entry: NewEntry) -> None:
        work, database = self._work, self._database
        entries = database.journals.setdefault(work.target, [])
        assert database.uuid is not None
        before = entries[-1].head if entries else genesis(database.uuid, work.target)
        epoch = work.epoch if work.owner or not entries else entries[-1].epoch
        said = Said(work.command_id, work.rollout, database.owner, epoch)
        entry = replace(entry, reason=entry.reason or work.reason)
        entries.append(
            Entry(
                seq=len(entries) + 1,
                head=next_head(before, said, entry),
                command=work.command_id,
                rollout=work.rollout,
                migration=entry.migration,
                direction=entry.direction,
                step=entry.step,
                state=entry.state,
                up_checksum=entry.up_checksum,
                down_checksum=entry.down_checksum,
                statements=entry.statements,
                finished_at=self._now(),
                duration_ms=entry.duration_ms,
                note=entry.note,
                failure=entry.failure,
                reason=entry.reason,
                made_by="somebody",
                epoch=epoch,
            )
        )

    def _now(self) -> datetime:
        return self._clock.now() + self._database.off

    def _tell_identity(self, *, first: bool) -> None:
        identity = self._database.identity
        assert identity is not None
        self._observer.identified(identity, SERVER_VERSION, first)
