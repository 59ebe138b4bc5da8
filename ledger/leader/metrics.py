"""Measures rollouts as the conventions for CI/CD measure runs.

How many are under way, how long each took, and how often one stopped itself.

A rollout is a run from RolloutStarted to its end; what takes it back is a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from ledger import instruments, telemetry
from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutStarted,
    UndoStarted,
)
from ledger.contracts.reports import AttemptFinished, Event

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


class Meter:
    """Hears rollouts start and end; without somebody who takes measurements it does nothing."""

    def __init__(self, measured: Callable[[], bool] = telemetry.measured) -> None:
        self._measured = measured()
        self._started: dict[str, datetime] = {}

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
            elif isinstance(one.event, AttemptFinished):
                _count(one.event)

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


def _count(attempt: AttemptFinished) -> None:
    told = {telemetry.TASK_NAME: attempt.mode.value, telemetry.TASK_RESULT: attempt.verdict.value}
    if attempt.failure is not None:
        told[telemetry.ERROR_TYPE] = attempt.failure.kind.value
    _attempts.add(1, told)
