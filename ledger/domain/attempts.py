"""How the ledger's own decisions on one database change its state: orders, time-outs, retries."""

from __future__ import annotations

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
    DatabaseLeftOut,
    InspectionOrdered,
    MigrationOrdered,
    OutcomeResolved,
    RetryRequested,
)
from ledger.domain.builder import RolloutBuilder
from ledger.domain.states import DatabaseState, DatabaseStatus
from migrations.model.attempt import Failure, FailureClass, Resolution


def ordered(draft: RolloutBuilder, recorded: Recorded, event: MigrationOrdered) -> None:
    """A new attempt replaces the one before; its deadline and expiry count from here."""
    state = draft.get(event.database)
    if state is None:
        return
    draft.put(
        state._replace(
            status=DatabaseStatus.ORDERED,
            pool=event.pool,
            attempt=event.attempt,
            mode=event.mode,
            command=event.command,
            open=True,
            again=False,
            again_at=None,
            waits_since=None,
            last_try=event.last_try,
            started=False,
            answered=False,
            told=0,
            ordered_position=recorded.position,
            ordered_at=recorded.recorded_at,
            expires_at=event.expires_at,
            deadline_at=event.deadline_at,
            failure=None,
            forgiven=False,
            inspection=None,
            looks=0,
            look_at=None,
        )
    )


def left_out(draft: RolloutBuilder, recorded: Recorded, event: DatabaseLeftOut) -> None:
    """On the way forward the database is skipped; one that cannot be taken back has failed."""
    state = draft.get(event.database)
    if state is None:
        return
    begun = "; it was worked on before and is not finished" if state.begun else ""
    back = draft.plan.undoes is not None
    draft.put(
        state._replace(
            status=DatabaseStatus.FAILED if back else DatabaseStatus.SKIPPED,
            open=False,
            again=False,
            again_at=None,
            failure=Failure(kind=FailureClass.LEFT_OUT, message=event.why + begun),
            settled_position=recorded.position,
        )
    )


def timed_out(draft: RolloutBuilder, recorded: Recorded, event: AttemptTimedOut) -> None:
    """Nobody answered: unknown, until the journal is asked or the answer comes late."""
    state = draft.get(event.database)
    if state is None or state.command != event.command or not state.open:
        return
    draft.put(
        state._replace(
            status=DatabaseStatus.UNKNOWN, open=False, looks=0, look_at=recorded.recorded_at
        )
    )


def retry_requested(draft: RolloutBuilder, recorded: Recorded, event: RetryRequested) -> None:
    """These databases wait for a new attempt; a halted rollout goes on, as far as they do."""
    draft.retry(event.databases, recorded.position)
    for database in event.databases:
        state = draft.get(database)
        if state is not None and not state.open:
            draft.put(wait_again(state._replace(fruitless=0)))


def resolved(draft: RolloutBuilder, recorded: Recorded, event: OutcomeResolved) -> None:
    """The next attempt carries the person's word; the reason is the event's metadata."""
    state = draft.get(event.database)
    if state is None:
        return
    word = Resolution(
        version=event.version, applied=event.applied, reason=recorded.metadata.reason or ""
    )
    others = tuple(known for known in state.resolutions if known.version != event.version)
    state = state._replace(resolutions=(*others, word), fruitless=0)
    in_doubt = state.status in (DatabaseStatus.BLOCKED, DatabaseStatus.UNKNOWN)
    draft.put(wait_again(state) if in_doubt else state)


def inspection_ordered(draft: RolloutBuilder, recorded: Recorded, event: InspectionOrdered) -> None:
    """The journal was asked; without an answer it is asked again some time after `expires_at`."""
    state = draft.get(event.database)
    if state is None:
        return
    draft.put(
        state._replace(
            inspection=event.command,
            inspections=event.attempt,
            looks=state.looks + 1,
            look_at=event.expires_at,
            inspected_at=recorded.recorded_at,
        )
    )


def wait_again(state: DatabaseState) -> DatabaseState:
    """The same database, waiting for a new attempt that is due now."""
    status = DatabaseStatus.UNFINISHED if state.begun else DatabaseStatus.PENDING
    return state._replace(status=status, open=False, again=True, again_at=None, waits_since=None)
