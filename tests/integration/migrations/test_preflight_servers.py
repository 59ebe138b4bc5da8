"""What a preflight asks of a whole server: slots, standbys, autovacuum, the archiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.model.preflight import PreflightCheck, PreflightVerdict
from tests.integration.migrations.test_lag import STREAMING, standby_of
from tests.integration.migrations.test_preflight import BLOCK, FINE, UNKNOWN, WARN, asked, within
from tests.integration.migrations.world import World, until

USERS = "CREATE TABLE users (id int PRIMARY KEY, name text)"
APP = "CREATE ROLE app LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA public TO app"
ORDINARY = "app:p"
SLOW_VACUUM = """
    ALTER TABLE users SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
    INSERT INTO users SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n;
    DELETE FROM users WHERE id % 2 = 0;
"""
BURN = """
    CREATE PROCEDURE burn() LANGUAGE plpgsql AS $$
    BEGIN FOR i IN 1..100500 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$
"""


@pytest.fixture
async def server(own_postgres: EmbeddedPostgres) -> World:
    world = World(own_postgres.url())
    world.superuser_url = world.url
    await world.execute(USERS)
    return world


async def verdict(
    world: World, check: PreflightCheck, warn: float | None, block: float | None
) -> PreflightVerdict:
    return (await asked(world, bounds=within(check, warn, block)))[check].verdict


async def test_a_slot_that_holds_wal_back_warns_or_blocks(server: World) -> None:
    assert await verdict(server, PreflightCheck.SLOTS, None, 0.001) is FINE
    await server.execute("SELECT pg_create_physical_replication_slot('kept', true)")
    await server.execute("SELECT pg_switch_wal(); CREATE TABLE other (); SELECT pg_switch_wal()")
    assert await verdict(server, PreflightCheck.SLOTS, 1, 1000) is WARN
    assert await verdict(server, PreflightCheck.SLOTS, None, 1) is BLOCK
    found = await asked(server, bounds=within(PreflightCheck.SLOTS, 1, None))
    assert "slot kept" in found[PreflightCheck.SLOTS].said
    await server.execute(
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_get_replication_slots() FROM PUBLIC"
    )
    assert await _as_ordinary(server, PreflightCheck.SLOTS) is UNKNOWN


async def _as_ordinary(world: World, check: PreflightCheck) -> PreflightVerdict:
    await world.execute(APP)
    address = world.url.partition("@")[2]
    ordinary = World(f"postgresql://{ORDINARY}@{address}")
    return (await asked(ordinary))[check].verdict


@pytest.fixture
async def lagging(
    server: World, own_postgres: EmbeddedPostgres, postgres_release: str, server_folder: Path
) -> AsyncIterator[tuple[World, World]]:
    standby = await asyncio.to_thread(
        standby_of, own_postgres, server_folder / "standby", postgres_release
    )
    try:
        await until(lambda: server.value(STREAMING))
        yield server, World(standby.url())
    finally:
        await asyncio.to_thread(standby.stop)


async def test_a_standby_that_lags_warns_or_blocks_and_is_no_place_to_write(
    lagging: tuple[World, World],
) -> None:
    primary, standby = lagging
    await primary.execute("INSERT INTO users SELECT n FROM generate_series(1, 20000) AS n")

    async def behind() -> bool:
        return await verdict(primary, PreflightCheck.LAG, 0.001, None) is WARN

    await until(behind)
    await primary.execute("INSERT INTO users SELECT -n FROM generate_series(1, 20000) AS n")
    assert await verdict(primary, PreflightCheck.LAG, None, 0.001) is BLOCK
    assert await verdict(primary, PreflightCheck.LAG, None, 10_000) is FINE
    assert await _as_ordinary(primary, PreflightCheck.LAG) is UNKNOWN
    there = await asked(standby)
    assert there[PreflightCheck.PRIMARY].verdict is BLOCK
    assert there[PreflightCheck.SLOTS].verdict is FINE


async def test_autovacuum_on_a_touched_table_warns_and_against_wraparound_it_blocks(
    server: World,
) -> None:
    await server.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
    await server.execute("SELECT pg_reload_conf()")
    await server.execute(SLOW_VACUUM)

    async def vacuuming() -> bool:
        return await verdict(server, PreflightCheck.AUTOVACUUM, 1, None) is WARN

    assert await verdict(server, PreflightCheck.WRAPAROUND, None, 1) is FINE
    await until(vacuuming)
    assert await verdict(server, PreflightCheck.AUTOVACUUM, None, 1) is BLOCK
    assert await verdict(server, PreflightCheck.WRAPAROUND, None, 1) is FINE

    await server.execute(BURN)
    await server.execute("CALL burn()")
    await server.execute("ALTER TABLE users SET (autovacuum_freeze_max_age = 100000)")

    async def preventing() -> bool:
        return await verdict(server, PreflightCheck.WRAPAROUND, None, 1) is BLOCK

    await until(preventing)
    assert await verdict(server, PreflightCheck.WRAPAROUND, 1, None) is WARN


async def test_the_archiver_tells_of_backups_where_no_query_does(
    server: World, own_postgres: EmbeddedPostgres
) -> None:
    assert await verdict(server, PreflightCheck.BACKUP, 24, 48) is UNKNOWN
    await server.execute("ALTER SYSTEM SET archive_mode = on")
    await server.execute("ALTER SYSTEM SET archive_command = 'true'")
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.to_thread(own_postgres.start)
    await server.execute("CREATE TABLE other (); SELECT pg_switch_wal()")

    async def archived() -> bool:
        return await verdict(server, PreflightCheck.BACKUP, 24, 48) is FINE

    await until(archived)
    assert await verdict(server, PreflightCheck.BACKUP, 0, None) is WARN
    assert await verdict(server, PreflightCheck.BACKUP, None, 0) is BLOCK
