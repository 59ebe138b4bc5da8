"""Measures rollouts as the conventions for CI/CD measure runs.

How many are under way, how long each took, how often one stopped itself, what attempts came to,
and how far data migrations are.

A rollout is a run from RolloutStarted to its end; what takes it back is a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from ledger import instruments, telemetry
from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutStarted,
    UndoStarted,
)
from ledger.contracts.reports import AttemptFinished, BatchProgressed, Event
from ledger.domain.report_check import decided_in
from ledger.instruments import Instrument, Value
from migrations.model.attempt import FailureClass, Mode, Verdict

RESULTS: Final[dict[type[Event], str]] = {
    RolloutCompleted: "success",
    UndoStarted: "failure",
    RolloutAborted: "cancellation",
}
"""How a rollout ended, in the words of the conventions."""
HALTED: Final = "halted"

_RUN: Final = {telemetry.PIPELINE: telemetry.ROLLOUT}
_EXECUTING: Final = {**_RUN, telemetry.PIPELINE_STATE: "executing"}

_duration = instruments.histogram(instruments.RUN)
_active = instruments.up_down_counter(instruments.RUNS_ACTIVE)
_errors = instruments.counter(instruments.RUN_ERRORS)
_attempts = instruments.counter(instruments.ATTEMPTS)
_retries = instruments.counter(instruments.RETRIES)
_delay = instruments.histogram(instruments.REPORT_DELAY)

ROLLOUT_PREFIX: Final = "rollout-"
_AMOUNTS: Final[dict[Instrument, Callable[[Iterable[BatchProgressed]], float]]] = {
    instruments.DATA_BATCHES: lambda running: sum(one.batches for one in running),
    instruments.DATA_ROWS: lambda running: sum(one.rows for one in running),
    instruments.DATA_EXPECTED: lambda running: sum(one.total or 0 for one in running),
    instruments.DATA_LEFT: lambda running: max(one.left_s or 0 for one in running),
}


class Meter:
    """Hears rollouts start and end; without somebody who takes measurements it does nothing."""

    def __init__(self, measured: Callable[[], bool] = telemetry.measured) -> None:
        self._measured = measured()
        self._started: dict[str, datetime] = {}
        self._batches: dict[str, dict[str, BatchProgressed]] = {}

    def observe(self) -> None:
        """Have it read how far data migrations are, by whoever takes measurements.

        What counts attempts begins at nothing: who looks at growth would miss the first ones else.
        """
        for mode in Mode:
            _attempts.add(0, _told(mode, Verdict.DONE, None))
            _retries.add(0, {telemetry.TASK_NAME: mode.value})
            for kind in FailureClass:
                _attempts.add(0, _told(mode, Verdict.FAILED, kind))
        for one, amount in _AMOUNTS.items():
            instruments.observe(one, partial(self._running, amount))

    def _running(self, amount: Callable[[Iterable[BatchProgressed]], float]) -> list[Value]:
        return [
            (amount(running.values()), {telemetry.ROLLOUT_ID: rollout})
            for rollout, running in self._batches.items()
        ]

    def remember(self, history: Iterable[Recorded]) -> None:
        """Learn what was under way before this process led; what ended then was measured then."""
        if not self._measured:
            return
        before = len(self._started)
        for one in history:
            if isinstance(one.event, RolloutStarted):
                self._started.setdefault(one.stream, one.recorded_at)
            elif type(one.event) in RESULTS:
                self._started.pop(one.stream, None)
        _active.add(len(self._started) - before, _EXECUTING)

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Measure what these events say of rollouts."""
        if not self._measured:
            return
        for one in recorded:
            if isinstance(one.event, RolloutStarted):
                self._begin(one)
            elif type(one.event) in RESULTS:
                self._end(one, RESULTS[type(one.event)])
            elif isinstance(one.event, RolloutHalted):
                _errors.add(1, {**_RUN, telemetry.ERROR_TYPE: HALTED})
            elif isinstance(one.event, BatchProgressed):
                self._batches.setdefault(_rollout(one), {})[one.event.database] = one.event
            elif isinstance(one.event, AttemptFinished):
                self._over(one, one.event)
            elif isinstance(one.event, AttemptTimedOut):
                self._runs_no_more(_rollout(one), one.event.database)

    def _over(self, one: Recorded, attempt: AttemptFinished) -> None:
        """This attempt runs no more."""
        _count(attempt)
        if one.metadata.occurred_at is not None:
            spent = (one.recorded_at - one.metadata.occurred_at).total_seconds()
            _delay.record(max(spent, 0.0))
        self._runs_no_more(_rollout(one), attempt.database)

    def _runs_no_more(self, rollout: str, database: str) -> None:
        """Of its data nothing is under way."""
        running = self._batches.get(rollout, {})
        running.pop(database, None)
        if not running:
            self._batches.pop(rollout, None)

    def _begin(self, one: Recorded) -> None:
        if one.stream not in self._started:
            self._started[one.stream] = one.recorded_at
            _active.add(1, _EXECUTING)

    def _end(self, one: Recorded, result: str) -> None:
        began = self._started.pop(one.stream, None)
        if began is None:
            return
        _active.add(-1, _EXECUTING)
        elapsed = (one.recorded_at - began).total_seconds()
        _duration.record(elapsed, {**_EXECUTING, telemetry.PIPELINE_RESULT: result})


def _rollout(one: Recorded) -> str:
    return decided_in(one.stream).removeprefix(ROLLOUT_PREFIX)


def _told(mode: Mode, verdict: Verdict, kind: FailureClass | None) -> dict[str, str]:
    told = {telemetry.TASK_NAME: mode.value, telemetry.TASK_RESULT: verdict.value}
    return told | ({telemetry.ERROR_TYPE: kind.value} if kind is not None else {})


def _count(attempt: AttemptFinished) -> None:
    kind = attempt.failure.kind if attempt.failure is not None else None
    _attempts.add(1, _told(attempt.mode, attempt.verdict, kind))
    if attempt.attempt > 1:
        _retries.add(1, {telemetry.TASK_NAME: attempt.mode.value})
