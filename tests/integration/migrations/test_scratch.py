"""Scratch databases: what they are set up with, who owns them, and that none of them stays."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from ledger.embedded import postgres
from ledger.embedded.postgres import _account, _programs
from ledger.scratch import FOLDER, LOCK, ScratchPlace, opened_scratch
from ledger.settings.errors import SettingsError
from migrations.catalog.difference import difference
from migrations.catalog.snapshot import Snapshot
from migrations.catalog.visit import visit
from migrations.formats.bundle import load_folder
from migrations.scratch.database import PREFIX, ScratchDatabase, scratch_database
from migrations.scratch.errors import SchemaUnusable, ScratchRefused
from migrations.scratch.schema import CatalogSchema, FolderSchema, SqlSchema
from migrations.standalone import Standing, status
from migrations.target.session import ConnectionSettings, Password
from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.integration.migrations.world import until
from tests.support.schema_of_all_kinds import SCHEMA
from tests.support.scratch import connected

SHOP = """
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE users (id serial PRIMARY KEY, "na""me" text NOT NULL DEFAULT 'it''s', mood mood);
    CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id integer REFERENCES users, note text CHECK (note <> ''));
    CREATE INDEX ON orders (user_id);
    CREATE VIEW b AS SELECT id FROM users;
    CREATE VIEW a AS SELECT id FROM b;
    CREATE TABLE parts (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
"""


@pytest.fixture
def server(postgres_server: PostgresServer) -> ConnectionSettings:
    """A server that was named with a superuser's address."""
    return ConnectionSettings.from_url(postgres_server.url("postgres"), allow_plaintext=True)


@pytest.fixture
async def ordinary(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> AsyncIterator[ConnectionSettings]:
    """The same, with an ordinary role that may make databases and nothing else."""
    name = f"{postgres_server.prefix}_maker_{uuid4().hex[:8]}"
    await postgres_server.execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'secret'")
    yield replace(server, user=name, password=Password("secret"))
    await postgres_server.execute(f"DROP ROLE {name}")


async def ours(server: PostgresServer, database: ScratchDatabase) -> tuple[int, int]:
    """How many databases and roles of this name the server has."""
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        name = database.settings.database
        databases = await connection.fetchval(
            "SELECT count(*) FROM pg_database WHERE datname = $1", name
        )
        roles = await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", name)
        return databases, roles
    finally:
        await connection.close()


async def test_it_is_empty_belongs_to_an_ordinary_login_and_is_dropped(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    async with scratch_database(server) as database:
        connection = await connected(database)
        row = await connection.fetchrow(
            "SELECT current_user, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication"
            " OR rolbypassrls AS more, (SELECT count(*) FROM pg_auth_members AS m"
            " WHERE m.member = r.oid) AS roles FROM pg_roles AS r WHERE rolname = current_user"
        )
        await connection.execute("CREATE TABLE t (a int)")
        # Its own session is still open when the database goes.
        assert await ours(postgres_server, database) == (1, 1)
        assert row is not None
        assert (row["more"], row["roles"]) == (False, 0)
        assert database.settings.database.startswith(PREFIX)
    assert await ours(postgres_server, database) == (0, 0)
    connection.terminate()


async def test_a_role_that_may_make_databases_is_enough(
    postgres_server: PostgresServer, ordinary: ConnectionSettings
) -> None:
    async with scratch_database(ordinary, SqlSchema(SHOP, "shop.sql")) as database:
        assert database.lacks == ()
        assert database.settings.user == ordinary.user
    assert await ours(postgres_server, database) == (0, 0)


async def test_it_is_dropped_though_a_session_that_its_role_may_not_end_leaves_late(
    postgres_server: PostgresServer, ordinary: ConnectionSettings
) -> None:
    """As a worker of autovacuum is."""
    admin = await asyncpg.connect(postgres_server.url("postgres"))

    async def use() -> None:
        async with scratch_database(ordinary) as database:
            made.set_result(database)
            await leave.wait()

    made: asyncio.Future[ScratchDatabase] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()
    task = asyncio.create_task(use())
    database = await made
    other = await asyncpg.connect(postgres_server.url(database.settings.database))
    leave.set()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%' || $1 || '\"'"
    await until(lambda: admin.fetchval(waits, database.settings.database))
    await other.close()
    await task
    await admin.close()
    assert await ours(postgres_server, database) == (0, 0)


async def test_a_role_that_may_not_is_told_what_to_do(
    postgres_server: PostgresServer, ordinary: ConnectionSettings
) -> None:
    await postgres_server.execute(f"ALTER ROLE {ordinary.user} NOCREATEDB")
    with pytest.raises(ScratchRefused, match=r"may not make databases .* CREATEDB.*--scratch"):
        async with scratch_database(ordinary):
            pass


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_it_is_dropped_whatever_goes_wrong(
    postgres_server: PostgresServer, server: ConnectionSettings, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        async with scratch_database(server) as database:
            raise error
    assert await ours(postgres_server, database) == (0, 0)


async def test_it_is_dropped_when_its_user_is_cancelled(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    made: asyncio.Future[ScratchDatabase] = asyncio.get_running_loop().create_future()

    async def use() -> None:
        async with scratch_database(server) as database:
            made.set_result(database)
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    database = await made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ours(postgres_server, database) == (0, 0)


async def test_a_schema_that_cannot_be_used_leaves_nothing_behind(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    before = await named(postgres_server)
    for text, said in (
        ("CREATE TABLE t (", r"shop.sql:1: PostgreSQL's grammar says"),
        ("CREATE TABLE t (a int);\n\\connect other\n", "shop.sql:2: this is a command of psql"),
        ("COPY t FROM '/etc/passwd';", "shop.sql holds rows"),
    ):
        with pytest.raises(SchemaUnusable, match=said):
            async with scratch_database(server, SqlSchema(text, "shop.sql")):
                pass
    with pytest.raises(SchemaUnusable, match="snapshot"):
        async with scratch_database(server, CatalogSchema(b"nonsense")):
            pass
    assert await named(postgres_server) == before


async def named(server: PostgresServer) -> int:
    """How many scratch databases and roles there are."""
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        return int(
            await connection.fetchval(
                "SELECT (SELECT count(*) FROM pg_database WHERE starts_with(datname::text, $1))"
                " + (SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, $1))",
                PREFIX,
            )
        )
    finally:
        await connection.close()


async def test_what_a_killed_run_left_behind_is_named_and_what_is_in_use_is_not(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    left = f"{PREFIX}{uuid4().hex}"
    await postgres_server.execute(f"CREATE DATABASE {left}")
    try:
        async with scratch_database(server) as first, scratch_database(server) as second:
            assert left in second.left_over
            assert first.settings.database not in second.left_over
    finally:
        await postgres_server.execute(f"DROP DATABASE {left}")


async def test_a_schema_is_cloned_from_a_catalog_whole(
    fresh_database: FreshDatabase, server: ConnectionSettings
) -> None:
    source = ConnectionSettings.from_url(await fresh_database(), allow_plaintext=True)
    await run(source, SHOP)
    found = (await visit(source)).snapshot
    assert found is not None
    async with scratch_database(server, CatalogSchema(found.document, found.names)) as database:
        assert database.lacks == ()
        assert await unlike(found, database) == {}


async def test_a_schema_that_is_a_target_is_cloned_and_traced_under_its_own_name(
    fresh_database: FreshDatabase, server: ConnectionSettings
) -> None:
    source = ConnectionSettings.from_url(await fresh_database(), allow_plaintext=True)
    await run(source, f'CREATE SCHEMA "ac-me"; SET search_path TO "ac-me"; {SHOP}')
    found = (await visit(source, "ac-me")).snapshot
    assert found is not None
    schema = CatalogSchema(found.document, found.names, "ac-me")
    async with scratch_database(server, schema) as database:
        clone = (await visit(database.settings, "ac-me")).snapshot
        assert clone is not None
        assert (database.lacks, clone.fingerprint) == ((), found.fingerprint)


async def test_a_server_whose_schema_ends_the_session_is_a_sentence(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    before = await named(postgres_server)
    ends = "SELECT pg_terminate_backend(pg_backend_pid());"
    with pytest.raises(ScratchRefused, match="cannot be set up with this schema"):
        async with scratch_database(server, SqlSchema(ends, "dump.sql")):
            pass
    assert await named(postgres_server) == before


async def test_without_the_extra_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda _: None)
    with pytest.raises(ScratchRefused, match=r"migration-ledger\[embedded\].*LEDGER_SCRATCH_URL"):
        async with opened_scratch(ScratchPlace()):
            pass


async def test_objects_of_nearly_every_kind_are_cloned_and_the_rest_is_named(
    superuser_database: FreshDatabase, server: ConnectionSettings, postgres_server: PostgresServer
) -> None:
    source = ConnectionSettings.from_url(await superuser_database(), allow_plaintext=True)
    reader = f"{postgres_server.prefix}_reader_{uuid4().hex[:8]}"
    await postgres_server.execute(f"CREATE ROLE {reader}")
    await run(source, SCHEMA.format(reader=reader))
    found = (await visit(source)).snapshot
    await run(source, f"DROP OWNED BY {reader}")
    await postgres_server.execute(f"DROP ROLE {reader}")
    assert found is not None
    # Nobody has this role any more, and it is made for the clone.
    async with scratch_database(server, CatalogSchema(found.document, found.names)) as database:
        by_hand = {"aggregate app.total(integer)", "collation app.co"}
        by_hand.add("operator app.@@@ (integer, integer)")
        assert {one.what for one in database.lacks} == by_hand
        # The columns of a clone are in the order of their names, and so are those of statistics.
        left = await unlike(found, database)
        assert left.keys() == by_hand | {"statistics app.related"}
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", reader) == 0
    )
    await connection.close()


async def test_a_file_of_pg_dump_is_loaded_whole(
    postgres_server: PostgresServer, fresh_database: FreshDatabase, ordinary: ConnectionSettings
) -> None:
    url = await fresh_database()
    source = ConnectionSettings.from_url(url, allow_plaintext=True)
    await run(source, SHOP)
    dumped = await asyncio.to_thread(dump, postgres_server.url(source.database))
    found = (await visit(source)).snapshot
    assert found is not None
    async with scratch_database(ordinary, SqlSchema(dumped, "dump.sql")) as database:
        # Nobody may hand anything over to the role that it belonged to.
        assert all("OWNER" in one.what or "ALTER" in one.what for one in database.lacks)
        assert await unlike(found, database) == {}


async def test_how_far_a_large_schema_is_is_said_now_and_then(
    server: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.scratch.TOLD_EVERY", 100)
    text = "".join(f"CREATE TABLE t{number} ();\n" for number in range(230))
    said: list[str] = []
    url = f"postgresql://{server.user}:{server.password and server.password.reveal()}"
    place = ScratchPlace(f"{url}@{server.host}:{server.port}/{server.database}")
    async with opened_scratch(place, SqlSchema(text, "large.sql"), say=said.append):
        pass
    assert said == [
        f"The schema of the scratch database: {done} of 230 statements." for done in (100, 200)
    ]


async def test_what_a_folder_made_so_far_is_applied_with_a_journal(
    server: ConnectionSettings, tmp_path: Path
) -> None:
    (tmp_path / "20260101000000_users.sql").write_text("CREATE TABLE users (id int);\n")
    (tmp_path / "20260102000000_index.sql").write_text(
        "CREATE INDEX CONCURRENTLY users_id ON users (id);\n"
    )
    folder = load_folder(tmp_path).migrations
    async with scratch_database(server, FolderSchema(folder)) as database:
        connection = await connected(database)
        assert await connection.fetchval("SELECT to_regclass('users_id') IS NOT NULL")
        await connection.close()
        stands = await status(database.settings, folder)
        assert [line.standing for line in stands.lines] == [Standing.APPLIED] * 2


async def test_a_folder_that_cannot_be_applied_is_told_with_its_place(
    server: ConnectionSettings, tmp_path: Path
) -> None:
    (tmp_path / "20260101000000_users.sql").write_text("CREATE TABLE u (at no_such.type);\n")
    folder = load_folder(tmp_path).migrations
    with pytest.raises(SchemaUnusable, match=r"20260101000000_users.sql:1: .*no_such.*pg_dump"):
        async with scratch_database(server, FolderSchema(folder)):
            pass


async def test_an_extension_that_the_server_has_not_is_named_and_the_rest_is_made(
    server: ConnectionSettings,
) -> None:
    text = """
        CREATE EXTENSION IF NOT EXISTS no_such WITH SCHEMA public;
        CREATE TABLE points (at no_such_type);
        CREATE TABLE users (id int);
    """
    async with scratch_database(server, SqlSchema(text, "dump.sql")) as database:
        assert [one.what for one in database.lacks] == [
            "extension no_such",
            "dump.sql:3: CREATE TABLE points",
        ]
        connection = await connected(database)
        assert await connection.fetchval("SELECT to_regclass('users') IS NOT NULL")
        await connection.close()


async def test_an_extension_that_only_a_superuser_may_make_is_made(
    server: ConnectionSettings,
) -> None:
    text = "CREATE SCHEMA x; CREATE EXTENSION amcheck WITH SCHEMA x;"
    async with scratch_database(server, SqlSchema(text, "dump.sql")) as database:
        connection = await connected(database)
        assert await connection.fetchval("SELECT count(*) FROM pg_extension") == 2
        await connection.close()


async def test_nobody_becomes_a_member_of_a_role_that_is_there(
    postgres_server: PostgresServer, server: ConnectionSettings
) -> None:
    text = "CREATE TABLE t (a int); ALTER TABLE t OWNER TO postgres; GRANT SELECT ON t TO postgres;"
    async with scratch_database(server, SqlSchema(text, "dump.sql")) as database:
        (lack,) = database.lacks
        assert lack.what == "dump.sql:1: ALTER TABLE t"
        connection = await connected(database)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SET ROLE postgres")
        await connection.close()


async def test_without_an_address_it_is_a_server_of_our_own_that_leaves_nothing() -> None:
    said: list[str] = []
    async with opened_scratch(ScratchPlace(), SqlSchema(SHOP, "x"), say=said.append) as database:
        assert database.lacks == ()
        assert any("Starting" in one for one in said)
        port = database.settings.port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_folder_that_a_killed_run_left_is_deleted_and_one_in_use_is_not() -> None:
    left = Path(tempfile.mkdtemp(prefix=FOLDER))
    (left / LOCK).touch()
    said: list[str] = []
    async with opened_scratch(ScratchPlace()), opened_scratch(ScratchPlace(), say=said.append):
        assert not left.exists()  # noqa: ASYNC240
    assert [one for one in said if "Deleting" in one and str(left) not in one] == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://x", "cannot be read"),
        ("postgresql://user@host:port/db", "cannot be read"),
        ("postgresql://user:secret@db.example/x?sslmode=require", "not on this machine"),
        ("postgresql://user:secret@127.0.0.1:1/x", "cannot be used"),
    ],
)
async def test_an_address_that_leads_nowhere_is_a_sentence_without_a_password(
    address: str, said: str
) -> None:
    with pytest.raises((SettingsError, ScratchRefused), match=said) as caught:
        async with opened_scratch(ScratchPlace(address)):
            pass
    assert "secret" not in str(caught.value) + repr(ScratchPlace(address))


def dump(url: str) -> str:
    command = [str(_programs(_account()) / "pg_dump"), "--schema-only", url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def unlike(found: Snapshot, database: ScratchDatabase) -> dict[str, list[str]]:
    """What of the clone is not as it was, apart from whom it belongs to."""
    clone = (await visit(database.settings)).snapshot
    assert clone is not None
    changes = difference(found.document, clone.document).changes
    differs = {
        one.called: [part.attribute for part in one.attributes]
        for one in changes
        if one.kind != "database"
    }
    return {name: parts for name, parts in differs.items() if parts != ["owner"]}


async def run(settings: ConnectionSettings, sql: str) -> None:
    assert settings.password is not None
    connection = await asyncpg.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password.reveal(),
        database=settings.database,
    )
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
