"""A server that crashes behind an answer: what was reported as applied is there afterwards."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.model.migration import Migration
from tests.integration.migrations.world import World, migration

LAZY = """
    ALTER SYSTEM SET wal_writer_delay = '10s';
    SELECT pg_reload_conf();
    CREATE ROLE owner NOLOGIN;
    CREATE ROLE migrator LOGIN PASSWORD 'migrator' IN ROLE owner;
"""
"""Commits that nobody waits for are on the disk seconds later, so that a crash takes them back."""
CREATE = "CREATE DATABASE tenant OWNER owner"
BY_DATABASE = "ALTER DATABASE tenant SET synchronous_commit = off"
BY_LOGIN = "ALTER ROLE migrator SET synchronous_commit = off"
USERS = "CREATE TABLE users (id int)"


@pytest.mark.parametrize(
    ("before", "applied"),
    [
        (BY_DATABASE, migration("001", USERS)),
        (BY_LOGIN, migration("001", USERS)),
        (BY_DATABASE, migration("001", USERS, stepwise=True)),
        ("SELECT 1", migration("001", f"SET synchronous_commit = off; {USERS}")),
        ("SELECT 1", migration("001", f"SET LOCAL synchronous_commit = off; {USERS}")),
    ],
    ids=["database", "login", "without a transaction", "script", "script, in its transaction"],
)
async def test_what_is_reported_as_applied_outlives_a_crash_whoever_waits_for_no_disk(
    own_postgres: EmbeddedPostgres, before: str, applied: Migration
) -> None:
    superuser = await asyncpg.connect(own_postgres.url())
    for script in (*LAZY.strip().split("\n"), CREATE, before):
        await superuser.execute(script)
    await superuser.close()
    place = f"{own_postgres.host}:{own_postgres.port}/tenant"
    world = World(f"postgresql://migrator:migrator@{place}")

    # The journal is made by another one: only what is told of the last is in question.
    assert (await world.up(migration("000", "SELECT 1"))).failure is None
    outcome = await world.up(migration("000", "SELECT 1"), applied)
    assert outcome.failure is None
    await asyncio.to_thread(own_postgres.kill)
    await asyncio.to_thread(own_postgres.start)

    assert ("001", "up", 0, "applied") in await world.journal()
    assert await world.has("users")
