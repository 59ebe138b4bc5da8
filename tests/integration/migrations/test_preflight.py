"""Every check of a preflight, made to pass, warn, block and be unknown for real."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.clock import SYSTEM_CLOCK
from migrations.model.migration import Migration
from migrations.model.preflight import (
    CheckBounds,
    LabelledWindow,
    PreflightCheck,
    PreflightPolicy,
    PreflightResult,
    PreflightVerdict,
)
from migrations.preflight.preflight import ask_by_itself
from migrations.preflight.touched_tables import touched_by
from migrations.target.session import close_session, open_session
from tests.integration.migrations.test_round_trips import watched
from tests.integration.migrations.world import World, migration, session, until

FINE, WARN, BLOCK, UNKNOWN = PreflightVerdict
USERS = "CREATE TABLE users (id int PRIMARY KEY, name text)"
ALTER = migration("001", "ALTER TABLE users ADD COLUMN age int")
INDEX = migration("002", "CREATE INDEX CONCURRENTLY by_name ON users (name)", stepwise=True)


@pytest.fixture
async def tenant(world: World) -> World:
    await world.execute(f"SET ROLE {world.owner}; {USERS}")
    return world


async def asked(
    world: World,
    *migrations: Migration,
    bounds: Sequence[CheckBounds] = (),
    role: str | None = None,
    **policy: object,
) -> dict[PreflightCheck, PreflightResult]:
    settings = replace(world.settings, role=role)
    made = PreflightPolicy(bounds=tuple(bounds), **policy)  # type: ignore[arg-type]
    touched = touched_by(one.up for one in migrations or (ALTER,))
    found = await ask_by_itself(settings, "", made, touched, SYSTEM_CLOCK)
    return {one.check: one for one in found}


def within(check: PreflightCheck, warn: float | None, block: float | None) -> list[CheckBounds]:
    return [CheckBounds(check, warn, block)]


async def test_a_quiet_database_passes_and_what_nobody_can_tell_is_unknown(tenant: World) -> None:
    found = await asked(tenant)
    assert list(found) == list(PreflightCheck)
    unknown = {check for check, one in found.items() if one.verdict is UNKNOWN}
    assert unknown == {PreflightCheck.FREE_SPACE, PreflightCheck.BACKUP}, found
    assert all(one.verdict is FINE for check, one in found.items() if check not in unknown), found


# --- the role, the server, its disk ---


async def test_a_right_that_is_taken_away_blocks_and_names_what_to_grant(tenant: World) -> None:
    await tenant.execute_as_superuser("ALTER TABLE users OWNER TO postgres")
    rights = (await asked(tenant))[PreflightCheck.RIGHTS]
    assert (rights.verdict, rights.value) == (BLOCK, 1)
    assert "public.users belongs to postgres" in rights.said
    lenient = await asked(tenant, bounds=within(PreflightCheck.RIGHTS, 1, None))
    assert lenient[PreflightCheck.RIGHTS].verdict is WARN
    reading = await asked(tenant, migration("003", "UPDATE users SET name = 'x'"))
    assert reading[PreflightCheck.RIGHTS].verdict is FINE


async def test_a_schema_in_which_nothing_may_be_made_blocks_what_makes_something(
    tenant: World,
) -> None:
    await tenant.execute_as_superuser(
        "ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC"
    )
    making = await asked(tenant, migration("003", "CREATE TABLE other ()"))
    assert making[PreflightCheck.RIGHTS].verdict is BLOCK
    assert "lacks CREATE in" in making[PreflightCheck.RIGHTS].said


@pytest.mark.parametrize("role", ["nobody_of_this_name", "postgres"])
async def test_a_role_that_cannot_be_taken_blocks(tenant: World, role: str) -> None:
    rights = (await asked(tenant, role=role))[PreflightCheck.RIGHTS]
    assert rights.verdict is BLOCK
    assert role in rights.said
    owner = (await asked(tenant, role=tenant.owner))[PreflightCheck.RIGHTS]
    assert owner.verdict is FINE


async def test_what_the_catalog_hides_is_unknown_and_the_rest_is_known(tenant: World) -> None:
    await tenant.execute_as_superuser("REVOKE SELECT ON pg_catalog.pg_roles FROM PUBLIC")
    found = await asked(tenant)
    for check in (
        PreflightCheck.RIGHTS,
        PreflightCheck.PRIMARY,
        PreflightCheck.SERVER_VERSION,
    ):
        assert found[check].verdict is UNKNOWN
        assert "pg_roles" in found[check].said
    assert found[PreflightCheck.TABLE_SIZE].verdict is FINE


@pytest.mark.parametrize(
    ("bounds", "verdict"), [((None, 14), FINE), ((99, 14), WARN), ((None, 99), BLOCK)]
)
async def test_an_old_server_warns_or_blocks(
    tenant: World, bounds: tuple[float, float], verdict: PreflightVerdict
) -> None:
    found = await asked(tenant, bounds=within(PreflightCheck.SERVER_VERSION, *bounds))
    assert found[PreflightCheck.SERVER_VERSION].verdict is verdict


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("SELECT 900 * 1024 * 1024", FINE),
        ("SELECT 90 * 1024 * 1024; ", WARN),
        ("SELECT 9 * 1024 * 1024 -- bytes", BLOCK),
        ("SELECT NULL::bigint", UNKNOWN),
        ("SELECT 1 / 0", UNKNOWN),
        ("SELECT 1) TO STDOUT; DROP TABLE users; --", UNKNOWN),
        ("DELETE FROM users RETURNING 1", UNKNOWN),
        ("SELECT nextval('numbers')", UNKNOWN),
        ("", UNKNOWN),
    ],
)
async def test_space_is_what_the_query_says_and_nothing_else_is_run(
    tenant: World, query: str, verdict: PreflightVerdict
) -> None:
    await tenant.execute(f"SET ROLE {tenant.owner}; CREATE SEQUENCE numbers")
    bounds = within(PreflightCheck.FREE_SPACE, 100, 10)
    found = await asked(tenant, bounds=bounds, space_query=query)
    assert found[PreflightCheck.FREE_SPACE].verdict is verdict
    assert found[PreflightCheck.TABLE_SIZE].verdict is FINE
    assert await tenant.has("users")
    assert not await tenant.value("SELECT is_called FROM numbers")


# --- indexes and tables ---


async def test_an_invalid_index_on_a_touched_table_warns_or_blocks(tenant: World) -> None:
    await tenant.execute("INSERT INTO users VALUES (1, 'x'), (2, 'x')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await _build(tenant)
    found = (await asked(tenant))[PreflightCheck.INVALID_INDEXES]
    assert (found.verdict, found.value) == (WARN, 1)
    assert "public.twice" in found.said
    strict = await asked(tenant, bounds=within(PreflightCheck.INVALID_INDEXES, None, 1))
    assert strict[PreflightCheck.INVALID_INDEXES].verdict is BLOCK
    other = await asked(tenant, migration("003", "CREATE TABLE other ()"))
    assert other[PreflightCheck.INVALID_INDEXES].verdict is FINE


async def _build(world: World) -> None:
    connection = await asyncpg.connect(world.url)
    try:
        await connection.execute(f"SET ROLE {world.owner}")
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY twice ON users (name)")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("bounds", "verdict"), [((2, 10), FINE), ((0.5, 10), WARN), ((0.1, 0.5), BLOCK)]
)
async def test_a_table_that_has_grown_warns_or_blocks_by_size_and_by_rows(
    tenant: World, bounds: tuple[float, float], verdict: PreflightVerdict
) -> None:
    await tenant.execute("INSERT INTO users SELECT n FROM generate_series(1, 25000) AS n")
    await tenant.execute_as_superuser("ANALYZE users")
    rows = (bounds[0] * 25_000, bounds[1] * 25_000)
    found = await asked(
        tenant,
        bounds=[
            CheckBounds(PreflightCheck.TABLE_SIZE, *bounds),
            CheckBounds(PreflightCheck.TABLE_ROWS, *rows),
        ],
    )
    assert found[PreflightCheck.TABLE_SIZE].verdict is verdict
    assert found[PreflightCheck.TABLE_ROWS].verdict is verdict


async def test_the_size_of_partitions_counts_and_a_locked_table_is_not_waited_for(
    tenant: World,
) -> None:
    await tenant.execute(
        f"SET ROLE {tenant.owner}; CREATE TABLE parts (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (100000);"
        "INSERT INTO parts SELECT n FROM generate_series(1, 25000) AS n; ANALYZE parts, part1"
    )
    change = migration("003", "ALTER TABLE parts ADD COLUMN b int")
    small = within(PreflightCheck.TABLE_SIZE, 0.5, None)
    whole = await asked(tenant, change, bounds=small)
    assert whole[PreflightCheck.TABLE_SIZE].verdict is WARN
    sizes = {one.name: one.size_bytes for one in whole[PreflightCheck.TABLE_SIZE].tables}
    assert sizes["public.parts"] == sizes["public.part1"] > 0
    assert whole[PreflightCheck.TABLE_ROWS].value == 25_000
    lock = f"SET ROLE {tenant.owner}", "BEGIN", "LOCK TABLE part1"
    async with session(tenant.url, *lock):
        found = await asked(tenant, change, bounds=small)
    assert found[PreflightCheck.TABLE_SIZE].verdict is WARN
    assert "part1" in found[PreflightCheck.IDLE].said or found[PreflightCheck.IDLE].verdict is FINE


# --- sessions ---


@pytest.mark.parametrize(
    ("bounds", "verdict"), [((60, 600), FINE), ((0, 600), WARN), ((0, 0), BLOCK)]
)
async def test_a_session_that_idles_with_a_lock_on_the_table_warns_or_blocks(
    tenant: World, bounds: tuple[float, float], verdict: PreflightVerdict
) -> None:
    async with session(tenant.url, "BEGIN", "SELECT * FROM users"):
        found = await asked(tenant, bounds=within(PreflightCheck.IDLE, *bounds))
        other = await asked(
            tenant,
            migration("003", "UPDATE users SET name = 'x'"),
            bounds=within(PreflightCheck.IDLE, None, 0.000001),
        )
    assert found[PreflightCheck.IDLE].verdict is verdict
    assert found[PreflightCheck.TRANSACTIONS].value == 0
    if verdict is not FINE:
        assert "(shop)" in found[PreflightCheck.IDLE].said
        assert "AccessShareLock on public.users" in found[PreflightCheck.IDLE].said
    # Who only reads is in nobody's way who only writes.
    assert other[PreflightCheck.IDLE].verdict is FINE


@pytest.mark.parametrize(
    ("bounds", "verdict"), [((60, 600), FINE), ((0, 600), WARN), ((0, 0), BLOCK)]
)
async def test_a_transaction_at_work_on_the_table_warns_or_blocks(
    tenant: World, bounds: tuple[float, float], verdict: PreflightVerdict
) -> None:
    async with session(tenant.url, "BEGIN", "SELECT * FROM users") as busy:
        working = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))
        await until(
            lambda: tenant.value(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600)%' "
                "AND state = 'active' AND pid <> pg_backend_pid()"
            )
        )
        found = await asked(tenant, bounds=within(PreflightCheck.TRANSACTIONS, *bounds))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert found[PreflightCheck.TRANSACTIONS].verdict is verdict
    assert found[PreflightCheck.IDLE].value == 0


async def test_a_session_of_another_role_is_unknown_and_says_what_to_grant(tenant: World) -> None:
    other = tenant.superuser_url
    async with session(other, "BEGIN", "SELECT * FROM users"):
        found = await asked(tenant)
        for check in (PreflightCheck.TRANSACTIONS,):
            assert found[check].verdict is UNKNOWN
            assert "pg_read_all_stats" in found[check].said
        await tenant.execute_as_superuser(f'GRANT pg_read_all_stats TO "{tenant.settings.user}"')
        seen = await asked(tenant, bounds=within(PreflightCheck.IDLE, 0, None))
    assert seen[PreflightCheck.TRANSACTIONS].verdict is FINE
    assert seen[PreflightCheck.IDLE].verdict is WARN


async def test_a_prepared_transaction_that_holds_the_table_is_in_the_way(
    own_postgres: EmbeddedPostgres,
) -> None:
    world = World(own_postgres.url())
    await world.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.to_thread(own_postgres.start)
    world.superuser_url = world.url
    await world.execute(USERS)
    await world.execute("BEGIN; LOCK users; PREPARE TRANSACTION 'left''over'")
    found = await asked(world, bounds=within(PreflightCheck.TRANSACTIONS, 0, None))
    assert found[PreflightCheck.TRANSACTIONS].verdict is WARN
    assert "left'over" in found[PreflightCheck.TRANSACTIONS].said


@pytest.mark.parametrize(
    ("bounds", "verdict"), [((60, 600), FINE), ((0, 600), WARN), ((0, 0), BLOCK)]
)
async def test_a_snapshot_that_concurrently_waits_for_warns_or_blocks(
    tenant: World, bounds: tuple[float, float], verdict: PreflightVerdict
) -> None:
    snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"
    async with session(tenant.url, *snapshot):
        limits = within(PreflightCheck.SNAPSHOTS, *bounds)
        found = await asked(tenant, INDEX, bounds=limits)
        plain = await asked(tenant, ALTER, bounds=within(PreflightCheck.SNAPSHOTS, None, 0.0001))
    assert found[PreflightCheck.SNAPSHOTS].verdict is verdict
    assert plain[PreflightCheck.SNAPSHOTS].verdict is FINE


async def test_a_snapshot_of_another_role_is_unknown_only_where_it_matters(tenant: World) -> None:
    async with session(tenant.superuser_url, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"):
        found = await asked(tenant, INDEX)
        plain = await asked(tenant, ALTER)
    assert found[PreflightCheck.SNAPSHOTS].verdict is UNKNOWN
    assert "pg_read_all_stats" in found[PreflightCheck.SNAPSHOTS].said
    assert plain[PreflightCheck.SNAPSHOTS].verdict is FINE


async def test_connections_are_counted_by_application(tenant: World) -> None:
    async with session(tenant.url):
        for bounds, verdict in (((101, None), FINE), ((0.1, None), WARN), ((None, 0.1), BLOCK)):
            found = await asked(tenant, bounds=within(PreflightCheck.CONNECTIONS, *bounds))
            assert found[PreflightCheck.CONNECTIONS].verdict is verdict
        assert "1 of shop" in found[PreflightCheck.CONNECTIONS].said


@pytest.mark.parametrize(
    ("right", "connections"),
    [
        ("SELECT ON pg_catalog.pg_stat_activity", set()),
        (
            "EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer)",
            {PreflightCheck.CONNECTIONS, PreflightCheck.SLOTS, PreflightCheck.LAG},
        ),
    ],
)
async def test_without_a_right_to_see_sessions_they_are_unknown(
    tenant: World, right: str, connections: set[PreflightCheck]
) -> None:
    await tenant.execute_as_superuser(f"REVOKE {right} FROM PUBLIC")
    found = await asked(tenant, INDEX)
    sessions = {
        PreflightCheck.TRANSACTIONS,
        PreflightCheck.IDLE,
        PreflightCheck.SNAPSHOTS,
        PreflightCheck.AUTOVACUUM,
        PreflightCheck.WRAPAROUND,
    } | connections
    unknown = {check for check, one in found.items() if one.verdict is UNKNOWN}
    assert unknown == sessions | {PreflightCheck.FREE_SPACE, PreflightCheck.BACKUP}
    assert all("grant pg_read_all_stats" in found[check].said for check in sessions)


async def test_what_a_migration_makes_itself_is_no_table_to_ask_about(tenant: World) -> None:
    await tenant.execute_as_superuser("REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC")
    found = await asked(tenant, migration("1", "CREATE TABLE a (id int); CREATE INDEX ON a (id)"))
    told = {check for check, one in found.items() if one.verdict is UNKNOWN}
    # Nothing was asked that would need the right.
    assert told == {PreflightCheck.FREE_SPACE, PreflightCheck.BACKUP}


# --- backups and windows ---


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("SELECT now() - interval '1 hour'", FINE),
        ("SELECT now() - interval '30 hours' -- the last one", WARN),
        ("SELECT max(at) FROM (VALUES (now() - interval '1 month')) AS t (at)", BLOCK),
        ("SELECT NULL::timestamptz", UNKNOWN),
        ("SELECT at FROM no_such_table", UNKNOWN),
        ("SELECT now(); SELECT now()", UNKNOWN),
        ("", UNKNOWN),
    ],
)
async def test_the_age_of_the_last_backup_is_what_the_query_says(
    tenant: World, query: str, verdict: PreflightVerdict
) -> None:
    bounds = within(PreflightCheck.BACKUP, 24, 48)
    found = await asked(tenant, bounds=bounds, backup_query=query)
    assert found[PreflightCheck.BACKUP].verdict is verdict
    assert found[PreflightCheck.RIGHTS].verdict is FINE


async def test_a_window_passes_when_open_and_blocks_until_it_opens(tenant: World) -> None:
    async def verdict(*windows: LabelledWindow) -> PreflightResult:
        return (await asked(tenant, windows=windows))[PreflightCheck.WINDOW]

    today = SYSTEM_CLOCK.now().weekday()
    always = LabelledWindow(tuple(range(7)), 0, 24 * 60, "UTC")
    later = LabelledWindow(((today + 3) % 7,), 0, 60, "UTC")
    nowhere = LabelledWindow(tuple(range(7)), 0, 24 * 60, "Nowhere/There")
    assert (await verdict()).verdict is FINE
    assert (await verdict(later, always)).verdict is FINE
    closed = await verdict(later)
    assert closed.verdict is BLOCK
    assert closed.value is not None
    assert 24 * 60 < closed.value <= 3 * 24 * 60
    assert (await verdict(nowhere)).verdict is UNKNOWN
    bounds = within(PreflightCheck.WINDOW, 1, None)
    lenient = await asked(tenant, windows=(later,), bounds=bounds)
    assert lenient[PreflightCheck.WINDOW].verdict is WARN


async def test_names_of_a_tenant_are_shown_escaped_and_cut(tenant: World) -> None:
    evil = "x" * 40 + "\n\x1b[2J"
    name = f'"{evil}"'
    await tenant.execute(f"SET ROLE {tenant.owner}; CREATE TABLE {name} (id int)")
    await tenant.execute_as_superuser(f"ALTER TABLE {name} OWNER TO postgres")
    change = migration("003", "ALTER TABLE users ADD COLUMN b int")
    texts = replace(change.up.statements[0], text=f"ALTER TABLE {name} ADD COLUMN b int")
    change = replace(change, up=replace(change.up, statements=(texts,)))
    rights = (await asked(tenant, change))[PreflightCheck.RIGHTS]
    assert rights.verdict is BLOCK
    assert "\\n\\x1b[2J" in rights.said
    assert rights.said.isprintable()


async def test_one_round_trip_asks_everything(tenant: World) -> None:
    async with watched(tenant) as (world, line):
        found = await asked(world)
        await close_session(await open_session(world.settings, application_name="t"))
    assert len(found) == len(PreflightCheck)
    asking, idle = line.sessions
    assert asking.round_trips == idle.round_trips + 1
