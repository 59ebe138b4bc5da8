"""Locks that others hold, as an ordinary migrating login meets them: told, waited for, survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.model.attempt import Limits, Mode, Verdict
from migrations.model.migration import Migration
from migrations.model.work import Outcome
from migrations.target.holder import name_holder
from migrations.target.lock import key_for
from migrations.target.session import open_session
from tests.fixtures.postgres import AsSuperuser, PostgresServer, TenantDatabases, embedded_postgres
from tests.integration.migrations.world import SEEN, World, migration, until, users

EMAIL = migration("002", "ALTER TABLE users ADD email text", "ALTER TABLE users DROP email")
INDEX = migration("002", "CREATE INDEX CONCURRENTLY users_id ON users (id)", stepwise=True)
VACUUM = migration("002", "VACUUM users", stepwise=True)
PATIENT = Limits(lock_timeout_s=0.2, retry_budget=50, retry_for_s=60, advisory_wait_s=30)
LOCK = "BEGIN; LOCK users IN ACCESS SHARE MODE"
TARGET_LOCK = f"SELECT pg_advisory_lock({key_for('').value})"
HIDDEN = "its state and age are hidden from our login: grant it pg_read_all_stats or pg_monitor"


@dataclass(frozen=True, slots=True)
class Application:
    """The application's login: it may do what it likes with the tables, and is another role."""

    url: str

    def as_told(self, session: asyncpg.Connection) -> str:
        """How a session of it begins in a sentence."""
        return f"pid {session.get_server_pid()} (psql), user {urlsplit(self.url).username}"

    @asynccontextmanager
    async def session(self, script: str) -> AsyncIterator[asyncpg.Connection]:
        """A session that has run `script` and stays."""
        names = {"application_name": "psql"}
        connection = await asyncpg.connect(self.url, server_settings=names)
        try:
            await connection.execute(script)
            yield connection
        finally:
            await connection.close()


@pytest.fixture
async def application(world: World, postgres_server: PostgresServer) -> AsyncIterator[Application]:
    """The application of the database, whose sessions its migrating login cannot see into."""
    name = f"{postgres_server.prefix}_app_{uuid4().hex[:8]}"
    await postgres_server.execute(
        f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE \"{world.owner}\""
    )
    # What the login makes belongs to the login; the application reads and writes it.
    await world.execute(f'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "{world.owner}"')
    parts = urlsplit(world.url)
    address = parts.netloc.rpartition("@")[2]
    yield Application(urlunsplit(parts._replace(netloc=f"{name}:p@{address}")))
    await postgres_server.execute(f"DROP ROLE {name}")


async def heard(world: World, text: str) -> None:
    """Wait until a wait that was told holds `text`."""

    async def told() -> bool:
        return any(text in wait for wait in world.hearing.waits)

    await until(told)


async def up_patiently(world: World, *migrations: Migration) -> Outcome:
    """Apply, and wait for locks as long as it takes."""
    return await world.do(world.work(Mode.UP, *migrations), PATIENT)


def blocker(outcome: Outcome) -> str:
    """Who stood in the way of what failed for a lock."""
    assert outcome.failure is not None
    assert outcome.failure.kind == "lock_timeout", outcome.failure
    return outcome.failure.blocker or ""


async def test_a_table_that_another_role_holds_is_waited_for_and_its_session_told_as_hidden(
    world: World, application: Application
) -> None:
    await world.up(users())
    async with application.session(LOCK) as session:
        running = asyncio.create_task(up_patiently(world, EMAIL))
        await heard(world, f"held by {application.as_told(session)}, holds AccessShareLock on ")
        assert HIDDEN in world.hearing.waits[-1]
        await session.execute("COMMIT")
        outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_a_table_that_another_role_holds_for_too_long_fails_as_a_lock_timeout(
    world: World, application: Application
) -> None:
    await world.up(users())
    async with application.session(LOCK) as session:
        outcome = await world.do(world.work(Mode.UP, EMAIL), SEEN)
    held = "holds AccessShareLock on public.users"
    assert blocker(outcome) == f"{application.as_told(session)}, {held}; {HIDDEN} to see them"


