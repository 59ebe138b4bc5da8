"""That migrations ran: how long it took, how it ended, and how large their tables were. Pure."""

from __future__ import annotations

from typing import Any, Final

from ledger.contracts import reports as r
from ledger.contracts.envelope import Recorded
from ledger.store.views.rows import ExecutionRow, OrderRow
from migrations.model.attempt import Mode
from migrations.model.preflight import PreflightCheck

TIMED: Final = frozenset(
    {r.MigrationApplied, r.MigrationRolledBack, r.MigrationFailed, r.PreflightChecked}
)
"""What says that a migration ran, or how large the tables are that it will touch."""


def sized(order: OrderRow, event: Any) -> OrderRow:
    """The order, with the size of its largest table as a PreflightChecked has it."""
    sizes = (one.value for one in event.results if one.check is PreflightCheck.TABLE_SIZE)
    return order._replace(table_mb=next(sizes, None))


def execution_of(
    database: str, rollout: str | None, recorded: Recorded, order: OrderRow | None
) -> ExecutionRow:
    """What one of the other events says; its order knows the size."""
    event: Any = recorded.event
    failed = type(event) is r.MigrationFailed
    up, down = Mode.UP.value, Mode.DOWN.value
    return ExecutionRow(
        recorded.position,
        database,
        rollout,
        event.version,
        event.direction if failed else up if type(event) is r.MigrationApplied else down,
        not failed,
        event.failure.kind.value if failed else None,
        None if failed else event.duration_ms,
        order.table_mb if order else None,
        recorded.recorded_at,
    )
