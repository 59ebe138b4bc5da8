"""What is left to do: which migrations some database lacks, or still has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.contracts.registry import MigrationRef
from ledger.store.rows import DatabaseVersions


@dataclass(frozen=True, slots=True)
class Pending:
    """Migrations in the bundle's order, and the databases that need any of them, by id."""

    migrations: tuple[MigrationRef, ...]
    databases: tuple[str, ...]
    notes: tuple[str, ...]
    already_everywhere: int

    def in_running_order(self, direction: str) -> tuple[MigrationRef, ...]:
        """Oldest first to go up, newest first to go down."""
        return self.migrations if direction == "up" else tuple(reversed(self.migrations))


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
    notes += _out_of_order(wanted, migrations, lacking, applied)
    return Pending(wanted, tuple(lacking), tuple(notes), len(migrations) - len(wanted))


def pending_down(
    migrations: Sequence[MigrationRef],
    steps: int,
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
) -> Pending:
    """The newest `steps` migrations that any selected database has, and who has any of them."""
    applied = {one.database: frozenset(one.applied) for one in known}
    in_force = [
        ref
        for ref in migrations
        if any(ref.version in applied.get(database, frozenset()) for database in selected)
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
) -> list[str]:
    """A note for each migration that is older than one that its databases have already."""
    place = {ref.version: index for index, ref in enumerate(migrations)}
    newest = {
        database: max((place[v] for v in applied.get(database, ()) if v in place), default=-1)
        for database in lacking
    }
    notes = []
    for ref in wanted:
        late = sum(
            ref.version not in applied.get(database, frozenset()) and place[ref.version] < last
            for database, last in newest.items()
        )
        if late:
            notes.append(f"{ref.label} is older than what {late} databases have already")
    return notes
