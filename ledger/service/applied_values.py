"""What migrations were run with: the values of the orders that applied them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from ledger.contracts.events import MigrationOrdered
from ledger.domain.pending import Pending
from ledger.domain.variables import Values, earlier_values
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import Views
from ledger.store.views.rows import AppliedRow

IN_FORCE = ("applied", "rollback_failed")
"""States in which a migration is there."""


async def applied_values(log: Log, reads: Views, pending: Pending) -> dict[str, Values]:
    """What each database's migrations were run with, by the orders that applied them.

    Nothing is known of what was applied outside of this ledger. Raises `DifferentValues`.
    """
    migrations = [ref for ref in pending.migrations if ref.variables]
    if not migrations:
        return {}
    rows = await reads.applied(pending.databases, [ref.version for ref in migrations])
    rows = [row for row in rows if row.state in IN_FORCE]
    orders = await _ordered_values(log, rows)
    runs = (
        (row.database, row.version, orders.get(row.command, ()) if row.command else ())
        for row in rows
    )
    return earlier_values(migrations, runs)


async def _ordered_values(log: Log, rows: Sequence[AppliedRow]) -> Mapping[UUID, Values]:
    """The values of the orders that these rows come from."""
    commands = {row.command for row in rows}
    found: dict[UUID, Values] = {}
    for rollout in sorted({row.rollout for row in rows if row.rollout}):
        types = [MigrationOrdered.__name__]
        async for raw in log.read_stream(f"rollout-{rollout}", types=types):
            event = open_event(raw).event
            if isinstance(event, MigrationOrdered) and event.command in commands:
                found[event.command] = event.variables
    return found
