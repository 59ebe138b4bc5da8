"""What a glance settles is what all questions would have said, whatever a database is like."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from migrations.clock import SYSTEM_CLOCK
from migrations.model.preflight import (
    CheckBounds,
    PreflightCheck,
    PreflightPolicy,
    PreflightResult,
    TouchedTables,
)
from migrations.preflight import questions
from migrations.preflight.glance import glance
from migrations.preflight.preflight import ask_by_itself
from migrations.preflight.questions import PreflightQuestion
from migrations.preflight.touched_tables import touched_by
from tests.fixtures.postgres import PostgresServer
from tests.integration.migrations.test_round_trips import watched
from tests.integration.migrations.world import World, migration, session

QUIET = "WITH (autovacuum_enabled = off)"
"""Nobody comes between two looks and makes a table larger, or holds it."""
USERS = f"CREATE TABLE users (id int PRIMARY KEY, name text) {QUIET}"
ORDINARY = {
    PreflightQuestion.SERVER,
    PreflightQuestion.TABLES,
    PreflightQuestion.LOCKS,
    PreflightQuestion.CONNECTIONS,
    PreflightQuestion.REPLICATION,
    PreflightQuestion.ARCHIVER,
}
CHANGES = (
    "ALTER TABLE users ADD COLUMN a int",
    "UPDATE users SET name = 'x'",
    "CREATE TABLE other (id int REFERENCES users)",
    "CREATE INDEX CONCURRENTLY by_name ON users (name)",
    "CREATE VIEW v AS SELECT * FROM users",
    "CREATE SCHEMA more",
    "ALTER TABLE nowhere ADD COLUMN a int",
    "ALTER TABLE parts ADD COLUMN a int; ALTER TABLE users ADD COLUMN b int",
    "REFRESH MATERIALIZED VIEW counted",
    "REINDEX INDEX users_pkey",
    "ALTER VIEW seen RENAME TO looked_at",
    "ALTER SEQUENCE numbers RESTART",
    'ALTER TABLE "odd "" name" ADD COLUMN a int',
    "ALTER TABLE elsewhere.users ADD COLUMN a int",
    "ALTER TABLE theirs ADD COLUMN a int",
    "INSERT INTO theirs VALUES (1)",
    "; ".join(f"ALTER TABLE t{number} ADD COLUMN a int" for number in range(25)),
)
ALIKE = (*CHANGES[:4], "ALTER TABLE theirs ADD COLUMN a int; ALTER TABLE users ADD COLUMN a int")
SITUATIONS: dict[str, str] = {
    "an ordinary one": "SELECT 1",
    "with rows": "INSERT INTO users SELECT n FROM generate_series(1, 2000) AS n; ANALYZE",
    "partitions": "CREATE TABLE parts (id int) PARTITION BY RANGE (id); "
    "CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (9); "
    "INSERT INTO parts VALUES (1); ANALYZE parts, part1",
    "a child of the table": "CREATE TABLE heirs () INHERITS (users); INSERT INTO heirs VALUES (1); "
    "ANALYZE heirs",
    "views of all kinds": "CREATE VIEW seen AS SELECT * FROM users; "
    "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users; CREATE SEQUENCE numbers",
    "names to quote": 'CREATE TABLE "odd "" name" (id int); CREATE SCHEMA elsewhere; '
    "CREATE TABLE elsewhere.users (id int)",
    "many tables": "; ".join(f"CREATE TABLE t{number} (id int)" for number in range(25)),
    "the table shadowed": f"CREATE SCHEMA {{user}}; CREATE TABLE {{user}}.users (id int) {QUIET}; "
    "INSERT INTO {user}.users SELECT n FROM generate_series(1, 900) AS n; ANALYZE {user}.users",
}
AS_SUPERUSER: dict[str, str] = {
    "the table of somebody else": "CREATE TABLE theirs (id int); GRANT ALL ON theirs TO PUBLIC; "
    "ALTER TABLE users OWNER TO postgres",
    "no right to make anything": "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "sessions not to be seen": "REVOKE SELECT ON pg_stat_activity FROM PUBLIC",
    "roles not to be seen": "REVOKE SELECT ON pg_roles FROM PUBLIC",
    "sessions not to be asked for": "REVOKE EXECUTE ON FUNCTION pg_stat_get_activity FROM PUBLIC",
    "locks not to be asked for": "REVOKE EXECUTE ON FUNCTION pg_lock_status FROM PUBLIC",
    "an invalid index": "CREATE INDEX broken ON users (name); "
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
}
HELD = ("SELECT * FROM users", "LOCK TABLE users IN SHARE MODE", "LOCK TABLE users")


@pytest.fixture
async def tenant(world: World) -> World:
    await world.execute(f"SET ROLE {world.owner}; {USERS}")
    return world


@contextmanager
def without_a_glance() -> Iterator[None]:
    async def nothing(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(questions, "glance", nothing)
        yield


def told(found: tuple[PreflightResult, ...]) -> list[PreflightResult]:
    """What is compared; what is told of the largest tables has no order among those as large."""
    return [
        replace(one, tables=tuple(sorted(one.tables, key=lambda table: table.name)))
        for one in found
        # How many sessions there are differs from one moment to the next on a server of many tests.
        if one.check is not PreflightCheck.CONNECTIONS
    ]


async def both(
    world: World, change: str, policy: PreflightPolicy, role: str | None = None
) -> tuple[list[PreflightResult], list[PreflightResult]]:
    touched = touched_by([migration("001", change, stepwise="CONCURRENTLY" in change).up])

    async def ask() -> list[PreflightResult]:
        settings = replace(world.settings, role=role)
        return told(await ask_by_itself(settings, "", policy, touched, SYSTEM_CLOCK))

    with without_a_glance():
        whole = await ask()
    return await ask(), whole


USUAL = PreflightPolicy()
STRICT = PreflightPolicy(
    bounds=(
        CheckBounds(PreflightCheck.TABLE_ROWS, 1, 1000),
        CheckBounds(PreflightCheck.TABLE_SIZE, 0.001, 0.1),
        CheckBounds(PreflightCheck.IDLE, 1e9, None),
        CheckBounds(PreflightCheck.TRANSACTIONS, 1e9, None),
        CheckBounds(PreflightCheck.SNAPSHOTS, 1e9, None),
    )
)
"""Sizes and rows are told; ages, which grow meanwhile, pass."""


def comparable(found: list[PreflightResult]) -> list[PreflightResult]:
    """Without the ages of what somebody else does."""
    ages = (PreflightCheck.IDLE, PreflightCheck.TRANSACTIONS, PreflightCheck.SNAPSHOTS)
    return [replace(one, value=None) if one.check in ages else one for one in found]


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_glance_says_what_all_questions_say(tenant: World, situation: str) -> None:
    user = tenant.settings.user
    if "{user}" in SITUATIONS[situation]:
        await tenant.execute_as_superuser(SITUATIONS[situation].format(user=f'"{user}"'))
        await tenant.execute_as_superuser(f'GRANT ALL ON SCHEMA "{user}" TO PUBLIC')
    else:
        if "SCHEMA" in SITUATIONS[situation]:
            await tenant.execute_as_superuser(SITUATIONS[situation])
        else:
            await tenant.execute(f"SET ROLE {tenant.owner}; {SITUATIONS[situation]}")
    roles = (None, tenant.owner, "nobody_here")[: 3 if situation == "an ordinary one" else 2]
    for change in CHANGES:
        for role in roles:
            glanced, whole = await both(tenant, change, STRICT, role)
            assert comparable(glanced) == comparable(whole), (change, role)


@pytest.mark.parametrize("situation", AS_SUPERUSER)
async def test_a_glance_says_so_too_where_rights_are_missing(tenant: World, situation: str) -> None:
    await tenant.execute_as_superuser(AS_SUPERUSER[situation])
    for change in ALIKE:
        for role in (None, tenant.owner):
            glanced, whole = await both(tenant, change, STRICT, role)
            assert comparable(glanced) == comparable(whole), (change, role)


@pytest.mark.parametrize("held", HELD)
async def test_a_glance_says_so_too_where_others_hold_the_table(tenant: World, held: str) -> None:
    async with session(tenant.url, f"SET ROLE {tenant.owner}", "BEGIN", held):
        for change in ALIKE:
            glanced, whole = await both(tenant, change, STRICT)
            assert comparable(glanced) == comparable(whole), change


@asynccontextmanager
async def slot(world: World) -> AsyncIterator[None]:
    name = f"slot_{abs(hash(world.url))}"
    await world.execute_as_superuser(f"SELECT pg_create_physical_replication_slot('{name}', true)")
    try:
        yield
    finally:
        await world.execute_as_superuser(f"SELECT pg_drop_replication_slot('{name}')")


async def test_what_is_ordinary_is_settled_at_a_glance_and_nothing_else(tenant: World) -> None:
    settled = await settled_of(tenant, touched("ALTER TABLE users ADD COLUMN a int"))
    # Other tests of this server may have slots.
    assert ORDINARY - {PreflightQuestion.REPLICATION} <= settled
    async with slot(tenant):
        assert PreflightQuestion.REPLICATION not in await settled_of(tenant, touched("SELECT 1"))
    full = PreflightPolicy(bounds=(CheckBounds(PreflightCheck.CONNECTIONS, 0.1, None),))
    assert PreflightQuestion.CONNECTIONS not in await settled_of(tenant, TouchedTables(), full)


async def test_what_is_out_of_the_ordinary_takes_one_round_trip_more(tenant: World) -> None:
    async def trips(policy: PreflightPolicy) -> int:
        async with watched(tenant) as (world, line):
            await ask_by_itself(
                world.settings, "", policy, touched("CREATE TABLE a ()"), SYSTEM_CLOCK
            )
        (only,) = line.sessions
        return only.round_trips

    ordinary = await trips(PreflightPolicy())
    asking = PreflightPolicy(backup_query="SELECT now()", space_query="SELECT 1")
    assert await trips(asking) <= ordinary + 1


def touched(change: str) -> TouchedTables:
    return touched_by([migration("001", change).up])


async def settled_of(
    world: World, tables: TouchedTables, policy: PreflightPolicy = USUAL
) -> set[PreflightQuestion]:
    """Which questions a glance answers."""
    found: set[PreflightQuestion] = set()

    async def noting(*arguments: Any) -> Any:
        said = await glance(*arguments)
        found.update(map(PreflightQuestion, said))
        return said

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(questions, "glance", noting)
        await ask_by_itself(world.settings, "", policy, tables, SYSTEM_CLOCK)
    return found


async def test_a_lock_in_a_copy_of_the_database_is_none_here(
    tenant: World, postgres_server: PostgresServer
) -> None:
    here = tenant.settings.database
    copy = f"{here}_copy"
    await postgres_server.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{here}"')
    try:
        async with session(postgres_server.url(copy), "BEGIN", "LOCK TABLE users"):
            settled = await settled_of(tenant, touched("ALTER TABLE users ADD COLUMN a int"))
    finally:
        await postgres_server.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')
    assert {PreflightQuestion.LOCKS, PreflightQuestion.TABLES} <= settled
