"""What an order means on the wire."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from ledger.contracts.envelope import Metadata, Recorded, inspection_id
from ledger.contracts.events import (
    InspectionOrdered,
    MigrationOrdered,
    Purpose,
    RollbackOrdered,
    RolloutAborted,
)
from ledger.contracts.registry import Step
from ledger.contracts.reports import Event
from ledger.leader.orders import apply_command, cancel_command, inspect_command
from migrations.model.attempt import Adoption, Epoch, Expectation, Limits, Mode, Resolution
from tests.support.story import BUNDLE, MIGRATIONS, ROLLOUT, START, TERM, record

LEDGER = UUID("0b7f3a52-6a0e-4a55-9f0f-3d5a7c1e2b40")
COMMAND = UUID("11111111-0000-4000-8000-000000000000")
STREAM = f"rollout-{ROLLOUT}"
KNOWN = record("acme")


def recorded(event: Event, position: int = 42, stream: str = STREAM) -> Recorded:
    return Recorded(position, stream, 3, COMMAND, event, Metadata(), "service", START)


def an_order(kind: type[MigrationOrdered | RollbackOrdered], *versions: str) -> MigrationOrdered:
    order = kind(
        rollout=ROLLOUT,
        database="acme",
        pool="main",
        wave=0,
        attempt=2,
        command=COMMAND,
        term=TERM,
        bundle=BUNDLE,
        mode=Mode.UP if kind is MigrationOrdered else Mode.ROLLBACK,
        steps=tuple(Step(version=one, checksum="c" * 64) for one in versions),
        connection=KNOWN.connection,
        expected=KNOWN.expected,
        limits=Limits(lock_timeout_s=7.0),
        expires_at=START + timedelta(seconds=60),
        deadline_at=START + timedelta(seconds=600),
        resolutions=(Resolution(version="1", applied=True, reason="seen"),),
    )
    assert isinstance(order, MigrationOrdered | RollbackOrdered)
    return order  # type: ignore[return-value]


def test_a_command_has_its_orders_id_and_is_fenced_by_its_term_and_position() -> None:
    order = an_order(MigrationOrdered, "1", "2")
    command = apply_command(LEDGER, order, recorded(order), MIGRATIONS)
    assert command.command == order.command
    assert command.epoch == Epoch(term=TERM, position=42)
    assert (command.ledger, command.stream, command.rollout) == (LEDGER, STREAM, ROLLOUT)
    assert (command.database, command.pool, command.attempt) == ("acme", "main", 2)
    assert (command.expected, command.limits) == (order.expected, order.limits)
    assert (command.expires_at, command.resolutions) == (order.expires_at, order.resolutions)
    assert command == apply_command(LEDGER, order, recorded(order), MIGRATIONS)


def test_migrations_go_in_the_orders_order() -> None:
    order = an_order(RollbackOrdered, "2", "1")
    command = apply_command(LEDGER, order, recorded(order), MIGRATIONS)
    assert command.mode is Mode.ROLLBACK
    assert command.migrations == (MIGRATIONS["2"], MIGRATIONS["1"])


def test_a_look_reports_into_the_stream_that_asked_for_it() -> None:
    order = InspectionOrdered(
        stream="check-c1",
        database="acme",
        pool="main",
        command=inspection_id("check-c1", "acme", 1),
        attempt=1,
        term=TERM,
        purpose=Purpose.REINSTATE,
        connection=KNOWN.connection,
        expires_at=START,
        adoption=Adoption(source="goose", table="old"),
    )
    command = inspect_command(LEDGER, order, recorded(order, stream="check-c1"))
    assert (command.stream, command.purpose) == ("check-c1", Purpose.REINSTATE)
    assert command.adoption == Adoption(source="goose", table="old")
    assert command.epoch == Epoch(term=TERM, position=42)


def test_a_cancellation_names_the_order_and_is_newer_than_it() -> None:
    order = an_order(MigrationOrdered, "1")
    aborted = recorded(RolloutAborted(rollout=ROLLOUT, cancel=True), position=99)
    command = cancel_command(LEDGER, order, aborted)
    assert (command.cancels, command.database, command.pool) == (COMMAND, "acme", "main")
    assert command.epoch == Epoch(term=TERM, position=99)
    assert command.command != order.command
    assert command == cancel_command(LEDGER, order, aborted)


def test_what_is_not_expected_is_not_said() -> None:
    order = an_order(MigrationOrdered, "1").model_copy(update={"expected": Expectation()})
    command = apply_command(LEDGER, order, recorded(order), MIGRATIONS)
    assert command.expected == Expectation(identity=None, journal_head=None)
