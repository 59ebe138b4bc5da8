"""How the agents' reports on one database change its state. Nothing here can be refused.

`AttemptFinished` is the last word on a command and alone settles a database; the reports before it
say what was done on the way. An inspection settles a database that nobody answered for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import ReportContradicted
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    BatchProgressed,
    BlockerCancelled,
    CommandRefused,
    DatabaseInspected,
    HistoryAdopted,
    JournalEntry,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
)
from ledger.domain.attempts import wait_again
from ledger.domain.belief import UNREAD
from ledger.domain.builder import RolloutBuilder
from ledger.domain.patience import due_at, given_up, passes, told
from ledger.domain.refusals import listed
from ledger.domain.states import ENDED, WELL, DatabaseState, DatabaseStatus, Status
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict

CANCELLED_KEPT = 3
"""Of those that an agent has cancelled for one database, so many are told."""
APPLIED = "applied"
"""The state of a journal entry that says the migration is in force."""
LOOK_AGAIN_FIRST_S = 15.0
"""Wait before an unreachable database is looked at again; doubled each time."""
LOOK_AGAIN_MOST_S = 600.0
"""Longest such wait: a database that comes back is noticed within ten minutes."""


def attempt_started(draft: RolloutBuilder, recorded: Recorded, event: AttemptStarted) -> None:
    """From here the attempt cannot expire any more, only time out."""
    state = _current(draft, event.database, event)
    if state is None or not state.open:
        return
    draft.put(state._replace(started=True, status=DatabaseStatus.RUNNING))


def migration_applied(draft: RolloutBuilder, recorded: Recorded, event: MigrationApplied) -> None:
    """A fact, whichever attempt it was: this version is in force through this rollout."""
    state = draft.get(event.database)
    if state is not None and event.version not in state.changed:
        changed = (*state.changed, event.version)
        draft.put(_worked_on(state, recorded, event)._replace(changed=changed))


def migration_rolled_back(
    draft: RolloutBuilder, recorded: Recorded, event: MigrationRolledBack
) -> None:
    """A fact too, and the change that a rollout makes which goes back."""
    state = draft.get(event.database)
    if state is not None:
        if event.version not in state.changed:
            state = _worked_on(state, recorded, event)
        changed = (*(v for v in state.changed if v != event.version), event.version)
        draft.put(state._replace(changed=changed))


def history_adopted(draft: RolloutBuilder, recorded: Recorded, event: HistoryAdopted) -> None:
    """A fact as well: what the journal holds through this rollout now, or has let go of by it."""
    state = draft.get(event.database)
    if state is None:
        return
    said = {*event.released, *(one.version for one in event.taken)}
    if not said <= {*state.changed}:
        state = _worked_on(state, recorded, event)
    if draft.plan.undoes is not None:
        draft.put(state._replace(changed=tuple(dict.fromkeys((*state.changed, *event.released)))))
        return
    known = {version for version in state.changed if version not in event.released}
    new = (one.version for one in event.taken if one.version not in known)
    kept = (version for version in state.changed if version in known)
    draft.put(state._replace(changed=(*kept, *new)))


def step_failed(
    draft: RolloutBuilder, recorded: Recorded, event: MigrationFailed | CommandRefused
) -> None:
    """Why the attempt will end; that it ended is said by AttemptFinished, and nothing after it."""
    state = _current(draft, event.database, event)
    if state is not None and not state.answered:
        draft.put(state._replace(failure=event.failure))


def batch_progressed(draft: RolloutBuilder, recorded: Recorded, event: BatchProgressed) -> None:
    """How far the latest attempt is; nothing follows from it."""
    state = _current(draft, event.database, event)
    if state is not None and state.open:
        draft.put(state._replace(progress=event))


def blocker_cancelled(draft: RolloutBuilder, recorded: Recorded, event: BlockerCancelled) -> None:
    """Whom an agent has cancelled; nothing follows from it."""
    state = _current(draft, event.database, event)
    if state is not None:
        draft.put(state._replace(cancelled=(*state.cancelled, event.blocker)[-CANCELLED_KEPT:]))


def attempt_finished(draft: RolloutBuilder, recorded: Recorded, event: AttemptFinished) -> None:
    """The verdict settles the database, or makes it wait for a new attempt."""
    state = _current(draft, event.database, event)
    if state is None or state.answered:
        return
    failure = event.failure or state.failure
    state = state._replace(
        begun=state.begun or _may_have_worked(state, event),
        open=False,
        again=False,
        started=True,
        answered=True,
        told=event.changed,
        head=event.journal_head,
        settled_position=recorded.position,
        inspection=None,
        committed=(event.rows, event.batches),
        failure=None if event.verdict is Verdict.DONE else failure,
    )
    match event.verdict:
        case Verdict.DONE:
            draft.put(_done(state, changed=event.changed > 0))
        case Verdict.FAILED:
            draft.put(_failed(state))
        case Verdict.REFUSED if not passes(failure):
            draft.put(_failed(state))
        case Verdict.CANCELLED if draft.status is Status.ABORTED:
            draft.put(_failed(state))
        case Verdict.REFUSED | Verdict.EXPIRED if draft.status is Status.ABORTED and state.begun:
            draft.put(state.in_doubt(recorded.recorded_at))
        case Verdict.REFUSED | Verdict.EXPIRED | Verdict.CANCELLED:
            draft.put(_came_to_nothing(state, recorded.recorded_at))
        case _:
            assert_never(event.verdict)


def inspected(draft: RolloutBuilder, recorded: Recorded, event: DatabaseInspected) -> None:
    """Settles an unknown database from its journal, or makes it wait for the next try or look."""
    state = draft.get(event.database)
    if state is None or state.inspection != event.command:
        return
    if state.status is not DatabaseStatus.UNKNOWN:
        return
    if not event.reachable or event.failure is not None:
        look_at = look_again_at(recorded.recorded_at, state.looks)
        draft.put(state._replace(look_at=look_at, failure=event.failure, inspection=None))
        return
    state = state._replace(
        inspection=None, inspected_at=recorded.recorded_at, settled_position=recorded.position
    )
    rollout = draft.plan.rollout
    ours = any(entry.rollout == rollout for entry in event.entries)
    # The journal was asked: what was begun here is no guess any more.
    state = state._replace(begun=ours or rollout in event.unfinished)
    if _holds(draft, state, event.entries):
        state = state._replace(answered=True, head=event.journal_head, failure=None)
        draft.put(_done(state, changed=ours))
        return
    if lost := _lost(state, event.entries):
        state = state._replace(failure=_set_back(state, lost))
    if draft.status in ENDED:
        draft.put(_left_behind(draft, state, event, lost=bool(lost)))
    else:
        draft.put(wait_again(state))


def contradicted(draft: RolloutBuilder, recorded: Recorded, event: ReportContradicted) -> None:
    """Two reports leave the database in two states: nobody knows, until its journal is asked.

    What was said of an attempt that another has replaced is the later one's to find out. A database
    that waits for a person's word waits for it still.
    """
    state = draft.get(event.database)
    if not event.effect or state is None:
        return
    draft.doubt(event.database, recorded.position)
    if state.command != event.command or state.status is DatabaseStatus.BLOCKED:
        return
    draft.put(
        state._replace(
            status=DatabaseStatus.UNKNOWN,
            open=False,
            again=False,
            again_at=None,
            answered=False,
            looks=0,
            look_at=recorded.recorded_at,
        )
    )


def in_force(entries: Iterable[JournalEntry]) -> frozenset[str]:
    """The versions that a journal says are applied, whoever applied them."""
    return frozenset(entry.version for entry in entries if entry.state == APPLIED)


def look_again_at(now: datetime, looks: int) -> datetime:
    """When an unreachable database is looked at after the n-th look."""
    wait_s = min(2.0 ** min(looks, 16) * LOOK_AGAIN_FIRST_S, LOOK_AGAIN_MOST_S)
    return now + timedelta(seconds=wait_s)


def _current(
    draft: RolloutBuilder,
    database: str,
    event: AttemptStarted
    | BatchProgressed
    | BlockerCancelled
    | MigrationFailed
    | CommandRefused
    | AttemptFinished,
) -> DatabaseState | None:
    """The database's state when the report is about its latest command, else `None`."""
    state = draft.get(database)
    return state if state is not None and state.command == event.command else None


