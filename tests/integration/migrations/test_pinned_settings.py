"""What a database or a login sets changes neither what a migration means nor its time."""

from __future__ import annotations

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.inspection import glance, inspect
from migrations.model.attempt import FailureClass, Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.verify_applied import verify
from tests.fixtures.postgres import FreshDatabase
from tests.integration.migrations.world import World, expecting, migration, smuggled

MEANING = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "xmloption": "document",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "gin_fuzzy_search_limit": "1",
    "exit_on_error": "on",
    "client_encoding": "LATIN1",
    "timezone_abbreviations": "Australia",
}
LIMITS = {
    "statement_timeout": "100ms",
    "lock_timeout": "50ms",
    "idle_session_timeout": "100ms",
    "idle_in_transaction_session_timeout": "100ms",
    "transaction_timeout": "100ms",
}
SLOW = "SELECT pg_sleep(0.3)"


async def brings_along(world: World, values: dict[str, str]) -> None:
    """Let the database, and the login for it, set these; those that the server knows."""
    name, login = world.settings.database, world.settings.user
    known = {row[0].lower() for row in await world.fetch("SELECT name FROM pg_settings")}
    script = [
        f"ALTER DATABASE {name} SET {setting} = '{value}';"
        f"ALTER ROLE {login} IN DATABASE {name} SET {setting} = '{value}'"
        for setting, value in values.items()
        if setting.lower() in known
    ]
    await world.execute_as_superuser(";\n".join(script))


def data(text: str, version: str = "9") -> Migration:
    return load_files("sql-migrate", [SourceFile(f"{version}_d.sql", text.encode())])


@pytest.mark.parametrize("stepwise", [False, True])
async def test_text_means_what_the_grammar_reads_whatever_the_database_sets(
    world: World, stepwise: bool
) -> None:
    await world.execute("CREATE TABLE seen (what text)")
    await brings_along(world, MEANING)
    outcome = await world.up(
        migration(
            "1",
            "INSERT INTO seen VALUES ('C:\\new\\');\n"
            "INSERT INTO seen SELECT ('{NULL}'::text[])[1] IS NULL;\n"
            "INSERT INTO seen SELECT '2/3/2001'::date = date '2001-02-03';\n"
            "INSERT INTO seen SELECT (1.0::float8 / 3)::text;\n"
            "INSERT INTO seen SELECT '\\x41'::bytea::text;\n"
            "INSERT INTO seen SELECT interval '1 day 2 hours'::text;\n"
            "INSERT INTO seen SELECT '2020-01-01 0:00 EST'::timestamptz = '2020-01-01 05:00Z';\n"
            "INSERT INTO seen SELECT 'é€'",
            None,
            stepwise=stepwise,
        )
    )
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert [row[0] for row in await world.fetch("SELECT what FROM seen")] == [
        "C:\\new\\",
        "true",
        "true",
        "0.3333333333333333",
        "\\x41",
        "1 day 02:00:00",
        "true",
        "é€",
    ]


async def test_a_variable_cannot_end_a_statement_where_backslashes_escape(world: World) -> None:
    await world.execute("CREATE TABLE tenants (name text, note text); CREATE TABLE keep (id int)")
    await brings_along(world, MEANING)
    values = {"name": "\\", "note": "); DROP TABLE keep; --"}
    text = "-- +migrate Up\nINSERT INTO tenants VALUES ('${name}', '${note}');\n"
    one = load_files(
        "sql-migrate", [SourceFile("1_v.sql", text.encode())], reading=Reading(variables=values)
    )
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.has("keep")
    assert await world.fetch("SELECT name, note FROM tenants") == [tuple(values.values())]


async def test_no_limit_that_a_database_sets_ends_a_migration(world: World) -> None:
    await world.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"
    )
    await brings_along(world, LIMITS)
    outcome = await world.up(
        migration("1", SLOW, None),
        migration("2", f"{SLOW};\nCREATE INDEX CONCURRENTLY i ON t (v);\n{SLOW}", None),
        data(
            "-- +migrate Data table=t key=id batch=1\n"
            "UPDATE t SET v = 'b' FROM batch, pg_sleep(0.3) WHERE t.id = batch.id;\n"
            "-- +migrate Verify\nSELECT pg_sleep(0.3) IS NOT NULL;\n"
        ),
    )
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT v FROM t") == "b"


