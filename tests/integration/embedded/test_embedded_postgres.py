"""A real server: it starts, ends, crashes, recovers, and asks for a password."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from tests.fixtures.postgres import FreshDatabase, TenantDatabases


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def do(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_it_is_postgresql_18_on_the_loopback_address(own_postgres: EmbeddedPostgres) -> None:
    assert str(await ask(own_postgres.url(), "SHOW server_version")).startswith("18.")
    assert await ask(own_postgres.url(), "SHOW listen_addresses") == "127.0.0.1"


async def test_a_wrong_password_is_refused(own_postgres: EmbeddedPostgres) -> None:
    wrong = own_postgres.url().replace(own_postgres.password, "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(wrong, "SELECT 1")


async def test_the_password_is_readable_by_its_owner_only(own_postgres: EmbeddedPostgres) -> None:
    mode = (own_postgres.folder / "superuser.password").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert [each.name for each in own_postgres.folder.glob("*.password")] == ["superuser.password"]


async def test_what_was_committed_survives_a_killed_server(own_postgres: EmbeddedPostgres) -> None:
    await do(own_postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    port = own_postgres.port
    own_postgres.kill()
    assert own_postgres.pid is None
    own_postgres.start()
    assert own_postgres.port == port
    assert await ask(own_postgres.url(), "SELECT answer FROM kept") == 42


async def test_a_restart_keeps_port_data_and_password(own_postgres: EmbeddedPostgres) -> None:
    await do(own_postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    url = own_postgres.url()
    own_postgres.stop()
    own_postgres.start()
    assert await ask(url, "SELECT answer FROM kept") == 42


async def test_a_server_that_its_parent_lost_is_replaced(own_postgres: EmbeddedPostgres) -> None:
    lost = own_postgres.pid
    successor = EmbeddedPostgres(own_postgres.folder, durable=False)
    successor.start()
    try:
        assert own_postgres.pid is None
        assert successor.pid != lost
        assert await ask(successor.url(), "SELECT 1") == 1
    finally:
        successor.stop()


def test_reset_leaves_nothing_behind(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / "postgres", durable=False)
    server.start()
    server.reset()
    assert server.pid is None
    assert list(server_folder.iterdir()) == []


async def test_fresh_databases_are_empty_and_apart(fresh_database: FreshDatabase) -> None:
    first, second = await fresh_database(), await fresh_database()
    await do(first, "CREATE TABLE only_here ()")
    assert await ask(second, "SELECT to_regclass('only_here')") is None


async def test_tenant_databases_have_users(tenant_databases: TenantDatabases) -> None:
    urls = await tenant_databases(3)
    counts = await asyncio.gather(*(ask(url, "SELECT count(*) FROM users") for url in urls))
    assert counts == [300, 300, 300]
