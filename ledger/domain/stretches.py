"""What took how long, from the log alone: a rollout, its waves, each order, its attempt, its steps.

```
rollout ─ wave 1 ─ order acme ─ attempt ─ migrate 1 ─ statements, verify, journal
        │                          │        migrate 2 …
        │                          (waited before: from the order until an agent took it)
        └ wave 2 ─ order bolt …
```

What is inside of a migration is known of attempts that were traced: their last word has it.
Beginnings and ends of what an agent did are by its own clock, the rest by the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from ledger.contracts.envelope import Recorded, SpanNote
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
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class StretchKind(StrEnum):
    """What a stretch of time is about."""

    ROLLOUT = "rollout"
    WAVE = "wave"
    ORDER = "order"
    ATTEMPT = "attempt"
    MIGRATION = "migration"
    PART = "part"
    """Of an attempt or a migration: a statement, a wait, a Verify section, the journal's entry."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that took its time; `ended` is `None` while it has not.

    `key` tells it from all others of its ledger. `context` is the trace context that it was
    recorded in, `cause` that of what made it happen; both as W3C Trace Context writes them, as is
    `state`, the trace state beside `context`.
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
    state: str | None = None
    inside: tuple[Stretch, ...] = ()

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken until now."""
        return max(((self.ended or now) - self.began).total_seconds(), 0.0)


class Weaver:
    """Hears the events of one rollout, or of one database, in the order of the log.

    Where `steps` are left out, an order has its attempt inside, and that has nothing.
    """

    def __init__(self, *, steps: bool = True) -> None:
        self._weaves_steps = steps
        self._orders: dict[UUID, Stretch] = {}
        self._attempts: dict[UUID, Stretch] = {}
        self._steps: dict[UUID, tuple[Stretch, ...]] = {}
        self._waves: dict[int, Stretch] = {}
        self._rollout: Stretch | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the rollout has ended, and every order that was heard of."""
        return bool(self._rollout and self._rollout.ended and not self._orders)

    def wave(self, number: int) -> Stretch | None:
        """One of its waves, counted from 0; `None` where its beginning was not heard."""
        return self._waves.get(number)

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
            case _:
                self._end_by(one)
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

    def _end_by(self, one: Recorded) -> None:
        """End the rollout, if this does, and with it the waves that were under way."""
        # One that has ended can be undone, and took no longer for it.
        if type(one.event) in ENDS and self._rollout and not self._rollout.ended:
            self._rollout = _with_end(self._rollout, one)
            for number, wave in self._waves.items():
                self._waves[number] = wave if wave.ended else _with_end(wave, one)

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
            case AttemptFinished():
                failed = event.verdict is not Verdict.DONE
                why = event.failure.kind.value if event.failure and failed else ""
                error = why or ("" if not failed else event.verdict)
                return self._ended(event.command, at, error, one.metadata.spans or ())
            case _ if not self._weaves_steps:
                pass
            case MigrationApplied() | MigrationRolledBack():
                way = "up" if isinstance(event, MigrationApplied) else "down"
                began = at - timedelta(milliseconds=event.duration_ms)
                self._step(one, event, way, began, at, "")
            case MigrationFailed():
                failure = event.failure
                began = self._free_since(event.command, at)
                error = failure.sqlstate or failure.kind.value
                self._step(one, event, event.direction, began, at, error)
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

    def _ended(
        self, command: UUID, at: datetime | None, error: str, notes: Sequence[SpanNote] = ()
    ) -> Stretch | None:
        order = self._orders.pop(command, None)
        attempt, steps = self._attempts.pop(command, None), self._steps.pop(command, ())
        if order is None:
            return None
        inside: tuple[Stretch, ...] = ()
        if attempt is not None:
            told = dict(order.told)
            if (own := _own_note(attempt, notes)) is not None:
                notes = notes[:-1]
                began = _BEGINNING + timedelta(microseconds=own.began_us)
                attempt = replace(attempt, began=min(began, attempt.began))
                told |= {} if own.client else {"local": "true"}
            if self._weaves_steps:
                steps = _as_noted(command, attempt, steps, notes)
            inside = (replace(attempt, ended=at, error=error, told=told, inside=steps),)
        return replace(order, ended=at, error=error, inside=inside)


def _with_end(stretch: Stretch, one: Recorded) -> Stretch:
    """A rollout, or a wave under way, as it ends by what ends the rollout."""
    return replace(stretch, ended=one.recorded_at, error=ENDS[type(one.event)])


def _own_note(attempt: Stretch, notes: Sequence[SpanNote]) -> SpanNote | None:
    """The note of the attempt itself: the last one, if it has the attempt's span id."""
    recorded = (attempt.context or "").split("-")
    return notes[-1] if notes and notes[-1].id in recorded[2:3] else None


def _as_noted(
    command: UUID, attempt: Stretch, steps: tuple[Stretch, ...], notes: Sequence[SpanNote]
) -> tuple[Stretch, ...]:
    """What was inside of an attempt, by the notes of its agent; only migrations where it has none.

    A note that claims to be inside of an earlier one, or of none that is there, is the attempt's.
    """
    if not notes or attempt.context is None:
        return steps
    trace = attempt.context.split("-")[1]
    known = {f"migrate {step.name}": step for step in steps}
    inside: dict[int, list[Stretch]] = {}
    for number, note in enumerate(notes):
        own = sorted(inside.pop(number, ()), key=lambda part: part.began)
        began = _BEGINNING + timedelta(microseconds=note.began_us)
        step = known.pop(note.name, None)
        part = Stretch(
            StretchKind.MIGRATION if step else StretchKind.PART,
            f"{command}/{number}",
            step.name if step else note.name,
            began,
            began + timedelta(microseconds=note.took_us),
            step.error if step else note.error,
            step.told if step else {"client": "true"} if note.client else {},
            context=f"00-{trace}-{note.id}-01",
            inside=tuple(own),
        )
        above = note.inside if number < note.inside < len(notes) else -1
        inside.setdefault(above, []).append(part)
    # What the log says of a migration holds, also where an agent has noted nothing of it.
    found = [*inside.pop(-1, ()), *known.values()]
    return tuple(sorted(found, key=lambda part: part.began))


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
            "database": event.database,
        },
        context=one.metadata.traceparent,
        state=one.metadata.tracestate,
    )
