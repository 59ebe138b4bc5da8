"""What is counted of a whole ledger: numbers, never a list as long as the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from ledger.store.connections import CONNECTION_LOST, Pool
from ledger.store.obstacles import unreachable
from ledger.store.refusals import translated
from migrations.sql.named_statements import named_statements

QUERIES = named_statements("ledger.store", "census.sql", commented=True)


class Written(NamedTuple):
    """What the log takes in bytes; when its oldest event was recorded that is not projected."""

    log_bytes: int
    unshown_at: datetime | None


class LastRun(NamedTuple):
    """The migration that ran last in a database: whether it did what it should, else why not."""

    database: str
    at: datetime
    succeeded: bool
    error: str | None
    duration_ms: int | None


class CensusTable:
    """Counts. Each question raises `LedgerUnreachable`, or another `StoreError`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def written(self) -> Written:
        """How large the log is, and how old what is not shown yet."""
        (row,) = await self._ask("written")
        return Written(*row)

    async def rollouts(self) -> dict[str, int]:
        """How many rollouts there are by status, those that have ended too."""
        return {row["status"]: row["rollouts"] for row in await self._ask("rollouts")}

    async def unreachable(self) -> int:
        """How many active databases could not be reached when that was last tried."""
        return int((await self._ask("unreachable"))[0][0])

    async def backups(self) -> dict[str, datetime]:
        """By pool, the oldest of the latest backups that were recorded of databases."""
        return {row["pool"]: row["at"] for row in await self._ask("backups")}

    async def last_runs(self, databases: Sequence[str]) -> list[LastRun]:
        """What ran last in each of these databases, where anything did."""
        return [LastRun(*row) for row in await self._ask("last_runs", databases)]

    async def _ask(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(QUERIES[name], *arguments)
        except CONNECTION_LOST as lost:
            raise unreachable(lost) from lost
        except asyncpg.PostgresError as error:
            raise translated(error) from error
