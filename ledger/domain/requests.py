"""What may be asked of a rollout: one function per request, which answers with events or refuses.

Planning one is in `ledger.domain.planning`. Which request is allowed when:

| status       | start | pause | resume | retry | resolve | rollback | abort |
|--------------|-------|-------|--------|-------|---------|----------|-------|
| planned      | yes   |       |        |       |         |          | yes   |
| running      |       | yes   |        | yes   | yes     | yes      | yes   |
| paused       |       |       | yes    |       | yes     | yes      | yes   |
| halted       |       |       | yes    | yes   | yes     | yes      | yes   |
| completed    |       |       |        |       |         | yes      |       |
| aborted      |       |       |        |       | yes     | yes      |       |

A rollback is a rollout of its own, of which all of this may be asked but a rollback. While one has
not ended, its rollout gets no second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.contracts.events import (
    OutcomeResolved,
    RetryRequested,
    RolloutAborted,
    RolloutPaused,
    RolloutResumed,
    RolloutStarted,
    UndoStarted,
)
from ledger.contracts.registry import MigrationRef
from ledger.contracts.reports import Event
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.planning import PlanInput, plan_rollout
from ledger.domain.refusals import (
    BusyDatabases,
    DownHasNoRollback,
    NothingToResolve,
    NothingToRetry,
    NotInRollout,
    UnavailableDatabases,
    UnknownMigration,
    WrongStatus,
)
from ledger.domain.rollback import (
    NothingToUndo,
    UndoHasNoRollback,
    UndoUnderWay,
    left_to_undo,
    next_undo,
    refuse_irreversible,
)
from ledger.domain.states import ENDED, DatabaseState, DatabaseStatus, RolloutState, Status
from migrations.model.attempt import FailureClass, Mode

__all__ = [
    "PlanInput",
    "abort",
    "pause",
    "plan_rollout",
    "resolve",
    "resume",
    "retry",
    "rollback",
    "start",
]

RETRIED = frozenset({Status.RUNNING, Status.HALTED})
"""While a rollout has one of these, single databases of it may be tried again."""


def start(state: RolloutState, busy: Mapping[str, str]) -> tuple[Event, ...]:
    """Let a planned rollout order, if its databases are still free; `busy` as in planning.

    Databases suspended or retired since are left out on the way. Raises `WrongStatus` or
    `BusyDatabases`.
    """
    if state.status is not Status.PLANNED:
        raise _wrong(state, "start")
    held = {
        database: busy[database]
        for database in state.where
        if busy.get(database, state.rollout) != state.rollout
    }
    if held:
        raise BusyDatabases(held)
    return (RolloutStarted(rollout=state.rollout),)


def pause(state: RolloutState) -> tuple[Event, ...]:
    """Order nothing new; what runs finishes. Raises `WrongStatus`."""
    if state.status is not Status.RUNNING:
        raise _wrong(state, "pause")
    return (RolloutPaused(rollout=state.rollout),)


def resume(state: RolloutState) -> tuple[Event, ...]:
    """Order again after a pause or a halt; a halt's failures are accepted. Raises `WrongStatus`."""
    if state.status not in (Status.PAUSED, Status.HALTED):
        raise _wrong(state, "resume")
    return (RolloutResumed(rollout=state.rollout),)


def abort(state: RolloutState, *, cancel: bool = False) -> tuple[Event, ...]:
    """End the rollout where it stands; with `cancel`, what runs is asked to stop.

    Raises `WrongStatus`.
    """
    if state.status in ENDED:
        raise _wrong(state, "abort")
    return (RolloutAborted(rollout=state.rollout, cancel=cancel),)


def rollback(
    state: RolloutState,
    migrations: Mapping[str, MigrationRef],
    before: Sequence[RolloutState] = (),
    why: str = "requested",
    gone: Sequence[str] = (),
) -> tuple[UndoStarted]:
    """Undo what the rollout applied, on every database that was ever ordered.

    `before` are its earlier rollbacks, `gone` its databases that are retired now. The plan of this
    one, `ledger.domain.planning.plan_undo`, is recorded with it. Of an adoption, the journals'
    entries are taken back and nothing runs. Raises `UndoHasNoRollback`, `DownHasNoRollback`,
    `WrongStatus`, `UndoUnderWay`, `NothingToUndo` or `IrreversibleMigrations`.
    """
    if state.plan.undoes is not None:
        raise UndoHasNoRollback(state.rollout, state.plan.undoes)
    if state.plan.mode is Mode.DOWN:
        raise DownHasNoRollback
    if state.status is Status.PLANNED:
        raise _wrong(state, "roll back")
    for undo in before:
        if undo.status not in ENDED:
            raise UndoUnderWay(state.rollout, undo.rollout, undo.status.value)
    if state.plan.mode is not Mode.ADOPT:
        refs = [migrations[step.version] for step in state.plan.steps]
        abort = f"end it as it stands with `ledger rollout abort {state.rollout}`, or "
        way = "" if state.status in ENDED else abort
        refuse_irreversible(f"rolling back {state.rollout}", refs, way)
    if not left_to_undo(state, before, gone):
        undos, ended = [undo.rollout for undo in before], state.status in ENDED
        raise NothingToUndo(state.rollout, undos, ended, left_to_undo(state, before))
    return (UndoStarted(rollout=state.rollout, by=next_undo(state), why=why),)


