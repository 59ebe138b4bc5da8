"""The ledger of the leading tests, and people who log in with less than all rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from tests.fixtures.postgres import PostgresServer
from tests.integration.leader.conftest import house, house_template
from tests.support.house import House, house_at

__all__ = ["house", "house_template"]

LogIn = Callable[[str], AbstractAsyncContextManager[House]]
"""Opens the same ledger as a member of this role."""


@pytest.fixture
def log_in(house: House, postgres_server: PostgresServer) -> LogIn:
    """Return a function that opens the house's ledger as a member of a role, or of several."""

    @asynccontextmanager
    async def open_as(role: str) -> AsyncIterator[House]:
        name = f"{postgres_server.prefix}_{role.split(', ')[-1]}_{uuid4().hex[:8]}"
        await postgres_server.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'p' IN ROLE {role}")
        parts = urlsplit(house.url)
        address = parts.netloc.rpartition("@")[2]
        url = urlunsplit(parts._replace(netloc=f"{quote(name)}:p@{address}"))
        try:
            async with house_at(url, house.folder) as opened:
                yield opened
        finally:
            await postgres_server.execute(f'DROP ROLE "{name}"')

    return open_as
