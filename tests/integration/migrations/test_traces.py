"""What a trace says of statements is what the server does with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from migrations.model.migration import (
    Batches,
    Language,
    Migration,
    Options,
    Program,
    Section,
    SourceFile,
)
from migrations.model.traces import LockMode, TableLock, Trace, TracedStatement
from migrations.scratch.database import ScratchDatabase, scratch_database
from migrations.scratch.lone_statements import known_effects
from migrations.scratch.schema import FolderSchema, SqlSchema
from migrations.scratch.trace import trace
from migrations.sql.grammar import parse
from migrations.sql.statements import script, split
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import PostgresServer
from tests.support.scratch import connected
from tests.support.statement_kinds import CASES, SETUP, StatementKindCase

LEAST_KINDS = 80
INSIDE = [case for case in CASES if case.transactional]
OUTSIDE = [case for case in CASES if not case.transactional]
SHOP = """
    CREATE TABLE users (id bigint PRIMARY KEY, age integer);
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);
"""
WANTED = """
    SELECT mode, granted FROM pg_locks WHERE pid = $1 AND relation = $2::regclass
"""


@pytest.fixture
def server(postgres_server: PostgresServer) -> ConnectionSettings:
    return ConnectionSettings.from_url(postgres_server.url("postgres"), allow_plaintext=True)


@pytest.fixture(scope="module")
async def kinds(postgres_server: PostgresServer) -> AsyncIterator[ScratchDatabase]:
    """One scratch database, in which every kind has the tables in a schema of its own."""
    at = ConnectionSettings.from_url(postgres_server.url("postgres"), allow_plaintext=True)
    async with scratch_database(at) as database:
        yield database


def migration(sql: str, version: str = "1", **changed: object) -> Migration:
    statements = split(sql, file=f"{version}.sql")
    section = Section(statements, Options(), "", **changed)  # type: ignore[arg-type]
    file = SourceFile(f"{version}.sql", sql.encode())
    return Migration(version, "", "native", section, None, None, (file,))


async def traced(
    server: ConnectionSettings, *pending: Migration, schema: str = SHOP, **how: object
) -> Trace:
    async with scratch_database(server, SqlSchema(schema, "schema.sql")) as database:
        return await trace(database, pending, **how)  # type: ignore[arg-type]


def locks(one: TracedStatement) -> dict[str, str]:
    return {lock.table.removeprefix("public."): lock.mode.words for lock in one.locks}


async def own_tables(database: ScratchDatabase, case: StatementKindCase) -> str:
    schema = f"k{CASES.index(case)}"
    connection = await connected(database)
    await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema}; {SETUP}")
    await connection.close()
    return schema


def test_there_are_kinds_enough_and_none_twice() -> None:
    assert len(CASES) >= LEAST_KINDS
    assert len({case.kind for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", INSIDE, ids=lambda case: case.kind)
async def test_a_kind_does_in_a_trace_what_the_table_of_kinds_says(
    kinds: ScratchDatabase, case: StatementKindCase
) -> None:
    release = kinds.version // 10_000
    if case.since > release:
        pytest.skip(f"there is none before {case.since}")
    schema = await own_tables(kinds, case)
    found = await trace(kinds, [migration(case.sql.replace("{target}", schema))], target=schema)
    assert [one.untraced for one in found.statements if one.untraced] == []
    last, own = found.statements[-1], f"{schema}."
    assert {lock.table.removeprefix(own): lock.mode.words for lock in last.locks} == (
        case.locks_in(release)
    )
    assert [name.removeprefix(own) for name in last.rewrites] == case.rewrites
    assert [name.removeprefix(own) for name in last.scans] == case.scans
    assert last.transactional


@pytest.mark.parametrize("case", OUTSIDE, ids=lambda case: case.kind)
async def test_a_kind_that_no_transaction_takes_does_what_the_table_of_kinds_says(
    kinds: ScratchDatabase, case: StatementKindCase
) -> None:
    schema = await own_tables(kinds, case)
    sql = case.sql.replace("{target}", schema)
    ((table, mode),) = case.locks.items()
    holding, running = await connected(kinds), await connected(kinds)
    for one in (holding, running):
        await one.execute(f"SET search_path TO {schema}")
    with pytest.raises(asyncpg.ActiveSQLTransactionError):
        async with running.transaction():
            await running.execute(sql)
    node = "SELECT pg_relation_filenode($1::regclass)"
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = $1::regclass"
    before = await holding.fetchval(node, table), await holding.fetchval(scans, table)
    # Whatever lock it takes, it has to wait for this one, and so is seen.
    held = holding.transaction()
    await held.start()
    await holding.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
    work = asyncio.create_task(running.execute(sql))
    wanted: list[str] = []
    while not wanted:
        rows = await holding.fetch(WANTED, running.get_server_pid(), table)
        wanted = [row["mode"] for row in rows if not row["granted"]]
        assert not work.done()
    await held.commit()
    await work
    assert wanted == [mode.title().replace(" ", "") + "Lock"]
    await running.close()
    if case.kind.startswith("ALTER TABLE"):
        assert (case.rewrites, case.scans) == ([], [])
    else:
        assert (await holding.fetchval(node, table) != before[0]) == bool(case.rewrites)
        while case.scans and await holding.fetchval(scans, table) == before[1]:
            await holding.execute("SELECT 1")
    await holding.close()


@pytest.mark.parametrize("case", OUTSIDE, ids=lambda case: case.kind)
async def test_of_a_kind_that_no_transaction_takes_a_trace_says_what_is_known(
    kinds: ScratchDatabase, case: StatementKindCase
) -> None:
    known = known_effects(parse(case.sql.replace("{target}", "s"))[0])
    assert known.mode.words in case.locks.values()
    assert (known.rewrites, known.scans) == (bool(case.rewrites), bool(case.scans))
    # Some name no table, and then none is told.
    assert set(known.tables) <= case.locks.keys()


async def test_each_statement_has_its_own_locks_also_those_that_one_before_it_took(
    server: ConnectionSettings,
) -> None:
    found = await traced(
        server,
        migration("ALTER TABLE users ADD COLUMN x text;\nALTER TABLE users ADD COLUMN y text;"),
    )
    assert [locks(one) for one in found.statements] == [{"users": "ACCESS EXCLUSIVE"}] * 2
    assert [one.line for one in found.statements] == [1, 2]


async def test_what_pending_files_make_is_there_for_later_ones_and_is_nobodys_yet(
    server: ConnectionSettings,
) -> None:
    files = (
        migration("CREATE TABLE fresh (id bigint, age integer);", "1"),
        migration("ALTER TABLE fresh ALTER COLUMN age TYPE bigint;", "2"),
        migration("ALTER TABLE fresh ADD FOREIGN KEY (id) REFERENCES users;", "3"),
    )
    together = await traced(server, *files)
    assert [locks(one) for one in together.statements] == [
        {},
        {},
        {"users": "SHARE ROW EXCLUSIVE"},
    ]
    assert [one.heavy for one in together.statements] == [(), (), ()]
    apart = await traced(server, *files, together=False)
    assert apart.at("2", 0) is not None
    assert [one.rewrites for one in apart.statements] == [(), ("public.fresh",), ()]


async def test_a_statement_that_fails_is_told_and_those_behind_it_go_on(
    server: ConnectionSettings,
) -> None:
    text = "ALTER TABLE nobody ADD x int;\nALTER TABLE users ADD y int;\nSELECT 'secret'::int;"
    found = await traced(server, migration(text))
    first, second, third = found.statements
    assert first.untraced == ('it failed in the scratch database: relation "nobody" does not exist')
    assert (locks(first), first.fails) == ({}, True)
    assert locks(second) == {"users": "ACCESS EXCLUSIVE"}
    assert "secret" not in third.untraced


async def test_what_a_statement_says_of_the_rest_of_its_transaction_holds_for_the_next(
    server: ConnectionSettings,
) -> None:
    text = """
        CREATE SCHEMA inner_one;
        SET LOCAL search_path TO inner_one;
        CREATE TABLE deep (id int);
        SELECT 1 FROM deep;
    """
    found = await traced(server, migration(text))
    assert [one.untraced for one in found.statements] == [""] * 4
    # A setting of one migration is none of the next.
    await_next = await traced(
        server, migration("SET search_path TO nowhere;", "1"), migration("SELECT 1 FROM users", "2")
    )
    assert [one.untraced for one in await_next.statements] == ["", ""]


async def test_a_statement_outside_of_transactions_is_run_for_those_that_build_on_it(
    server: ConnectionSettings,
) -> None:
    files = (
        migration("CREATE UNIQUE INDEX CONCURRENTLY by_age ON users (age);", "1"),
        migration("ALTER TABLE users ADD CONSTRAINT u UNIQUE USING INDEX by_age;", "2"),
        migration("VACUUM nobody;", "3"),
    )
    outside, built_on, failed = (await traced(server, *files)).statements
    assert outside.untraced.startswith("it runs outside of transactions")
    assert (locks(outside), outside.scans) == ({"users": "SHARE UPDATE EXCLUSIVE"}, ("users",))
    assert (built_on.untraced, built_on.scans) == ("", ())
    assert 'relation "nobody" does not exist' in failed.untraced


@pytest.mark.parametrize(
    "statement", ["CREATE DATABASE other", "DROP DATABASE postgres", "ALTER SYSTEM SET port = 1"]
)
async def test_what_reaches_beyond_the_scratch_database_is_never_run(
    server: ConnectionSettings, statement: str
) -> None:
    (found,) = (await traced(server, _unread(statement, "VACUUM users"))).statements
    assert found.untraced.startswith("it runs outside of transactions")
    assert not found.fails


def _unread(sql: str, harmless_one: str) -> Migration:
    """A migration with a statement that no format takes, in the place of another of its kind."""
    harmless = migration(harmless_one)
    (statement,) = harmless.up.statements
    made = Section((type(statement)(sql, 1, statement.kind, sql),), Options(), "")
    return Migration("1", "", "native", made, None, None, harmless.files)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
        "ALTER ROLE CURRENT_USER SET work_mem TO '9MB'",
        "DO $$BEGIN EXECUTE 'ALTER ROLE CURRENT_USER SET work_mem TO 9000'; END$$",
        "DO $$BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' IS_TEMPLATE 1'; END$$",
    ],
)
async def test_what_all_databases_of_the_server_share_is_left_as_it_is(
    server: ConnectionSettings, statement: str
) -> None:
    async with scratch_database(server) as database:
        found = await trace(database, [_unread(statement, "SELECT 1"), migration("SELECT 1;", "2")])
        first, second = found.statements
        assert (first.fails, second.untraced) == (True, "")
        # Its login works as before.
        connection = await connected(database)
        assert await connection.fetchval("SHOW work_mem") == "4MB"
        await connection.close()


async def test_programs_and_batches_are_told_as_not_traced(server: ConnectionSettings) -> None:
    program = Section((), Options(), "", program=Program(Language.PYTHON, "1.py", ""))
    batches = migration("UPDATE users SET age = 1;", "2", batches=Batches("users", ("id",), 10))
    file = SourceFile("1.py", b"")
    found = await traced(
        server, Migration("1", "", "native", program, None, None, (file,)), batches
    )
    assert [one.untraced.split(",")[0] for one in found.statements] == [
        "it is a program in python",
        "it moves rows in batches",
    ]


async def test_a_session_that_is_lost_costs_its_migration_and_no_other(
    server: ConnectionSettings,
) -> None:
    found = await traced(
        server,
        migration("SELECT pg_terminate_backend(pg_backend_pid());\nSELECT 1;", "1"),
        migration("SELECT 1 FROM users;", "2"),
    )
    assert ["lost" in one.untraced for one in found.statements] == [True, True, False]


async def test_a_statement_cannot_become_somebody_else_or_leave_the_transaction(
    server: ConnectionSettings,
) -> None:
    for sql in (
        "COMMIT",
        "DO $$BEGIN COMMIT; END$$",
        "SET ROLE postgres",
        "SELECT pg_reload_conf()",
    ):
        (one,) = (await traced(server, _unread(sql, "SELECT 1"))).statements
        assert one.fails, sql
        assert "report this as a defect" not in one.untraced


async def test_hostile_names_are_looked_at_and_lacks_of_the_schema_are_told(
    server: ConnectionSettings,
) -> None:
    name = '"a""b\n\x1b[31m; DROP TABLE users"'
    schema = f"{SHOP} CREATE TABLE {name} (id int); CREATE EXTENSION no_such;"
    found = await traced(server, migration(f"ALTER TABLE {name} ADD x int;"), schema=schema)
    (one,) = found.statements
    assert one.locks == (TableLock(f"public.{name}", LockMode.ACCESS_EXCLUSIVE),)
    ((what, why),) = found.lacks
    assert (what, "no_such" in why) == ("extension no_such", True)


async def test_applied_files_are_run_first_and_what_fails_of_them_is_a_lack(
    server: ConnectionSettings,
) -> None:
    applied = (
        migration("CREATE EXTENSION amcheck;\nCREATE TABLE users (id int);", "1"),
        migration("CREATE TABLE places (at no_such_type);", "2"),
    )
    pending = migration("ALTER TABLE users ADD x int;\nALTER TABLE places ADD x int;", "3")
    schema = FolderSchema((*applied, pending), applied=False)
    async with scratch_database(server, schema) as database:
        found = await trace(database, [pending], applied=applied)
    first, second = found.statements
    assert locks(first) == {"users": "ACCESS EXCLUSIVE"}
    assert 'relation "places" does not exist' in second.untraced
    assert [what for what, _ in found.lacks] == ["2.sql:1: CREATE TABLE places"]


def test_a_mode_says_whom_it_keeps_out() -> None:
    blocking: Sequence[LockMode] = [mode for mode in LockMode if mode.blocks_writes]
    assert [mode.words for mode in blocking] == [
        "SHARE",
        "SHARE ROW EXCLUSIVE",
        "EXCLUSIVE",
        "ACCESS EXCLUSIVE",
    ]
    assert [mode for mode in LockMode if mode.blocks_reads] == [LockMode.ACCESS_EXCLUSIVE]


async def test_savepoints_are_no_failures_of_a_trace(server: ConnectionSettings) -> None:
    text = "SAVEPOINT a;\nALTER TABLE users ADD COLUMN more int;\nROLLBACK TO a;\nRELEASE a;\n"
    read = script(text, file="1.sql", begun=True)
    section = Section(read.statements, Options(), "")
    one = Migration("1", "", "native", section, None, None, (SourceFile("1.sql", text.encode()),))
    made, altered, back, given_up = (await traced(server, one)).statements
    assert not any(found.fails for found in (made, altered, back, given_up))
    assert "users" in locks(altered)
    assert "takes back" in back.untraced
    assert (made.untraced, given_up.untraced) == ("", "")
