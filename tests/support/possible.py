"""Which of a story's events could have happened to one rollout, its reports in any order.

A decision is possible where the rollout, as it is or as it was one or two reports ago, allows it:
reports do not make a decision lose its turn. An agent's report is possible when it says what its
order asked for, and no change after the last word on it, which says why unless it was done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Metadata, Recorded
from ledger.domain.rollout import fold
from ledger.domain.states import ENDED, DatabaseStatus, RolloutState
from migrations.model.attempt import Mode, Verdict

LATE = 2
"""How many reports may have come since the state that a decision was made on."""
BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
TO_ORDER = frozenset({DatabaseStatus.PENDING, DatabaseStatus.UNFINISHED, DatabaseStatus.UNKNOWN})
TO_RETRY = frozenset({DatabaseStatus.FAILED, DatabaseStatus.UNKNOWN})
IN_DOUBT = frozenset({DatabaseStatus.BLOCKED, DatabaseStatus.UNKNOWN})


def possible(rollout: str, placed: Iterable[tuple[str, r.Event]]) -> Iterator[tuple[str, r.Event]]:
    """The events that could have happened, in their order."""
    stream = f"rollout-{rollout}"
    states: deque[RolloutState] = deque(maxlen=LATE + 1)
    modes: dict[UUID, Mode] = {}
    for position, (where, event) in enumerate(placed, start=1):
        if where not in (stream, f"{stream}/reports"):
            yield where, event
            continue
        report = isinstance(event, r.Report)
        if states and not (
            _told(event, modes) if report else any(_decided(state, event) for state in states)
        ):
            continue
        yield where, event
        folded = fold(states[-1] if states else None, (_recorded(position, where, event),))
        if not report:
            states.clear()
        if folded is not None:
            states.append(folded)
        match event:
            case e.MigrationOrdered():
                modes[event.command] = event.mode
            case r.AttemptFinished():
                modes.pop(event.command, None)
            case _:
                pass


def _told(report: r.Event, modes: dict[UUID, Mode]) -> bool:
    match report:
        case r.MigrationApplied():
            return modes.get(report.command) is Mode.UP
        case r.MigrationRolledBack():
            return modes.get(report.command) in (Mode.DOWN, Mode.ROLLBACK)
        case r.AttemptFinished():
            return report.verdict is Verdict.DONE or report.failure is not None
        case _:
            return True


def _decided(state: RolloutState, event: r.Event) -> bool:
    """Whether `progress` or a person could have decided this in that state."""
    match event:
        case e.UndoStarted():
            return state.plan.undoes is None
        case e.RolloutPaused() | e.RolloutHalted() | e.RolloutAborted():
            return state.status not in ENDED
        case e.MigrationOrdered() | e.DatabaseLeftOut():
            return _orderable(state, event)
        case e.RetryRequested(databases=(database,)):
            one = state.database(database)
            left_out = one.failure is not None and one.failure.kind == "left_out"
            return not one.open and (one.status in TO_RETRY or left_out)
        case e.AttemptTimedOut():
            one = state.database(event.database)
            return one.open and one.command == event.command
        case e.OutcomeResolved():
            return state.database(event.database).status in IN_DOUBT
        case e.InspectionOrdered():
            one = state.database(event.database)
            return one.status is DatabaseStatus.UNKNOWN and one.inspection is None
        case _:
            return isinstance(event, e.WavePlanned | e.RolloutStarted | e.WaveOpened)


def _orderable(state: RolloutState, event: e.MigrationOrdered | e.DatabaseLeftOut) -> bool:
    """Not ordered yet, waiting for an attempt, or not started in time."""
    one = state.database(event.database)
    if not isinstance(event, e.DatabaseLeftOut) and event.mode is not state.plan.mode:
        return False
    return one.again or (one.open and not one.started) or one.status in TO_ORDER


def _recorded(position: int, stream: str, event: r.Event) -> Recorded:
    return Recorded(
        position=position,
        stream=stream,
        stream_version=position,
        event_id=UUID(int=position),
        event=event,
        metadata=Metadata(),
        recorded_at=BEGAN + timedelta(seconds=position),
        recorded_by="ledger_service",
    )
