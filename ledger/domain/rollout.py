"""A rollout: a set of migrations travelling across a selection of the fleet, in waves.

The rollout:

```
planned ─▶ running ⇄ paused
              │ ▲
 budget spent ▼ │ resume, retry
            halted             running ──▶ completed ──▶ (undone by another)
              │
              ▼ abort, undone by another
           aborted ──▶ (undone by another)
```

Abort is possible in every state that has not ended. Resuming a halted rollout forgives the failures
known by then: they stay failed, and the budget counts new ones from there. A retry forgives nobody:
those that it names are pending again, all others count as before. If what they spend is more than
the budget allows still, nobody but those is ordered, and the rollout halts again once they have an
outcome, or the first of them has failed (`ledger.domain.progress`).

A rollout is taken back by another one, which `undoes` it and has this life, too: waves, limits, a
budget of its own; it can be paused, and cannot be undone (`ledger.domain.rollback`). Its start ends
the one that it undoes, in the same append:

```
R:       running, paused, halted ─UndoStarted─▶ aborted      (completed, aborted: stays what it was)
                                      │ one append
undo-R:                        planned, started ─▶ running ─▶ …
```

A database in it:

```
pending ─▶ ordered ─▶ running ─▶ applied | skipped | failed | blocked
   ▲          │          │
   │ expired  │          │ deadline passed without an answer
   └──────────┤          ▼
   │          └───────▶ unknown ── its journal is asked ──▶ applied | skipped | pending (again)
   │                       ▲
   ├── retry ◀── failed, skipped (left out), unknown        aborted: failed | pending
   └── resolve ◀── blocked, unknown
                           │
   unfinished ─────────────┘ aborted: its journal is asked
```

Who waits for an attempt is `pending` only if nothing of the rollout can be in its journal; one that
was worked on and cut short is `unfinished`, and no view leaves it out. When the rollout is aborted,
no attempt comes any more: its journal is asked, and what it has is told.

In a rollout that goes back, applied means that something was undone, skipped that nothing was to
be, and a database that the fleet left out has failed: it still has what was to be undone.

Why an order that expired is no failure: expiry limits starting, so nothing ran. It is made again
at growing distances, and fails when too many in a row came to nothing (`ledger.domain.patience`).
Why unknown and blocked databases keep their place in the in-flight limit: nobody can account for
them, and a fleet whose agents hang would otherwise be swept through, one unknown database after
another.

A report that contradicts another about what became of a database makes it unknown, whatever it was,
and halts the rollout: its journal is asked.

A rollout has two streams, decisions and reports, folded together by position. A report on a command
that is not the database's latest adds what is a fact whoever did it (a migration was applied, or
rolled back) and settles nothing.

`fold` is the definition: a state and the events that followed it give the next state, whether they
come one by one or together, and the given state never changes. With `lean`, it lets go of databases
that are done: who decides needs only their number. Few events change such a one all the same
(`changed_by`): for these the rollout has to be read again, with that database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
    DatabaseLeftOut,
    InspectionOrdered,
    MigrationOrdered,
    OutcomeResolved,
    ReportContradicted,
    RetryRequested,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    RolloutStarted,
    UndoStarted,
    WaveCompleted,
    WaveOpened,
    WavePlanned,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    BatchProgressed,
    BlockerCancelled,
    CommandRefused,
    ContentMissing,
    DatabaseIdentified,
    DatabaseInspected,
    Event,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    MigrationSkipped,
    OutsideChangeFound,
    PreflightChecked,
    Unreadable,
)
from ledger.domain import attempts, outcomes
from ledger.domain.builder import RolloutBuilder
from ledger.domain.states import (
    ENDED,
    DatabaseState,
    DatabaseStatus,
    RolloutState,
    Status,
    Wave,
)

__all__ = ["BrokenStream", "DatabaseState", "DatabaseStatus", "RolloutState", "Status", "Wave"]


class BrokenStream(ValueError):
    """Events do not make a rollout: the first is no plan, they are out of order, or are foreign."""

    def __init__(self, recorded: Recorded, why: str) -> None:
        super().__init__(
            f"{type(recorded.event).__name__} at position {recorded.position} of stream "
            f"{recorded.stream}: {why}; `ledger audit verify` says whether the log is damaged"
        )
        self.position = recorded.position


def fold(
    state: RolloutState | None, events: Iterable[Recorded], *, lean: bool = False
) -> RolloutState | None:
    """The rollout after these events, in the order of their positions. Raises `BrokenStream`."""
    following = iter(events)
    first = next(following, None)
    if first is None:
        return state
    return _fold(state, (first, *following), first, lean)


def recalled(state: RolloutState, events: Iterable[Recorded]) -> bool:
    """Whether these events may change a database that was let go of."""
    return any(one in state and state.get(one) is None for one in changed_by(events))


def changed_by(events: Iterable[Recorded]) -> frozenset[str]:
    """The databases that these events may change, although they are done."""
    named: set[str] = set()
    for one in events:
        event = one.event
        if isinstance(event, RetryRequested):
            named.update(event.databases)
        elif isinstance(event, ReportContradicted):
            named.update((event.database,) if event.effect else ())
        elif type(event) in _RECALLING:
            named.add(event.database)  # type: ignore[attr-defined]
    return frozenset(named)


def _fold(
    state: RolloutState | None, events: tuple[Recorded, ...], first: Recorded, lean: bool = False
) -> RolloutState:
    if state is None:
        state, events = begin(first), events[1:]
    draft = RolloutBuilder(state)
    for recorded in events:
        take(draft, recorded)
        if recorded.stream == state.stream:
            draft.version = recorded.stream_version
    draft.advance()
    if lean:
        draft.let_go()
    return draft.freeze()


def take(draft: RolloutBuilder, recorded: Recorded) -> None:
    """Let `draft` say what one more event says; of a part of the databases as well as of all.

    Raises `BrokenStream`.
    """
    if recorded.position <= draft.position:
        raise BrokenStream(recorded, f"position {draft.position} was folded before it")
    apply = _APPLY.get(type(recorded.event))
    if apply is None:
        raise BrokenStream(recorded, "such an event has no place in a rollout")
    apply(draft, recorded, recorded.event)
    draft.position = recorded.position


def begin(recorded: Recorded) -> RolloutState:
    """The rollout that was just planned, without its databases. Raises `BrokenStream`."""
    plan = recorded.event
    if not isinstance(plan, RolloutPlanned):
        raise BrokenStream(recorded, "a rollout starts with RolloutPlanned")
    return RolloutState(
        plan=plan,
        status=Status.PLANNED,
        version=recorded.stream_version,
        position=recorded.position,
        planned_at=recorded.recorded_at,
        waves=tuple(Wave() for _ in range(plan.waves)),
    )


def _wave_planned(draft: RolloutBuilder, recorded: Recorded, event: WavePlanned) -> None:
    values = {one.database: one.values for one in event.values}
    draft.add_chunk(event.wave, event.databases, values)


def _started(draft: RolloutBuilder, recorded: Recorded, event: RolloutStarted) -> None:
    draft.status = Status.RUNNING


def _wave_opened(draft: RolloutBuilder, recorded: Recorded, event: WaveOpened) -> None:
    draft.open_wave(event.wave)


def _wave_completed(draft: RolloutBuilder, recorded: Recorded, event: WaveCompleted) -> None:
    draft.complete_wave(event.wave)


def _paused(draft: RolloutBuilder, recorded: Recorded, event: RolloutPaused) -> None:
    draft.status = Status.PAUSED


def _resumed(draft: RolloutBuilder, recorded: Recorded, event: RolloutResumed) -> None:
    if draft.status is Status.HALTED:
        draft.forgive()
    draft.status = Status.RUNNING
    draft.why = ""


def _halted(draft: RolloutBuilder, recorded: Recorded, event: RolloutHalted) -> None:
    draft.halt(event.why)


def _undo_started(draft: RolloutBuilder, recorded: Recorded, event: UndoStarted) -> None:
    draft.undone_by = (*draft.undone_by, event.by)
    if draft.status not in ENDED:
        draft.abort(recorded.recorded_at)


def _completed(draft: RolloutBuilder, recorded: Recorded, event: RolloutCompleted) -> None:
    draft.status = Status.COMPLETED


def _aborted(draft: RolloutBuilder, recorded: Recorded, event: RolloutAborted) -> None:
    draft.abort(recorded.recorded_at)
    draft.cancel = event.cancel
    if reason := recorded.metadata.reason:
        draft.why = f"{draft.why}; then aborted: {reason}" if draft.why else reason


def _unchanged(draft: RolloutBuilder, recorded: Recorded, event: Event) -> None:
    """History only: what it says is kept in the log and read by projections."""


_APPLY: dict[type[Event], Callable[[RolloutBuilder, Recorded, Any], None]] = {
    # A table and not a match: the reports of a large rollout are most of a log, and one look-up by
    # type costs a twentieth of a walk through 25 patterns. A test compares it with the contracts.
    WavePlanned: _wave_planned,
    RolloutStarted: _started,
    WaveOpened: _wave_opened,
    MigrationOrdered: attempts.ordered,
    DatabaseLeftOut: attempts.left_out,
    WaveCompleted: _wave_completed,
    RolloutPaused: _paused,
    RolloutResumed: _resumed,
    RolloutHalted: _halted,
    RetryRequested: attempts.retry_requested,
    UndoStarted: _undo_started,
    RolloutCompleted: _completed,
    RolloutAborted: _aborted,
    AttemptTimedOut: attempts.timed_out,
    OutcomeResolved: attempts.resolved,
    InspectionOrdered: attempts.inspection_ordered,
    AttemptStarted: outcomes.attempt_started,
    DatabaseIdentified: _unchanged,
    MigrationApplied: outcomes.migration_applied,
    MigrationSkipped: _unchanged,
    MigrationRolledBack: outcomes.migration_rolled_back,
    HistoryAdopted: outcomes.history_adopted,
    MigrationFailed: outcomes.step_failed,
    BatchProgressed: outcomes.batch_progressed,
    BlockerCancelled: outcomes.blocker_cancelled,
    CommandRefused: outcomes.step_failed,
    ContentMissing: _unchanged,
    OutsideChangeFound: _unchanged,
    PreflightChecked: _unchanged,
    AttemptFinished: outcomes.attempt_finished,
    DatabaseInspected: outcomes.inspected,
    Unreadable: _unchanged,
    ReportContradicted: outcomes.contradicted,
}
_RECALLING: frozenset[type[Event]] = frozenset(
    {
        MigrationOrdered,
        DatabaseLeftOut,
        OutcomeResolved,
        InspectionOrdered,
        MigrationApplied,
        MigrationRolledBack,
        HistoryAdopted,
    }
)
"""What changes a database that is done, and names one."""
