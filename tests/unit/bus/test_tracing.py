"""Trace context on its way through messages: replaced, never doubled; linked, never overwritten."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from ledger import exporters, telemetry
from ledger.bus import tracing
from ledger.bus.tracing import Client
from ledger.contracts.envelope import Metadata
from ledger.contracts.messages import Message, Received
from migrations.clock import SYSTEM_CLOCK

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLIENT = Client.of("client", ["[::1]:9092", "elsewhere:1"], "agents.eu")
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect the spans of this test, without touching the process's provider."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(telemetry, "traced", lambda: True)
    return exporter


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def test_a_context_in_headers_is_replaced_and_not_added_to() -> None:
    headers = (("traceparent", OTHER.encode()), ("x", b"1"))
    context = telemetry.context_of(Metadata(traceparent=PARENT))
    injected = telemetry.inject(headers, context)
    assert injected == (("x", b"1"), ("traceparent", PARENT.encode()))


def test_of_two_contexts_in_headers_the_last_is_taken() -> None:
    headers = (("traceparent", OTHER.encode()), ("traceparent", PARENT.encode()))
    assert telemetry.current_context(telemetry.extract(headers)) == (PARENT, None)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"00-zz-11-01"])
def test_a_context_that_cannot_be_read_is_none(value: bytes) -> None:
    context = telemetry.extract((("traceparent", value),))
    assert telemetry.current_context(context) == (None, None)


def test_what_is_longer_than_any_trace_may_say_is_not_kept() -> None:
    for members, kept in ((20, True), (30, False)):
        state = ",".join(f"k{number}={'y' * 18}" for number in range(members))
        headers = (("traceparent", PARENT.encode()), ("tracestate", state.encode()))
        told = telemetry.current_context(telemetry.extract(headers))
        assert told == (PARENT, state if kept else None)
    longest = ("traceparent", PARENT.encode() + b"-" + b"x" * 600)
    assert telemetry.current_context(telemetry.extract((longest,))) == (None, None)


def test_without_a_provider_a_context_from_elsewhere_goes_on() -> None:
    context = telemetry.context_of(Metadata(traceparent=PARENT))
    with telemetry.attached(context):
        assert telemetry.current_context() == (PARENT, None)
    assert not get_current_span().get_span_context().is_valid


async def test_sending_is_one_producer_span_linked_to_what_the_messages_carry(
    spans: InMemorySpanExporter,
) -> None:
    carried = Message("t", "k", b"", (("traceparent", PARENT.encode()),))
    async with tracing.sending([carried, Message("t", "k", b"")], CLIENT, SYSTEM_CLOCK) as sent:
        assert sent[0] == carried
        assert [name for name, _ in sent[1].headers] == ["traceparent"]
    span = only(spans)
    assert (span.name, span.kind) == ("send t", SpanKind.PRODUCER)
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [PARENT.split("-")[1]]
    assert span.attributes is not None
    assert span.attributes[telemetry.MESSAGING_BATCH] == 2
    assert span.attributes[telemetry.SERVER_ADDRESS] == "::1"
    assert span.attributes[telemetry.SERVER_PORT] == 9092
    assert span.status.is_unset


async def test_sending_that_fails_says_with_what(spans: InMemorySpanExporter) -> None:
    with pytest.raises(OSError, match="down"):
        async with tracing.sending([Message("t", "k", b"")], CLIENT, SYSTEM_CLOCK):
            raise OSError("down")
    span = only(spans)
    assert not span.status.is_ok
    assert span.attributes is not None
    assert span.attributes[telemetry.ERROR_TYPE] == "OSError"


def test_a_poll_is_one_client_span_linked_to_what_it_delivered(
    spans: InMemorySpanExporter,
) -> None:
    headers = (("traceparent", PARENT.encode()),)
    with tracing.receiving("t", CLIENT, SYSTEM_CLOCK) as delivered:
        delivered += [Received("t", 0, at, "k", b"", headers) for at in range(2)]
    span = only(spans)
    assert (span.name, span.kind) == ("poll t", SpanKind.CLIENT)
    assert [f"{link.context.span_id:016x}" for link in span.links] == [PARENT.split("-")[2]]
    assert span.attributes is not None
    assert span.attributes[telemetry.MESSAGING_OPERATION_TYPE] == "receive"
    assert span.attributes[telemetry.MESSAGING_GROUP] == "agents.eu"
    assert span.attributes[telemetry.MESSAGING_BATCH] == 2


def test_a_poll_that_delivered_nothing_leaves_no_span(spans: InMemorySpanExporter) -> None:
    with tracing.receiving("t", CLIENT, SYSTEM_CLOCK):
        pass
    assert spans.get_finished_spans() == ()


def test_a_commit_that_is_refused_says_with_what(spans: InMemorySpanExporter) -> None:
    with tracing.settling("t", CLIENT, SYSTEM_CLOCK):
        pass
    with pytest.raises(OSError, match="secret"), tracing.settling("t", CLIENT, SYSTEM_CLOCK):
        raise OSError("secret")
    kept, refused = spans.get_finished_spans()
    assert (kept.name, kept.kind, kept.status.is_unset) == ("commit t", SpanKind.CLIENT, True)
    assert says_only_the_type(refused)


def test_what_a_command_raises_is_in_its_span_by_type_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(OSError, match="secret"), telemetry.command_span("ledger up"):
        raise OSError("secret")
    assert says_only_the_type(only(spans))


def says_only_the_type(span: ReadableSpan) -> bool:
    """Whether the span failed with an OSError and holds nothing of its text."""
    assert span.attributes is not None
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    return span.attributes[telemetry.ERROR_TYPE] == "OSError" and not span.events


def test_nothing_is_exported_unless_an_endpoint_is_named() -> None:
    for environ in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
    ):
        exporters.configure("test", "0", environ)()
        assert not exporters._wanted("TRACES", environ)
        assert not exporters._wanted("METRICS", environ)
    assert exporters._wanted("TRACES", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"})
