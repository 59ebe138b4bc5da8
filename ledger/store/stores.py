"""What stands under the services: one pool of connections, and what is kept behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from ledger.store import install
from ledger.store.connections import Pool, opened_pool
from ledger.store.content import ContentStore
from ledger.store.heartbeats import SignTable
from ledger.store.log.log import EventLog
from ledger.store.looks import LookTable
from ledger.store.views.queries import ReadModels
from migrations.clock import SYSTEM_CLOCK, Clock


@dataclass(frozen=True, slots=True)
class Stores:
    """A ledger's stores in PostgreSQL (`ledger.store.port`); `id` is the ledger's."""

    id: UUID
    pool: Pool
    log: EventLog
    texts: ContentStore
    reads: ReadModels
    signs: SignTable
    looks: LookTable


@asynccontextmanager
async def open_stores(url: str, clock: Clock = SYSTEM_CLOCK) -> AsyncIterator[Stores]:
    """The stores of the ledger in this database, until the block ends.

    Raises `LedgerUnreachable`, `LedgerIsStandby`, `NotInstalled` or `SchemaVersionMismatch`.
    """
    async with opened_pool(url) as pool:
        head = await install.check(pool)
        yield Stores(
            id=head.ledger_id,
            pool=pool,
            log=EventLog(pool, clock),
            texts=ContentStore(pool),
            reads=ReadModels(pool, clock),
            signs=SignTable(pool),
            looks=LookTable(pool),
        )