async def test_keys_whose_text_is_shortened_by_a_setting_are_all_paged(world: World) -> None:
    await world.execute(
        "CREATE TABLE f (id float8 PRIMARY KEY, v text);"
        "INSERT INTO f SELECT 1.0 / n, 'a' FROM generate_series(1, 40) AS n"
    )
    await brings_along(world, MEANING)
    outcome = await world.up(
        data(
            "-- +migrate Data table=f key=id batch=7 backup=v\n"
            "UPDATE f SET v = 'b' FROM batch WHERE f.id = batch.id;\n"
        )
    )
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM f WHERE v = 'b'") == 40


async def test_a_limit_that_a_migration_sets_itself_fails_it_once_with_file_and_line(
    world: World,
) -> None:
    if await world.value("SELECT current_setting('server_version_num')::int") < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    setting, state = "transaction_timeout", "25P04"
    await world.execute("CREATE SEQUENCE tries")
    runs = migration(
        "1",
        f"SELECT nextval('tries');\nSET LOCAL {setting} = '100ms';\nSELECT pg_sleep(3)",
        None,
    )
    outcome = await world.up(runs)
    assert outcome.verdict is Verdict.FAILED
    failure = outcome.failure
    assert failure is not None
    assert (failure.kind, failure.sqlstate) == (FailureClass.SQL, state)
    assert (failure.file, failure.line) == ("1_m.sql", 4)
    assert setting in failure.message
    assert await world.value("SELECT last_value FROM tries") == 1
    assert [state for *_, state in await world.journal()] == ["failed"]


async def test_a_session_that_is_ended_again_and_again_says_by_what_and_where(
    world: World,
) -> None:
    ends = smuggled(migration("1", "SELECT 1"), "SELECT pg_terminate_backend(pg_backend_pid())")
    outcome = await world.up(ends)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert "1_m.sql:1" in outcome.failure.message
    assert "57P01" in outcome.failure.message


@pytest.mark.parametrize("stepwise", [False, True])
async def test_what_is_asserted_is_asserted_whatever_the_database_sets(
    world: World, stepwise: bool
) -> None:
    name = world.settings.database
    await world.execute_as_superuser(
        f"ALTER DATABASE {name} SET plpgsql.check_asserts = off;"
        f"ALTER DATABASE {name} SET plpgsql.extra_errors = 'all';"
        f"ALTER DATABASE {name} SET check_function_bodies = off"
    )
    harmless = "DO $$ DECLARE a int; b int; BEGIN SELECT 1 INTO a, b; END $$"
    one = migration("1", harmless, None, "DO $$ BEGIN ASSERT false, 'no'; END $$")
    outcome = await world.up(one)
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "P0004"
    wrong = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT nosuch'"
    outcome = await world.up(migration("2", wrong, None, stepwise=stepwise))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42703"


SILENT = 'ALTER ROLE "{0}" IN DATABASE "{1}" SET session_replication_role = replica'
FIRES = """
    CREATE TABLE t (id int PRIMARY KEY, v text);
    CREATE TABLE heard (id int);
    CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO heard VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER hear AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION hear();
    INSERT INTO t VALUES (1, 'a');
    DELETE FROM heard
"""
WRITES = [
    pytest.param(migration("1", "UPDATE t SET v = 'b'", None), id="in a transaction"),
    pytest.param(migration("1", "UPDATE t SET v = 'b'", None, stepwise=True), id="step by step"),
    pytest.param(
        data(
            "-- +migrate Data table=t key=id batch=1\n"
            "UPDATE t SET v = 'b' FROM batch WHERE t.id = batch.id;\n"
        ),
        id="in batches",
    ),
    pytest.param(
        load_files(
            "golang-migrate",
            [SourceFile("1_a.up.sql", b"\\set v b\nUPDATE t SET v = :'v';\n")],
            reading=Reading(programs=True),
        ),
        id="by psql",
    ),
]


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize("one", WRITES)
@pytest.mark.parametrize("met", [False, True])
async def test_a_login_that_silences_triggers_is_refused_by_name_until_it_is_cured(
    world: World, one: Migration, met: bool
) -> None:
    await world.execute(FIRES)
    programs = frozenset({Language.PSQL})
    known = await world.up(migration("0", "SELECT 1", None)) if met else None
    more = {"expectation": expecting(known)} if known else {}
    login, database = world.settings.user, world.settings.database
    await world.execute_as_superuser(SILENT.format(login, database))
    outcome = await world.up(one, programs=programs, **more)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "RESET session_replication_role" in outcome.failure.message
    for look in (inspect, glance):
        found = await look(world.settings)
        assert found.failure is not None
        assert "RESET session_replication_role" in found.failure.message
    cured = SILENT.format(login, database).replace("SET s", "RESET s").partition(" =")[0]
    await world.execute_as_superuser(cured)
    outcome = await world.up(one, programs=programs, **more)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM heard") == 1


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize("one", WRITES)
@pytest.mark.parametrize("met", [False, True])
async def test_triggers_fire_for_a_login_that_may_let_them_whatever_it_brings_along(
    superuser_database: FreshDatabase, one: Migration, met: bool
) -> None:
    world = World(await superuser_database())
    await world.execute(FIRES)
    known = await world.up(migration("0", "SELECT 1", None)) if met else None
    more = {"expectation": expecting(known)} if known else {}
    silent = SILENT.format(world.settings.user, world.settings.database)
    await world.execute(silent)
    before = migration("00", "SET session_replication_role = replica", None)
    for look in (inspect, glance):
        assert (await look(world.settings)).failure is None
    outcome = await world.up(before, one, programs=frozenset({Language.PSQL}), **more)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM heard") == 1


