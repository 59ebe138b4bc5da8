"""The adapters of each port, fresh for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger.store.install import install
from ledger.store.stores import open_stores
from migrations.clock import SYSTEM_CLOCK
from tests.fixtures.postgres import PostgresServer
from tests.support.ledger_places import LEDGER_ID, LedgerPlace, PostgresPlace, memory_place


@pytest.fixture(scope="session")
async def conforming_template(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Return the name of a database with a fresh ledger, to be copied."""
    name = await postgres_server.create()
    await install(postgres_server.url(name), LEDGER_ID)
    yield name
    await postgres_server.drop(name)


@pytest.fixture
async def memory_ledger() -> LedgerPlace:
    """Return a ledger in memory."""
    return await memory_place()


@pytest.fixture
async def postgres_ledger(
    postgres_server: PostgresServer, conforming_template: str
) -> AsyncIterator[LedgerPlace]:
    """Return a ledger in a database."""
    name = await postgres_server.create(conforming_template)
    url = postgres_server.url(name)
    async with open_stores(url, SYSTEM_CLOCK) as stores:
        place = PostgresPlace(stores, url)
        yield place
        await place.nobody_leads()
    await postgres_server.drop(name)


@pytest.fixture(params=["memory", "postgres"])
def ledger_place(request: pytest.FixtureRequest) -> LedgerPlace:
    """A ledger that was just made, by each adapter; position 1 is LedgerInitialised."""
    place: LedgerPlace = request.getfixturevalue(f"{request.param}_ledger")
    return place
