"""One command on one database: check, connect, run, report.

```
AttemptStarted ─▶ expired? stale? texts wrong? secret refused? ──▶ CommandRefused, AttemptFinished
                        │ no
                        ▼
                  migrations.runner.run ──▶ DatabaseIdentified, OutsideChangeFound …, Migration* …,
                                            AttemptFinished
```

What was taken back by a cancellation, before it began or while it ran, or came too late, is
answered from the journal: an earlier delivery of the command may have done all of it.

The checks here only save a connection: what keeps a stale order out is the fence in the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from agents.errors import AgentError
from agents.job import Job, Stop
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from agents.tracing import CONVENTIONAL, process_span
from agents.translation import (
    holds,
    inspected,
    journalled,
    work_of,
)
from ledger import telemetry
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.events import Purpose
from ledger.contracts.reports import DatabaseInspected
from migrations import inspection, runner
from migrations.adoption import inspect
from migrations.adoption.outcome import told
from migrations.errors import IdentityMismatch
from migrations.inspection import Inspection
from migrations.model import work
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from migrations.target.preconditions import check_expected, outside_changes
from migrations.target.session import ConnectionSettings

logger = logging.getLogger(__name__)

EPOCHS_KEPT = 100_000
"""Databases whose highest epoch is remembered: a few megabytes."""

_duration = telemetry.meter().create_histogram(
    telemetry.ATTEMPT_DURATION,
    unit="s",
    description="Time that one attempt on one database took.",
    explicit_bucket_boundaries_advisory=telemetry.ATTEMPT_BUCKETS,
)


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
        clock: Callable[[], datetime],
        messaging: str,
    ) -> None:
        self._messaging = messaging
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._epochs: OrderedDict[tuple[UUID, str], tuple[int, int]] = OrderedDict()

    async def work(self, job: Job) -> None:
        """Do `job` and report. What goes wrong is a report; only cancellation passes through."""
        reporter = self.reporter(job)
        with process_span(job, self._messaging) as span:
            began = self._clock()
            try:
                result = await self._do_or_stop(job, reporter)
            except Exception as error:
                logger.error(
                    "a defect stopped the work on %s: %s",
                    *(job.command.database, type(error).__name__),
                    exc_info=logger.isEnabledFor(logging.DEBUG),
                )
                result = self._defect(job, reporter, error)
            span.set_attribute(telemetry.TASK_RESULT, CONVENTIONAL[result])
            if result is not Verdict.DONE:
                telemetry.failed(span, result)
            elapsed = (self._clock() - began).total_seconds()
            _duration.record(elapsed, {telemetry.TASK_RESULT: CONVENTIONAL[result]})

    def reporter(self, job: Job) -> Reporter:
        """Who reports on `job`."""
        return Reporter(job, self._settings, self._outbox, self._clock)

    async def _do_or_stop(self, job: Job, reporter: Reporter) -> Verdict:
        try:
            return await self._do(job, reporter)
        except asyncio.CancelledError:
            task, command = asyncio.current_task(), job.command
            if job.stop is not Stop.ORDERED or not isinstance(command, ApplyCommand) or not task:
                raise
            task.uncancel()
            return await self._taken_back(command, reporter, "cancelled by order")

    async def _do(self, job: Job, reporter: Reporter) -> Verdict:
        match job.command:
            case ApplyCommand() as command:
                return await self._apply(job, command, reporter)
            case InspectCommand() as command:
                return await self._inspect(command, reporter)

    async def _apply(self, job: Job, command: ApplyCommand, reporter: Reporter) -> Verdict:
        if job.stop is Stop.ORDERED:
            return await self._taken_back(command, reporter, "cancelled before it began")
        if command.expires_at <= self._clock():
            # An earlier delivery may have been at work in time, and its answer lost.
            why = f"to be started before {command.expires_at.isoformat()}"
            return await self._taken_back(command, reporter, why, Verdict.EXPIRED)
        try:
            self._check(job, command)
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.finished(command, refused.verdict, failure=refused.failure)
            return refused.verdict
        reporter.started(command)
        outcome = await runner.run(
            connection,
            work_of(command, job.migrations, job.refs, self._settings.programs),
            command.order.limits,
            reporter,
        )
        for step in outcome.steps:
            reporter.step_finished(step)
        if outcome.adopted is not None:
            reporter.adopted(outcome.adopted)
        verdict = _verdict(outcome)
        reporter.finished(
            command,
            verdict,
            changed=sum(step.result in CHANGED for step in outcome.steps) + size(outcome.adopted),
            journal_head=outcome.journal_head,
            failure=outcome.failure,
        )
        return verdict

    async def _taken_back(
        self,
        command: ApplyCommand,
        reporter: Reporter,
        why: str,
        ended: Verdict = Verdict.CANCELLED,
    ) -> Verdict:
        """Answer a command that must not go on; what it has done is in the journal.

        `ended` is how it ends if it has done nothing. One that expired never counts as a failure,
        so a database that cannot be asked then changes nothing.
        """
        try:
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.finished(command, refused.verdict, failure=refused.failure)
            return refused.verdict
        found = await inspection.inspect(connection, command.connection.schema_name)
        head = _caught_up(command, found, reporter)
        outcomes = journalled(command, found)
        for outcome in outcomes:
            reporter.step_finished(outcome)
        adopted = told(found.entries, command.command, command.order.rollout)
        if adopted is not None:
            reporter.adopted(adopted)
        failures = [one.failure for one in outcomes if one.failure is not None]
        verdict: Verdict
        failure: Failure | None
        if found.failure is not None and ended is Verdict.EXPIRED:
            verdict, failure = ended, Failure(FailureClass(ended.value), why)
        elif found.failure is not None:
            verdict, failure = Verdict.FAILED, _unread(found.failure, why)
        elif failures and failures[-1].kind is not FailureClass.CANCELLED:
            verdict, failure = Verdict.FAILED, failures[-1]
        elif (outcomes and holds(command, found)) or (adopted and command.order.mode is Mode.ADOPT):
            verdict, failure = Verdict.DONE, None
        else:
            verdict, failure = ended, Failure(FailureClass(ended.value), why)
        reporter.finished(
            command,
            verdict,
            changed=sum(one.result in CHANGED for one in outcomes) + size(adopted),
            journal_head=head,
            failure=failure,
        )
        return verdict

    async def _inspect(self, command: InspectCommand, reporter: Reporter) -> Verdict:
        try:
            self._check_expiry(command)
            connection = self._connection(command)
        except AttemptRefused as refused:
            reporter.inspected(_not_reached(command, refused.failure))
            return refused.verdict
        schema = command.connection.schema_name
        found = await inspection.inspect(connection, schema)
        looks = command.order.purpose is Purpose.ADOPT and found.failure is None
        wanted = command.order.adoption
        left = await inspect.histories_in(connection, schema, wanted) if looks else ()
        reporter.inspected(inspected(command, found, left))
        return Verdict.DONE if found.failure is None else Verdict.FAILED

    def _check(self, job: Job, command: ApplyCommand) -> None:
        """Raise `AttemptRefused` for what is not to be tried at all."""
        self._check_epoch(command)
        if job.refusal or len(job.migrations) != len(command.order.steps):
            why = job.refusal or "its texts did not arrive in time"
            raise AttemptRefused(Verdict.REFUSED, Failure(FailureClass.CHECKSUM, why))

    def _check_expiry(self, command: InspectCommand) -> None:
        if command.expires_at <= self._clock():
            when = command.expires_at.isoformat()
            raise AttemptRefused(
                Verdict.EXPIRED, Failure(FailureClass.EXPIRED, f"to be started before {when}")
            )

    def _check_epoch(self, command: ApplyCommand) -> None:
        place = (command.ledger, command.database)
        epoch = (command.epoch.term, command.epoch.position)
        highest = self._epochs.get(place, epoch)
        if epoch < highest:
            why = f"epoch {epoch} is older than {highest}, which this agent has worked on"
            raise AttemptRefused(Verdict.REFUSED, Failure(FailureClass.FENCE, why))
        self._epochs[place] = epoch
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
                reporter.inspected(_not_reached(command, failure))
        return Verdict.FAILED


CHANGED = (work.StepResult.APPLIED, work.StepResult.ROLLED_BACK)
"""What counts as in force: this rollout's own steps, recovered ones included."""


