"""What is left to do: which migrations some database lacks, or still has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger.contracts.registry import MigrationRef
from ledger.domain.refusals import BeyondBaseline, UnknownBaseline
from ledger.store.views.rows import DatabaseVersions
from migrations.model.attempt import Adoption
from migrations.model.phases import held_back, may_follow
from migrations.model.work import BASELINE


@dataclass(frozen=True, slots=True)
class Pending:
    """Migrations in the bundle's order, and the databases that need any of them, by id."""

    migrations: tuple[MigrationRef, ...]
    databases: tuple[str, ...]
    notes: tuple[str, ...]
    already_everywhere: int
    late: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is older than something that databases have already: label, and those databases."""

    def in_running_order(self, direction: str) -> tuple[MigrationRef, ...]:
        """Oldest first to go up, newest first to go down."""
        return tuple(reversed(self.migrations)) if direction == "down" else self.migrations


def pending_up(
    migrations: Sequence[MigrationRef],
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
    unread: frozenset[str] = frozenset(),
) -> Pending:
    """Every migration that a selected database lacks, and the databases that lack any.

    What is applied is what the log knows; agents skip what a database's own journal says is there.
    The log's word does not count for the `unread` databases: their journal is not known since they
    were reinstated or moved, so everything is ordered and their agents find out.
    """
    applied = {one.database: frozenset(one.applied) for one in known if one.database not in unread}
    lacking = [
        database
        for database in selected
        if any(ref.version not in applied.get(database, frozenset()) for ref in migrations)
    ]
    wanted = tuple(
        ref
        for ref in migrations
        if any(ref.version not in applied.get(database, frozenset()) for database in lacking)
    )
    have_all = len(selected) - len(lacking)
    notes = [f"{have_all} of {len(selected)} databases have all of it already"] if have_all else []
    late = _out_of_order(wanted, migrations, lacking, applied)
    notes += [
        f"{label} is older than what {len(databases)} databases have already"
        for label, databases in late.items()
    ]
    return Pending(wanted, tuple(lacking), tuple(notes), len(migrations) - len(wanted), late)


def with_held_back(
    pending: Pending,
    held: Sequence[MigrationRef],
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
) -> Pending:
    """The same with a note for each phase that does not go and that a selected database lacks."""
    applied = {one.database: frozenset(one.applied) for one in known}
    notes = [
        held_back(ref.label, ref.phase)
        for ref in held
        if any(ref.version not in applied.get(database, frozenset()) for database in selected)
    ]
    return replace(pending, notes=(*pending.notes, *notes))


def pending_adopt(
    migrations: Sequence[MigrationRef],
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
    adoption: Adoption | None,
) -> Pending:
    """What an adoption may find applied, on every selected database: only they know.

    A baseline is refused where the log knows of more. Raises `BeyondBaseline`, `UnknownBaseline`.
    """
    if adoption is None or not adoption.through:
        return Pending(tuple(migrations), tuple(selected), (), 0)
    labels = [(ref.version, ref.label) for ref in migrations]
    ends = [at for at, names in enumerate(labels) if adoption.through in names]
    if not ends:
        raise UnknownBaseline(adoption.through, [ref.version for ref in migrations])
    beyond = {ref.version for ref in migrations[ends[0] + 1 :]}
    further = [one.database for one in known if beyond & frozenset(one.applied)]
    if adoption.source == BASELINE and further:
        raise BeyondBaseline(adoption.through, further)
    return Pending(tuple(migrations), tuple(selected), (), 0)


def pending_down(
    migrations: Sequence[MigrationRef],
    steps: int,
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
) -> Pending:
    """The newest `steps` migrations that any selected database has, and who has any of them.

    Repeatable ones without a down section are left alone: they have nothing to go back to.
    """
    applied = {one.database: frozenset(one.applied) for one in known}
    in_force = [
        ref
        for ref in migrations
        if not (ref.repeatable and ref.down_checksum is None)
        and any(ref.version in applied.get(database, frozenset()) for database in selected)
    ]
    chosen = tuple(in_force[-steps:])
    having = tuple(
        database
        for database in selected
        if any(ref.version in applied.get(database, frozenset()) for ref in chosen)
    )
    without = len(selected) - len(having)
    notes = [f"{without} of {len(selected)} databases have none of it"] if without else []
    return Pending(chosen, having, tuple(notes), 0)


def _out_of_order(
    wanted: Sequence[MigrationRef],
    migrations: Sequence[MigrationRef],
    lacking: Sequence[str],
    applied: dict[str, frozenset[str]],
) -> dict[str, tuple[str, ...]]:
    """Each migration that is older than one that its databases have already, and those databases.

    Repeatable ones and baselines have no place in the order, and phases that were held back may
    follow.
    """
    place = {
        ref.version: at
        for at, ref in enumerate(migrations)
        if not ref.repeatable and ref.replaces is None
    }
    newest = {
        database: max((place[v] for v in applied.get(database, ()) if v in place), default=-1)
        for database in lacking
    }
    found = {
        ref.label: tuple(
            database
            for database, last in newest.items()
            if ref.version not in applied.get(database, frozenset()) and place[ref.version] < last
        )
        for ref in wanted
        if ref.version in place and not may_follow(ref)
    }
    return {label: databases for label, databases in found.items() if databases}
