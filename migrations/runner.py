"""One command on one target: the use case that ties everything together.

    connect ─▶ arrive (direct? ours? locked? expected?) ─▶ plan ─▶ run each step ─▶ outcome
       ▲                                                              │
       └──────────── connection lost: ask the journal again ◀─────────┘

A server that is away, starting or full is waited for (`_Reconnecting`): nothing was tried there.
A lost connection is never a result. Whether a COMMIT that got no answer took effect is read from
the journal over a new connection, and the plan made from it goes on. While the journal could not be
asked again nobody knows its head, and the outcome says so. Every attempt that was not
refused has committed its epoch in the target before `run` returns, and every step its journal entry
before it is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

import asyncpg

from migrations.acquire import acquire
from migrations.adoption.takeover import adopt, release
from migrations.backfill.backups import drop_backups
from migrations.backfill.run import what_is_half_done, without_idle
from migrations.chance import SYSTEM_CHANCE, Chance
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.errors import (
    Refused,
    RunError,
    StandbyRefused,
    TooLate,
    Unavailable,
    Unreachable,
)
from migrations.inspection import Inspection, inspect
from migrations.model.attempt import Failure, HalfDone, Identity, Limits, Mode, Verdict
from migrations.model.migration import Direction, Language
from migrations.model.preflight import Enforcement
from migrations.model.work import (
    Adopted,
    Observer,
    Outcome,
    OutsideChange,
    StepOutcome,
    StepResult,
    Work,
)
from migrations.preflight.preflight import ask_all, refuse_blocked
from migrations.preflight.touched_tables import touched_by
from migrations.running.code import refuse_programs
from migrations.running.plan import Execute, Halt, Known, StepDecision, left_half_done, plan
from migrations.running.reconnection import ConnectionLost, Reconnection
from migrations.running.repair import repair
from migrations.running.resolve import resolve
from migrations.sql.session_state import wears_session
from migrations.step import Unrecorded, run_step, stop_step
from migrations.target.failure import from_error, in_file, located
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    LostAt,
    SessionWorn,
    close_session,
    excess,
    is_connection_lost,
    open_session,
)
from migrations.target.target import Target

__all__ = ["Inspection", "inspect", "run"]

APPLICATION_NAME = "migration-ledger"
"""What `pg_stat_activity` shows."""

_LIMITS = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P05": "idle_session_timeout",
}
"""SQLSTATEs with which the server ends a session, and the settings that say so; ours are off."""


@dataclass(slots=True)
class _Attempt:
    """What is known so far, across reconnections."""

    finished: list[StepOutcome] = field(default_factory=list)
    identity: Identity | None = None
    head: str | None = None
    """The journal's, as far as it is known: not while a session's last word got no answer."""
    let_in: bool = False
    """Whether a session got to work, so that something may have been written."""
    outside: tuple[OutsideChange, ...] = ()
    adopted: Adopted | None = None
    half_done: tuple[HalfDone, ...] | None = None
    """Of the journal at its head, once it was asked."""
    cut: dict[str, Failure] = field(default_factory=dict)
    """By version: why the server ended the session of a migration, and would again."""
    asked_before: bool = False
    """Whether the database said that this is a good moment."""
    lost_in: str = ""
    """Where the last session was lost, and what the server said."""

    def learn(self, target: Target) -> None:
        if target.journal_exists:
            self.identity = target.identity
            self.head = None if target.overtaken else target.head

    def doubt(self) -> None:
        """A session is gone, and whatever it sent last may have been committed."""
        self.head = None

    def lose(self, run: Execute, lost: LostAt) -> None:
        """Remember where a session was lost; one that ran into a limit of its own ends the run."""
        self.lost_in = ""
        if not isinstance(lost.cause, asyncpg.PostgresError):
            return
        failure = located(from_error(lost.cause), run.migration, run.direction, lost.statement)
        failure = in_file(failure, run.migration, run.direction)
        where = f"{failure.file}:{failure.line}" if failure.line else failure.file
        self.lost_in = f" (at {where}: {failure.message}, SQLSTATE {failure.sqlstate})"
        if (setting := _LIMITS.get(failure.sqlstate or "")) is not None:
            message = (
                f"the server ended the session, because of the setting {setting}: "
                f"{failure.message}; the migration sets it, or calls what does; take that out"
            )
            self.cut[run.migration.version] = replace(failure, message=message)

    def without_session(
        self, connection: Connection, settings: ConnectionSettings, error: Exception, before: int
    ) -> Outcome:
        """What it comes to that a session was lost. Raises ConnectionLost if there may be another.

        `before` is how many had finished when it began.
        """
        self.doubt()
        if (too_much := excess(connection)) is not None:
            return self.outcome(Verdict.FAILED, from_error(too_much))
        said = error.__cause__
        if not isinstance(error, LostAt) and isinstance(said, asyncpg.PostgresError):
            self.lost_in = f" ({from_error(said).message}, SQLSTATE {said.sqlstate})"
        progressed = len(self.finished) > before
        raise ConnectionLost(_lost(settings, self.lost_in), progressed=progressed) from None

    def refused(
        self, error: Refused, settings: ConnectionSettings, work: Work, *, let_in: bool
    ) -> Outcome:
        """What a refusal comes to. Raises ConnectionLost at a standby that was a primary before."""
        if isinstance(error, StandbyRefused) and (let_in or work.expectation.identity is not None):
            away = Unavailable(f"{settings.place}: {error}", reason="the server is a standby now")
            raise ConnectionLost(away, progressed=False) from None
        # After a session that worked and was lost, or a step that failed, something was tried.
        tried = let_in or any(one.result is StepResult.FAILED for one in self.finished)
        verdict = Verdict.FAILED if tried else Verdict.REFUSED
        return self.outcome(verdict, from_error(error))

    def meet(self, target: Target, observer: Observer) -> None:
        """Learn who was reached, and tell once what was done there outside of a ledger."""
        self.learn(target)
        self.let_in = True
        if target.outside and not self.outside:
            self.outside = target.outside
            observer.found_outside(self.outside)

    def finish(self, outcome: StepOutcome, observer: Observer) -> None:
        """Report an outcome, once."""
        known = {(step.version, step.direction) for step in self.finished}
        if (outcome.version, outcome.direction) not in known:
            self.finished.append(outcome)
            observer.step_finished(outcome)

    def outcome(self, verdict: Verdict, failure: Failure | None = None) -> Outcome:
        steps = tuple(self.finished)
        said = self.outside, self.adopted, self.half_done
        return Outcome(verdict, steps, self.identity, self.head, failure, *said)


async def run(
    settings: ConnectionSettings,
    work: Work,
    limits: Limits,
    observer: Observer,
    *,
    allow_outside: bool = False,
    may_begin: Callable[[], bool] = lambda: True,
    clock: Clock = SYSTEM_CLOCK,
    chance: Chance = SYSTEM_CHANCE,
) -> Outcome:
    """Do `work` on the target and say what came of it; failures are outcomes, not exceptions.

    `allow_outside` lets work without an owner run on a database that belongs to a ledger; it needs
    a reason. `may_begin` is asked under the target's lock of work that has not begun there; when it
    says no, nothing is tried.

    When the task is cancelled, the statement is cancelled on the server, the transaction rolled
    back, the failure journalled where that is possible within seconds, and CancelledError raised.
    """
    attempt, reconnecting = _Attempt(), Reconnection(limits.retry_for_s, clock, chance)
    once = partial(
        _once,
        settings=settings,
        work=work,
        limits=limits,
        observer=observer,
        allow_outside=allow_outside,
        may_begin=may_begin,
        clock=clock,
        chance=chance,
    )
    while True:
        try:
            return await once(attempt)
        except SessionWorn:
            # The next migration begins in a session of its own.
            continue
        except ConnectionLost as lost:
            pause = reconnecting.pause_s(lost)
            if not attempt.let_in and not may_begin():
                late = f"the time in which this order may begin is over: {lost.error.message}"
                return attempt.outcome(Verdict.REFUSED, from_error(TooLate(late)))
            if pause is None:
                return attempt.outcome(Verdict.FAILED, from_error(reconnecting.over(lost)))
            told = reconnecting.told(lost)
        observer.waiting(told, reconnecting.waited_s, pause)
        await clock.sleep(pause)
        observer.trying_again()


async def _once(
    attempt: _Attempt,
    *,
    settings: ConnectionSettings,
    work: Work,
    limits: Limits,
    observer: Observer,
    allow_outside: bool,
    may_begin: Callable[[], bool],
    clock: Clock,
    chance: Chance,
) -> Outcome:
    """One session's worth of the command. Raises ConnectionLost."""
    try:
        connection = await open_session(
            settings,
            application_name=APPLICATION_NAME,
            target=work.target,
            lock_timeout_s=limits.lock_timeout_s,
        )
    except Unreachable as error:
        if error.transient:
            raise ConnectionLost(error, progressed=False) from None
        return attempt.outcome(Verdict.FAILED, from_error(error))
    except Refused as error:
        return attempt.outcome(Verdict.REFUSED, from_error(error))
    before, let_in = len(attempt.finished), attempt.let_in
    try:
        target = await acquire(
            connection,
            settings,
            work,
            limits,
            observer,
            allow_outside=allow_outside,
            may_begin=may_begin,
            time=clock,
            chance=chance,
        )
        attempt.meet(target, observer)
        target.lookout.policy, target.lookout.may_cancel = limits.watchdog, work.may_cancel
        async with target.lookout.watching():
            return await _execute(attempt, target)
    except Refused as error:
        return attempt.refused(error, settings, work, let_in=let_in)
    except (RunError, Unrecorded) as error:
        known = error.failure if isinstance(error, Unrecorded) else from_error(error)
        return attempt.outcome(Verdict.FAILED, known)
    except SessionWorn:
        raise
    except Exception as error:
        if is_connection_lost(connection, error):
            return attempt.without_session(connection, settings, error, before)
        if isinstance(error, DRIVER_ERRORS):
            return attempt.outcome(Verdict.FAILED, from_error(error))
        raise
    finally:
        await close_session(connection)


