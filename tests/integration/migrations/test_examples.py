"""Every example goes up, is verified, comes down and restores schema and data, and goes up again.

Statements are sent one by one without the runner, so that what is tested is the files: the first
five, which need nothing else. `tests/integration/test_examples_run.py` runs them all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from migrations.formats.bundle import load_folder
from migrations.model.migration import Migration, Section
from tests.fixtures.postgres import TenantDatabases
from tests.support.catalog import snapshot

EXAMPLES = Path(__file__).parents[3] / "migrations" / "examples"
MIGRATIONS = load_folder(EXAMPLES).migrations[:5]


@pytest.fixture
async def tenant(tenant_databases: TenantDatabases) -> AsyncIterator[asyncpg.Connection]:
    """A connection to one tenant database."""
    (url,) = await tenant_databases(1)
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def run(connection: asyncpg.Connection, section: Section | None) -> None:
    """Run a section as its text asks for: in one transaction, or statement by statement."""
    assert section is not None
    if section.transactional:
        async with connection.transaction():
            for statement in section.statements:
                await connection.execute(statement.text)
    else:
        for statement in section.statements:
            await connection.execute(statement.text)


async def verify(connection: asyncpg.Connection, migration: Migration) -> None:
    """Every SELECT returns rows, all true in the first column; DO must not raise."""
    assert migration.verify is not None
    for statement in migration.verify.statements:
        rows = await connection.fetch(statement.text)
        if statement.summary != "DO":
            assert rows, f"{migration.label}:{statement.line} returned no row"
            assert all(row[0] is True for row in rows), f"{migration.label}:{statement.line}"


async def test_each_example_is_undone_exactly_and_can_be_applied_again(
    tenant: asyncpg.Connection,
) -> None:
    for migration in MIGRATIONS:
        before = await snapshot(tenant)
        await run(tenant, migration.up)
        await verify(tenant, migration)
        assert await snapshot(tenant) != before
        await run(tenant, migration.down)
        assert await snapshot(tenant) == before, migration.label
        await run(tenant, migration.up)
        await verify(tenant, migration)


async def test_the_whole_tour_comes_down_newest_first(tenant: asyncpg.Connection) -> None:
    before = await snapshot(tenant)
    for migration in MIGRATIONS:
        await run(tenant, migration.up)
    for migration in reversed(MIGRATIONS):
        await run(tenant, migration.down)
    assert await snapshot(tenant) == before


async def test_settings_written_after_the_move_survive_its_undoing(
    tenant: asyncpg.Connection,
) -> None:
    create, move, *_ = MIGRATIONS
    await run(tenant, create.up)
    await tenant.execute(
        "INSERT INTO user_preferences (user_id, key, value) VALUES (1, 'theme', '\"own\"')"
    )
    await run(tenant, move.up)
    await verify(tenant, move)
    assert await tenant.fetchval("SELECT count(*) FROM users WHERE settings <> '{}'") == 0
    await tenant.execute(
        """UPDATE users SET settings = '{"language": "it", "new": 1}' WHERE id = 2"""
    )
    await run(tenant, move.down)
    restored = "SELECT settings ->> 'language' = 'it' AND settings ? 'theme' AND settings ? 'new' "
    assert await tenant.fetchval(restored + "FROM users WHERE id = 2")
    assert await tenant.fetchval("SELECT count(*) FROM user_preferences") == 1


async def test_old_code_and_the_new_table_agree_after_the_split(tenant: asyncpg.Connection) -> None:
    *_, split = MIGRATIONS
    await run(tenant, split.up)
    await tenant.execute("UPDATE users SET city = 'Genève' WHERE id = 1")
    await tenant.execute(
        "UPDATE users SET address = NULL, city = NULL, state = NULL, postal_code = NULL, "
        "country = NULL WHERE id = 2"
    )
    assert await tenant.fetchval("SELECT city FROM users_with_address WHERE id = 1") == "Genève"
    assert await tenant.fetchval("SELECT count(*) FROM addresses WHERE user_id = 2") == 0
    await verify(tenant, split)
