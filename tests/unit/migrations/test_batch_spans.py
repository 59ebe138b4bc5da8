"""Which batches of a data migration have a span: a sample, and each that fails or takes long."""

from __future__ import annotations

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from migrations.running import telemetry
from migrations.running.telemetry import BATCH, BATCH_ROWS, batch_span
from tests.support.manual_clock import ManualClock


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect the spans of this test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(telemetry, "_TRACER", provider.get_tracer("test"))
    return exporter


@pytest.mark.parametrize(("sampled", "made"), [(True, 1), (False, 0)])
def test_one_that_is_sampled_has_a_span(
    spans: InMemorySpanExporter, sampled: bool, made: int
) -> None:
    with batch_span(7, 500, ManualClock(), sampled=sampled):
        pass
    found = spans.get_finished_spans()
    assert len(found) == made
    assert [one.attributes for one in found] == [{BATCH: 7, BATCH_ROWS: 500}] * made


def test_one_that_takes_long_has_one_though_it_is_no_sample(spans: InMemorySpanExporter) -> None:
    clock = ManualClock()
    with batch_span(70, 500, clock, sampled=False):
        clock.advance(10.0)
    (found,) = spans.get_finished_spans()
    assert found.name == "batch"
    assert found.start_time == int(clock.start.timestamp()) * 1_000_000_000
    assert found.status.is_unset


@pytest.mark.parametrize("sampled", [True, False])
def test_one_that_fails_has_one_with_the_sqlstate_and_no_text(
    spans: InMemorySpanExporter, sampled: bool
) -> None:
    error = asyncpg.UniqueViolationError("Key (email)=(nobody may see this) already exists")
    with (
        pytest.raises(asyncpg.UniqueViolationError),
        batch_span(71, 500, ManualClock(), sampled=sampled),
    ):
        raise error
    (found,) = spans.get_finished_spans()
    assert found.attributes is not None
    assert found.attributes["error.type"] == "23505"
    assert "nobody may see this" not in found.to_json()
