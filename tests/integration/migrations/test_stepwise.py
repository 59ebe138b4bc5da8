"""Statements that cannot run in a transaction: intents, probes, clean-up, resumption."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg

from migrations.model.attempt import Mode, Verdict
from migrations.model.work import StepResult
from tests.integration.migrations.world import IMPATIENT, World, migration, until

TABLE = migration("001", "CREATE TABLE users (id int)", "DROP TABLE users")
INDEX = migration(
    "002",
    "CREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)",
    "DROP INDEX CONCURRENTLY users_id",
    stepwise=True,
)
MIXED = migration(
    "002",
    "ALTER TABLE users ADD email text;\nCREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)",
    "DROP INDEX CONCURRENTLY users_id;\nALTER TABLE users DROP email",
    stepwise=True,
)
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass"
COLUMNS = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"
WAITED = f"""
    SELECT pid FROM pg_locks WHERE NOT granted
        AND clock_timestamp() - waitstart > interval '{IMPATIENT.lock_timeout_s * 2} s'
"""
BUILDERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger'
        AND query LIKE 'CREATE%CONCURRENTLY%' AND state = 'active'
"""


async def _with_duplicates(world: World) -> None:
    await world.up(TABLE, rollout="other")
    await world.execute("INSERT INTO users VALUES (1), (1)")


async def test_each_statement_has_its_entry(world: World) -> None:
    outcome = await world.up(TABLE, MIXED)
    assert outcome.verdict is Verdict.DONE
    assert (await world.journal())[1:] == [
        ("002", "up", 1, "step_done"),
        ("002", "up", -2, "intent"),
        ("002", "up", 2, "step_done"),
        ("002", "up", 0, "applied"),
    ]
    assert (await world.rollback(TABLE, MIXED)).verdict is Verdict.DONE
    assert not await world.has("users")


async def test_a_failed_build_is_reported_with_its_remedy_and_cleaned_up_next_time(
    world: World,
) -> None:
    await _with_duplicates(world)
    outcome = await world.up(MIXED)
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "23505"
    assert "left the invalid index" in outcome.failure.message
    assert await world.value(VALID) is False
    await world.execute("DELETE FROM users")
    assert (await world.up(MIXED)).verdict is Verdict.DONE
    assert await world.value(VALID) is True
    assert await world.value(COLUMNS) == 2


async def test_a_half_done_migration_is_rolled_back_as_far_as_it_went(world: World) -> None:
    await _with_duplicates(world)
    await world.up(MIXED)
    outcome = await world.rollback(MIXED)
    assert outcome.verdict is Verdict.DONE
    assert outcome.steps[0].result is StepResult.ROLLED_BACK
    assert not await world.has("users_id")
    assert await world.value(COLUMNS) == 1


async def test_a_rollback_of_nothing_but_an_invalid_index_only_cleans_up(world: World) -> None:
    await _with_duplicates(world)
    await world.up(INDEX)
    outcome = await world.rollback(INDEX)
    assert outcome.verdict is Verdict.DONE
    assert outcome.steps[0].statements == 0
    assert not await world.has("users_id")
    assert (await world.rollback(INDEX)).steps == ()


async def test_an_index_that_was_there_before_is_never_dropped(world: World) -> None:
    await _with_duplicates(world)
    connection = await asyncpg.connect(world.url)
    try:
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)")
    except asyncpg.UniqueViolationError:
        pass
    finally:
        await connection.close()
    careless = migration(
        "002",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS users_id ON users (id)",
        stepwise=True,
    )
    for _ in range(2):
        outcome = await world.up(careless)
        assert outcome.failure is not None
        assert "was there before" in outcome.failure.message
        assert await world.value(VALID) is False


IF_NOT_EXISTS = migration(
    "002",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS users_id ON users (id)",
    "DROP INDEX CONCURRENTLY users_id",
    stepwise=True,
)


async def test_a_valid_index_that_was_there_before_is_as_good_if_the_statement_says_so(
    world: World,
) -> None:
    await world.up(TABLE)
    await world.execute("CREATE UNIQUE INDEX users_id ON users (id)")
    refused = await world.up(INDEX)
    assert refused.failure is not None
    assert "was there before" in refused.failure.message
    outcome = await world.up(IF_NOT_EXISTS)
    assert outcome.verdict is Verdict.DONE
    assert outcome.steps[0].note == (
        "another text of it failed here before; "
        "the index public.users_id was there before, whatever it is on"
    )
    assert ("002", "up", -1, "intent") not in await world.journal()


