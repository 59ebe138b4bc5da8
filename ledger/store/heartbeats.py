"""What agents say of themselves, outside the log: the latest word of each, lost in a crash."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.domain.surroundings import LeadingProcess
from ledger.store.connections import Pool
from ledger.store.leadership import current_leader
from ledger.store.port import Beat
from ledger.store.queries import QUERIES


class SignTable:
    """The table of signs of life: `ledger.store.port.Signs` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, beats: Sequence[Beat]) -> None:
        """As `Signs.put`."""
        latest = {beat.agent: beat for beat in beats}.values()
        await self._pool.execute(
            QUERIES["put_heartbeats"],
            [beat.agent for beat in latest],
            [beat.pool for beat in latest],
            [beat.body for beat in latest],
        )

    async def trim(self, kept: int) -> None:
        """As `Signs.trim`."""
        await self._pool.execute(QUERIES["trim_heartbeats"], kept)

    async def recent(self, within_s: float) -> list[Beat]:
        """As `Signs.recent`."""
        rows = await self._pool.fetch(QUERIES["recent_heartbeats"], within_s)
        return [
            Beat(one["agent"], one["pool"], one["body"], one["age_s"], one["seen_at"])
            for one in rows
        ]

    async def leader(self) -> LeadingProcess | None:
        """As `Signs.leader`."""
        return await current_leader(self._pool)
