"""What stands under the services: one pool of connections, the log, and the read models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from ledger.store import install
from ledger.store.connections import Pool, close_pool, open_pool
from ledger.store.log.log import EventLog
from ledger.store.views.queries import ReadModels


@dataclass(frozen=True, slots=True)
class Stores:
    """A ledger's stores; `id` is the ledger's."""

    id: UUID
    pool: Pool
    log: EventLog
    reads: ReadModels


@asynccontextmanager
async def open_stores(url: str) -> AsyncIterator[Stores]:
    """The stores of the ledger in this database, until the block ends.

    Raises `LedgerUnreachable`, `LedgerIsStandby`, `NotInstalled` or `SchemaVersionMismatch`.
    """
    pool = await open_pool(url)
    try:
        head = await install.check(pool)
        yield Stores(head.ledger_id, pool, EventLog(pool), ReadModels(pool))
    finally:
        await close_pool(pool)