APP = migration(
    "001", "CREATE SCHEMA app;\nCREATE TABLE app.users (id int)", "DROP SCHEMA app CASCADE"
)
IN_APP = "SET search_path TO app"
APP_INDEX = migration(
    "002",
    f"{IN_APP};\nCREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)",
    f"{IN_APP};\nDROP INDEX CONCURRENTLY users_id",
    stepwise=True,
)


async def _crashed_after_intent(world: World, number: int) -> None:
    """Leave the journal as it is when the process ends right behind the intent."""
    await world.execute(
        "DELETE FROM migration_ledger.journal WHERE seq > "
        f"(SELECT max(seq) FROM migration_ledger.journal WHERE step = -{number})"
    )


async def test_an_invalid_index_is_found_where_the_script_looks(world: World) -> None:
    await world.up(APP, rollout="other")
    await world.execute("INSERT INTO app.users VALUES (1), (1)")
    outcome = await world.up(APP_INDEX)
    assert outcome.failure is not None
    assert "left the invalid index app.users_id" in outcome.failure.message
    await world.execute("DELETE FROM app.users")
    assert (await world.up(APP_INDEX)).verdict is Verdict.DONE
    assert await world.has("app.users_id")


async def test_an_invalid_index_is_taken_back_where_the_script_looks(world: World) -> None:
    await world.up(APP, rollout="other")
    await world.execute("INSERT INTO app.users VALUES (1), (1)")
    await world.up(APP_INDEX)
    assert (await world.rollback(APP_INDEX)).verdict is Verdict.DONE
    assert not await world.has("app.users_id")


async def test_a_drop_is_not_done_because_another_schema_lacks_the_index(world: World) -> None:
    assert (await world.up(APP, APP_INDEX)).verdict is Verdict.DONE
    assert await world.has("app.users_id")
    assert (await world.rollback(APP_INDEX)).verdict is Verdict.DONE
    await _crashed_after_intent(world, 2)
    await world.execute("CREATE UNIQUE INDEX users_id ON app.users (id)")
    assert (await world.rollback(APP_INDEX)).verdict is Verdict.DONE
    assert not await world.has("app.users_id")


async def test_an_index_of_that_name_elsewhere_is_none_of_the_scripts_business(
    world: World,
) -> None:
    await world.up(APP)
    await world.execute("CREATE TABLE users (id int); CREATE INDEX users_id ON users (id)")
    assert (await world.up(APP_INDEX)).verdict is Verdict.DONE
    assert await world.has("app.users_id")
    assert await world.has("public.users_id")


async def test_a_build_terminated_midway_is_cleaned_up_and_done_again(world: World) -> None:
    await world.up(TABLE)
    blocker = await asyncpg.connect(world.url)
    await blocker.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO users VALUES (1)")
    running = asyncio.create_task(world.do(world.work(Mode.UP, INDEX), IMPATIENT))
    pids = await until(lambda: world.fetch(BUILDERS))
    # Longer than lock_timeout: a build must not be ended, nor tried again, because of it.
    assert await until(lambda: world.fetch(WAITED)) == pids
    assert world.hearing.waits == []
    assert await world.value(VALID) is False
    await world.execute(f"SELECT pg_terminate_backend({pids[0][0]})")
    await blocker.execute("COMMIT")
    await blocker.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE
    assert await world.value(VALID) is True
    assert (await world.journal())[1:] == [
        ("002", "up", -1, "intent"),
        ("002", "up", 1, "step_done"),
        ("002", "up", 0, "applied"),
    ]


async def test_a_build_that_succeeded_unrecorded_is_recorded_and_not_repeated(
    world: World,
) -> None:
    await world.up(TABLE, INDEX)
    await world.execute(
        "DELETE FROM migration_ledger.journal WHERE migration = '002' AND step >= 0"
    )
    before = await world.value("SELECT 'users_id'::regclass::oid")
    outcome = await world.up(INDEX)
    assert outcome.verdict is Verdict.DONE
    assert await world.value("SELECT 'users_id'::regclass::oid") == before


async def test_a_half_done_migration_with_another_text_is_refused(world: World) -> None:
    await _with_duplicates(world)
    await world.up(MIXED)
    other = replace(MIXED, up=replace(MIXED.up, checksum="f" * 64))
    outcome = await world.up(other)
    assert outcome.failure is not None
    assert outcome.failure.kind == "checksum"


async def test_vacuum_is_run_again_when_its_end_is_not_known(world: World) -> None:
    await world.up(TABLE)
    vacuum = migration("002", "VACUUM users", stepwise=True)
    await world.up(vacuum)
    await world.execute(
        "DELETE FROM migration_ledger.journal WHERE migration = '002' AND step >= 0"
    )
    assert (await world.up(vacuum)).verdict is Verdict.DONE