def _worked_on(
    state: DatabaseState,
    recorded: Recorded,
    fact: MigrationApplied | MigrationRolledBack | HistoryAdopted,
) -> DatabaseState:
    """The database, of which a fact is told that the last word on its latest command left out.

    Another delivery went on where that word was the end, or an earlier attempt did and nobody could
    ask the journal: whoever waits for an attempt was worked on, and what was settled as not done is
    unknown until the journal was asked.
    """
    left_out = fact.command == state.command and len(state.changed) >= state.told
    unread = state.head is None
    if not state.answered or state.status in WELL or not (left_out or unread):
        return state
    if state.again:
        return state._replace(begun=True, status=DatabaseStatus.UNFINISHED)
    if state.status in (DatabaseStatus.FAILED, DatabaseStatus.PENDING):
        return state.in_doubt(recorded.recorded_at)._replace(begun=True, answered=False)
    return state


def _may_have_worked(state: DatabaseState, event: AttemptFinished) -> bool:
    """Whether an attempt that ended so may have left something in the journal.

    An agent that answers for work that was cut short says that it had been started.
    """
    if event.changed:
        return True
    if event.verdict is Verdict.REFUSED or event.verdict is Verdict.DONE:
        return False
    failure = event.failure
    unread = failure is not None and failure.kind in UNREAD
    return state.started or (unread and event.journal_head is None)


