"""Spans and metrics of the transport, by the conventions for messaging.

One PRODUCER span per call and topic, linked to the contexts that its messages carry: those are the
messages' creation contexts and are never overwritten. A message without one gets the span's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from time import monotonic

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from ledger import telemetry
from ledger.contracts.messages import Message, Received
from ledger.contracts.wire import TRACEPARENT

LINKS = 128
"""Most links of one span: the SDK's own default limit."""

_meter = telemetry.meter()
_sent = _meter.create_counter(
    telemetry.SENT_MESSAGES, unit="{message}", description="Messages that the bus acknowledged."
)
_consumed = _meter.create_counter(
    telemetry.CONSUMED_MESSAGES, unit="{message}", description="Messages delivered to us."
)
_duration = _meter.create_histogram(
    telemetry.OPERATION_DURATION,
    unit="s",
    description="Time from a call until the broker's acknowledgement.",
    explicit_bucket_boundaries_advisory=telemetry.MESSAGING_BUCKETS,
)


@asynccontextmanager
async def sending(messages: Sequence[Message], client_id: str) -> AsyncIterator[Sequence[Message]]:
    """Trace the sending of `messages`; yields them as they are to be sent."""
    began = monotonic()
    topics = {message.topic: 0 for message in messages}
    for message in messages:
        topics[message.topic] += 1
    async with AsyncExitStack() as stack:
        spans = {}
        for topic in topics:
            group = [message for message in messages if message.topic == topic]
            spans[topic] = stack.enter_context(_send_span(topic, group, client_id))
        try:
            yield [_with_context(message, spans[message.topic]) for message in messages]
        except Exception as error:
            for span in spans.values():
                telemetry.failed(span, type(error).__name__)
            raise
    elapsed = monotonic() - began
    for topic, number in topics.items():
        attributes = {telemetry.MESSAGING_SYSTEM: "kafka", telemetry.MESSAGING_DESTINATION: topic}
        _sent.add(number, attributes)
        _duration.record(elapsed, attributes | {telemetry.MESSAGING_OPERATION: "send"})


def consumed(messages: Sequence[Received], topic: str) -> None:
    """Count what a poll delivered."""
    if messages:
        attributes = {telemetry.MESSAGING_SYSTEM: "kafka", telemetry.MESSAGING_DESTINATION: topic}
        _consumed.add(len(messages), attributes)


@contextmanager
def _send_span(topic: str, messages: Sequence[Message], client_id: str) -> Iterator[Span]:
    attributes: dict[str, str | int] = {
        telemetry.MESSAGING_SYSTEM: "kafka",
        telemetry.MESSAGING_OPERATION: "send",
        telemetry.MESSAGING_OPERATION_TYPE: "send",
        telemetry.MESSAGING_DESTINATION: topic,
        telemetry.MESSAGING_CLIENT: client_id,
    }
    if len(messages) > 1:
        attributes[telemetry.MESSAGING_BATCH] = len(messages)
    with telemetry.tracer().start_as_current_span(
        telemetry.SEND_SPAN.format(topic=topic),
        kind=SpanKind.PRODUCER,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        if span.is_recording():
            origins = [telemetry.extract(message.headers) for message in messages[:LINKS]]
            for link in telemetry.links_to(origins):
                span.add_link(link.context)
        yield span


def _with_context(message: Message, span: Span) -> Message:
    """`message` with the context of `span`, unless it carries its own already."""
    if not span.get_span_context().is_valid:
        return message
    if any(name == TRACEPARENT for name, _ in message.headers):
        return message
    context = trace.set_span_in_context(span)
    return replace(message, headers=telemetry.inject(message.headers, context))
