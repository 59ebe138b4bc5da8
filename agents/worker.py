"""One command on one database: check, connect, run, report.

```
AttemptStarted ─▶ expired? stale? texts wrong? secret refused? ──▶ CommandRefused, AttemptFinished
                        │ no
                        ▼
                     Engine.run          ──▶ DatabaseIdentified, OutsideChangeFound …, Migration* …,
                                            AttemptFinished
```

What was taken back by a cancellation, before it began or while it ran, came too late or, by our
clock, too early, or was overtaken by a later order is answered from the journal: an earlier
delivery of the command may have done all of it. Another agent may be at work on it, too, so it is
answered under the target's lock: as long as somebody holds that, only the wait is told.
Where our clock and the database's, or the ledger's, are apart, nothing is begun.

The checks here only save a connection: what keeps a stale order out is the fence in the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from uuid import UUID

from agents import answers
from agents.answers import BY_ORDER, CHANGED, NOT_BEGUN, Answer, Ended, answer, left_by, size
from agents.backup_command import limits_with_backup, with_backup_word
from agents.errors import AgentError
from agents.job import Job, Stop
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from agents.tracing import CONVENTIONAL, process_span
from agents.translation import inspected, journal_of, not_reached, with_schema, work_of
from ledger import instruments, sampling, telemetry
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.events import Purpose
from ledger.monitoring.logs import logged_about
from migrations.catalog.visit import Visit
from migrations.clock import Clock
from migrations.engine import Engine
from migrations.errors import ClockApart, IdentityMismatch, StaleEpoch, TooLate
from migrations.inspection import Inspection
from migrations.model.attempt import Failure, FailureClass, Verdict
from migrations.model.clocks import ComparedClock, moment_text
from migrations.model.work import Outcome
from migrations.target.preconditions import check_expected, outside_changes
from migrations.target.refusals import stale_epoch
from migrations.target.session import ConnectionSettings

logger = logging.getLogger(__name__)

EPOCHS_KEPT = 100_000
"""Databases whose highest epoch is remembered: a few megabytes."""

_duration = instruments.histogram(instruments.ATTEMPT)


@dataclass(frozen=True, slots=True)
class AttemptRefused(Exception):
    """The agent does not try; why, and how the attempt ends by that."""

    verdict: Verdict
    failure: Failure


class Worker:
    """Does jobs, one call each; what is shared between them is only how they report.

    `messaging` is the `system` of the bus that the jobs come from.
    """

    def __init__(
        self,
        settings: AgentSettings,
        outbox: Outbox,
        clock: Clock,
        engine: Engine,
        messaging: str,
        key: str | None = None,
    ) -> None:
        self._messaging = messaging
        self._key = key
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._engine = engine
        self._checked = ComparedClock(clock.now, f"the clock of agent {settings.name}")
        self._epochs: OrderedDict[tuple[UUID, str], tuple[int, int]] = OrderedDict()

    async def work(self, job: Job) -> None:
        """Do `job` and report. What goes wrong is a report; only cancellation passes through."""
        with logged_about(**_about(job)):
            await self._work(job)

    async def _work(self, job: Job) -> None:
        reporter = self.reporter(job)
        with sampling.held() as hold, process_span(job, self._messaging, self._clock) as span:
            hold.wanted = telemetry.is_canary()
            began = self._clock.monotonic()
            try:
                result = await self._do_or_stop(job, reporter)
            except Exception as error:
                logger.error(
                    "a defect stopped the work on %s: %s",
                    job.command.database,
                    type(error).__name__,
                    exc_info=logger.isEnabledFor(logging.DEBUG),
                )
                result = self._defect(job, reporter, error)
            span.set_attribute(telemetry.TASK_RESULT, CONVENTIONAL[result])
            if result is not Verdict.DONE:
                hold.wanted = True
                telemetry.failed(span, result)
            if isinstance(job.command, ApplyCommand):
                told = {telemetry.TASK_RESULT: CONVENTIONAL[result]}
                if job.failed_by is not None:
                    told[telemetry.ERROR_TYPE] = job.failed_by.value
                _duration.record(self._clock.monotonic() - began, told)

    def reporter(self, job: Job) -> Reporter:
        """Who reports on `job`."""
        return Reporter(job, self._settings, self._outbox, self._clock, self._key)

    async def _do_or_stop(self, job: Job, reporter: Reporter) -> Verdict:
        try:
            return await self._do(job, reporter)
        except asyncio.CancelledError:
            task, command = asyncio.current_task(), job.command
            if job.stop is not Stop.ORDERED or not isinstance(command, ApplyCommand) or not task:
                raise
            task.uncancel()
            return await self._taken_back(command, reporter, _cancelled(BY_ORDER))

    async def _do(self, job: Job, reporter: Reporter) -> Verdict:
        match job.command:
            case ApplyCommand() as command:
                return await self._apply(job, command, reporter)
            case InspectCommand() as command:
                return await self._inspect(command, reporter)

    async def _apply(self, job: Job, command: ApplyCommand, reporter: Reporter) -> Verdict:
        if job.stop is Stop.ORDERED:
            return await self._taken_back(command, reporter, _cancelled(NOT_BEGUN))
        if (untimely := self._untimely(command)) is not None:
            # An earlier delivery may have been at work in time, and its answer lost.
            return await self._taken_back(command, reporter, untimely)
        if self._is_overtaken(command):
            return await self._taken_back(command, reporter, _overtaken(command))
        if (unfit := _unfit(job, command)) is not None:
            return await self._taken_back(command, reporter, unfit)
        try:
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.finished(command, refused.verdict, failure=refused.failure)
            return refused.verdict
        reporter.started(command)
        program = self._settings.backup_command
        outcome = await self._engine.run(
            connection,
            work_of(
                command,
                job.migrations,
                job.refs,
                self._settings.programs,
                self._checked,
                job.folder and replace(job.folder, name=command.order.history),
                psql_shell=self._settings.psql_shell,
                may_cancel=self._settings.cancel_blockers,
            ),
            await limits_with_backup(command.order.limits, program, command.database),
            reporter,
            may_begin=lambda: self._clock.now() < command.expires_at,
        )
        if outcome.failure is not None and outcome.failure.kind == TooLate.kind:
            return await self._taken_back(command, reporter, _expired(command))
        if outcome.failure is not None and outcome.failure.kind == StaleEpoch.kind:
            return await self._taken_back(command, reporter, _overtaken(command))
        self._note_epoch(command, outcome)
        for step in outcome.steps:
            reporter.step_finished(step)
        if outcome.adopted is not None:
            reporter.adopted(outcome.adopted)
        verdict = answers.verdict_of(outcome)
        changed = sum(step.result in CHANGED for step in outcome.steps)
        reporter.finished(
            command,
            verdict,
            steps=outcome.steps,
            changed=changed + size(outcome.adopted),
            journal_head=outcome.journal_head,
            failure=outcome.failure,
            half_done=outcome.half_done,
            fingerprint=await self._fingerprint(command, connection) if changed else None,
        )
        return verdict

    async def _fingerprint(
        self, command: ApplyCommand, connection: ConnectionSettings
    ) -> str | None:
        """Of the schema as it is now; `None` where no setting asks for it, or it cannot be had."""
        if not self._settings.fingerprints:
            return None
        found = await self._engine.snapshot(connection, journal_of(command), keep=False)
        return found.snapshot.digest if found.snapshot else None

    async def _taken_back(self, command: ApplyCommand, reporter: Reporter, ended: Ended) -> Verdict:
        """Answer a command that must not go on; what it has done is in the journal.

        `ended` is how it ends if it has done nothing. One untimely or overtaken never counts as a
        failure, so a database that cannot be asked then changes nothing; one that can, says with
        its own clock whether the order or our clock is to blame.
        """
        try:
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.finished(command, refused.verdict, failure=refused.failure)
            return refused.verdict
        target = journal_of(command)
        found = await self._engine.inspect_at_rest(connection, target, reporter, self._checked)
        left = left_by(command, found)
        said = answer(command, left, ended)
        head = _caught_up(command, left, reporter)
        if found.clocks is not None and said.verdict is Verdict.EXPIRED and not said.worked:
            said = Answer(Verdict.REFUSED, found.clocks)
        if found.failure is not None:
            said, head = answers.unread(found.failure, ended), None
        elif said.verdict is Verdict.REFUSED and not said.worked:
            head = None
        if ended.verdict is Verdict.REFUSED and said.verdict is not ended.verdict:
            # The last word stands as it was said, and this delivery has its reason all the same.
            reporter.refused(command, ended.failure)
        if said.worked:
            # Whoever worked on it may have ended before he could say that it was started.
            reporter.started(command)
        for step in said.steps:
            reporter.step_finished(step)
        if said.adopted is not None:
            reporter.adopted(said.adopted)
        reporter.finished(
            command,
            said.verdict,
            steps=said.steps,
            changed=said.changed,
            journal_head=head,
            failure=said.failure,
            half_done=left.half_done if head is not None else None,
        )
        return said.verdict

    async def _inspect(self, command: InspectCommand, reporter: Reporter) -> Verdict:
        try:
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.inspected(not_reached(command, refused.failure))
            return refused.verdict
        target, late = journal_of(command), self._late(command)
        found = await self._engine.inspect(connection, target, self._checked)
        if late is not None and found.clocks is None:
            reporter.inspected(not_reached(command, late))
            return Verdict.EXPIRED
        looks = command.order.purpose is Purpose.ADOPT and found.failure is None
        wanted = command.order.adoption
        left = await self._engine.histories(connection, target, wanted) if looks else ()
        report = inspected(command, found, left)
        if (wished := command.order.preflight) is not None and found.failure is None:
            program = self._settings.backup_command
            policy = await with_backup_word(wished.policy, program, command.database)
            wished = replace(wished, policy=policy)
            asked = await self._engine.preflight(connection, target, wished)
            report = report.model_copy(update={"preflight": asked})
        schema = await self._schema(command, connection, found)
        reporter.inspected(with_schema(report, schema))
        return Verdict.DONE if found.failure is None else Verdict.FAILED

    async def _schema(
        self, command: InspectCommand, connection: ConnectionSettings, found: Inspection
    ) -> Visit | None:
        """What the schema is, for a look at that; `None` for others, and where nobody answers."""
        purpose = command.order.purpose
        if purpose not in (Purpose.DRIFT, Purpose.SNAPSHOT) or not found.reachable:
            return None
        keep = purpose is Purpose.SNAPSHOT
        return await self._engine.snapshot(connection, journal_of(command), keep=keep)

    def _untimely(self, command: ApplyCommand) -> Ended | None:
        """Why the command is too old, or comes from what is the future here; `None` if neither."""
        if command.expires_at <= self._clock.now():
            return _expired(command)
        try:
            self._checked.check_order(command.ordered_at)
        except ClockApart as error:
            return Ended(Verdict.REFUSED, Failure(error.kind, error.message))
        return None

    def _late(self, command: InspectCommand) -> Failure | None:
        """Why the look is too old; `None` when it is not."""
        if command.expires_at > self._clock.now():
            return None
        return Failure(FailureClass.EXPIRED, _begin_by(command))

    def _is_overtaken(self, command: ApplyCommand) -> bool:
        """Whether this agent has worked on a later order."""
        place = (command.ledger, command.database)
        epoch = (command.epoch.term, command.epoch.position)
        return epoch < self._epochs.get(place, epoch)

    def _note_epoch(self, command: ApplyCommand, outcome: Outcome) -> None:
        """Earlier orders are overtaken from here, if the database's own fence let this one in."""
        if outcome.verdict is Verdict.REFUSED:
            return
        place = (command.ledger, command.database)
        self._epochs[place] = (command.epoch.term, command.epoch.position)
        self._epochs.move_to_end(place)
        if len(self._epochs) > EPOCHS_KEPT:
            self._epochs.popitem(last=False)

    def _connection(self, command: ApplyCommand | InspectCommand) -> ConnectionSettings:
        try:
            return connection_settings(command.connection, command.database, self._settings)
        except AgentError as error:
            raise AttemptRefused(
                Verdict.REFUSED, Failure(FailureClass.REFERENCE, str(error))
            ) from None

    def _defect(self, job: Job, reporter: Reporter, error: Exception) -> Verdict:
        failure = Failure(
            FailureClass.INTERNAL, f"unexpected {type(error).__name__}; report this as a defect"
        )
        match job.command:
            case ApplyCommand() as command:
                reporter.finished(command, Verdict.FAILED, failure=failure)
            case InspectCommand() as command:
                reporter.inspected(not_reached(command, failure))
        return Verdict.FAILED


