"""What happened on one database, in the ledger's words: an observer that reports as it hears.

Reports have derived ids and bodies that say only what happened, so the same report sent twice is
the same; who sent it, when, and whether it was read from the journal goes into the metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from math import ceil

from opentelemetry import trace

from agents.job import Job, JobPhase
from agents.outbox import Outbox
from agents.settings import AgentSettings
from agents.tracing import noted
from agents.waits import Waits
from ledger import instruments, sampling, telemetry
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, SpanNote, encode, report_id
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    BatchProgressed,
    BlockerCancelled,
    CommandRefused,
    ContentMissing,
    DatabaseIdentified,
    DatabaseInspected,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    MigrationSkipped,
    OutsideChangeFound,
    PreflightChecked,
    Report,
)
from ledger.contracts.wire import encode_report
from ledger.telemetry import current_context
from migrations.backfill.progress import ProgressThrottle, committed_in
from migrations.clock import Clock
from migrations.model.attempt import Failure, FailureClass, HalfDone, Identity, Verdict
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.preflight import PreflightResult
from migrations.model.work import Adopted, BatchProgress, OutsideChange, StepOutcome, StepResult

logger = logging.getLogger(__name__)

_UNEXPLAINED = Failure(FailureClass.INTERNAL, "no reason was given; report this as a defect")
"""For a failure that came without a reason, which would be a defect."""
_statement = instruments.histogram(instruments.STATEMENT)
_POSTGRESQL = {telemetry.DB_SYSTEM: "postgresql"}

STATEMENT_MAX_CHARS = 8_000
"""Of a failed statement's text: enough to recognise it, small enough for a message."""


