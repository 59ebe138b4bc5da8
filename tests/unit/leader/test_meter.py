"""Rollouts are measured as runs: from their start to their end, by the log's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ledger import instruments, telemetry
from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import (
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutStarted,
    UndoStarted,
)
from ledger.contracts.reports import AttemptFinished, BatchProgressed, Event
from ledger.instruments import Instrument, Value
from ledger.leader import metrics
from ledger.leader.metrics import Meter
from migrations.model.attempt import Mode, Verdict

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = RolloutStarted(rollout="r")
COMPLETED = RolloutCompleted(rollout="r", applied=1, skipped=0, failed=0)
UNDONE = UndoStarted(rollout="r", by="undo-r", why="requested")
ABORTED = RolloutAborted(rollout="r", cancel=False)
STOPPED = RolloutHalted(rollout="r", why="budget", evidence=())


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Take the measurements of this test, without touching the process's provider."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    ours = provider.get_meter("test")
    monkeypatch.setattr(metrics, "_duration", ours.create_histogram(telemetry.RUN_DURATION))
    monkeypatch.setattr(metrics, "_active", ours.create_up_down_counter(telemetry.RUNS_ACTIVE))
    monkeypatch.setattr(metrics, "_errors", ours.create_counter(telemetry.RUN_ERRORS))
    monkeypatch.setattr(metrics, "_retries", ours.create_counter(instruments.RETRIES.name))
    monkeypatch.setattr(metrics, "_delay", ours.create_histogram(instruments.REPORT_DELAY.name))
    yield reader
    provider.shutdown()


def recorded(event: Event, seconds: int, rollout: str = "r") -> Recorded:
    at = NOON + timedelta(seconds=seconds)
    return Recorded(1, f"rollout-{rollout}", 1, uuid4(), event, Metadata(), "ada", at)


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (COMPLETED, "success"),
        (UNDONE, "failure"),
        (ABORTED, "cancellation"),
    ],
)
def test_a_rollout_is_measured_from_its_start_to_its_end_with_its_result(
    measurements: InMemoryMetricReader, end: Event, result: str
) -> None:
    hears = Meter(lambda: True)
    hears.saw([recorded(STARTED, 0), recorded(end, 90)])
    (duration,) = points(measurements, telemetry.RUN_DURATION)
    assert (duration.count, duration.sum) == (1, 90)
    assert duration.attributes == {
        telemetry.PIPELINE: "rollout",
        telemetry.PIPELINE_STATE: "executing",
        telemetry.PIPELINE_RESULT: result,
    }


def test_what_is_under_way_is_counted_also_by_the_next_leader(
    measurements: InMemoryMetricReader,
) -> None:
    hears = Meter(lambda: True)
    hears.remember([recorded(STARTED, 0)])
    hears.remember([recorded(STARTED, 0, "b"), recorded(ABORTED, 5, "b")])
    hears.saw([recorded(STARTED, 7, "c")])
    (active,) = points(measurements, telemetry.RUNS_ACTIVE)
    assert active.value == 2
    hears.saw([recorded(COMPLETED, 60)])
    (duration,) = points(measurements, telemetry.RUN_DURATION)
    assert duration.sum == 60


def test_an_end_that_the_leader_before_has_measured_is_not_measured_again(
    measurements: InMemoryMetricReader,
) -> None:
    hears = Meter(lambda: True)
    hears.remember([recorded(STARTED, 0), recorded(ABORTED, 5)])
    assert points(measurements, telemetry.RUN_DURATION) == []


def test_what_takes_a_rollout_back_after_its_end_is_a_run_of_its_own(
    measurements: InMemoryMetricReader,
) -> None:
    hears = Meter(lambda: True)
    hears.saw([recorded(STARTED, 0), recorded(COMPLETED, 10)])
    hears.saw([recorded(UNDONE, 100), recorded(STARTED, 100, "undo-r")])
    hears.saw([recorded(COMPLETED, 130, "undo-r")])
    (duration,) = points(measurements, telemetry.RUN_DURATION)
    assert (duration.count, duration.sum) == (2, 10 + 30)


def test_a_halt_is_an_error(measurements: InMemoryMetricReader) -> None:
    Meter(lambda: True).saw([recorded(STOPPED, 1)])
    (errors,) = points(measurements, telemetry.RUN_ERRORS)
    assert errors.attributes == {telemetry.PIPELINE: "rollout", telemetry.ERROR_TYPE: "halted"}


def test_where_nobody_measures_nothing_is_kept(measurements: InMemoryMetricReader) -> None:
    hears = Meter(lambda: False)
    hears.saw([recorded(STARTED, 0), recorded(COMPLETED, 90)])
    assert points(measurements, telemetry.RUN_DURATION) == []


def reported(event: Event, said: int, kept: int, rollout: str = "r") -> Recorded:
    """A report that an agent wrote and that was in the log so many seconds after noon."""
    heard = recorded(event, kept, rollout)
    metadata = Metadata(occurred_at=NOON + timedelta(seconds=said))
    return replace(heard, stream=f"rollout-{rollout}/reports", metadata=metadata)


def ended(database: str, attempt: int = 1) -> AttemptFinished:
    return AttemptFinished(
        database=database,
        command=uuid4(),
        attempt=attempt,
        mode=Mode.UP,
        verdict=Verdict.DONE,
        changed=1,
        journal_head=None,
    )


def progressed(database: str, batches: int, rows: int, left_s: int | None) -> BatchProgressed:
    return BatchProgressed(
        database=database,
        command=uuid4(),
        version="1",
        direction="up",
        batches=batches,
        rows=rows,
        total=1000,
        left_s=left_s,
    )


def test_a_first_attempt_is_no_retry_and_the_others_are(
    measurements: InMemoryMetricReader,
) -> None:
    hears = Meter(lambda: True)
    hears.saw([reported(ended("a"), 0, 0), reported(ended("b", 2), 0, 0)])
    hears.saw([reported(ended("c", 3), 0, 0)])
    (retries,) = points(measurements, instruments.RETRIES.name)
    assert (retries.value, dict(retries.attributes)) == (2, {telemetry.TASK_NAME: "up"})


def test_the_way_of_a_last_word_into_the_log_is_measured_and_never_below_nothing(
    measurements: InMemoryMetricReader,
) -> None:
    hears = Meter(lambda: True)
    # Of an agent whose clock is ahead, it would have been there before it was said.
    hears.saw([reported(ended("a"), 10, 13), reported(ended("b"), 10, 8)])
    (delay,) = points(measurements, instruments.REPORT_DELAY.name)
    assert (delay.count, delay.sum) == (2, 3)


def test_data_migrations_are_told_by_rollout_until_their_attempts_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: dict[Instrument, Callable[[], Iterable[Value]]] = {}
    monkeypatch.setattr(instruments, "observe", kept.__setitem__)
    hears = Meter(lambda: True)
    hears.observe()

    def now(one: Instrument) -> dict[str, float]:
        return {told[telemetry.ROLLOUT_ID]: value for value, told in kept[one]()}

    assert now(instruments.DATA_ROWS) == {}
    hears.saw([reported(progressed("a", 1, 100, 90), 0, 0)])
    hears.saw([reported(progressed("a", 2, 200, 80), 1, 1)])
    hears.saw([reported(progressed("b", 5, 500, None), 1, 1)])
    hears.saw([reported(progressed("c", 1, 10, 7), 1, 1, "other")])
    assert now(instruments.DATA_BATCHES) == {"r": 7, "other": 1}
    assert now(instruments.DATA_ROWS) == {"r": 700, "other": 10}
    assert now(instruments.DATA_EXPECTED) == {"r": 2000, "other": 1000}
    assert now(instruments.DATA_LEFT) == {"r": 80, "other": 7}
    hears.saw([reported(ended("a"), 2, 2)])
    assert now(instruments.DATA_ROWS) == {"r": 500, "other": 10}
    hears.saw([reported(ended("b"), 2, 2), reported(ended("c"), 2, 2, "other")])
    assert now(instruments.DATA_ROWS) == {}
