"""One migration on one target, from its announcement to its outcome, failures included.

A failure is journalled after the rollback, in a transaction of its own, before it is reported: a
redelivery of the same command repeats the report and does not run the migration again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from migrations.backfill.progress import committed_note
from migrations.backfill.run_batches import run_batches
from migrations.clock import elapsed_ms
from migrations.errors import LockLost, Refused, RunError
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.work import StepOutcome, StepResult
from migrations.running.history import WITHOUT_EFFECT
from migrations.running.own_role import refuse_own_role
from migrations.running.plan import Execute, Halt, repeated
from migrations.running.retry import StatementFailed
from migrations.running.stepwise import cleaned, run_stepwise
from migrations.running.telemetry import JOURNAL_SPAN, finish_step, part_span, step_span
from migrations.running.transactional import run_transactional
from migrations.sql.summary import tables
from migrations.target.entries import NewEntry, State, entry_for
from migrations.target.failure import at_section, from_error, in_file, located
from migrations.target.lock import try_lock
from migrations.target.refusals import way_out
from migrations.target.session import DRIVER_ERRORS, is_connection_lost
from migrations.target.target import Target

CANCEL_GRACE_S = 5.0
"""For the rollback and the entry of a cancelled migration; after that the socket is cut."""

_CANCELLED = Failure(
    FailureClass.CANCELLED, "the migration was cancelled; what was not committed is rolled back"
)
_GO_ON = "correct the verify script or the data and apply it again, or roll the migration back"
_RESULTS = {Direction.UP: StepResult.APPLIED, Direction.DOWN: StepResult.ROLLED_BACK}


class Unrecorded(Exception):
    """A failure that the journal has no entry of, so that it is no outcome of its migration."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def run_step(target: Target, run: Execute) -> StepOutcome:
    """Run one migration. Raises Refused, or what a lost connection raises.

    When cancelled, reports the outcome to the observer and raises CancelledError again.
    """
    target.progress = None
    started = target.clock.monotonic()
    with step_span(target.work, run.migration, run.direction) as span:
        target.observer.step_started(run.migration, run.direction)
        try:
            outcome = await _run(target, run, started)
        except asyncio.CancelledError:
            outcome = await _abandon(target, run, started)
            finish_step(span, outcome)
            target.observer.step_finished(outcome)
            raise
        finish_step(span, outcome)
        return outcome


async def stop_step(target: Target, stop: Halt) -> StepOutcome:
    """Journal and report a migration that must not run."""
    target.observer.step_started(stop.migration, stop.direction)
    target.progress = None
    failure = at_section(stop.failure, stop.migration, stop.direction)
    return await _failed(target, stop.migration, stop.direction, failure, 0)


async def _run(target: Target, run: Execute, started: float) -> StepOutcome:
    note = ""
    try:
        refuse_own_role(target, run)
        run = await cleaned(target, run)
        entry = await _way_of(run)(target, run)
        return _done(run, entry)
    except StatementFailed as failed:
        failure = located(failed.failure, run.migration, run.direction, failed.statement)
        failure = _placed(failure, run, failed)
        if failed.without_effect:
            note = WITHOUT_EFFECT.format(failed.without_effect)
        if failed.committed:
            await target.rollback()
            said = f"{failure.message}; {await _taken_back(target, run)}"
            failure = replace(failure, message=said)
    except Refused:
        raise
    except RunError as error:
        failure = _placed(from_error(error), run)
    except DRIVER_ERRORS as error:
        if is_connection_lost(target.connection, error):
            raise
        failure = _placed(from_error(error), run)
    await target.rollback()
    duration = elapsed_ms(target.clock, started)
    return await _failed(target, run.migration, run.direction, failure, duration, note)


async def _taken_back(target: Target, run: Execute) -> str:
    """Run the down of a change that is committed and does not hold; what became of it."""
    down = run.migration.down
    if down is None or down.broken:
        return "what it made stays, half done, since no script takes it back; " + _GO_ON
    back = Execute(run.migration, Direction.DOWN, down, note="it did not hold")
    try:
        await _way_of(back)(target, back)
    except StatementFailed as failed:
        await target.rollback()
        way = located(failed.failure, run.migration, Direction.DOWN, failed.statement)
        place = f"{way.file}:{way.line}: " if way.file and way.line else ""
        return f"what it made stays, half done: {place}{way.message}; {_GO_ON}"
    return "the change was taken back"


