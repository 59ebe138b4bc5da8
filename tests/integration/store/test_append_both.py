"""Who may append to two streams."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import RolloutStarted, UndoStarted
from ledger.errors import NotPermitted
from ledger.store.log.log import EventLog
from ledger.store.port import Batch
from tests.integration.store.conftest import MemberPool
from tests.support.log_events import an_event

ONE, OTHER = "rollout-1", "rollout-undo-1"


async def test_a_person_may_ask_for_both_and_for_nothing_else(
    log: EventLog, member_pool: MemberPool
) -> None:
    _, operators = await member_pool("ledger_operator")
    theirs = EventLog(operators)
    undo = encode(UndoStarted(rollout="1", by="undo-1", why=""), uuid4(), Metadata())
    started = encode(RolloutStarted(rollout="undo-1"), uuid4(), Metadata())
    with pytest.raises(Exception, match="there is no such rollout"):
        await theirs.append_both(Batch(ONE, [undo], 0), Batch(OTHER, [started], 0))
    with pytest.raises(NotPermitted):
        await theirs.append_both(Batch(ONE, [undo], 0), Batch(OTHER, [an_event()], 0), term=1)
    assert (await log.head()).position == 1