async def _execute(attempt: _Attempt, target: Target) -> Outcome:
    """Plan from the journal and run, step by step, up to the first failure."""
    try:
        await _ask_before(attempt, target)
        await resolve(target)
        await repair(target)
        await drop_backups(target, target.work.drops)
        if target.work.mode is Mode.ADOPT:
            attempt.adopted = await adopt(target)
            attempt.half_done = await _left_half_done(target, failed=False)
            attempt.learn(target)
            return attempt.outcome(Verdict.DONE)
        if target.work.mode is Mode.ROLLBACK:
            attempt.adopted = await release(target)
        decisions = plan(target.work, await without_idle(target))
        refuse_programs(target.work.programs, decisions, shell=target.work.psql_shell)
        runs = [one for one in decisions if isinstance(one, Execute)]
        target.use.again = len(runs) > 1 or not all(map(_in_one_go, runs))
        worn = False
        for decision in decisions:
            if isinstance(decision, Execute):
                if worn:
                    raise SessionWorn
                worn = decision is not runs[-1] and wears_session(_texts_of(decision))
            outcome = await _carry_out(attempt, target, decision)
            attempt.finish(outcome, target.observer)
            if outcome.result is StepResult.FAILED:
                await target.keep_epoch()
                attempt.half_done = await _left_half_done(target, failed=True)
                attempt.learn(target)
                return attempt.outcome(Verdict.FAILED, outcome.failure)
        await target.keep_epoch()
        attempt.half_done = await _left_half_done(target, failed=False)
    finally:
        attempt.learn(target)
    return attempt.outcome(Verdict.DONE)