def size(adopted: work.Adopted | None) -> int:
    """How many migrations an adoption has put in force, or out of it."""
    return len(adopted.taken) + len(adopted.released) if adopted else 0


def _verdict(outcome: work.Outcome) -> Verdict:
    """How the attempt ended; one that was cancelled did not fail, also when the journal says it."""
    if outcome.failure is not None and outcome.failure.kind is FailureClass.CANCELLED:
        return Verdict.CANCELLED
    return outcome.verdict


def _caught_up(command: ApplyCommand, found: Inspection, reporter: Reporter) -> str | None:
    """Tell what was done outside of a ledger; the journal's head, which the next order expects.

    `None` where the journal is not the one the ledger knows: the next order has to find that, too.
    """
    expected = command.order.expected
    try:
        check_expected(found.record, found.identity, expected, command.command)
    except IdentityMismatch:
        return None
    reporter.found_outside(outside_changes(found.record, expected.journal_head))
    return found.journal_head


def _not_reached(command: InspectCommand, failure: Failure) -> DatabaseInspected:
    return DatabaseInspected(
        database=command.database, command=command.command, reachable=False, failure=failure
    )


def _unread(failure: Failure, why: str) -> Failure:
    text = f"{why}, and what it did before could not be read: {failure.message}"
    return replace(failure, message=text)
