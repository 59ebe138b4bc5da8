"""A rollout's whole history: its decisions and its reports, in the log's order."""

from __future__ import annotations

import heapq

from ledger.contracts.envelope import Recorded
from ledger.store.log.decode import open_event
from ledger.store.port import Log


async def read_both(log: Log, stream: str) -> list[Recorded]:
    """The events of `stream` and of its reports, by position.

    Both are read up to where the log ended before, so that what one of them gets meanwhile cannot
    overtake an event of the other.
    """
    end = (await log.head()).position
    found = [await _read(log, one, end) for one in (stream, f"{stream}/reports")]
    return list(heapq.merge(*found, key=lambda recorded: recorded.position))


async def _read(log: Log, stream: str, end: int) -> list[Recorded]:
    read: list[Recorded] = []
    async for raw in log.read_stream(stream):
        if raw.position > end:
            break
        read.append(open_event(raw))
    return read
