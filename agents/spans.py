"""The span of one command, in the words of the conventions for messaging and for CI/CD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from agents.job import Job
from ledger import telemetry
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import Verdict
from ledger.contracts.topics import agents_group

CONVENTIONAL = {
    Verdict.DONE: "success",
    Verdict.FAILED: "failure",
    Verdict.REFUSED: "error",
    Verdict.EXPIRED: "timeout",
    Verdict.CANCELLED: "cancellation",
}
"""The results of tasks in the semantic conventions for CI/CD."""


_processed = telemetry.meter().create_histogram(
    telemetry.PROCESS_DURATION,
    unit="s",
    description="Time from taking a command in hand until its last report is written.",
    explicit_bucket_boundaries_advisory=telemetry.MESSAGING_BUCKETS,
)


@contextmanager
def process_span(job: Job) -> Iterator[Span]:
    """The span of one command: a child of, and linked to, the order's context in its headers.

    Without a provider there is none, and the order's context goes on. How long it took is measured
    either way; that the migration failed is no failure of processing its command.
    """
    began = monotonic()
    try:
        with _span_of(job) as span:
            yield span
    finally:
        attributes = {
            telemetry.MESSAGING_SYSTEM: "kafka",
            telemetry.MESSAGING_OPERATION: "process",
            telemetry.MESSAGING_DESTINATION: job.message.topic,
            telemetry.MESSAGING_GROUP: agents_group(job.command.pool),
        }
        _processed.record(monotonic() - began, attributes)


@contextmanager
def _span_of(job: Job) -> Iterator[Span]:
    command, message = job.command, job.message
    origin = telemetry.extract(message.headers)
    if not telemetry.traced():
        with telemetry.attached(origin):
            yield INVALID_SPAN
        return
    run = command.rollout if isinstance(command, ApplyCommand) else command.stream
    with telemetry.tracer().start_as_current_span(
        telemetry.PROCESS_SPAN.format(topic=message.topic),
        context=origin,
        kind=SpanKind.CONSUMER,
        attributes={
            telemetry.MESSAGING_SYSTEM: "kafka",
            telemetry.MESSAGING_OPERATION: "process",
            telemetry.MESSAGING_OPERATION_TYPE: "process",
            telemetry.MESSAGING_DESTINATION: message.topic,
            telemetry.MESSAGING_PARTITION: str(message.partition),
            telemetry.MESSAGING_MESSAGE_ID: str(command.command),
            telemetry.MESSAGING_GROUP: agents_group(command.pool),
            telemetry.MESSAGING_CONVERSATION: run,
            telemetry.KAFKA_OFFSET: message.offset,
            telemetry.KAFKA_KEY: message.key,
            telemetry.DATABASE: command.database,
            telemetry.POOL: command.pool,
            telemetry.PIPELINE: _pipeline(command.stream),
            telemetry.PIPELINE_RUN: run,
            telemetry.TASK_NAME: command.kind,
            telemetry.TASK_RUN: str(command.command),
        },
        links=telemetry.links_to([origin]),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def _pipeline(stream: str) -> str:
    return telemetry.CHECK if stream.startswith("check-") else telemetry.ROLLOUT