class Reporter:
    """Reports on one job; also the observer of its run. Its methods never block.

    `key` is the id of the key that the outbox signs with.
    """

    def __init__(
        self,
        job: Job,
        settings: AgentSettings,
        outbox: Outbox,
        clock: Clock,
        key: str | None = None,
    ) -> None:
        self._job = job
        self._key = key
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._waits = Waits(job, settings.pool, clock)
        self._told: set[tuple[str, Direction]] = set()
        self._pace = ProgressThrottle(clock.now())

    # --- the command ---

    def started(self, command: ApplyCommand) -> None:
        """The agent took the command and is about to connect."""
        self.say(
            AttemptStarted(
                database=command.database,
                command=command.command,
                attempt=command.order.attempt,
                mode=command.order.mode,
            )
        )

    def content_missing(self, command: ApplyCommand) -> None:
        """Texts are not here; they are waited for."""
        bundle = command.order.bundle
        self.say(ContentMissing(database=command.database, command=command.command, bundle=bundle))

    def refused(self, command: ApplyCommand, failure: Failure) -> None:
        """This delivery of the command is not tried, whatever came of an earlier one."""
        short = failure.shortened(STATEMENT_MAX_CHARS)
        self.say(CommandRefused(database=command.database, command=command.command, failure=short))

    def finished(
        self,
        command: ApplyCommand,
        verdict: Verdict,
        *,
        steps: Sequence[StepOutcome] = (),
        changed: int = 0,
        journal_head: str | None = None,
        failure: Failure | None = None,
        half_done: tuple[HalfDone, ...] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """The last word on the command; a refusal is said as such first."""
        self._waits.end()
        failure = shorten(failure)
        self._job.failed_by = failure.kind if failure else None
        # Of the data migration that has not ended.
        unended = [step.note for step in steps if step.result is StepResult.FAILED]
        rows, batches = committed_in(unended[-1]) if unended else (0, 0)
        if verdict is Verdict.REFUSED and failure is not None:
            self.refused(command, failure)
        self.say(
            AttemptFinished(
                database=command.database,
                command=command.command,
                attempt=command.order.attempt,
                mode=command.order.mode,
                verdict=verdict,
                changed=changed,
                journal_head=journal_head,
                failure=failure,
                half_done=half_done,
                rows=rows,
                batches=batches,
                fingerprint=fingerprint,
            ),
            spans=noted(sampling.hold(), trace.get_current_span()),
        )
        self._job.answered = True
        if failure is not None:
            # Its class and place alone: what a server said may quote what a tenant stored.
            logger.warning(
                "%s on %s ended as %s: %s%s%s; `ledger rollout status %s` has the rest",
                command.order.mode,
                command.database,
                verdict,
                failure.kind,
                f" {failure.sqlstate}" if failure.sqlstate else "",
                f" at {failure.file}:{failure.line}" if failure.file else "",
                command.order.rollout,
            )

    def inspected(self, report: DatabaseInspected) -> None:
        """What a look at the database found: the last word on that command."""
        self._job.failed_by = report.failure.kind if report.failure else None
        self.say(report)
        self._job.answered = True

    def say(
        self, report: Report, *, recovered: bool | None = None, spans: tuple[SpanNote, ...] = ()
    ) -> None:
        """Queue `report`, in the current trace."""
        command = self._job.command
        traceparent, tracestate = current_context()
        metadata = Metadata(
            causation=str(command.command),
            correlation=command.order.rollout if isinstance(command, ApplyCommand) else None,
            traceparent=traceparent,
            tracestate=tracestate,
            agent=self._settings.name,
            occurred_at=self._clock.now(),
            recovered=recovered or None,
            insecure=self._settings.insecure or None,
            key=self._key,
            spans=spans or None,
        )
        encoded = encode(report, report_id(report), metadata)
        stream = f"{command.stream}/reports"
        message = encode_report(command.ledger, stream, encoded, self._settings.name, metadata)
        self._job.ticket = self._outbox.add([message])

    # --- the observer of migrations.runner ---

    def identified(self, identity: Identity, server_version: int, first_contact: bool) -> None:
        """The session is proven to be the target's.

        Reported at the ledger's first contact, by the command: later ones carry the identity, and
        an attempt that ends as done has found it. What the session found (`first_contact`) is
        another thing when the same command is delivered again.
        """
        command = self._job.command
        self._running("", 0, 0)
        if isinstance(command, ApplyCommand) and command.order.expected.identity is None:
            self.say(
                DatabaseIdentified(
                    database=command.database,
                    command=self._job.id,
                    identity=identity,
                    server_version=server_version,
                    first_contact=True,
                )
            )

    def found_outside(self, changes: Sequence[OutsideChange]) -> None:
        """Somebody changed the target outside of a ledger; said before what this job does there."""
        for change in latest(changes):
            self.say(
                OutsideChangeFound(
                    database=self._job.command.database,
                    command=self._job.id,
                    version=change.version,
                    direction=change.direction.value,
                    checksum=change.checksum,
                    reason=change.reason,
                    by=change.by,
                    at=change.at,
                )
            )

    def preflight_checked(self, results: Sequence[PreflightResult]) -> None:
        """What a database said before anything was tried there, reported as it was."""
        self.say(
            PreflightChecked(
                database=self._job.command.database,
                command=self._job.id,
                checked_at=self._clock.now(),
                results=tuple(results),
            )
        )

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Something is waited for: heartbeats say it."""
        self._waits.begin(what, since_s, retry_in_s)

    def blocker_cancelled(self, by: str, waiting_s: float, said: str) -> None:
        """What was done to others is reported, whatever becomes of the migration."""
        self._waits.cut_short(waiting_s)
        self.say(
            BlockerCancelled(
                database=self._job.command.database,
                command=self._job.id,
                cancelled_at=self._clock.now(),
                migration=self._job.migration,
                blocker=by,
                waited_ms=int(waiting_s * 1000),
                said=said,
            )
        )

    def given_up(self, waiting_s: float) -> None:
        """Trace it; the failure that follows is reported."""
        self._waits.cut_short(waiting_s, FailureClass.LOCK_TIMEOUT.value)

    def going_on(self) -> None:
        """Heartbeats say what runs."""
        job = self._job
        self._running(job.migration, job.statement, job.statements)

    def standing(self, said: str) -> None:
        """Heartbeats say how far the statement is, and whom it keeps waiting."""
        self._job.standing = said

    def trying_again(self) -> None:
        """Heartbeats go on to say what was waited for, until a statement has run."""
        self._job.phase, self._job.next_try_at = JobPhase.RUNNING, None
        self._job.running_since = self._clock.now()

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """A migration begins."""
        section = migration.section(direction)
        self._waits.belong_to_this()
        self._pace = ProgressThrottle(self._clock.now())
        self._running(migration.label, 0, len(section.statements) if section else 0)

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Statement `index` of `total` has run."""
        _statement.record(duration_ms / 1000, _POSTGRESQL)
        self._running(migration.label, index, total)

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        """A batch is committed: said when a second and a hundredth have passed since the last."""
        section = migration.section(direction)
        self._running(migration.label, 0, len(section.statements) if section else 0)
        if self._pace.due(progress, self._clock.now()):
            self.say(
                BatchProgressed(
                    database=self._job.command.database,
                    command=self._job.id,
                    version=migration.version,
                    direction=direction.value,
                    batches=progress.batches,
                    rows=progress.rows,
                    total=progress.total,
                    left_s=None if progress.left_s is None else ceil(progress.left_s),
                )
            )

    def step_finished(self, outcome: StepOutcome) -> None:
        """A migration ended; said once, also when the outcome at the end repeats it."""
        place = (outcome.version, outcome.direction)
        if place not in self._told:
            self._told.add(place)
            report = step_report(self._job, outcome)
            self.say(report, recovered=outcome.recovered)

    def adopted(self, adopted: Adopted) -> None:
        """Another tool's history was taken over, or taken out of the journal again."""
        self.say(
            HistoryAdopted(
                database=self._job.command.database,
                command=self._job.id,
                source=adopted.source,
                table=adopted.table,
                rows=adopted.rows,
                taken=adopted.taken,
                released=adopted.released,
            ),
            recovered=adopted.recovered,
        )

    def _running(self, migration: str, statement: int, statements: int) -> None:
        job = self._job
        self._waits.end()
        job.phase, job.waits_for, job.next_try_at = JobPhase.RUNNING, "", None
        job.standing, job.running_since = "", self._clock.now()
        job.migration, job.statement, job.statements = migration, statement, statements


def step_report(job: Job, outcome: StepOutcome) -> Report:
    """What one migration's outcome is called."""
    database, command, version = job.command.database, job.id, outcome.version
    checksum, direction = outcome.checksum, outcome.direction.value
    match outcome.result:
        case StepResult.APPLIED | StepResult.ROLLED_BACK:
            applied = outcome.result is StepResult.APPLIED
            return (MigrationApplied if applied else MigrationRolledBack)(
                database=database,
                command=command,
                version=version,
                checksum=checksum,
                duration_ms=outcome.duration_ms,
                statements=outcome.statements,
            )
        case StepResult.SKIPPED:
            return MigrationSkipped(
                database=database,
                command=command,
                version=version,
                direction=direction,
                checksum=checksum,
                note=outcome.note,
            )
        case StepResult.FAILED:
            return MigrationFailed(
                database=database,
                command=command,
                version=version,
                direction=direction,
                checksum=checksum,
                failure=shorten(outcome.failure) or _UNEXPLAINED,
            )


def latest(changes: Iterable[OutsideChange]) -> list[OutsideChange]:
    """The last change of each migration and direction, in the order of these last ones.

    A report's id tells no more of them apart, and what is said last of a migration holds.
    """
    kept: dict[tuple[str, Direction], OutsideChange] = {}
    for change in changes:
        kept.pop((change.version, change.direction), None)
        kept[change.version, change.direction] = change
    return list(kept.values())


def shorten(failure: Failure | None) -> Failure | None:
    """The same failure with no more of its statement than fits well into a message."""
    return failure and failure.shortened(STATEMENT_MAX_CHARS)
