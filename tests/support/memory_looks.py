"""Answers of looks in memory: `ledger.store.port.LookStore` without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ledger.contracts.events import CheckFinished
from ledger.store.port import FoundLook, KeptLook
from ledger.store.views.port import PAGE
from migrations.clock import Clock
from tests.support.memory_log import MemoryLog


class MemoryLooks:
    """Answers of looks by check and database."""

    def __init__(self, log: MemoryLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._kept: dict[tuple[str, str], KeptLook] = {}
        self._snapshots: dict[tuple[str, str], str] = {}

    async def put(self, looks: Sequence[FoundLook]) -> None:
        """As `LookStore.put`."""
        position, now = (await self._log.head()).position, self._clock.now()
        self._kept.update({one[:2]: KeptLook(*one[:6], position, now) for one in looks})
        self._snapshots.update({one[:2]: one.snapshot for one in looks})

    async def of_check(self, check: str, after: str = "", limit: int = PAGE) -> list[KeptLook]:
        """As `LookStore.of_check`."""
        found = sorted(self._kept.values(), key=lambda one: one.database)
        return [one for one in found if one.stream == f"check-{check}" and one.database > after][
            :limit
        ]

    async def number_of(self, check: str) -> int:
        """As `LookStore.number_of`."""
        return sum(stream == f"check-{check}" for stream, _ in self._kept)

    async def snapshots(self, check: str, databases: Sequence[str]) -> dict[str, str]:
        """As `LookStore.snapshots`."""
        there = ((name, self._snapshots.get((f"check-{check}", name))) for name in databases)
        return {name: snapshot for name, snapshot in there if snapshot}

    async def latest(self, databases: Sequence[str]) -> dict[str, KeptLook]:
        """As `LookStore.latest`."""
        found = sorted(self._kept.values(), key=lambda one: one.answered_at)
        return {one.database: one for one in found if one.database in databases}

    async def read_at(self, databases: Sequence[str]) -> dict[str, datetime]:
        """As `LookStore.read_at`."""
        found = sorted(self._kept.values(), key=lambda one: one.answered_at)
        return {
            one.database: one.answered_at
            for one in found
            if one.database in databases and one.is_read
        }

    async def trim(self, older_s: float) -> None:
        """As `LookStore.trim`."""
        over = {one.stream for one in self._log.events if one.type == CheckFinished.__name__}
        before = self._clock.now() - timedelta(seconds=older_s)
        latest = await self.latest([one.database for one in self._kept.values()])
        self._kept = {
            key: one
            for key, one in self._kept.items()
            if one.answered_at >= before or one.stream not in over or one is latest[one.database]
        }
        self._snapshots = {
            key: snapshot
            for key, snapshot in self._snapshots.items()
            if key in self._kept and self._kept[key].answered_at >= before
        }
