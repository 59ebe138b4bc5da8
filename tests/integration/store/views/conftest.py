"""A ledger of its own for each test, and a short way to append to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.reports import Event
from ledger.store.connections import Pool, open_pool
from ledger.store.log.history import Timelines
from ledger.store.log.log import EventLog
from ledger.store.views.queries import ReadModels
from tests.fixtures.postgres import FreshDatabase


@dataclass(slots=True)
class Ledger:
    """An installed ledger: its log, its read models, its history."""

    url: str
    pool: Pool
    log: EventLog
    models: ReadModels
    history: Timelines

    async def append(self, stream: str, *events: Event, metadata: Metadata | None = None) -> int:
        """Append with new ids; the position of the last event."""
        encoded = [encode(event, uuid4(), metadata or Metadata()) for event in events]
        return (await self.log.append(stream, encoded)).last_position


@pytest.fixture
async def ledger(fresh_ledger: FreshDatabase) -> AsyncIterator[Ledger]:
    """Return a fresh ledger."""
    url = await fresh_ledger()
    pool = await open_pool(url)
    yield Ledger(url, pool, EventLog(pool), ReadModels(pool), Timelines(pool))
    await pool.close()
