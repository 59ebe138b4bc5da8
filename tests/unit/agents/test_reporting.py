"""What an agent's heartbeats say while something is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from agents import reporter, waits
from agents.job import Job, JobPhase
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.settings import AgentSettings
from ledger import instruments, telemetry
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Received
from tests.support.engine_places import migration
from tests.support.manual_clock import ManualClock, SeededChance
from tests.support.orders import inspect_command

NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


class Work:
    """A job in an agent's hands, who reports on it, and a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        command = inspect_command(expires_at=NOW)
        self.job = Job(command, Received("t", 0, 0, "acme", b"", ()), NOW)
        outbox = Outbox(LocalBus(LocalBroker()), self.clock, SeededChance())
        settings = AgentSettings(pool="main")
        self.reporter = Reporter(self.job, settings, outbox, self.clock)


def test_a_wait_is_said_with_its_beginning_and_the_next_try() -> None:
    work = Work()
    work.reporter.waiting("a lock", 12.0, 3.0)
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for) == (JobPhase.WAITING, "a lock")
    assert busy.waiting_since == NOW - timedelta(seconds=12)
    assert busy.next_try_at == NOW + timedelta(seconds=3)


def test_the_beginning_of_a_wait_stays_though_two_clocks_measure_it() -> None:
    work = Work()
    work.reporter.waiting("a lock", 0.0, 1.0)
    work.clock.advance(5)
    work.reporter.waiting("a lock", 4.98, 1.0)
    assert work.job.busy().waiting_since == NOW


def test_while_it_is_tried_again_no_next_try_lies_in_the_past() -> None:
    work = Work()
    work.reporter.waiting("a lock", 0.0, 1.0)
    work.reporter.trying_again()
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for, busy.next_try_at) == (JobPhase.RUNNING, "a lock", None)
    assert busy.waiting_since == NOW


def test_when_a_statement_has_what_it_waited_for_nothing_is_said_to_be_waited_for() -> None:
    work = Work()
    work.reporter.waiting("ShareLock on a transaction that began before", 2.0, None)
    assert work.job.busy().phase == JobPhase.WAITING
    work.reporter.going_on()
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for, busy.waiting_since) == (JobPhase.RUNNING, "", None)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Take the measurements of this test, without touching the process's provider."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    ours = provider.get_meter("test")
    monkeypatch.setattr(waits, "_waited", ours.create_histogram(instruments.WAITED.name))
    monkeypatch.setattr(reporter, "_statement", ours.create_histogram(instruments.STATEMENT.name))
    yield reader
    provider.shutdown()


def measured(reader: InMemoryMetricReader, name: str) -> list[tuple[int, float, dict[str, Any]]]:
    """How often, how long in all, and by what."""
    data = reader.get_metrics_data()
    return [
        (point.count, point.sum, dict(point.attributes or {}))
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if isinstance(point, HistogramDataPoint)
    ]


def of_kind(cause: str) -> dict[str, str]:
    return {telemetry.POOL: "main", telemetry.WAIT_CAUSE: cause}


def test_each_wait_is_measured_once_when_it_is_over(measurements: InMemoryMetricReader) -> None:
    work = Work()
    work.reporter.waiting("a lock", 2.0, 1.0)
    work.clock.advance(3)
    work.reporter.waiting("a lock", 5.0, 1.0)
    assert measured(measurements, instruments.WAITED.name) == []
    work.reporter.trying_again()
    work.clock.advance(1)
    work.reporter.going_on()
    work.reporter.going_on()
    assert measured(measurements, instruments.WAITED.name) == [(1, 6.0, of_kind("throttle"))]


def test_another_wait_ends_the_one_before(measurements: InMemoryMetricReader) -> None:
    work = Work()
    work.reporter.waiting("to connect again", 4.0, 1.0)
    work.reporter.waiting("a lock, held by somebody", 0.0, 1.0)
    work.clock.advance(2)
    work.reporter.going_on()
    assert measured(measurements, instruments.WAITED.name) == [
        (1, 4.0, of_kind("connection")),
        (1, 2.0, of_kind("lock")),
    ]


def test_kinds_of_one_wait_are_measured_apart(measurements: InMemoryMetricReader) -> None:
    work = Work()
    work.reporter.waiting("a lock, held by somebody", 1.0, None)
    work.clock.advance(2)
    work.reporter.waiting("to try again after SQLSTATE 55P03", 3.0, 4.0)
    assert work.job.busy().waiting_since == NOW - timedelta(seconds=1)
    work.clock.advance(4)
    work.reporter.going_on()
    assert measured(measurements, instruments.WAITED.name) == [
        (1, 3.0, of_kind("lock")),
        (1, 4.0, of_kind("retry")),
    ]


def test_statements_of_migrations_are_measured_in_seconds(
    measurements: InMemoryMetricReader,
) -> None:
    work = Work()
    both = migration("1", "CREATE TABLE a ()", "CREATE TABLE b ()")
    assert both.up is not None
    for number, statement in enumerate(both.up.statements, 1):
        work.reporter.statement_finished(both, statement, number, 2, 250 * number)
    assert measured(measurements, instruments.STATEMENT.name) == [
        (2, 0.75, {telemetry.DB_SYSTEM: "postgresql"})
    ]
