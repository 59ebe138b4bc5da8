"""Taking a rollout back, by another one: which databases, in which order, with which steps.

A rollback is exact: it goes to every database that was ever ordered, whatever the ledger believes
of it, for its journal says what was applied there, and "nothing to undo" is an answer; and to no
other. What is retired when a person plans it is left out, and named.

The last wave goes first, and within a wave what was ordered last. What an earlier rollback
has settled is left out, so that another one goes on where one was aborted, or failed.

Its id follows from the rollout that it undoes: whoever starts it, a person or the halted rollout's
own policy, begins the same stream, and the log lets only the first one do so.

Unless a person says otherwise, it goes as that rollout went, with two differences: all in one wave,
and no failure stops it, because what can be taken back is not left in force for what cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ledger.contracts.events import Budget, PlanOptions, RolloutPlanned, WhenSpent
from ledger.contracts.registry import MigrationRef, Step
from ledger.domain.refusals import IrreversibleMigrations, RequestRefusal, listed
from ledger.domain.states import DatabaseStatus, RolloutState
from ledger.domain.waves import REST
from migrations.model.attempt import Mode

ALL_AT_ONCE = {"wave_spec": REST, "budget": Budget(percent=100.0), "when_spent": WhenSpent.HALT}
"""Which options of the rollout that it undoes a rollback does not take over."""
_DONE = frozenset({DatabaseStatus.APPLIED, DatabaseStatus.SKIPPED})
_BY = "undo-"


class UndoHasNoRollback(RequestRefusal):
    """What takes another rollout back is not taken back itself."""

    def __init__(self, rollout: str, undoes: str) -> None:
        super().__init__(
            f"rollout {rollout} takes {undoes} back, and a rollback has no rollback: run "
            "`ledger up` to bring the migrations back; `ledger rollout pause` and `abort` stop it"
        )


class UndoUnderWay(RequestRefusal):
    """The rollout is being taken back already."""

    def __init__(self, rollout: str, by: str, status: str) -> None:
        super().__init__(
            f"rollout {rollout} is being taken back already by {by}, which is {status}; see "
            f"`ledger rollout status {by}`, or end it with `ledger rollout abort {by}` first"
        )


class NothingToUndo(RequestRefusal):
    """No database is left on which the rollout could be taken back."""

    def __init__(
        self, rollout: str, before: Sequence[str], ended: bool, gone: Sequence[str] = ()
    ) -> None:
        if gone:
            why = f"where it is in force, {retired_text(gone)}"
        elif before:
            why = f"{listed(before)} took it back on every database where it ran"
        elif ended:
            why = "it has ordered no database"
        else:
            why = f"it has ordered no database; end it with `ledger rollout abort {rollout}`"
        super().__init__(f"nothing is left to undo of rollout {rollout}: {why}")


def retired_text(gone: Sequence[str]) -> str:
    """That no rollback reaches these any more, and what to do about one that still exists."""
    are = "are" if len(gone) > 1 else "is"
    return (
        f"{listed(gone)} {are} retired, and no order reaches what left the fleet; a database that "
        "still exists is registered under a new id with `ledger fleet add`"
    )


def next_undo(state: RolloutState) -> str:
    """The id of the next rollout that undoes this one: `undo-7c1e`, then `undo-2-7c1e`."""
    number = len(state.undone_by) + 1
    return f"{_BY}{state.rollout}" if number == 1 else f"{_BY}{number}-{state.rollout}"


def undo_options(plan: RolloutPlanned) -> PlanOptions:
    """How the way back goes when nobody says otherwise."""
    chosen = {name: getattr(plan, name) for name in PlanOptions.model_fields}
    return PlanOptions.model_validate(chosen | ALL_AT_ONCE)


def left_to_undo(
    state: RolloutState, before: Iterable[RolloutState] = (), gone: Collection[str] = ()
) -> tuple[str, ...]:
    """The databases ever ordered that no rollback `before` has settled, newest first.

    Without those that are `gone`: retired, so that nothing goes back there.
    """
    settled = {one.database for undo in before for one in undo.databases() if one.status in _DONE}
    settled |= set(gone)
    ordered = [one for one in state.databases() if one.attempt and one.database not in settled]
    ordered.sort(key=lambda one: (-one.wave, -one.ordered_position))
    return tuple(one.database for one in ordered)


def undo_steps(plan: RolloutPlanned, migrations: Mapping[str, MigrationRef]) -> tuple[Step, ...]:
    """The rollout's steps backwards, with their down checksums.

    What was adopted is only taken out of the journal, for which no down section is needed. Raises
    `IrreversibleMigrations` when one has no down section that can run.
    """
    if plan.mode is Mode.ADOPT:
        return tuple(reversed(plan.steps))
    refs = [migrations[step.version] for step in reversed(plan.steps)]
    refuse_irreversible("the rollback", refs)
    return tuple(
        Step(version=ref.version, checksum=ref.down_checksum) for ref in refs if ref.down_checksum
    )


def planned(plan: RolloutPlanned, migrations: Sequence[MigrationRef]) -> list[MigrationRef]:
    """A plan's migrations as its bundle has them, in the order in which they run there."""
    known = {ref.version: ref for ref in migrations}
    return [known[step.version] for step in plan.steps if step.version in known]


def may_go_back(plan: RolloutPlanned, migrations: Sequence[MigrationRef]) -> bool:
    """Whether a rollback of it is to be thought of: all that it applies can be taken back."""
    if plan.mode is Mode.ADOPT:
        return True
    return plan.mode is Mode.UP and all(ref.reversible for ref in planned(plan, migrations))


def refuse_irreversible(what: str, migrations: Sequence[MigrationRef], way: str = "") -> None:
    """Raise `IrreversibleMigrations` when one of these has no down section that can run."""
    stuck = [migration for migration in migrations if not migration.reversible]
    if stuck:
        broken = [one.down_problem for one in stuck if one.down_problem]
        raise IrreversibleMigrations(what, [one.label for one in stuck], broken, way)
