"""What databases have of a bundle, beyond which versions the log has seen applied there.

A repeatable migration whose text has changed is lacking again. What an applied baseline stands for
is not lacking, and neither is a baseline where there is a history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from ledger.contracts.events import MigrationOrdered
from ledger.contracts.registry import MigrationRef
from ledger.domain.variables import Values, together
from ledger.store.log.decode import open_event
from ledger.store.log.log import EventLog
from ledger.store.views.queries import ReadModels
from ledger.store.views.rows import AppliedRow, DatabaseVersions
from migrations.model.baselines import set_aside

_IN_FORCE = ("applied", "rollback_failed")


async def standing(
    reads: ReadModels, migrations: Sequence[MigrationRef], selected: Sequence[str]
) -> list[DatabaseVersions]:
    """Each database against the bundle: what needs no run there, and what does."""
    known = await reads.database_versions([ref.version for ref in migrations], selected)
    repeatable = [ref.version for ref in migrations if ref.repeatable]
    rows = await reads.applied(selected, repeatable) if repeatable else []
    return list(with_baselines(without_changed(known, rows, migrations), migrations))


def without_changed(
    known: Sequence[DatabaseVersions],
    rows: Sequence[AppliedRow],
    migrations: Sequence[MigrationRef],
) -> Sequence[DatabaseVersions]:
    """The same without repeatables that were applied with another text; `rows` are theirs."""
    checksums = {ref.version: ref.up_checksum for ref in migrations if ref.repeatable}
    changed = {
        (row.database, row.version)
        for row in rows
        if row.version in checksums and row.checksum != checksums[row.version]
    }
    if not changed:
        return known
    return [
        replace(one, applied=tuple(v for v in one.applied if (one.database, v) not in changed))
        for one in known
    ]


def with_baselines(
    known: Sequence[DatabaseVersions], migrations: Sequence[MigrationRef]
) -> Sequence[DatabaseVersions]:
    """The same with everything that a baseline sets aside."""
    if all(ref.replaces is None for ref in migrations):
        return known
    return [
        replace(one, applied=(*one.applied, *set_aside(migrations, one.applied))) for one in known
    ]


async def earlier_values(
    log: EventLog,
    reads: ReadModels,
    migrations: Sequence[MigrationRef],
    databases: Sequence[str],
) -> dict[str, Values]:
    """What each database's migrations were run with, by the orders that applied them.

    Nothing is known of what was applied outside of this ledger. Raises `DifferentValues`.
    """
    names = {ref.version: frozenset(ref.variables) for ref in migrations if ref.variables}
    if not names:
        return {}
    rows = [row for row in await reads.applied(databases, list(names)) if row.state in _IN_FORCE]
    orders = await _ordered(log, rows)
    found: dict[str, list[Values]] = {}
    for row in rows:
        values = orders.get(row.command, ()) if row.command else ()
        wanted = tuple((name, value) for name, value in values if name in names[row.version])
        found.setdefault(row.database, []).append(wanted)
    return {database: together(database, values) for database, values in found.items()}


async def _ordered(log: EventLog, rows: Sequence[AppliedRow]) -> Mapping[UUID, Values]:
    """The values of the orders that these rows come from."""
    commands = {row.command for row in rows}
    found: dict[UUID, Values] = {}
    for rollout in sorted({row.rollout for row in rows if row.rollout}):
        stream = log.read_stream(f"rollout-{rollout}", types=[MigrationOrdered.__name__])
        async for raw in stream:
            event = open_event(raw).event
            if isinstance(event, MigrationOrdered) and event.command in commands:
                found[event.command] = event.variables
    return found
