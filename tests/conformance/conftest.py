"""The adapters of each port, fresh for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger.store.stores import open_stores
from migrations.clock import SYSTEM_CLOCK
from tests.fixtures.postgres import FreshDatabase
from tests.support.ledger_places import LedgerPlace, PostgresPlace, memory_place


@pytest.fixture
async def memory_ledger() -> LedgerPlace:
    """Return a ledger in memory."""
    return await memory_place()


@pytest.fixture
async def postgres_ledger(fresh_ledger: FreshDatabase) -> AsyncIterator[LedgerPlace]:
    """Return a ledger in a database."""
    url = await fresh_ledger()
    async with open_stores(url, SYSTEM_CLOCK) as stores:
        place = PostgresPlace(stores, url)
        yield place
        await place.nobody_leads()


@pytest.fixture(params=["memory", "postgres"])
def ledger_place(request: pytest.FixtureRequest) -> LedgerPlace:
    """A ledger that was just made, by each adapter; position 1 is LedgerInitialised."""
    place: LedgerPlace = request.getfixturevalue(f"{request.param}_ledger")
    return place