POLICED = """
    CREATE TABLE invoices (id int PRIMARY KEY, tenant int, paid text, is_paid boolean);
    INSERT INTO invoices SELECT i, i % 3, 'yes' FROM generate_series(1, 30) AS i;
    ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
    ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
    CREATE POLICY p ON invoices USING (tenant::text = current_setting('app.tenant', true));
"""
FILL = """\
-- +migrate Data table=invoices key=id batch=10 {backup}
UPDATE invoices SET is_paid = (batch.paid = 'yes') FROM batch WHERE invoices.id = batch.id;
"""


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(data(FILL.format(backup="")), id="batches"),
        pytest.param(data(FILL.format(backup="backup=is_paid")), id="with a backup"),
        pytest.param(
            data(
                "-- +migrate Data table=other key=id batch=10\n"
                "UPDATE other SET v = 1 FROM batch WHERE other.id = batch.id;\n"
                "-- +migrate Validate\nSELECT id FROM invoices WHERE is_paid IS NULL;\n"
            ),
            id="validate",
        ),
        pytest.param(
            migration("9", "SELECT 1", None, "SELECT count(*) = 0 FROM invoices"), id="verify"
        ),
    ],
)
async def test_what_a_policy_would_filter_is_refused_and_says_what_to_grant(
    world: World, one: Migration
) -> None:
    await world.execute(POLICED + "CREATE TABLE other (id int PRIMARY KEY, v int);")
    await world.execute("INSERT INTO other VALUES (1, 0)")
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42501"
    assert "BYPASSRLS" in outcome.failure.message
    assert "invoices" in outcome.failure.message


RESTORED = """\
-- +migrate Data table=invoices key=id batch=10 backup=is_paid
UPDATE invoices SET is_paid = (batch.paid = 'yes') FROM batch WHERE invoices.id = batch.id;
"""


async def test_a_policy_that_came_since_stops_the_way_back_and_later_checks(world: World) -> None:
    unpoliced = POLICED.partition("ALTER")[0]
    await world.execute(unpoliced)
    one = data(RESTORED, "8")
    held = migration("9", "SELECT 1", None, "SELECT count(*) = 30 FROM invoices")
    assert (await world.up(one, held)).verdict is Verdict.DONE
    await world.execute(POLICED.removeprefix(unpoliced))
    (checked,) = await verify(world.settings, [held])
    back = await world.rollback(one)
    for failure in (checked.failure, back.failure):
        assert failure is not None
        assert failure.sqlstate == "42501"
        assert "BYPASSRLS" in failure.message
    await world.execute("ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY")
    assert (await verify(world.settings, [held]))[0].failure is None
    again = await world.rollback(one)
    assert again.verdict is Verdict.DONE, again.failure
    assert await world.value("SELECT count(*) FROM invoices WHERE is_paid IS NULL") == 30


@pytest.mark.usefixtures("psql")
async def test_a_verify_script_that_psql_runs_is_not_filtered_either(world: World) -> None:
    await world.execute(POLICED)
    files = {
        "deploy/a.sql": "CREATE TABLE t (id int);\n",
        "verify/a.sql": "\\set n 0\nSELECT 1 / (count(*) = :n)::int FROM invoices;\n",
    }
    sources = [SourceFile(name, text.encode()) for name, text in files.items()]
    one = load_files("sqitch", sources, version="a", reading=Reading(programs=True))
    outcome = await world.up(one, programs=frozenset({Language.PSQL}))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42501"
    assert "BYPASSRLS" in outcome.failure.message
