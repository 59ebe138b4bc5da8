"""Tenants on a developer's server: nobody gets into another's database, however it was begun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ledger.embedded.tenants import CREATE_DATABASE, CREATE_ROLE, make_tenants
from tests.fixtures.postgres import FreshDatabase

NAME, LOGIN = "left_half_made", "mig_left_half_made"


@pytest.fixture
async def server(superuser_database: FreshDatabase) -> AsyncIterator[str]:
    """The address of a superuser's, on a server that has no such tenant before or afterwards."""
    url = await superuser_database()
    yield url
    await execute(url, f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    await execute(url, f"DROP ROLE IF EXISTS {LOGIN}")


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for one in statements:
            await connection.execute(one)
    finally:
        await connection.close()


async def lets_in(url: str, role: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        asked = "SELECT has_database_privilege($1, $2, 'CONNECT')"
        return bool(await connection.fetchval(asked, role, NAME))
    finally:
        await connection.close()


async def test_a_database_is_closed_to_others_also_when_making_it_was_cut_short(
    server: str, tmp_path: Path
) -> None:
    await execute(
        server,
        CREATE_ROLE.format(login=LOGIN),
        CREATE_DATABASE.format(name=NAME, login=LOGIN),
    )
    assert await lets_in(server, "public"), "as PostgreSQL makes it"
    for _ in range(2):
        await make_tenants(server, tmp_path, [NAME])
        assert not await lets_in(server, "public")
        assert await lets_in(server, LOGIN)
