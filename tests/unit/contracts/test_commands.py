"""An order is its command: what an agent is told is what the log holds."""

from __future__ import annotations

from uuid import UUID

import pytest

from ledger.contracts.commands import ApplyCommand, InspectCommand, command_of
from ledger.contracts.events import RolloutAborted
from migrations.model.attempt import Epoch, Mode
from tests.support.orders import apply_command, in_the_log, inspect_command

LEDGER = UUID("0b7f3a52-6a0e-4a55-9f0f-3d5a7c1e2b40")


def test_a_command_is_its_order_fenced_by_term_and_position() -> None:
    order = apply_command(term=3, database="acme", pool="eu").order
    recorded = in_the_log(order, 42)
    command = command_of(LEDGER, recorded)
    assert isinstance(command, ApplyCommand)
    assert command.order is order
    assert command.epoch == Epoch(term=3, position=42)
    assert (command.ledger, command.stream, command.command) == (LEDGER, "rollout-r", order.command)
    assert (command.database, command.pool) == ("acme", "eu")
    assert command == command_of(LEDGER, recorded)


def test_the_order_to_go_back_is_a_command_too() -> None:
    order = apply_command().order
    back = order.model_copy(update={"mode": Mode.ROLLBACK, "undoes": "r0"})
    command = command_of(LEDGER, in_the_log(back, 7))
    assert isinstance(command, ApplyCommand)
    assert command.order == back


def test_a_look_reports_into_the_stream_that_asked_for_it() -> None:
    order = inspect_command(stream="check-c1").order
    command = command_of(LEDGER, in_the_log(order, 42))
    assert isinstance(command, InspectCommand)
    assert command.stream == "check-c1"


def test_what_is_no_order_is_no_command() -> None:
    with pytest.raises(ValueError, match="RolloutAborted is no order"):
        command_of(LEDGER, in_the_log(RolloutAborted(rollout="r", cancel=True), 7))