def retry(
    state: RolloutState,
    databases: Sequence[str] | None,
    records: Mapping[str, DatabaseRecord],
) -> tuple[RetryRequested]:
    """Try again on these databases, or on all that failed or are unknown.

    It ends a halt and forgives nobody: what failed besides counts as before. Named databases may
    also be those that the fleet left out. Raises `WrongStatus`, `NotInRollout`,
    `NothingToRetry` or `UnavailableDatabases`.
    """
    if state.status not in RETRIED:
        raise _wrong(state, "retry")
    chosen = _retried_by_name(state, databases) if databases else _retried(state)
    unavailable = _unavailable(chosen, records)
    if databases and unavailable:
        raise UnavailableDatabases(unavailable)
    available = tuple(database for database in chosen if database not in unavailable)
    if not available:
        raise NothingToRetry(state.rollout, unavailable)
    return (RetryRequested(rollout=state.rollout, databases=available),)


def resolve(
    state: RolloutState, database: str, version: str, *, applied: bool
) -> tuple[Event, ...]:
    """Settle by a person's word whether a migration is applied where no probe could tell.

    Raises `WrongStatus`, `NotInRollout`, `UnknownMigration` or `NothingToResolve`.
    """
    if state.status in (Status.PLANNED, Status.COMPLETED):
        raise _wrong(state, "resolve a database of")
    if database not in state:
        raise NotInRollout(state.rollout, [database])
    versions = [step.version for step in state.plan.steps]
    if version not in versions:
        raise UnknownMigration(state.rollout, version, versions)
    known = state.database(database)
    if known.status not in (DatabaseStatus.BLOCKED, DatabaseStatus.UNKNOWN):
        raise NothingToResolve(state.rollout, database, known.status.value)
    return (
        OutcomeResolved(rollout=state.rollout, database=database, version=version, applied=applied),
    )


def _wrong(state: RolloutState, request: str) -> WrongStatus:
    return WrongStatus(request, state.rollout, state.status.value, _instead(state))


def _instead(state: RolloutState) -> str:
    """What a person can do with the rollout as it is."""
    rollout = state.rollout
    if state.undone_by:
        by = state.undone_by[-1]
        return f"{by} takes it back, and `ledger rollout status {by}` says how far that is"
    if state.goes_back:
        return _instead_of_undo(state)
    return {
        Status.PLANNED: f"end it with `ledger rollout abort {rollout}`, and start another",
        Status.RUNNING: (
            f"watch it with `ledger rollout watch {rollout}`, "
            f"or `ledger rollout pause {rollout}` first"
        ),
        Status.PAUSED: f"resume it with `ledger rollout resume {rollout}`",
        Status.HALTED: (
            f"go on with `ledger rollout resume {rollout}` or `retry`, "
            f"or back with `ledger rollout rollback {rollout}`"
        ),
        Status.COMPLETED: (
            "run `ledger up` for what is left (databases that have it are skipped), "
            f"or `ledger rollout rollback {rollout}`"
        ),
        Status.ABORTED: (
            f"undo it with `ledger rollout rollback {rollout}`, "
            "or plan a new one with `ledger plan`"
        ),
    }[state.status]


def _instead_of_undo(state: RolloutState) -> str:
    """The same with one that takes another one back."""
    rollout, again = state.rollout, f"`ledger rollout rollback {state.plan.undoes}`"
    return {
        Status.PLANNED: f"end it with `ledger rollout abort {rollout}`, and run {again}",
        Status.RUNNING: (
            f"watch it with `ledger rollout watch {rollout}`, "
            f"or `ledger rollout pause {rollout}` first"
        ),
        Status.PAUSED: f"resume it with `ledger rollout resume {rollout}`",
        Status.HALTED: (
            f"fix what failed and run `ledger rollout retry {rollout}`, "
            f"or leave it with `ledger rollout abort {rollout}`"
        ),
        Status.COMPLETED: f"{again} takes back what is left, if anything is",
        Status.ABORTED: f"{again} takes back what is left",
    }[state.status]


def _retried(state: RolloutState) -> list[str]:
    """All that failed, then the unknown, then those whose next attempt is put off."""
    candidates = [*state.failures, *state.active, *state.again]
    return [database for database in candidates if may_retry(state, state.database(database))]


def _retried_by_name(state: RolloutState, databases: Sequence[str]) -> list[str]:
    foreign = [database for database in databases if database not in state]
    if foreign:
        raise NotInRollout(state.rollout, foreign)
    known = [state.database(database) for database in dict.fromkeys(databases)]
    settled = {
        database.database: database.status.value
        for database in known
        if not may_retry(state, database) and not was_left_out(database)
    }
    if settled:
        raise NothingToRetry(state.rollout, settled)
    return [database.database for database in known]


def may_retry(state: RolloutState, database: DatabaseState) -> bool:
    """Whether a new attempt may be asked for, without naming the database.

    One that is put off may be hurried: its count begins anew. In a halted rollout, whoever waits
    for an attempt gets it so, without anything else being forgiven.
    """
    if database.again and (database.again_at is not None or state.status is Status.HALTED):
        return True
    return database.status in (DatabaseStatus.FAILED, DatabaseStatus.UNKNOWN)


def was_left_out(database: DatabaseState) -> bool:
    """Whether the fleet left it out; it may be tried again by name."""
    return database.failure is not None and database.failure.kind is FailureClass.LEFT_OUT


def _unavailable(databases: Sequence[str], records: Mapping[str, DatabaseRecord]) -> dict[str, str]:
    unavailable = {}
    for database in databases:
        record = records.get(database)
        if record is None or not record.active:
            unavailable[database] = "not registered" if record is None else record.status.value
    return unavailable
