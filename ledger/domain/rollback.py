"""Which databases go back, in which order, with which steps, and what cannot go back.

Every database that was ever ordered goes back, whatever the ledger believes of it: its journal says
what this rollout applied there, and "nothing to undo" is an answer. The last wave goes first, and
within a wave what was ordered last. A database still at work is ordered back when its attempt has
ended or timed out: two orders on one database would only meet at its lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ledger.contracts.events import RolloutPlanned
from ledger.contracts.registry import MigrationRef, Step
from ledger.domain.refusals import IrreversibleMigrations
from ledger.domain.states import DatabaseState
from migrations.model.attempt import Mode


def undo_order(databases: Iterable[DatabaseState]) -> tuple[str, ...]:
    """The databases ever ordered, newest first."""
    ordered = [state for state in databases if state.attempt > 0]
    ordered.sort(key=lambda state: (-state.wave, -state.ordered_position))
    return tuple(state.database for state in ordered)


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


def refuse_irreversible(what: str, migrations: Sequence[MigrationRef]) -> None:
    """Raise `IrreversibleMigrations` when one of these has no down section that can run."""
    stuck = [migration for migration in migrations if not migration.reversible]
    if stuck:
        broken = [one.down_problem for one in stuck if one.down_problem]
        raise IrreversibleMigrations(what, [one.label for one in stuck], broken)


def goes_back_next(state: DatabaseState) -> bool:
    """Whether the database may be ordered back now: never was, and nothing runs there."""
    return state.mode is not Mode.ROLLBACK and not state.open
