"""The span of one command, in the words of the conventions for messaging and for CI/CD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from agents.job import Job
from ledger import instruments, telemetry
from ledger.bus.tracing import Attributes
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.topics import agents_group
from migrations.clock import Clock
from migrations.model.attempt import Verdict

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
    run = command.order.rollout if isinstance(command, ApplyCommand) else command.stream
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
        },
        links=telemetry.links_to([origin]),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


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
