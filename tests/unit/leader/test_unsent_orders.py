"""How old orders are that were never sent."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

from ledger.bus.local import LocalBroker, LocalBus
from ledger.leader.relay import Relay
from tests.support.manual_clock import ManualClock, SeededChance
from tests.support.orders import apply_command, in_the_log


def test_the_oldest_order_that_was_never_sent_is_measured() -> None:
    clock = ManualClock()
    nothing = cast(Any, None)
    relay = Relay(LocalBus(LocalBroker()), nothing, uuid4(), 60.0, clock, SeededChance())
    assert (relay.unsent, relay.unsent_s) == (0, 0)
    relay.saw([in_the_log(apply_command(database="acme").order, 1, at=clock.now())])
    clock.advance(20)
    relay.saw([in_the_log(apply_command(database="bolt").order, 2, at=clock.now())])
    clock.advance(10)
    assert (relay.unsent, relay.unsent_s) == (2, 30)
