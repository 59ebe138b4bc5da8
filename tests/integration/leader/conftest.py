"""A ledger of its own for each test, copied from one that is installed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from ledger.store.install import install
from tests.fixtures.postgres import PostgresServer
from tests.support.house import House, house_at
from tests.support.race import Race

LEDGER_ID = UUID("4b0f5a52-6a0e-4a55-9f0f-3d5a7c1e2b41")


@pytest.fixture(scope="session")
async def house_template(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Return the name of a database with a fresh ledger, to be copied."""
    name = await postgres_server.create()
    await install(postgres_server.url(name), LEDGER_ID)
    yield name
    await postgres_server.drop(name)


@pytest.fixture
async def house(
    postgres_server: PostgresServer, house_template: str, tmp_path: Path
) -> AsyncIterator[House]:
    """Return an open ledger with three databases and two migrations, that nobody leads."""
    name = await postgres_server.create(house_template)
    folder = tmp_path / "migrations"
    folder.mkdir()
    try:
        async with house_at(postgres_server.url(name), folder) as opened:
            await opened.register("acme", "bolt", "crane")
            opened.migration("1")
            opened.migration("2")
            yield opened
    finally:
        await postgres_server.drop(name)


@pytest.fixture
def race(house: House, monkeypatch: pytest.MonkeyPatch) -> Race:
    """Return a race on the house's log."""
    racing = Race(house)
    monkeypatch.setattr(house.stores.log, "append", racing.begin())
    monkeypatch.setattr(house.stores.log, "append_both", racing.begin_both())
    return racing
