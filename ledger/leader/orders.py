"""What an order means on the wire: its command, and the command that takes it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid5

from ledger.contracts.commands import ApplyCommand, CancelCommand, InspectCommand
from ledger.contracts.envelope import NAMESPACE, Recorded
from ledger.contracts.events import InspectionOrdered, MigrationOrdered, RollbackOrdered
from ledger.contracts.registry import MigrationRef
from migrations.model.attempt import Epoch

Order = MigrationOrdered | RollbackOrdered | InspectionOrdered


def apply_command(
    ledger: UUID,
    order: MigrationOrdered | RollbackOrdered,
    recorded: Recorded,
    refs: Mapping[str, MigrationRef],
) -> ApplyCommand:
    """The command that this order means; `refs` are the migrations of its bundle by version."""
    return ApplyCommand(
        command=order.command,
        ledger=ledger,
        stream=recorded.stream,
        database=order.database,
        pool=order.pool,
        epoch=Epoch(term=order.term, position=recorded.position),
        rollout=order.rollout,
        attempt=order.attempt,
        mode=order.mode,
        migrations=tuple(refs[step.version] for step in order.steps),
        connection=order.connection,
        expected=order.expected,
        limits=order.limits,
        expires_at=order.expires_at,
        resolutions=order.resolutions,
        adoption=order.adoption,
        out_of_order=order.out_of_order,
        variables=order.variables,
    )


def inspect_command(ledger: UUID, order: InspectionOrdered, recorded: Recorded) -> InspectCommand:
    """The command that asks for a read-only look."""
    return InspectCommand(
        command=order.command,
        ledger=ledger,
        stream=recorded.stream,
        database=order.database,
        pool=order.pool,
        epoch=Epoch(term=order.term, position=recorded.position),
        purpose=order.purpose,
        connection=order.connection,
        expires_at=order.expires_at,
        adoption=order.adoption,
    )


def cancel_command(
    ledger: UUID, order: MigrationOrdered | RollbackOrdered, aborted: Recorded
) -> CancelCommand:
    """The command that stops what this order set going."""
    return CancelCommand(
        command=uuid5(NAMESPACE, f"cancel/{order.command}"),
        ledger=ledger,
        stream=aborted.stream,
        database=order.database,
        pool=order.pool,
        epoch=Epoch(term=order.term, position=aborted.position),
        cancels=order.command,
    )
