"""Locks and guards: what keeps two migrators, stale orders and careless scripts apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from migrations.acquire import acquire
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.errors import GuardsReset, LockLost, RunError, Unreachable
from migrations.model.attempt import Limits, Mode, Verdict
from migrations.model.migration import Options
from migrations.model.work import StepResult, Work
from migrations.target import lock
from migrations.target.binary_copy import copied_behind, integer
from migrations.target.entries import State, entry_for
from migrations.target.journal import statement
from migrations.target.lock import key_for
from migrations.target.session import ConnectionSettings, close_session, open_session
from migrations.target.target import Target
from tests.integration.migrations.world import (
    IMPATIENT,
    OUR_BACKENDS,
    SEEN,
    World,
    expecting,
    migration,
    smuggled,
    until,
    users,
)
from tests.support.patience import PATIENCE_S

PATIENT = Limits(lock_timeout_s=0.3, retry_budget=20, retry_for_s=20, advisory_wait_s=20)


@asynccontextmanager
async def arrived(world: World, work: Work) -> AsyncIterator[Target]:
    """The target in a session of its own, locked and checked."""
    connection = await open_session(world.settings, application_name="migration-ledger")
    try:
        yield await acquire(
            connection,
            world.settings,
            work,
            IMPATIENT,
            world.hearing,
            allow_outside=False,
            time=SYSTEM_CLOCK,
            chance=SYSTEM_CHANCE,
        )
    finally:
        await close_session(connection)


@pytest.mark.parametrize(
    "ending",
    ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"],
)
async def test_a_script_that_ends_our_transaction_is_noticed(world: World, ending: str) -> None:
    outcome = await world.up(smuggled(users(), ending, "CREATE TABLE later ()"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert await world.journal() == [("001", "up", 0, "failed")]


async def test_a_script_that_begins_a_transaction_of_its_own_is_noticed(world: World) -> None:
    hidden = "CREATE TABLE a (); COMMIT; BEGIN; CREATE TABLE b ()"
    outcome = await world.up(smuggled(users(), hidden))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert not await world.has("b")


async def test_a_script_that_commits_and_then_fails_is_not_taken_for_undone(world: World) -> None:
    outcome = await world.up(smuggled(users(), "CREATE TABLE a (); COMMIT; SELECT 1/0"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert await world.has("a")


async def test_a_script_that_drops_our_lock_is_noticed(world: World) -> None:
    careless = smuggled(users(), "CREATE TABLE users ()", "SELECT pg_advisory_unlock_all()")
    outcome = await world.up(careless)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind == "lock_lost"
    assert not await world.has("users")
    assert await world.journal() == [("001", "up", 0, "failed")]


async def test_a_migrator_waits_for_another_without_a_transaction(world: World) -> None:
    holder = await asyncpg.connect(world.url)
    await holder.execute("CREATE TABLE big AS SELECT generate_series(1, 1000) AS id")
    await holder.execute(f"SELECT pg_advisory_lock({key_for('').value})")
    waiting = asyncio.create_task(world.do(world.work(Mode.UP, users()), PATIENT))
    watch = await asyncpg.connect(world.url)
    seen = 0
    while seen < 20:
        rows = await watch.fetch(
            "SELECT backend_xmin, xact_start FROM pg_stat_activity "
            "WHERE application_name = 'migration-ledger' AND state = 'idle'"
        )
        assert all(row["backend_xmin"] is None and row["xact_start"] is None for row in rows)
        seen += len(rows)
        await asyncio.sleep(0.02)
    # With a waiter that holds a snapshot this would hang.
    async with asyncio.timeout(PATIENCE_S):
        await holder.execute("CREATE INDEX CONCURRENTLY big_id ON big (id)")
    await holder.close()
    assert (await waiting).verdict is Verdict.DONE
    await watch.close()
    assert any("held by pid" in what for what in world.hearing.waits)


async def test_a_command_has_one_outcome_for_a_migration(world: World) -> None:
    await world.up(users())
    work = world.work(Mode.UP, users("002"))
    outcome = entry_for(users("002"), "up", 0, State.FAILED)
    async with arrived(world, work) as target:
        await target.record(outcome)
        with pytest.raises(RunError, match="has an entry of command"):
            await target.record(replace(outcome, state=State.APPLIED))
    async with arrived(world, work) as target:
        with pytest.raises(RunError, match="has an entry of command"):
            await target.record_all([replace(outcome, step=1), replace(outcome, step=1)])
        with pytest.raises(RunError, match="has an entry of command"):
            target.entry_for_elsewhere(outcome)
        await target.record_all([replace(outcome, step=1), replace(outcome, step=2)])
    assert await world.journal() == [
        ("001", "up", 0, "applied"),
        *(("002", "up", step, "failed") for step in range(3)),
    ]


async def test_an_entry_without_the_marker_or_the_lock_is_not_taken(world: World) -> None:
    await world.up(users())
    work = world.work(Mode.UP, users("002"))
    entry = entry_for(users("002"), "up", 0, State.APPLIED)
    async with arrived(world, work) as target:
        await target.begin(Options())
        await target.connection.execute("SET LOCAL migration_ledger.transaction = 'other'")
        with pytest.raises(GuardsReset):
            await target.commit(entry)
        await target.begin(Options())
        await target.connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LockLost):
            await target.commit(entry)
    assert await world.journal() == [("001", "up", 0, "applied")]


async def test_a_known_database_whose_lock_is_held_is_waited_for(world: World) -> None:
    known = expecting(await world.up(users()))
    holder = await asyncpg.connect(world.url)
    await holder.execute(f"SELECT pg_advisory_lock({key_for('').value})")
    change = migration("002", "ALTER TABLE users ADD email text")
    running = asyncio.create_task(world.do(world.work(Mode.UP, change, expectation=known), PATIENT))

    async def waits() -> bool:
        return any("held by pid" in what for what in world.hearing.waits)

    await until(waits)
    await holder.close()
    assert (await running).verdict is Verdict.DONE


async def test_what_a_migrator_did_before_it_gave_the_lock_away_is_read(world: World) -> None:
    """Also where every transaction of the role would go on seeing what it saw first."""
    outcome = await world.up(users())
    assert outcome.identity is not None
    await world.execute("CREATE TABLE seen (n integer)")
    other = await asyncpg.connect(world.url)
    connection = await open_session(world.settings, application_name="t")
    await connection.execute("SET default_transaction_isolation = 'repeatable read'")
    locking = lock.lock_as_expected(connection, key_for(""), outcome.identity)
    await other.execute("SELECT pg_advisory_lock(1)")
    behind = f"{locking}; SELECT pg_advisory_lock(1)"
    reading = asyncio.create_task(
        copied_behind(connection, behind, "public", "seen", {"n": integer})
    )

    async def blocked() -> bool:
        sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        return bool(await world.value(sql))

    await until(blocked)
    await other.execute("INSERT INTO seen VALUES (7)")
    await other.close()
    assert await reading == [{"n": 7}]
    assert await lock.still_held(connection, key_for(""))
    await connection.close()


async def test_a_migrator_that_waited_too_long_names_the_holder(world: World) -> None:
    holder = await asyncpg.connect(world.url, server_settings={"application_name": "someone"})
    await holder.execute(f"SELECT pg_advisory_lock({key_for('').value})")
    outcome = await world.up(users())
    await holder.close()
    assert outcome.failure is not None
    assert outcome.failure.kind == "lock_timeout"
    assert "someone" in (outcome.failure.blocker or "")


async def test_a_lock_timeout_is_retried_as_a_whole_and_names_the_blocker(world: World) -> None:
    await world.up(users())
    reader = await asyncpg.connect(world.url, server_settings={"application_name": "report"})
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT * FROM users")
    change = migration("002", "CREATE TABLE other ();\nALTER TABLE users ADD email text")
    running = asyncio.create_task(world.do(world.work(Mode.UP, change), PATIENT))

    async def blocked() -> bool:
        return any("report" in what for what in world.hearing.waits)

    await until(blocked)
    await transaction.rollback()
    await reader.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE
    assert await world.has("other")


async def test_a_lock_timeout_beyond_the_budget_fails_and_names_the_blocker(world: World) -> None:
    await world.up(users())
    reader = await asyncpg.connect(world.url, server_settings={"application_name": "report"})
    async with reader.transaction():
        await reader.execute("SELECT * FROM users")
        change = migration("002", "ALTER TABLE users ADD email text")
        outcome = await world.do(world.work(Mode.UP, change), SEEN)
    await reader.close()
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.sqlstate) == ("lock_timeout", "55P03")
    assert "report" in (outcome.failure.blocker or "")


async def test_a_pooler_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a pooler does is to hand out key data of its own.
    monkeypatch.setattr(asyncpg.Connection, "get_server_pid", lambda _: 1)
    outcome = await world.up(users())
    monkeypatch.undo()
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "pooler"
    assert not await world.has("migration_ledger.journal")


async def test_cancelling_rolls_back_journals_and_leaves_no_backend(world: World) -> None:
    work = world.work(Mode.UP, migration("001", "CREATE TABLE users ();\nSELECT pg_sleep(60)"))
    running = asyncio.create_task(world.do(work))
    await until(world.heard_statement)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await world.has("users")
    assert await world.value(OUR_BACKENDS) == 0
    assert world.hearing.finished[-1].result is StepResult.FAILED
    again = await world.do(work)
    assert again.failure is not None
    assert again.failure.kind == "cancelled"


async def test_a_terminated_backend_is_replaced_and_the_migration_applied_once(
    world: World,
) -> None:
    await world.execute("CREATE TABLE tries (at timestamptz)")
    slow = migration("001", "CREATE TABLE users ();\nSELECT pg_sleep(0.5)")
    running = asyncio.create_task(world.up(slow))
    await until(world.heard_statement)
    await world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'migration-ledger'"
    )
    outcome = await running
    assert outcome.verdict is Verdict.DONE
    assert [step.recovered for step in outcome.steps] == [False]
    assert await world.journal() == [("001", "up", 0, "applied")]


async def test_tenant_data_is_masked_in_a_failure(world: World) -> None:
    await world.up(migration("001", "CREATE TABLE users (email text UNIQUE)"))
    secret = "INSERT INTO users VALUES ('a@secret'), ('a@secret')"
    outcome = await world.up(migration("002", f"{secret};\nSELECT 'secret'::int"))
    bad_cast = await world.up(migration("003", "SELECT 'secret'::int"))
    for failure in (outcome.failure, bad_cast.failure):
        assert failure is not None
        assert "secret" not in repr(failure)
    assert outcome.failure is not None
    assert "users_email_key" in outcome.failure.message


async def test_an_unreachable_database_is_a_failure_without_secrets(world: World) -> None:
    settings = ConnectionSettings.from_url(
        "postgresql://u:s3cret@127.0.0.1:1/x?sslmode=disable", allow_plaintext=True
    )
    with pytest.raises(Unreachable) as caught:
        await open_session(settings, application_name="t")
    assert "s3cret" not in str(caught.value) + repr(settings)
    wrong = ConnectionSettings.from_url(world.url, allow_plaintext=True)
    assert "Password" not in repr(wrong)


async def test_plain_text_needs_leave(world: World) -> None:
    settings = ConnectionSettings.from_url(world.url + "?sslmode=prefer")
    with pytest.raises(Unreachable, match="does not prove who answers"):
        await open_session(settings, application_name="t")


async def test_the_lock_is_taken_twice_so_that_it_can_be_proven(world: World) -> None:
    session = await open_session(world.settings, application_name="t")
    assert await lock.try_lock(session, key_for(""))
    assert await lock.still_held(session, key_for(""))
    other = await open_session(world.settings, application_name="t")
    assert not await lock.try_lock(other, key_for(""))
    await session.close()
    await lock.wait_for_lock(
        other, key_for(""), IMPATIENT.advisory_wait_s, world.hearing, SYSTEM_CLOCK, SYSTEM_CHANCE
    )
    assert await other.fetchval(statement("held", lock_key=key_for("").value))
    await other.close()