def _caught_up(command: ApplyCommand, found: Inspection, reporter: Reporter) -> str | None:
    """Tell what was done outside of a ledger; the journal's head, which the next order expects.

    `None` where the journal is not the one the ledger knows: the next order has to find that, too.
    """
    order = command.order
    expected, rollouts = order.expected, (order.rollout, order.undoes or order.rollout)
    try:
        check_expected(found.record, found.identity, expected, command.command, rollouts)
    except IdentityMismatch:
        return None
    reporter.found_outside(outside_changes(found.record, expected.journal_head))
    return found.journal_head


def _about(job: Job) -> dict[str, str]:
    """What lines of the log are about while this is worked on."""
    command = job.command
    told = {"database": command.database, "command": str(command.command), "pool": command.pool}
    if isinstance(command, ApplyCommand):
        return told | {"rollout": command.order.rollout, "attempt": str(command.order.attempt)}
    return told | {"check": command.stream.removeprefix("check-")}


def _unfit(job: Job, command: ApplyCommand) -> Ended | None:
    """Why the command cannot be tried with the texts at hand, if it cannot."""
    if job.refusal or len(job.migrations) != len(command.order.steps):
        why = job.refusal or "its texts did not arrive in time"
        return Ended(Verdict.REFUSED, Failure(FailureClass.CHECKSUM, why))
    return None


def _cancelled(why: str) -> Ended:
    return Ended(Verdict.CANCELLED, Failure(FailureClass.CANCELLED, why))


def _expired(command: ApplyCommand) -> Ended:
    return Ended(Verdict.EXPIRED, Failure(TooLate.kind, _begin_by(command)))


def _begin_by(command: ApplyCommand | InspectCommand) -> str:
    return f"to be started before {moment_text(command.expires_at)}"


def _overtaken(command: ApplyCommand) -> Ended:
    """The words of the fence, whoever finds it: the same order is refused in the same words."""
    refused = stale_epoch(command.epoch)
    return Ended(Verdict.REFUSED, Failure(refused.kind, refused.message))
