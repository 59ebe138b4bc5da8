"""A data migration waits for a real standby that is behind, and goes on when it has caught up."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.formats.bundle import load_files
from migrations.model.attempt import Mode, Verdict
from migrations.model.migration import Migration, SourceFile
from tests.fixtures.postgres import embedded_postgres
from tests.integration.migrations.world import World, until

DELAY_S = 3
MAKE = """
    CREATE TABLE users (id bigint PRIMARY KEY, seen boolean);
    INSERT INTO users SELECT n FROM generate_series(1, 100) AS n;
    CREATE TABLE load (n int, filler text);
"""
LOAD = "INSERT INTO load SELECT n, repeat('x', 1000) FROM generate_series(1, 200) AS n"
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
BEHIND = "SELECT coalesce(max(replay_lag), '0') > '1s' FROM pg_stat_replication"


def data(pause: str) -> Migration:
    text = (
        f"-- +migrate Data table=users key=id pause_lag={pause}\n"
        "UPDATE users SET seen = true FROM batch WHERE users.id = batch.id;\n"
    )
    return load_files("sql-migrate", [SourceFile("010_data.sql", text.encode())])


def standby_of(primary: EmbeddedPostgres, folder: Path, release: str) -> EmbeddedPostgres:
    """A standby that replays late, from a copy of the primary's files; the primary restarts."""
    parts = urlsplit(primary.url())
    secret = unquote(parts.password or "")
    source = f"host={parts.hostname} port={parts.port} user={parts.username} password={secret}"
    standby = embedded_postgres(
        folder,
        release,
        {
            "primary_conninfo": source,
            "recovery_min_apply_delay": f"{DELAY_S}s",
            "wal_receiver_status_interval": "1s",
        },
    )
    primary.stop()
    folder.mkdir(parents=True)
    shutil.copytree(primary.data, standby.data)
    shutil.copy(primary.folder / "superuser.password", folder)
    (standby.data / "standby.signal").touch()
    _hand_over(standby.data, primary.data)
    primary.start()
    standby.start()
    return standby


def _hand_over(copy: Path, original: Path) -> None:
    """Files that root copied belong to the account that the server runs as."""
    owner = original.stat()
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


@pytest.fixture
async def lagging(
    own_postgres: EmbeddedPostgres, postgres_release: str, server_folder: Path
) -> AsyncIterator[World]:
    """A database with users on a server whose standby replays three seconds late."""
    world = World(own_postgres.url())
    await world.execute(MAKE)
    standby = await asyncio.to_thread(
        standby_of, own_postgres, server_folder / "standby", postgres_release
    )
    try:
        await until(lambda: world.value(STREAMING))
        yield world
    finally:
        await asyncio.to_thread(standby.stop)


async def _waited(world: World) -> bool:
    return any("until standbys catch up" in wait for wait in world.hearing.waits)


async def test_it_waits_while_a_standby_is_bytes_behind(lagging: World) -> None:
    # A standby waits at a commit; what comes after it is what it is behind.
    await lagging.execute(LOAD)
    await lagging.execute(LOAD)
    outcome = await lagging.up(data("64kB"))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await _waited(lagging)
    assert any("bytes behind, 65,536 go" in wait for wait in lagging.hearing.waits)


async def test_it_waits_while_a_standby_is_seconds_behind(lagging: World) -> None:
    stopped = asyncio.Event()

    async def write() -> None:
        connection = await asyncpg.connect(lagging.url)
        while not stopped.is_set():
            await connection.execute(LOAD)
            await asyncio.sleep(0.1)
        await connection.close()

    writing = asyncio.create_task(write())
    await until(lambda: lagging.value(BEHIND))
    task = asyncio.create_task(lagging.do(lagging.work(Mode.UP, data("1s"))))
    await until(lambda: _waited(lagging))
    assert await lagging.value("SELECT count(*) FROM users WHERE seen") == 0
    stopped.set()
    await writing
    assert (await task).verdict is Verdict.DONE
    assert any("s behind, 1 s go" in wait for wait in lagging.hearing.waits)