@pytest.mark.parametrize("role", ["", "the owner"])
async def test_who_may_read_all_statistics_is_told_what_the_other_session_does(
    world: World, application: Application, role: str
) -> None:
    """Also where the statement runs as a role that has not that right."""
    await world.execute_as_superuser(f'GRANT pg_read_all_stats TO "{world.settings.user}"')
    await world.execute(f'CREATE TABLE users (id int); ALTER TABLE users OWNER TO "{world.owner}"')
    up = replace(VACUUM.up, options=replace(VACUUM.up.options, role=world.owner if role else None))
    holding = "BEGIN; LOCK users IN ACCESS EXCLUSIVE MODE"
    async with application.session(holding) as session:
        outcome = await world.do(world.work(Mode.UP, replace(VACUUM, up=up)), SEEN)
    assert blocker(outcome).startswith(f"{application.as_told(session)}, idle in transaction, ")
    assert blocker(outcome).endswith(" s, holds AccessExclusiveLock on public.users")


async def test_the_targets_lock_that_another_role_holds_is_waited_for(
    world: World, application: Application
) -> None:
    async with application.session(TARGET_LOCK) as session:
        running = asyncio.create_task(up_patiently(world, users()))
        await heard(world, f"the target's lock, held by {application.as_told(session)}; {HIDDEN}")
    assert (await running).verdict is Verdict.DONE


async def test_the_targets_lock_that_another_role_keeps_fails_as_a_lock_timeout(
    world: World, application: Application
) -> None:
    async with application.session(TARGET_LOCK):
        outcome = await world.up(users())
    assert HIDDEN in blocker(outcome)


async def test_a_session_of_our_own_without_a_transaction_is_told_with_its_age(
    world: World,
) -> None:
    own = await asyncpg.connect(world.url, server_settings={"application_name": "mine"})
    await own.execute(TARGET_LOCK)
    outcome = await world.up(users())
    await own.close()
    told = f"pid {own.get_server_pid()} (mine), user {world.settings.user}, idle, session age "
    assert told in blocker(outcome)


async def test_a_server_that_shows_no_locks_to_us_is_no_reason_to_give_up(
    world: World, application: Application
) -> None:
    await world.up(users())
    await world.execute_as_superuser("REVOKE EXECUTE ON FUNCTION pg_blocking_pids FROM PUBLIC")
    async with application.session(LOCK) as session:
        running = asyncio.create_task(up_patiently(world, EMAIL))
        await heard(world, "held by a session that could not be looked up (SQLSTATE 42501)")
        await session.execute("COMMIT")
        outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_a_session_of_a_copy_of_the_database_is_never_named(
    tenant_databases: TenantDatabases, as_superuser: AsSuperuser
) -> None:
    """Copies have the same object ids, and locks of all databases stand in one list."""
    ours, theirs = await tenant_databases(2)
    look = World(ours)
    oid = "SELECT 'users'::regclass::oid"
    assert await look.value(oid) == await World(theirs).value(oid)
    neighbour = await asyncpg.connect(as_superuser(theirs))
    await neighbour.execute(TARGET_LOCK)
    asking = await open_session(look.settings, application_name="test")
    halves = key_for("").halves
    assert await name_holder(asking, **halves) is None
    own = await asyncpg.connect(ours)
    await own.execute(TARGET_LOCK)
    assert f"pid {own.get_server_pid()}," in (await name_holder(asking, **halves) or "")
    for connection in (asking, own, neighbour):
        await connection.close()


