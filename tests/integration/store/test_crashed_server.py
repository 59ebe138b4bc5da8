"""The ledger's own server crashes: what was recorded, and acted upon, is there afterwards."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from ledger.store.connections import opened_pool
from ledger.store.install import install
from ledger.store.log.log import EventLog
from tests.support.raw_event import NewEvent

LAZY = """
    ALTER SYSTEM SET wal_writer_delay = '10s';
    SELECT pg_reload_conf();
    CREATE DATABASE ledger;
"""
"""Commits that nobody waits for are on the disk seconds later, so that a crash takes them back."""


@pytest.mark.parametrize("events", [1, 2])
async def test_what_was_recorded_outlives_a_crash_though_the_database_waits_for_no_disk(
    own_postgres: EmbeddedPostgres, events: int
) -> None:
    superuser = await asyncpg.connect(own_postgres.url())
    for script in LAZY.strip().split("\n"):
        await superuser.execute(script)
    await install(own_postgres.url("ledger"), uuid4())
    await superuser.execute("ALTER DATABASE ledger SET synchronous_commit = off")
    await superuser.close()

    async with opened_pool(own_postgres.url("ledger")) as pool:
        log = EventLog(pool)
        before = (await log.head()).position
        body = b'{"database":"acme"}'
        given = [NewEvent(uuid4(), "DatabaseSuspended", 1, body, b"{}") for _ in range(events)]
        await log.append("fleet", given)
        await asyncio.to_thread(own_postgres.kill)
    await asyncio.to_thread(own_postgres.start)

    async with opened_pool(own_postgres.url("ledger")) as pool:
        assert (await EventLog(pool).head()).position == before + events