def _placed(failure: Failure, run: Execute, failed: StatementFailed | None = None) -> Failure:
    """The failure with file and line, also where no statement of the author's failed itself.

    What is said before the first statement stands at that one. What a deferred constraint says at
    the end stands at the last statement that names its table, or at the last of all.
    """
    failure = in_file(failure, run.migration, run.direction)
    statements = run.section.statements
    if failure.line is not None or failure.file is None:
        return failure
    where = statements[0] if statements else None
    if failed is not None and failed.beside is not None:
        where = failed.beside
        # Those that commit with it, which may be it alone.
        statements = tuple(one for one in statements if one.part and one.part == where.part)
    if failed is not None and failed.at_the_end and statements:
        table = getattr(failed.cause, "table_name", None)
        naming = [one for one in statements if table and table in _tables(one)]
        where = (naming or statements)[-1]
    return replace(failure, line=where.line if where else 1)


def _tables(statement: Statement) -> set[str]:
    """The tables that a statement names, without their schemas."""
    return {name.rpartition(".")[2].strip('"') for name in tables(statement.text)}


def _way_of(run: Execute) -> Callable[[Target, Execute], Awaitable[NewEntry]]:
    """How the section runs: in batches, in one transaction, or step by step."""
    if run.section.batches is not None:
        return run_batches
    asked_after = run.direction is Direction.UP and run.migration.verified_after
    whole = run.section.transactional and run.resume is None and not asked_after
    return run_transactional if whole else run_stepwise


def _done(run: Execute, entry: NewEntry) -> StepOutcome:
    return StepOutcome(
        version=run.migration.version,
        direction=run.direction,
        result=_RESULTS[run.direction],
        checksum=run.section.checksum,
        duration_ms=entry.duration_ms,
        statements=entry.statements,
        note=entry.note,
    )


async def _failed(
    target: Target,
    migration: Migration,
    direction: Direction,
    failure: Failure,
    duration_ms: int,
    note: str = "",
) -> StepOutcome:
    """Journal the failure, outside of any transaction, and say it.

    Of a data migration, the entry says what is committed, so that it can be told again.
    """
    note = "; ".join(filter(None, (note, committed_note(target.progress))))
    if failure.kind is FailureClass.IN_DOUBT:
        way = way_out(migration.version, target.work.owner)
        failure = replace(failure, message=f"{failure.message}; {way}")
    entry = entry_for(migration, direction, 0, State.FAILED)
    await target.look_whether_met()
    if failure.kind == LockLost.kind:
        # Nobody else came in between, or the entry is refused below.
        await try_lock(target.connection, target.key)
    entry = replace(entry, failure=failure, duration_ms=duration_ms, note=note)
    try:
        with part_span(JOURNAL_SPAN):
            await target.record(entry)
    except DRIVER_ERRORS as error:
        if is_connection_lost(target.connection, error):
            raise
        await target.rollback()
        raise Unrecorded(_unrecorded(failure, from_error(error))) from None
    except LockLost:
        # Another migrator has the target now; whatever it writes, nothing of ours is in effect.
        target.epoch_kept = True
    section = migration.section(direction)
    return StepOutcome(
        version=migration.version,
        direction=direction,
        result=StepResult.FAILED,
        checksum=section.checksum if section else "",
        duration_ms=duration_ms,
        statements=0,
        note=note,
        failure=failure,
    )


def _unrecorded(failure: Failure, why: Failure) -> Failure:
    """The failure, and why the journal could not take it, if that is another reason."""
    if failure.sqlstate == why.sqlstate and failure.message.startswith(why.message):
        return failure
    said = f"{failure.message}; nor could the journal take that: {why.message}"
    return replace(failure, message=said)


async def _abandon(target: Target, run: Execute, started: float) -> StepOutcome:
    """Leave the transaction and journal the cancellation, within a bounded time.

    The cancellation may have come too late: if the entry is there, that is the outcome.
    """
    duration = elapsed_ms(target.clock, started)
    cancelled = StepOutcome(
        run.migration.version,
        run.direction,
        StepResult.FAILED,
        run.section.checksum,
        duration,
        0,
        note=committed_note(target.progress),
        failure=_CANCELLED,
    )
    try:
        async with target.clock.timeout(CANCEL_GRACE_S):
            # The driver waits for its own cancel request before it sends this.
            await target.connection.execute("ROLLBACK")
            record = await target.read_journal()
            found = repeated(target.work, run.migration, record.entries if record else ())
            if found is not None:
                return found.outcome
            return await _failed(target, run.migration, run.direction, _CANCELLED, duration)
    except (*DRIVER_ERRORS, RunError, Unrecorded):
        target.connection.terminate()
        return cancelled
