"""Two streams in one append: both or neither."""

from __future__ import annotations

import pytest

from ledger.errors import VersionConflict
from ledger.store.log.append_many import Part, append_both
from ledger.store.log.log import EventLog
from tests.integration.store.conftest import some_events


async def test_both_streams_get_their_events(log: EventLog) -> None:
    parts = (Part("fleet", some_events(1), 0), Part("check-1", some_events(2), 0))
    await append_both(log, *parts)
    await append_both(log, *parts)
    assert [event.stream for event in await log.tail(1, 10)] == ["fleet", "check-1", "check-1"]


async def test_what_one_stream_refuses_is_in_neither(log: EventLog) -> None:
    with pytest.raises(VersionConflict):
        await append_both(log, Part("fleet", some_events(1), 0), Part("check-1", some_events(1), 5))
    assert (await log.head()).position == 1
