"""What the span of a command says of the transport that brought it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from agents.job import Job
from agents.tracing import process_span
from ledger import telemetry
from ledger.bus.kafka import KafkaBus
from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Bus
from ledger.bus.security import KafkaSettings
from ledger.contracts.messages import Received
from migrations.clock import SYSTEM_CLOCK
from tests.support.orders import inspect_command

NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


def span_of_a_command_from(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> ReadableSpan:
    """The span that an agent on `bus` makes for a look at a database."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(telemetry, "traced", lambda: True)
    command = inspect_command(expires_at=NOW)
    with process_span(
        Job(command, Received("t", 0, 0, "acme", b"", ()), NOW), bus.system, SYSTEM_CLOCK
    ):
        pass
    (span,) = exporter.get_finished_spans()
    return span


def test_a_command_from_a_broker_is_a_message_of_that_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    span = span_of_a_command_from(
        KafkaBus(KafkaSettings(bootstrap="localhost:1"), "test"), monkeypatch
    )
    assert span.kind is SpanKind.CONSUMER
    assert span.attributes is not None
    assert span.attributes[telemetry.MESSAGING_SYSTEM] == "kafka"
    assert span.attributes[telemetry.MESSAGING_GROUP] == "agents.main"
    assert span.attributes[telemetry.DATABASE] == "acme"


def test_a_command_that_never_left_the_process_is_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    span = span_of_a_command_from(LocalBus(LocalBroker()), monkeypatch)
    assert (span.name, span.kind) == ("process t", SpanKind.INTERNAL)
    assert span.attributes is not None
    assert [name for name in span.attributes if name.startswith("messaging.")] == []
    assert span.attributes[telemetry.DATABASE] == "acme"
