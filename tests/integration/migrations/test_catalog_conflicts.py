"""Conflicts over the catalogs, which nobody can wait for: tried again, and told."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Limits, Mode, Verdict
from migrations.model.migration import Language, SourceFile
from tests.integration.migrations.world import World, migration, until

PATIENT = Limits(lock_timeout_s=20, retry_budget=3, retry_for_s=20, advisory_wait_s=1)
STANDS = """
    SELECT 1 FROM pg_stat_activity WHERE application_name = 'migration-ledger'
    AND datname = current_database() AND wait_event_type = 'Lock'
"""

RACES = {
    "rights on a table": ("GRANT INSERT ON t TO public", "GRANT SELECT ON t TO public", "XX000"),
    "a function replaced": (
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 3'",
        "XX000",
    ),
    "a schema made": ("CREATE SCHEMA s", "CREATE SCHEMA IF NOT EXISTS s", "23505"),
    "a table made": ("CREATE TABLE u (id int)", "CREATE TABLE IF NOT EXISTS u (id int)", "23505"),
    "a new function made": (
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "23505",
    ),
}
DROPPED_BEFORE = {
    "a view": ("DROP VIEW IF EXISTS v", "CREATE VIEW v AS SELECT 1", "42P07"),
    "a type": ("DROP TYPE IF EXISTS k", "CREATE TYPE k AS ENUM ()", "42710"),
    "a function": (
        "DROP FUNCTION IF EXISTS g()",
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "42723",
    ),
}
BEFORE = """
    CREATE TABLE t (id int);
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("race", RACES)
async def test_who_loses_a_race_in_the_catalog_tries_again(
    world: World, race: str, stepwise: bool
) -> None:
    theirs, ours, state = RACES[race]
    await world.up(migration("000", BEFORE))
    other = await asyncpg.connect(world.url)
    await other.execute(f"BEGIN; {theirs}")
    work = world.do(world.work(Mode.UP, migration("001", ours, stepwise=stepwise)), PATIENT)
    running = asyncio.create_task(work)
    await until(lambda: world.fetch(STANDS))
    await other.execute("COMMIT")
    await other.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert any(f"SQLSTATE {state}, another session changed" in wait for wait in world.hearing.waits)


@pytest.mark.parametrize("thing", DROPPED_BEFORE)
async def test_what_somebody_made_between_its_drop_and_its_making_is_dropped_again(
    world: World, thing: str
) -> None:
    dropped, made, state = DROPPED_BEFORE[thing]
    await world.up(migration("000", BEFORE + "CREATE TABLE gate (id int)"))
    other = await asyncpg.connect(world.url)
    await other.execute("BEGIN; LOCK gate")
    ours = migration("001", f"{dropped};\nLOCK gate;\n{made}")
    running = asyncio.create_task(world.do(world.work(Mode.UP, ours), PATIENT))
    await until(lambda: world.fetch(STANDS))
    await other.execute(f"{made}; COMMIT")
    await other.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert [f"SQLSTATE {state}" in wait for wait in world.hearing.waits] == [True]


async def test_a_duplicate_in_a_tenants_own_table_is_a_failure_at_once(world: World) -> None:
    await world.execute("CREATE TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1)")
    outcome = await world.up(migration("001", "INSERT INTO mine VALUES (1)"))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "23505"
    assert world.hearing.waits == []


async def test_an_internal_error_of_another_kind_is_a_failure_at_once(world: World) -> None:
    raised = "DO $$ BEGIN RAISE 'no tuple concurrently updated' USING ERRCODE = 'XX000'; END $$"
    outcome = await world.up(migration("001", raised))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "XX000"
    assert world.hearing.waits == []


async def test_what_stays_in_the_way_of_if_not_exists_is_tried_again_twice_and_no_more(
    world: World,
) -> None:
    await world.execute("CREATE TYPE orders AS ENUM ()")
    patient = Limits(lock_timeout_s=1, retry_budget=10, retry_for_s=300, advisory_wait_s=1)
    taken = migration("001", "CREATE TABLE IF NOT EXISTS orders (id int)")
    outcome = await world.do(world.work(Mode.UP, taken), patient)
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42710"
    assert len(world.hearing.waits) == 2


async def test_what_is_there_and_was_not_to_be_is_a_failure_at_once(world: World) -> None:
    await world.execute("CREATE TABLE there (id int)")
    outcome = await world.up(migration("001", "CREATE TABLE there (id int)"))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42P07"
    assert world.hearing.waits == []


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize("race", RACES)
async def test_a_script_that_psql_runs_in_one_transaction_tries_again_too(
    world: World, race: str
) -> None:
    theirs, ours, state = RACES[race]
    await world.up(migration("000", BEFORE))
    other = await asyncpg.connect(world.url)
    await other.execute(f"BEGIN; {theirs}")
    script = load_files(
        "golang-migrate",
        [SourceFile("1_a.up.sql", f"\\set n 1\n{ours};\nSELECT :n;\n".encode())],
        reading=Reading(programs=True),
    )
    work = world.work(Mode.UP, script, programs=frozenset({Language.PSQL}))
    running = asyncio.create_task(world.do(work, PATIENT))
    await until(lambda: world.fetch(STANDS.replace("= '", "LIKE '").replace("r'", "r%'")))
    await other.execute("COMMIT")
    await other.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert any(f"SQLSTATE {state}, another session changed" in wait for wait in world.hearing.waits)