async def test_an_index_that_another_role_is_building_is_not_taken_for_a_broken_one(
    world: World, application: Application
) -> None:
    await world.execute(f'CREATE TABLE users (id int); ALTER TABLE users OWNER TO "{world.owner}"')
    building = "CREATE INDEX CONCURRENTLY users_id ON users (id)"
    async with application.session(LOCK.replace("ACCESS SHARE", "ROW EXCLUSIVE")) as writer:
        task = asyncio.create_task(_run(application, building))
        begun = "SELECT to_regclass('users_id') IS NOT NULL"
        await until(lambda: world.value(begun))
        outcome = await world.up(INDEX)
        await writer.execute("COMMIT")
        await task
    assert outcome.failure is not None
    assert outcome.failure.kind == "lock_timeout", outcome.failure
    assert "another session is still building the index public.users_id" in outcome.failure.message


async def test_an_index_that_is_built_in_a_copy_of_the_database_is_no_reason_to_wait(
    tenant_databases: TenantDatabases, as_superuser: AsSuperuser
) -> None:
    """The login may see all sessions, as it is told to, and the copies have the same object ids."""
    ours, theirs = (
        World(url, superuser_url=as_superuser(url)) for url in await tenant_databases(2)
    )
    await ours.execute_as_superuser(f'GRANT pg_read_all_stats TO "{ours.settings.user}"')
    await ours.execute_as_superuser(
        "CREATE INDEX users_id ON users (id); "
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_id'::regclass"
    )
    neighbour = Application(theirs.superuser_url)
    async with neighbour.session("BEGIN; LOCK users IN ROW EXCLUSIVE MODE") as writer:
        task = asyncio.create_task(
            _run(neighbour, "CREATE INDEX CONCURRENTLY users_id ON users (id)")
        )
        building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE relid = {}::oid"
        oid = await ours.value("SELECT 'users'::regclass::oid::int")
        await until(lambda: ours.value(building.format(oid)))
        outcome = await ours.up(INDEX)
        await writer.execute("COMMIT")
        await task
    assert outcome.failure is not None
    assert "still building" not in outcome.failure.message
    assert outcome.failure.kind != "lock_timeout"


async def _run(application: Application, script: str) -> None:
    async with application.session(script):
        pass


