"""Each migration starts as if it were the first one in a new session, whatever ran before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrations.formats.bundle import load_files
from migrations.model.attempt import Verdict
from migrations.model.migration import Migration, SourceFile
from tests.fixtures.postgres import AsSuperuser, FreshDatabase
from tests.integration.migrations.world import World, migration, smuggled
from tests.support.catalog import snapshot

BEFORE = """
    CREATE TABLE users (id int, email text);
    CREATE SEQUENCE numbers;
    CREATE SCHEMA app;
    CREATE FUNCTION leave_a_table() RETURNS void LANGUAGE plpgsql
        AS 'BEGIN CREATE TEMP TABLE IF NOT EXISTS users (id int); END';
    CREATE FUNCTION held() RETURNS bigint LANGUAGE sql AS
        'SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = ''advisory''';
"""
DATABASE = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
LEAVES = {
    "a temporary table": "CREATE TEMP TABLE users (id int, email text)",
    "a temporary table by a function": "SELECT leave_a_table()",
    "a temporary view": "CREATE TEMP VIEW seen AS SELECT 1 AS x",
    "a temporary function": "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a prepared statement": "PREPARE p AS SELECT 1 AS one",
    "a cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "a channel": "LISTEN news",
    "an advisory lock": "SELECT pg_advisory_lock(7)",
    "a shared advisory lock": "SELECT pg_advisory_lock_shared(1, 2)",
    "a sequence's value": "SELECT nextval('numbers')",
    "a setting": "SET work_mem = '7MB'",
    "a setting of its own": "SET app.tenant = 'x'",
    "a local setting of its own": "SELECT set_config('app.tenant', 'x', true)",
    "a seed": "SELECT setseed(0.5)",
    "a setting of the database": DATABASE.format("SET search_path = app, public"),
    "another setting of the database": DATABASE.format("SET work_mem = ''9MB''"),
    "a setting taken from the database": DATABASE.format("RESET ALL"),
}
SEES = {
    "users": "ALTER TABLE users ADD COLUMN {name} int",
    "a row": "INSERT INTO users (id) VALUES ({number})",
    "a prepared statement": "PREPARE p AS SELECT 2",
    "what was prepared": "CREATE TABLE {name} AS SELECT name FROM pg_prepared_statements",
    "a cursor": "CREATE TABLE {name} AS SELECT name FROM pg_cursors",
    "channels": "CREATE TABLE {name} AS SELECT pg_listening_channels() AS channel",
    "locks": "CREATE TABLE {name} AS SELECT held() AS held",
    "lastval": "CREATE TABLE {name} AS SELECT lastval() AS last",
    "currval": "CREATE TABLE {name} AS SELECT currval('numbers') AS last",
    "settings": (
        "CREATE TABLE {name} AS SELECT current_setting('app.tenant', true) AS tenant, "
        "current_setting('work_mem') AS memory, current_setting('search_path') AS path"
    ),
    "temporary objects": "CREATE TABLE {name} AS SELECT count(*) FROM pg_class WHERE "
    "relpersistence = 't' AND relnamespace = pg_my_temp_schema()",
    "a function": "CREATE TABLE {name} AS SELECT pg_temp.f() AS f",
}


def history(parts: list[tuple[str, str]], *, stepwise: bool = False) -> list[Migration]:
    """A migration per pair: it looks, and then leaves something."""
    return [
        migration(
            str(number),
            f"{SEES[sees].format(name=f'n{number}', number=number)};\n{LEAVES[leaves]}",
            None,
            stepwise=stepwise,
        )
        for number, (sees, leaves) in enumerate(parts, start=1)
    ]


Worlds = Callable[[], Awaitable[World]]


@pytest.fixture
def worlds(fresh_database: FreshDatabase, as_superuser: AsSuperuser) -> Worlds:
    """Databases, as many as are wanted."""

    async def another() -> World:
        url = await fresh_database()
        world = World(url, superuser_url=as_superuser(url))
        await world.execute(BEFORE)
        return world

    return another


async def seen(world: World) -> list[str]:
    """The schemas and their rows, a line each; roles are named after their database."""
    connection = await asyncpg.connect(world.url)
    try:
        app = "SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace ORDER BY 1"
        found = [("app", row[0]) for row in await connection.fetch(app)]
        await connection.execute("SET search_path = public")
        catalog, rows = await snapshot(connection)
    finally:
        await connection.close()
    name = world.settings.database
    return [str(line).replace(name, "database") for line in (*found, *catalog, *rows)]


async def one_by_one(world: World, migrations: list[Migration]) -> list[str]:
    """What each came to, each in a session of its own."""
    said: list[str] = []
    for one in migrations:
        outcome = await world.up(one)
        said += [f"{step.version} {step.result}" for step in outcome.steps]
        if outcome.verdict is not Verdict.DONE:
            break
    return said


async def in_one_run(world: World, migrations: list[Migration]) -> list[str]:
    """What each came to, all in one run."""
    outcome = await world.up(*migrations)
    return [f"{step.version} {step.result}" for step in outcome.steps]


@pytest.mark.parametrize("leaves", LEAVES)
async def test_nothing_that_a_migration_leaves_in_its_session_reaches_the_next_one(
    worlds: Worlds, leaves: str
) -> None:
    looks = ["users", "a row", "settings", "temporary objects", "locks", "channels", "a cursor"]
    looks += ["what was prepared", "a prepared statement", "lastval"]
    migrations = history([("a row", leaves), *((look, leaves) for look in looks)])
    if leaves in ("a temporary table", "a temporary view", "a temporary function"):
        migrations = history([("a row", leaves), *((look, "a setting") for look in looks)])
    together, apart = await worlds(), await worlds()
    assert await in_one_run(together, migrations) == await one_by_one(apart, migrations)
    assert await seen(together) == await seen(apart)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(SEES)), st.sampled_from(sorted(LEAVES))),
        min_size=2,
        max_size=6,
    )
)
async def test_a_history_applied_in_one_run_or_one_by_one_gives_the_same_database(
    worlds: Worlds, parts: list[tuple[str, str]]
) -> None:
    migrations = history(parts)
    together, apart = await worlds(), await worlds()
    assert await in_one_run(together, migrations) == await one_by_one(apart, migrations)
    assert await seen(together) == await seen(apart)


async def test_the_steps_of_a_file_find_a_new_session_each_too(worlds: Worlds) -> None:
    world = await worlds()
    plain = migration("1", "SELECT 1", None, stepwise=True)
    steps = smuggled(
        plain,
        "SELECT leave_a_table()",
        "INSERT INTO users VALUES (1, 'x')",
        LEAVES["a setting of the database"],
        "CREATE TABLE there (id int)",
    )
    assert (await world.up(steps)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM public.users") == 1
    assert await world.has("app.there")


async def test_a_data_migration_finds_its_own_table_behind_a_temporary_one_of_its_name(
    worlds: Worlds,
) -> None:
    world = await worlds()
    await world.execute("ALTER TABLE users ADD PRIMARY KEY (id); INSERT INTO users VALUES (1, 'A')")
    text = "-- +migrate Data table=users key=id batch=1\n"
    text += "UPDATE users SET email = 'b' FROM batch WHERE users.id = batch.id;\n"
    data = load_files("sql-migrate", [SourceFile("2_m.sql", text.encode())])
    before = migration("1", LEAVES["a temporary table"], None)
    outcome = await world.up(before, data)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT email FROM public.users") == "b"


async def test_a_file_that_leaves_nothing_behind_runs_step_by_step_in_one_session(
    worlds: Worlds,
) -> None:
    world = await worlds()
    me = "pg_backend_pid() AS pid"
    steps = migration(
        "1",
        f"CREATE TABLE pids AS SELECT {me};\nCREATE INDEX CONCURRENTLY i ON pids (pid);\n"
        "INSERT INTO pids SELECT pg_backend_pid()",
        None,
        stepwise=True,
    )
    others = [migration(str(n), "INSERT INTO pids SELECT pg_backend_pid()", None) for n in (2, 3)]
    assert (await world.up(steps, *others)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM pids") == 4
    assert await world.value("SELECT count(DISTINCT pid) FROM pids") == 1
