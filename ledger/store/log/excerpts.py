"""Reads of the log that find a few events among many: what turned a rollout, what is about whom.

None of them costs by what it does not return, or a scan inside the server at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from ledger.store.connections import CONNECTION_LOST, Pool
from ledger.store.obstacles import unreachable
from ledger.store.port import RecordedEvent
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated


class Excerpts:
    """What is read of a log beside whole streams."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def turns(self, stream: str, upto: int) -> list[RecordedEvent]:
        """What turned a rollout, up to a position; costs nothing by its size."""
        rows = await self._fetch(QUERIES["read_turns"], stream, upto)
        return [RecordedEvent(*row) for row in rows]

    async def frame(self, stream: str, upto: int, *, whole: bool) -> list[RecordedEvent]:
        """The same with what became of its waves; `whole`, also with the databases planned."""
        rows = await self._fetch(QUERIES["read_frame"], stream, upto, whole)
        return [RecordedEvent(*row) for row in rows]

    async def turned_since(self, position: int) -> list[str]:
        """The streams of rollouts that were turned behind a position, the latest turn last."""
        return [row["stream"] for row in await self._fetch(QUERIES["turned_since"], position)]

    async def concerned(
        self, stream: str, upto: int, databases: Sequence[str] | None
    ) -> list[RecordedEvent]:
        """A rollout's turns and plan, and all about these databases or, of `None`, about those in
        trouble; walks its streams inside the server.
        """
        rows = await self._fetch(QUERIES["read_concerned"], stream, upto, databases)
        return [RecordedEvent(*row) for row in rows]

    async def news(self, stream: str, after: int, upto: int) -> list[RecordedEvent]:
        """What a rollout's streams got behind a position, up to another."""
        rows = await self._fetch(QUERIES["news"], stream, after, upto)
        return [RecordedEvent(*row) for row in rows]

    async def fleet_since(self, position: int) -> tuple[int, list[RecordedEvent]]:
        """The version of the fleet's stream at a position, and what it says behind that."""
        version = await self.version_at("fleet", position)
        rows = await self._fetch(QUERIES["fleet_since"], position)
        return version, [RecordedEvent(*row) for row in rows]

    async def version_at(self, stream: str, position: int) -> int:
        """A stream's version at a position; 0 when it had not begun."""
        found = await self._fetch(QUERIES["version_at"], stream, position)
        return found[0]["stream_version"] if found else 0

    async def about(self, stream: str, databases: Sequence[tuple[str, int]]) -> list[RecordedEvent]:
        """What a rollout's streams say of databases, of each since the position beside it."""
        names, since = [one for one, _ in databases], [at for _, at in databases]
        rows = await self._fetch(QUERIES["about"], stream, names, since) if databases else []
        return [RecordedEvent(*row) for row in rows]

    async def preflights(self, limit: int) -> list[RecordedEvent]:
        """The latest reports of what databases were asked before."""
        return [RecordedEvent(*row) for row in await self._fetch(QUERIES["preflights"], limit)]

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(query, *arguments)
        except CONNECTION_LOST as lost:
            raise unreachable(lost) from lost
        except asyncpg.PostgresError as error:
            raise translated(error) from error
