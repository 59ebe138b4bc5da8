"""What took how long, from the log alone: a rollout, its waves, each order, its attempt, its steps.

```
rollout ─ wave 1 ─ order acme ─ attempt ─ migrate 1, migrate 2
        │                          (waited before: from the order until an agent took it)
        └ wave 2 ─ order bolt …
```

Beginnings and ends of what an agent did are by its own clock, the rest by the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
    MigrationOrdered,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPlanned,
    RolloutStarted,
    UndoStarted,
    WaveCompleted,
    WaveOpened,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    Report,
)
from migrations.model.attempt import Verdict

ENDS = {RolloutCompleted: "", RolloutAborted: "aborted", UndoStarted: "undone"}
"""What ends a rollout, and how it went by that."""


class StretchKind(StrEnum):
    """What a stretch of time is about."""

    ROLLOUT = "rollout"
    WAVE = "wave"
    ORDER = "order"
    ATTEMPT = "attempt"
    MIGRATION = "migration"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that took its time; `ended` is `None` while it has not.

    `key` tells it from all others of its ledger. `context` is the trace context that it was
    recorded in, `cause` that of what made it happen; both as W3C Trace Context writes them.
    """

    kind: StretchKind
    key: str
    name: str
    began: datetime
    ended: datetime | None = None
    error: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    context: str | None = None
    cause: str | None = None
    inside: tuple[Stretch, ...] = ()

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken until now."""
        return max(((self.ended or now) - self.began).total_seconds(), 0.0)


class Weaver:
    """Hears the events of one rollout, or of one database, in the order of the log."""

    def __init__(self) -> None:
        self._orders: dict[UUID, Stretch] = {}
        self._attempts: dict[UUID, Stretch] = {}
        self._steps: dict[UUID, tuple[Stretch, ...]] = {}
        self._waves: dict[int, Stretch] = {}
        self._rollout: Stretch | None = None

    def hear(self, one: Recorded) -> Stretch | None:
        """The order that this event ends, with everything inside of it, if it ends one."""
        event = one.event
        if isinstance(event, Report):
            return self._reported(one, event)
        match event:
            case MigrationOrdered():
                cause = self._rollout.context if self._rollout else None
                self._orders[event.command] = replace(_ordered(one, event), cause=cause)
            case AttemptTimedOut():
                return self._ended(event.command, one.recorded_at, "timeout")
            case RolloutPlanned():
                self._rollout = Stretch(
                    StretchKind.ROLLOUT,
                    one.stream,
                    event.rollout,
                    one.recorded_at,
                    told={"mode": event.mode.value},
                    context=one.metadata.traceparent,
                )
            case RolloutStarted() if self._rollout:
                self._rollout = replace(self._rollout, began=one.recorded_at)
            case RolloutHalted() if self._rollout:
                self._rollout = replace(self._rollout, error="halted")
            case WaveOpened():
                self._waves[event.wave] = Stretch(
                    StretchKind.WAVE,
                    f"{one.stream}/{event.wave}",
                    f"wave {event.wave + 1}",
                    one.recorded_at,
                    context=one.metadata.traceparent,
                )
            case WaveCompleted() if event.wave in self._waves:
                wave = self._waves[event.wave]
                self._waves[event.wave] = replace(wave, ended=one.recorded_at)
            case _ if type(event) in ENDS and self._rollout:
                error = ENDS[type(event)]
                self._rollout = replace(self._rollout, ended=one.recorded_at, error=error)
        return None

    def unfinished(self) -> Iterator[Stretch]:
        """The orders that nothing has ended."""
        for command in list(self._orders):
            if (found := self._ended(command, None, "")) is not None:
                yield found

    def frame(self) -> Stretch | None:
        """The rollout with its waves, without orders; `None` where no plan was heard."""
        if self._rollout is None:
            return None
        return replace(self._rollout, inside=tuple(self._waves.values()))

    def _reported(self, one: Recorded, event: Report) -> Stretch | None:
        at = one.metadata.occurred_at or one.recorded_at
        match event:
            case AttemptStarted():
                self._attempts[event.command] = Stretch(
                    StretchKind.ATTEMPT,
                    f"{event.command}/attempt",
                    one.metadata.agent or "an agent",
                    at,
                    context=one.metadata.traceparent,
                )
            case MigrationApplied() | MigrationRolledBack():
                way = "up" if isinstance(event, MigrationApplied) else "down"
                began = at - timedelta(milliseconds=event.duration_ms)
                self._step(one, event, way, began, at, "")
            case MigrationFailed():
                failure = event.failure
                began = self._free_since(event.command, at)
                error = failure.sqlstate or failure.kind.value
                self._step(one, event, event.direction, began, at, error)
            case AttemptFinished():
                failed = event.verdict is not Verdict.DONE
                why = event.failure.kind.value if event.failure and failed else ""
                return self._ended(event.command, at, why or ("" if not failed else event.verdict))
            case _:
                pass
        return None

    def _step(
        self,
        one: Recorded,
        event: MigrationApplied | MigrationRolledBack | MigrationFailed,
        way: str,
        began: datetime,
        at: datetime,
        error: str,
    ) -> None:
        step = Stretch(
            StretchKind.MIGRATION,
            f"{event.command}/{event.version}/{way}",
            f"{event.version} {way}",
            began,
            at,
            error,
            {"version": event.version, "direction": way},
            context=one.metadata.traceparent,
        )
        self._steps[event.command] = (*self._steps.get(event.command, ()), step)

    def _free_since(self, command: UUID, at: datetime) -> datetime:
        """When whatever was before a failed step had ended: its own beginning is not recorded."""
        if steps := self._steps.get(command):
            return steps[-1].ended or at
        attempt = self._attempts.get(command)
        return attempt.began if attempt else at

    def _ended(self, command: UUID, at: datetime | None, error: str) -> Stretch | None:
        order = self._orders.pop(command, None)
        attempt, steps = self._attempts.pop(command, None), self._steps.pop(command, ())
        if order is None:
            return None
        inside: tuple[Stretch, ...] = ()
        if attempt is not None:
            inside = (replace(attempt, ended=at, error=error, told=order.told, inside=steps),)
        return replace(order, ended=at, error=error, inside=inside)


def _ordered(one: Recorded, event: MigrationOrdered) -> Stretch:
    return Stretch(
        StretchKind.ORDER,
        str(event.command),
        event.database,
        one.recorded_at,
        told={
            "rollout": event.rollout,
            "wave": str(event.wave),
            "attempt": str(event.attempt),
            "mode": event.mode.value,
            "pool": event.pool,
        },
        context=one.metadata.traceparent,
    )