@pytest.fixture
def two_phase(server_folder: Path, postgres_release: str) -> Iterator[EmbeddedPostgres]:
    """Return a server that takes prepared transactions."""
    settings = {"max_prepared_transactions": "5"}
    server = embedded_postgres(server_folder / "postgres", postgres_release, settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("restarted", [False, True], ids=["fresh", "found at a restart"])
async def test_a_prepared_transaction_is_told_by_its_name(
    two_phase: EmbeddedPostgres, restarted: bool
) -> None:
    superuser = World(two_phase.url())
    await superuser.execute(
        "CREATE ROLE plain LOGIN PASSWORD 'p'; GRANT CREATE ON DATABASE postgres TO plain; "
        "GRANT CREATE ON SCHEMA public TO plain"
    )
    parts = urlsplit(two_phase.url())
    netloc = f"plain:p@{parts.netloc.rpartition('@')[2]}"
    world = World(urlunsplit(parts._replace(netloc=netloc)))
    await world.up(users())
    await superuser.execute(f"{LOCK}; PREPARE TRANSACTION 'order 5'")
    if restarted:
        await asyncio.to_thread(two_phase.stop)
        await asyncio.to_thread(two_phase.start)
    found = blocker(await world.do(world.work(Mode.UP, EMAIL), SEEN))
    assert found.startswith("the prepared transaction 'order 5', user postgres, "), found
    assert " s, holds AccessShareLock on public.users; COMMIT PREPARED or " in found
    await superuser.execute("ROLLBACK PREPARED 'order 5'")
    taken = f"SELECT pg_advisory_xact_lock({key_for('').value})"
    await superuser.execute(f"BEGIN; {taken}; PREPARE TRANSACTION 'order 6'")
    found = blocker(await world.up(EMAIL))
    assert found.startswith("the prepared transaction 'order 6', user postgres, "), found
    await superuser.execute("ROLLBACK PREPARED 'order 6'")
    assert (await world.up(EMAIL)).verdict is Verdict.DONE


GUILTY = "BEGIN; SET application_name TO 'guilty'; "


@pytest.mark.parametrize(
    ("held", "up", "stepwise", "told"),
    [
        pytest.param(
            "UPDATE users SET id = 1", "CREATE TABLE child (id int REFERENCES users (id))", False,
            "holds RowExclusiveLock on public.users", id="a reader beside the writer",
        ),
        pytest.param(
            "LOCK users IN SHARE MODE", "UPDATE users SET id = 2", False,
            "holds ShareLock on public.users", id="a mode",
        ),
        pytest.param(
            "UPDATE users SET id = 1", "UPDATE users SET id = 2", False,
            "holds ExclusiveLock on a transaction that has written the same rows",
            id="a row",
        ),
        pytest.param(
            "LOCK users IN SHARE MODE",
            "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'us' || 'ers ADD email text'; END $$", False,
            "holds ShareLock on public.users", id="a table that no text names",
        ),
        pytest.param(
            "UPDATE users SET id = 1", "DROP INDEX users_id", False,
            "holds RowExclusiveLock on public.users", id="a table that only an index names",
        ),
        pytest.param(
            "SELECT pg_advisory_xact_lock(5)", "SELECT pg_advisory_xact_lock(5)", False,
            "holds ExclusiveLock on an advisory lock", id="an advisory lock",
        ),
        pytest.param(
            "UPDATE users SET id = 1", "CREATE INDEX CONCURRENTLY more ON users (id)", True,
            "holds ExclusiveLock on a transaction that began before",
            id="CONCURRENTLY behind a writer",
        ),
        pytest.param(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class",
            "CREATE INDEX CONCURRENTLY more ON users (id)", True,
            "holds ExclusiveLock on a transaction that began before",
            id="CONCURRENTLY behind an old snapshot",
        ),
        pytest.param(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY kept",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY kept", False,
            "holds ExclusiveLock on public.kept", id="REFRESH",
        ),
        pytest.param(
            "LOCK users IN SHARE ROW EXCLUSIVE MODE",
            "ALTER TABLE users VALIDATE CONSTRAINT positive", False,
            "holds ShareRowExclusiveLock on public.users", id="VALIDATE",
        ),
    ],
)  # fmt: skip
async def test_who_stands_in_the_way_is_told_as_the_server_says(
    world: World, held: str, up: str, stepwise: bool, told: str
) -> None:
    """By pid, application, user, age and mode; a session beside it, which is older, never."""
    await world.up(users())
    await world.execute(
        "CREATE UNIQUE INDEX users_id ON users (id); INSERT INTO users VALUES (7); "
        "ALTER TABLE users ADD CONSTRAINT positive CHECK (id > 0) NOT VALID; "
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM users; CREATE UNIQUE INDEX ON kept (id)"
    )
    harmless = await asyncpg.connect(world.url, server_settings={"application_name": "harmless"})
    read = "kept" if up.startswith(("DO", "DROP")) else "users"
    await harmless.execute(f"BEGIN; SELECT FROM {read}")
    guilty = await asyncpg.connect(world.url)
    await guilty.execute(GUILTY + held)
    running = asyncio.create_task(up_patiently(world, migration("002", up, stepwise=stepwise)))
    await heard(world, f"held by pid {guilty.get_server_pid()} (guilty), user ")
    said = next(wait for wait in world.hearing.waits if "(guilty)" in wait)
    assert f"user {world.settings.user}, idle in transaction, " in said
    assert told in said
    assert not any("harmless" in wait for wait in world.hearing.waits)
    await guilty.execute("COMMIT")
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    for connection in (harmless, guilty):
        await connection.close()
