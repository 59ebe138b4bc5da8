"""Orders as agents get them, made without a log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from ledger.contracts.commands import (
    ApplyCommand,
    CancelCommand,
    InspectCommand,
    Order,
    command_of,
    stream_of,
)
from ledger.contracts.envelope import Metadata, Recorded, encode
from ledger.contracts.events import (
    InspectionOrdered,
    MigrationOrdered,
    Purpose,
    RolloutAborted,
)
from ledger.contracts.manifest import encode_manifest, name_of
from ledger.contracts.registry import Connection, MigrationRef, Step
from ledger.store.log.chain import ChainRow
from migrations.model.attempt import Expectation, Limits, Mode

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

AnOrderCommand = TypeVar("AnOrderCommand", ApplyCommand, InspectCommand)


def in_the_log(
    event: Order | RolloutAborted,
    position: int,
    metadata: Metadata | None = None,
    at: datetime = MOMENT,
) -> Recorded:
    """The event as a log holds it, bytes included."""
    encoded = encode(event, uuid4(), metadata or Metadata())
    return Recorded(
        position=position,
        stream=stream_of(event),
        stream_version=position,
        event_id=encoded.event_id,
        event=event,
        metadata=metadata or Metadata(),
        recorded_by="ledger_service",
        recorded_at=at,
        encoded=encoded,
    )


def sent(
    order: Order,
    *,
    ledger: UUID,
    position: int = 1,
    metadata: Metadata | None = None,
    at: datetime = MOMENT,
) -> ApplyCommand | InspectCommand:
    """The command that this order is."""
    return command_of(ledger, in_the_log(order, position, metadata, at))


def apply_command(
    refs: Sequence[MigrationRef] = (),
    *,
    ledger: UUID | None = None,
    position: int = 1,
    metadata: Metadata | None = None,
    **changes: object,
) -> ApplyCommand:
    """An order to take a database through `refs`; `changes` are fields of the order."""
    given: dict[str, object] = {
        "rollout": "r",
        "database": "acme",
        "pool": "p",
        "wave": 0,
        "attempt": 1,
        "command": uuid4(),
        "term": 1,
        "bundle": name_of(encode_manifest(refs)),
        "mode": Mode.UP,
        "connection": Connection.at(host="h", database="acme", user="u"),
        "expected": Expectation(),
        "limits": Limits(),
        "expires_at": MOMENT,
        "deadline_at": MOMENT,
    }
    given |= changes
    if "steps" not in given:
        back = given["mode"] in (Mode.DOWN, Mode.ROLLBACK)
        given["steps"] = tuple(
            Step(version=ref.version, checksum=(back and ref.down_checksum) or ref.up_checksum)
            for ref in refs
        )
    order = MigrationOrdered.model_validate(given)
    command = sent(order, ledger=ledger or uuid4(), position=position, metadata=metadata)
    assert isinstance(command, ApplyCommand)
    return command


def inspect_command(
    *, ledger: UUID | None = None, position: int = 1, **changes: object
) -> InspectCommand:
    """An order to look at a database; `changes` are fields of the order."""
    given: dict[str, object] = {
        "stream": "check-c",
        "database": "acme",
        "pool": "main",
        "command": uuid4(),
        "attempt": 1,
        "term": 1,
        "purpose": Purpose.CHECK,
        "connection": Connection.at(host="h", database="acme", user="u"),
        "expires_at": MOMENT,
    }
    order = InspectionOrdered.model_validate(given | changes)
    command = sent(order, ledger=ledger or uuid4(), position=position)
    assert isinstance(command, InspectCommand)
    return command


def cancel_command(command: ApplyCommand, *, position: int | None = None) -> CancelCommand:
    """What takes `command` back."""
    aborted = RolloutAborted(rollout=command.order.rollout, cancel=True)
    recorded = in_the_log(aborted, command.position + 1 if position is None else position)
    return CancelCommand(command.ledger, recorded, command.database, command.pool)


def changed(command: AnOrderCommand, /, **changes: object) -> AnOrderCommand:
    """The same command with other fields in its order, at the same place and time."""
    order = command.order.model_copy(update=changes)
    again = sent(order, ledger=command.ledger, position=command.position, at=command.ordered_at)
    assert isinstance(again, type(command))
    return again


def told_at(command: AnOrderCommand, at: datetime) -> AnOrderCommand:
    """The same order by a ledger that took it down at this time."""
    again = sent(command.order, ledger=command.ledger, position=command.position, at=at)
    assert isinstance(again, type(command))
    return again


def chain_row(recorded: Recorded) -> ChainRow:
    """The row of the log that this was read from, without its hashes."""
    stored = recorded.stored
    return ChainRow(
        position=recorded.position,
        stream=recorded.stream,
        stream_version=recorded.stream_version,
        event_id=stored.event_id.bytes,
        type=stored.type,
        schema_version=stored.schema_version,
        recorded_at_us=(recorded.recorded_at - BEGINNING) // timedelta(microseconds=1),
        recorded_by=recorded.recorded_by,
        metadata=stored.metadata,
        body=stored.body,
        leaf=b"",
        chain=b"",
    )