async def _ask_before(attempt: _Attempt, target: Target) -> None:
    """Ask whether this is a good moment, before anything is written. Raises PreflightBlocked.

    Asked once, of what goes up and was not begun: what was begun is better finished, and a way back
    must not be barred.
    """
    policy = target.limits.preflight
    if policy is None or policy.enforcement is Enforcement.OFF or attempt.asked_before:
        return
    work = target.work
    begun = any(one.command == work.command_id and not one.about_target for one in target.entries)
    if work.mode is not Mode.UP or begun:
        return
    runs = [one for one in plan(work, target.entries) if isinstance(one, Execute)]
    if not runs or any(one.resume or one.clean for one in runs):
        return
    touched = touched_by(one.section for one in runs)
    found = await ask_all(target.connection, policy, touched, target.settings.role, target.clock)
    attempt.asked_before = True
    target.observer.preflight_checked(found)
    refuse_blocked(found, policy)


async def _left_half_done(target: Target, *, failed: bool) -> tuple[HalfDone, ...]:
    """What the journal leaves half done now; asked where something was, or has failed."""
    if not failed and not left_half_done(target.entries):
        return ()
    record = await target.read_journal()
    entries = record.entries if record is not None else ()
    return await what_is_half_done(target.connection, target.work.target, entries)


def _in_one_go(run: Execute) -> bool:
    """Whether one transaction is all that the session is needed for."""
    asked_after = run.direction is Direction.UP and run.migration.verified_after
    return run.section.transactional and not asked_after


def _texts_of(run: Execute) -> Iterator[str]:
    verify = run.migration.verify if run.direction is Direction.UP else None
    for section in filter(None, (run.section, verify)):
        yield from (one.text for one in section.statements)
        if section.program is not None and section.program.language is Language.PYTHON:
            yield section.program.text


async def _carry_out(attempt: _Attempt, target: Target, decision: StepDecision) -> StepOutcome:
    match decision:
        case Known():
            return decision.outcome
        case Execute():
            if (why := attempt.cut.get(decision.migration.version)) is not None:
                return await stop_step(target, Halt(decision.migration, decision.direction, why))
            try:
                return await run_step(target, decision)
            except LostAt as lost:
                attempt.lose(decision, lost)
                raise
        case Halt():
            return await stop_step(target, decision)
        case _:
            assert_never(decision)


def _lost(settings: ConnectionSettings, where: str) -> Unreachable:
    return Unreachable(
        f"{settings.place}: the connection was lost again and again{where}; what was committed is "
        "in the journal, so order it again when the server is well",
        transient=True,
    )