def _lost(state: DatabaseState, entries: tuple[JournalEntry, ...]) -> list[str]:
    """The versions of which the journal does not hold what was reported of them."""
    found = in_force(entries)
    undone = state.mode in (Mode.DOWN, Mode.ROLLBACK)
    return [version for version in state.changed if (version in found) is undone]


def _set_back(state: DatabaseState, lost: Sequence[str]) -> Failure:
    told = "undone" if state.mode in (Mode.DOWN, Mode.ROLLBACK) else "applied"
    return Failure(
        kind=FailureClass.IDENTITY,
        message=f"by its journal, what was reported as {told} is not: {listed(lost)}; the database "
        "was restored from an older copy since, or the report was false; look at it, then let it "
        f"in with `ledger fleet reinstate {state.database}`",
    )


def _left_behind(
    draft: RolloutBuilder, state: DatabaseState, look: DatabaseInspected, *, lost: bool
) -> DatabaseState:
    """What a database is that the journal shows unfinished after its rollout has ended."""
    if lost:
        return state._replace(status=DatabaseStatus.FAILED, answered=True)
    if not state.begun:
        return wait_again(state)._replace(again=False, failure=None)
    found = in_force(look.entries)
    wanted = [step.version for step in draft.plan.steps]
    down = draft.plan.mode in (Mode.DOWN, Mode.ROLLBACK)
    done = sum((version in found) is not down for version in wanted)
    if state.mode is Mode.ROLLBACK and done == len(wanted) and not look.unfinished:
        return _done(state._replace(answered=True, failure=None), changed=True)
    ended = "was aborted" if draft.status is Status.ABORTED else "ended"
    failure = Failure(
        kind=FailureClass.CANCELLED,
        message=f"the rollout {ended} before it was finished here: {done:,} of {len(wanted):,} "
        f"migrations {'undone' if down else 'applied'}; the next rollout goes on from there",
    )
    return state._replace(status=DatabaseStatus.FAILED, answered=True, failure=failure)


def _done(state: DatabaseState, *, changed: bool) -> DatabaseState:
    status = DatabaseStatus.APPLIED if changed or state.changed else DatabaseStatus.SKIPPED
    return state._replace(status=status, resolutions=(), looks=0, look_at=None)


def _failed(state: DatabaseState) -> DatabaseState:
    if state.failure is not None and state.failure.kind is FailureClass.IN_DOUBT:
        # The word that was carried did not settle it, or settled another step: ask anew.
        return state._replace(status=DatabaseStatus.BLOCKED, resolutions=())
    return state._replace(status=DatabaseStatus.FAILED)


def _came_to_nothing(state: DatabaseState, now: datetime) -> DatabaseState:
    """Tried again at a distance that grows, or failed when this was the last try."""
    state = state._replace(fruitless=state.fruitless + 1)
    if state.last_try:
        return _failed(state._replace(failure=given_up(state, now)))
    return wait_again(state)._replace(
        again_at=due_at(state), waits_since=now, failure=told(state, now)
    )


def _holds(draft: RolloutBuilder, state: DatabaseState, entries: tuple[JournalEntry, ...]) -> bool:
    """Whether what the database's latest order asked for is what its journal says."""
    found = in_force(entries)
    versions = [step.version for step in draft.plan.steps]
    match state.mode:
        case Mode.UP:
            return all(version in found for version in versions)
        case Mode.DOWN:
            return not any(version in found for version in versions)
        case Mode.ADOPT:
            # What there was to adopt, only the database knew: adopting again finds it done.
            return any(entry.rollout == draft.plan.rollout for entry in entries)
        case Mode.ROLLBACK | None:
            # An entry says what holds, not what is half done; another attempt cleans that up, and
            # answers "nothing to undo" where there was nothing.
            return False
        case _:
            assert_never(state.mode)
