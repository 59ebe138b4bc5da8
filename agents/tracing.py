"""The span of one command, in the words of the conventions for messaging and for CI/CD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from agents.job import Job
from ledger import instruments, telemetry
from ledger.bus.tracing import Attributes
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import NAME_MAX_CHARS, SpanNote
from ledger.contracts.topics import agents_group
from ledger.sampling import Hold, has_failed
from migrations.clock import Clock
from migrations.model.attempt import Verdict
from migrations.running.telemetry import STEP_SPAN

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

NOTED_MOST = 64
"""Spans of one attempt that the log keeps: some kilobytes at most, a few hundred bytes mostly."""
CONVENTIONAL = {
    Verdict.DONE: "success",
    Verdict.FAILED: "failure",
    Verdict.REFUSED: "error",
    Verdict.EXPIRED: "timeout",
    Verdict.CANCELLED: "cancellation",
}
"""The results of tasks in the semantic conventions for CI/CD."""


_processed = instruments.histogram(instruments.PROCESSED)


@contextmanager
def process_span(job: Job, messaging: str, clock: Clock) -> Iterator[Span]:
    """The span of one command: a child of, and linked to, the order's context in its headers.

    `messaging` names the system that carried the command. Where it is empty the command never left
    this process: the span says nothing of messages, and no consumer's time is measured.

    Without a provider there is no span, and the order's context goes on; a consumer's time is
    measured all the same. That the migration failed is no failure of processing its command.
    """
    began = clock.monotonic()
    try:
        with _span_of(job, messaging) as span:
            yield span
    finally:
        if messaging:
            _processed.record(clock.monotonic() - began, _consumed(job, messaging))


@contextmanager
def _span_of(job: Job, messaging: str) -> Iterator[Span]:
    command, message = job.command, job.message
    origin = telemetry.extract(message.headers)
    if not telemetry.traced():
        with telemetry.attached(origin):
            yield INVALID_SPAN
        return
    apply = command.order if isinstance(command, ApplyCommand) else None
    run = apply.rollout if apply else command.stream
    with telemetry.tracer().start_as_current_span(
        telemetry.PROCESS_SPAN.format(topic=message.topic),
        context=origin,
        kind=SpanKind.CONSUMER if messaging else SpanKind.INTERNAL,
        attributes={
            **(_message(job, messaging, run) if messaging else {}),
            telemetry.DATABASE: command.database,
            telemetry.POOL: command.pool,
            telemetry.PIPELINE: (
                telemetry.CHECK if command.stream.startswith("check-") else telemetry.ROLLOUT
            ),
            telemetry.PIPELINE_RUN: run,
            telemetry.TASK_NAME: command.kind,
            telemetry.TASK_RUN: str(command.command),
            **({telemetry.ATTEMPT: apply.attempt} if apply else {}),
        },
        links=telemetry.links_to([origin]),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def noted(hold: Hold | None, whole: Span) -> tuple[SpanNote, ...]:
    """What the log keeps of the spans that have ended, so that they can be sent once more.

    Of many, those that failed are kept, those of migrations, and of the others the first ones. The
    last note is that of the `whole` attempt, which has not ended yet.
    """
    ended = hold.ended if hold is not None else []
    if not ended:
        return ()
    parents = {one.context.span_id: one.parent.span_id for one in ended if one.parent}
    order = sorted(range(len(ended)), key=lambda at: (not _matters(ended[at]), at))
    kept = [ended[at] for at in sorted(order[:NOTED_MOST])]
    numbers = {one.context.span_id: number for number, one in enumerate(kept)}
    notes = []
    for one in kept:
        above = parents.get(one.context.span_id, 0)
        while above in parents and above not in numbers:
            above = parents[above]
        notes.append(_note(one, numbers.get(above, -1)))
    return (*notes, *_note_of_all(whole, ended))


def _note_of_all(whole: Span, ended: Sequence[ReadableSpan]) -> Iterator[SpanNote]:
    """The attempt's own note; its client is a broker, where one brought the command."""
    kind, began = getattr(whole, "kind", None), getattr(whole, "start_time", None)
    if began is not None:
        yield SpanNote(
            name=str(getattr(whole, "name", ""))[:NAME_MAX_CHARS],
            id=f"{whole.get_span_context().span_id:016x}",
            inside=-1,
            client=kind is SpanKind.CONSUMER,
            began_us=began // 1_000,
            took_us=max(max(one.end_time or 0 for one in ended) - began, 0) // 1_000,
        )


def _matters(span: ReadableSpan) -> bool:
    return has_failed(span) or span.name.startswith(STEP_SPAN.partition("{")[0])


def _note(span: ReadableSpan, inside: int) -> SpanNote:
    began = span.start_time or 0
    return SpanNote(
        name=span.name[:NAME_MAX_CHARS],
        id=f"{span.context.span_id:016x}",
        inside=inside,
        client=span.kind is SpanKind.CLIENT,
        began_us=began // 1_000,
        took_us=max((span.end_time or began) - began, 0) // 1_000,
        error=str((span.attributes or {}).get(telemetry.ERROR_TYPE, ""))[:NAME_MAX_CHARS],
    )


def _message(job: Job, messaging: str, run: str) -> Attributes:
    """What a span says of the message that brought the command."""
    return {
        **_consumed(job, messaging),
        telemetry.MESSAGING_OPERATION_TYPE: "process",
        telemetry.MESSAGING_PARTITION: str(job.message.partition),
        telemetry.MESSAGING_MESSAGE_ID: str(job.id),
        telemetry.MESSAGING_CONVERSATION: run,
        telemetry.KAFKA_OFFSET: job.message.offset,
        telemetry.KAFKA_KEY: job.message.key,
    }


def _consumed(job: Job, messaging: str) -> Attributes:
    """What spans and measurements say of a consumer."""
    return {
        telemetry.MESSAGING_SYSTEM: messaging,
        telemetry.MESSAGING_OPERATION: "process",
        telemetry.MESSAGING_DESTINATION: job.message.topic,
        telemetry.MESSAGING_GROUP: agents_group(job.command.pool),
    }
