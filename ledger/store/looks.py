"""Answers of looks at databases, outside the log, which has what they changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ledger.store.connections import Pool
from ledger.store.port import FoundLook, KeptLook
from ledger.store.queries import QUERIES
from ledger.store.views.port import PAGE


class LookTable:
    """The table of answers: `ledger.store.port.LookStore` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, looks: Sequence[FoundLook]) -> None:
        """As `LookStore.put`."""
        if looks:
            await self._pool.execute(QUERIES["put_looks"], *zip(*looks, strict=True))

    async def of_check(self, check: str, after: str = "", limit: int = PAGE) -> list[KeptLook]:
        """As `LookStore.of_check`."""
        rows = await self._pool.fetch(QUERIES["looks_of"], f"check-{check}", after, limit)
        return [KeptLook(*row) for row in rows]

    async def number_of(self, check: str) -> int:
        """As `LookStore.number_of`."""
        return int(await self._pool.fetchval(QUERIES["number_of_looks"], f"check-{check}"))

    async def snapshots(self, check: str, databases: Sequence[str]) -> dict[str, str]:
        """As `LookStore.snapshots`."""
        rows = await self._pool.fetch(QUERIES["snapshots_of"], f"check-{check}", databases)
        return {row["database"]: row["snapshot"] for row in rows}

    async def latest(self, databases: Sequence[str]) -> dict[str, KeptLook]:
        """As `LookStore.latest`."""
        rows = await self._pool.fetch(QUERIES["latest_looks"], databases)
        return {row["database"]: KeptLook(*row) for row in rows}

    async def read_at(self, databases: Sequence[str]) -> dict[str, datetime]:
        """As `LookStore.read_at`."""
        rows = await self._pool.fetch(QUERIES["read_at"], databases)
        return {row["database"]: row["read_at"] for row in rows}

    async def trim(self, older_s: float) -> None:
        """As `LookStore.trim`."""
        await self._pool.execute(QUERIES["trim_looks"], older_s)
        await self._pool.execute(QUERIES["trim_snapshots"], older_s)
