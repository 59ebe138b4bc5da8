"""A rollout's or a check's whole history: its decisions and its reports, in the log's order."""

from __future__ import annotations

import heapq

from ledger.contracts.envelope import Recorded
from ledger.store.log.decode import open_event
from ledger.store.port import Log


class BothStreams:
    """Reads a stream and its reports again and again, each event once."""

    def __init__(self, log: Log, stream: str) -> None:
        self._log = log
        self._versions = {stream: 0, f"{stream}/reports": 0}

    async def newer(self) -> list[Recorded]:
        """The events that were not read yet, by position.

        Both streams are read up to where the log ended before, so that what one of them gets
        meanwhile cannot overtake an event of the other.
        """
        end = (await self._log.head()).position
        found = [await self._read(stream, end) for stream in self._versions]
        return list(heapq.merge(*found, key=lambda recorded: recorded.position))

    async def _read(self, stream: str, end: int) -> list[Recorded]:
        read: list[Recorded] = []
        async for raw in self._log.read_stream(stream, self._versions[stream]):
            if raw.position > end:
                break
            read.append(open_event(raw))
        if read:
            self._versions[stream] = read[-1].stream_version
        return read


async def read_both(log: Log, stream: str) -> list[Recorded]:
    """The events of `stream` and of its reports, by position."""
    return await BothStreams(log, stream).newer()
