"""Spans and metrics of the transport, by the conventions for messaging.

One PRODUCER span per call and topic, linked to the contexts that its messages carry: those are the
messages' creation contexts and are never overwritten. A message without one gets the span's own.
A poll that delivered nothing has no span, or an idle agent would fill a collector with them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from ledger import instruments, telemetry
from ledger.contracts.messages import Message, Received
from ledger.contracts.wire import TRACEPARENT
from migrations.clock import Clock

SYSTEM = "kafka"
"""What the conventions call the broker; only its adapter makes spans here."""
_sent = instruments.counter(instruments.SENT)
_consumed = instruments.counter(instruments.CONSUMED)
_duration = instruments.histogram(instruments.OPERATION)


Attributes = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Client:
    """Who talks to the broker, and where it was told to find one."""

    id: str
    address: str
    port: int | None
    group: str = ""

    @classmethod
    def of(cls, client_id: str, servers: Sequence[str], group: str = "") -> Client:
        """A client of these bootstrap addresses; the first of them names the broker."""
        host, _, port = servers[0].rpartition(":")
        return cls(client_id, host.strip("[]"), int(port) if port.isdigit() else None, group)

    def span_attributes(self, topic: str, operation: str, type_: str, count: int) -> Attributes:
        """What every span of the transport says at its start."""
        found: Attributes = {
            telemetry.MESSAGING_SYSTEM: SYSTEM,
            telemetry.MESSAGING_OPERATION: operation,
            telemetry.MESSAGING_OPERATION_TYPE: type_,
            telemetry.MESSAGING_DESTINATION: topic,
            telemetry.MESSAGING_CLIENT: self.id,
            telemetry.SERVER_ADDRESS: self.address,
        }
        if self.port is not None:
            found[telemetry.SERVER_PORT] = self.port
        if self.group:
            found[telemetry.MESSAGING_GROUP] = self.group
        if count > 1:
            found[telemetry.MESSAGING_BATCH] = count
        return found


@asynccontextmanager
async def sending(
    messages: Sequence[Message], client: Client, clock: Clock
) -> AsyncIterator[Sequence[Message]]:
    """Trace the sending of `messages`; yields them as they are to be sent."""
    began = clock.monotonic()
    topics = {message.topic: 0 for message in messages}
    for message in messages:
        topics[message.topic] += 1
    async with AsyncExitStack() as stack:
        spans = {}
        for topic in topics:
            group = [message for message in messages if message.topic == topic]
            spans[topic] = stack.enter_context(_send_span(topic, group, client))
        try:
            yield [_with_context(message, spans[message.topic]) for message in messages]
        except Exception as error:
            for span in spans.values():
                telemetry.failed(span, type(error).__name__)
            raise
    for topic, number in topics.items():
        _sent.add(number, _about(topic))
        _record(topic, "send", clock.monotonic() - began)


@contextmanager
def receiving(topic: str, client: Client, clock: Clock) -> Iterator[list[Received]]:
    """Trace a poll; what it delivers is put into the list that this yields."""
    began, began_at = clock.monotonic(), clock.now()
    delivered: list[Received] = []
    yield delivered
    if not delivered:
        return
    _consumed.add(len(delivered), _about(topic))
    _record(topic, "poll", clock.monotonic() - began)
    if telemetry.traced():
        origins = [telemetry.extract(message.headers) for message in delivered[: telemetry.LINKS]]
        telemetry.tracer().start_span(
            telemetry.POLL_SPAN.format(topic=topic),
            kind=SpanKind.CLIENT,
            attributes=client.span_attributes(topic, "poll", "receive", len(delivered)),
            links=telemetry.links_to(origins),
            start_time=round(began_at.timestamp() * 1_000_000_000),
        ).end()


@contextmanager
def settling(topic: str, client: Client, clock: Clock) -> Iterator[None]:
    """Trace a commit of positions; a refused one is marked with its error."""
    began = clock.monotonic()
    if telemetry.traced():
        with (
            telemetry.tracer().start_as_current_span(
                telemetry.COMMIT_SPAN.format(topic=topic),
                kind=SpanKind.CLIENT,
                attributes=client.span_attributes(topic, "commit", "settle", 1),
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            telemetry.marking(span),
        ):
            yield
    else:
        yield
    _record(topic, "commit", clock.monotonic() - began)


def _about(topic: str) -> Attributes:
    return {telemetry.MESSAGING_SYSTEM: SYSTEM, telemetry.MESSAGING_DESTINATION: topic}


def _record(topic: str, operation: str, took_s: float) -> None:
    attributes = _about(topic) | {telemetry.MESSAGING_OPERATION: operation}
    _duration.record(took_s, attributes)


@contextmanager
def _send_span(topic: str, messages: Sequence[Message], client: Client) -> Iterator[Span]:
    with telemetry.tracer().start_as_current_span(
        telemetry.SEND_SPAN.format(topic=topic),
        kind=SpanKind.PRODUCER,
        attributes=client.span_attributes(topic, "send", "send", len(messages)),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        if span.is_recording():
            origins = [
                telemetry.extract(message.headers) for message in messages[: telemetry.LINKS]
            ]
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
