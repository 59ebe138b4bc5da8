"""Rollouts are measured as runs: from their start to their end, by the log's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ledger import instruments, telemetry
from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
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
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.support.measurements import Measurements, measured

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = RolloutStarted(rollout="r")
COMPLETED = RolloutCompleted(rollout="r", applied=1, skipped=0, failed=0)
UNDONE = UndoStarted(rollout="r", by="undo-r", why="requested")
ABORTED = RolloutAborted(rollout="r", cancel=False)
STOPPED = RolloutHalted(rollout="r", why="budget", evidence=())


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measurements]:
    """Those of rollouts."""
    with measured(monkeypatch) as taken:
        taken.of(
            metrics,
            _duration=instruments.RUN,
            _active=instruments.RUNS_ACTIVE,
            _errors=instruments.RUN_ERRORS,
            _attempts=instruments.ATTEMPTS,
            _retries=instruments.RETRIES,
            _delay=instruments.REPORT_DELAY,
        )
        yield taken


def recorded(event: Event, seconds: int, rollout: str = "r") -> Recorded:
    at = NOON + timedelta(seconds=seconds)
    return Recorded(1, f"rollout-{rollout}", 1, uuid4(), event, Metadata(), "ada", at)


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (COMPLETED, "success"),
        (UNDONE, "failure"),
        (ABORTED, "cancellation"),
    ],
)
def test_a_rollout_is_measured_from_its_start_to_its_end_with_its_result(
    measurements: Measurements, end: Event, result: str
) -> None:
    hears = Meter(lambda: True)
    hears.saw([recorded(STARTED, 0), recorded(end, 90)])
    assert measurements.durations(instruments.RUN) == {("rollout", "executing", result): (1, 90)}


def test_what_is_under_way_is_counted_also_by_the_next_leader(
    measurements: Measurements,
) -> None:
    hears = Meter(lambda: True)
    hears.remember([recorded(STARTED, 0)])
    hears.remember([recorded(STARTED, 0, "b"), recorded(ABORTED, 5, "b")])
    hears.saw([recorded(STARTED, 7, "c")])
    assert measurements.values(instruments.RUNS_ACTIVE) == {("rollout", "executing"): 2}
    hears.saw([recorded(COMPLETED, 60)])
    assert measurements.durations(instruments.RUN) == {("rollout", "executing", "success"): (1, 60)}


def test_an_end_that_the_leader_before_has_measured_is_not_measured_again(
    measurements: Measurements,
) -> None:
    hears = Meter(lambda: True)
    hears.remember([recorded(STARTED, 0), recorded(ABORTED, 5)])
    assert measurements.durations(instruments.RUN) == {}


def test_what_takes_a_rollout_back_after_its_end_is_a_run_of_its_own(
    measurements: Measurements,
) -> None:
    hears = Meter(lambda: True)
    hears.saw([recorded(STARTED, 0), recorded(COMPLETED, 10)])
    hears.saw([recorded(UNDONE, 100), recorded(STARTED, 100, "undo-r")])
    hears.saw([recorded(COMPLETED, 130, "undo-r")])
    assert measurements.durations(instruments.RUN) == {
        ("rollout", "executing", "success"): (2, 10 + 30)
    }


def test_a_halt_is_an_error(measurements: Measurements) -> None:
    Meter(lambda: True).saw([recorded(STOPPED, 1)])
    assert measurements.values(instruments.RUN_ERRORS) == {("rollout", "halted"): 1}


def test_where_nobody_measures_nothing_is_kept(measurements: Measurements) -> None:
    hears = Meter(lambda: False)
    hears.saw([recorded(STARTED, 0), recorded(COMPLETED, 90)])
    assert measurements.durations(instruments.RUN) == {}


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
    measurements: Measurements,
) -> None:
    hears = Meter(lambda: True)
    hears.saw([reported(ended("a"), 0, 0), reported(ended("b", 2), 0, 0)])
    hears.saw([reported(ended("c", 3), 0, 0)])
    assert measurements.values(instruments.RETRIES) == {("up",): 2}


def test_attempts_are_counted_by_how_they_ended_and_by_what_they_failed(
    measurements: Measurements,
) -> None:
    refused = Failure(FailureClass.LOCK_TIMEOUT, "held")
    failed = ended("a").model_copy(update={"verdict": Verdict.FAILED, "failure": refused})
    hears = Meter(lambda: True)
    hears.saw([reported(ended("a"), 0, 0), reported(failed, 0, 0), reported(ended("b"), 0, 0)])
    assert measurements.values(instruments.ATTEMPTS) == {
        ("up", "done", ""): 2,
        ("up", "failed", "lock_timeout"): 1,
    }


def test_the_way_of_a_last_word_into_the_log_is_measured_and_never_below_nothing(
    measurements: Measurements,
) -> None:
    hears = Meter(lambda: True)
    # Of an agent whose clock is ahead, it would have been there before it was said.
    hears.saw([reported(ended("a"), 10, 13), reported(ended("b"), 10, 8)])
    assert measurements.durations(instruments.REPORT_DELAY) == {(): (2, 3)}


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
    hears.saw([reported(ended("b"), 2, 2)])
    assert now(instruments.DATA_ROWS) == {"other": 10}
    # Its agent was killed: there is no last word, and what was under way is no more.
    over = AttemptTimedOut(rollout="other", database="c", attempt=1, command=uuid4())
    hears.saw([reported(over, 2, 2, "other")])
    assert now(instruments.DATA_ROWS) == {}


def test_attempts_are_told_as_none_before_there_is_one(measurements: Measurements) -> None:
    hears = Meter(lambda: True)
    hears.observe()
    told = measurements.values(instruments.ATTEMPTS)
    assert {mode for mode, result, _ in told if result == "done"} == {*Mode}
    assert {kind for _, result, kind in told if result == "failed"} == {*FailureClass}
    assert set(told.values()) == {0}
    assert measurements.values(instruments.RETRIES) == {(mode,): 0 for mode in Mode}
    hears.saw([reported(ended("a"), 0, 0)])
    assert measurements.values(instruments.ATTEMPTS)["up", "done", ""] == 1
