"""The span of one command, in the words of the conventions for messaging and for CI/CD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def process_span(job: Job) -> Iterator[Span]:
    """The span of one command: a child of, and linked to, the order's context in its headers.

    Without a provider there is none, and the order's context goes on.
    """
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
            telemetry.PIPELINE_RUN: run,
            telemetry.TASK_NAME: command.kind,
            telemetry.TASK_RUN: str(command.command),
        },
        links=telemetry.links_to([origin]),
        record_exception=False,
    ) as span:
        yield span
