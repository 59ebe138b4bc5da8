"""Our tables in somebody else's database: not stopped, not published, nobody else's."""

from __future__ import annotations

import pytest

from migrations.formats.bundle import load_files
from migrations.inspection import glance, inspect
from migrations.model.attempt import Verdict
from migrations.model.migration import Migration, SourceFile
from tests.integration.migrations.world import World, expecting, migration, users

OURS = "('journal', 'progress', 'backup', 'backup_010')"
MAKE = (
    "CREATE TABLE people (id int PRIMARY KEY, name text);"
    "INSERT INTO people SELECT n, 'name ' || n FROM generate_series(1, 30) AS n"
)
LONG = migration(
    "011", "INSERT INTO people VALUES " + ", ".join(f"({n}, 'x')" for n in range(100, 1300))
)
INDEX = migration(
    "012",
    "CREATE INDEX CONCURRENTLY people_name ON people (name)",
    "DROP INDEX people_name",
    stepwise=True,
)


def moved(version: str = "010") -> Migration:
    """A data migration with a backup, and its way back."""
    text = (
        "-- +migrate Data table=people key=id batch=10 backup=name\n"
        "UPDATE people SET name = 'nobody' FROM batch WHERE people.id = batch.id;\n"
        "-- +migrate Down restore\n"
    )
    return load_files("sql-migrate", [SourceFile(f"{version}_data.sql", text.encode())])


async def all_of_it(world: World) -> None:
    """First contact, data with a backup, long entries, steps, failures, and the way back."""
    await world.execute(MAKE)
    first = await world.up(moved())
    assert first.verdict is Verdict.DONE, first.failure
    second = await world.up(moved(), LONG, INDEX, expectation=expecting(first))
    assert second.verdict is Verdict.DONE, second.failure
    wrong = migration("013", "SELECT " + ", ".join(f"column_number_{n}" for n in range(2_000)))
    failed = await world.up(moved(), LONG, INDEX, wrong)
    assert failed.failure is not None
    assert failed.failure.sqlstate == "42703"
    back = await world.rollback(moved(), LONG, INDEX)
    assert back.verdict is Verdict.DONE or back.failure is not None
    again = await world.up(migration("014", "CREATE TABLE last ()"))
    assert again.verdict is Verdict.DONE, again.failure


LOGS = """
    CREATE TABLE ddl_log (tag text, thing text);
    GRANT SELECT, INSERT ON ddl_log TO PUBLIC;
    CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE r record; BEGIN
        FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
            INSERT INTO ddl_log VALUES (tg_tag, r.object_identity);
        END LOOP;
    END $$;
    CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl();
    CREATE FUNCTION log_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE r record; BEGIN
        FOR r IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
            INSERT INTO ddl_log VALUES (tg_tag, r.object_identity);
        END LOOP;
    END $$;
    CREATE EVENT TRIGGER log_drop ON sql_drop EXECUTE FUNCTION log_drop();
"""
SECURES = """
    CREATE FUNCTION secure() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE r record; BEGIN
        FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', r.object_identity);
            EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', r.object_identity);
        END LOOP;
    END $$;
    CREATE EVENT TRIGGER secure ON ddl_command_end WHEN tag IN ('CREATE TABLE', 'CREATE TABLE AS')
    EXECUTE FUNCTION secure();
"""


async def test_event_triggers_that_log_ddl_find_their_table_and_stop_nothing_of_ours(
    world: World,
) -> None:
    await world.execute_as_superuser(LOGS)
    await all_of_it(world)
    made = await world.value("SELECT count(*) FROM ddl_log WHERE thing LIKE 'migration_ledger%'")
    assert made >= 4


async def test_after_the_first_contact_there_is_no_ddl_of_ours(world: World) -> None:
    await world.up(users())
    await world.execute_as_superuser(LOGS)
    await all_of_it(world)
    assert await world.value("SELECT count(*) FROM ddl_log") > 0
    assert await world.fetch("SELECT * FROM ddl_log WHERE thing LIKE 'migration_ledger%'") == []


async def test_event_triggers_that_secure_every_new_table_do_not_shut_us_out(world: World) -> None:
    await world.execute(MAKE)
    await world.execute_as_superuser(SECURES)
    for versions in ((users(),), (users(), moved())):
        outcome = await world.up(*versions)
        assert outcome.verdict is Verdict.DONE, outcome.failure
    back = await world.rollback(moved())
    assert back.verdict is Verdict.DONE, back.failure


async def test_row_security_that_somebody_switched_on_for_all_tables_does_not_stop_us(
    world: World,
) -> None:
    await world.up(users())
    await world.execute_as_superuser(
        "ALTER TABLE migration_ledger.journal ENABLE ROW LEVEL SECURITY"
    )
    again = await world.up(users(), migration("002", "CREATE TABLE b ()"))
    assert again.verdict is Verdict.DONE, again.failure


GRANTS = """
    CREATE ROLE "{app}" NOLOGIN;
    ALTER DEFAULT PRIVILEGES FOR ROLE "{login}" GRANT ALL ON TABLES TO "{app}", PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE "{login}" GRANT ALL ON SCHEMAS TO "{app}", PUBLIC;
"""
REVOKES = """
    CREATE ROLE "{app}" NOLOGIN;
    ALTER DEFAULT PRIVILEGES FOR ROLE "{login}" REVOKE ALL ON TABLES FROM "{login}";
    ALTER DEFAULT PRIVILEGES FOR ROLE "{login}" REVOKE ALL ON SCHEMAS FROM "{login}";
"""
RIGHTS = f"""
    SELECT relname::text FROM pg_class, pg_roles AS r
    WHERE relnamespace = 'migration_ledger'::regnamespace AND relname IN {OURS}
        AND r.rolname = '{{app}}'
        AND (has_table_privilege(r.oid, pg_class.oid, 'SELECT')
             OR has_table_privilege(r.oid, pg_class.oid, 'DELETE, INSERT, UPDATE, TRUNCATE'))
"""


@pytest.mark.parametrize("defaults", [GRANTS, REVOKES], ids=["to others", "away from the owner"])
async def test_default_privileges_make_our_tables_nobody_elses_and_keep_us_in(
    world: World, defaults: str
) -> None:
    app = f"{world.settings.database}_app"
    await world.execute(MAKE)
    await world.execute_as_superuser(defaults.format(app=app, login=world.settings.user))
    try:
        first = await world.up(users())
        second = await world.up(users(), moved(), expectation=expecting(first))
        assert second.verdict is Verdict.DONE, second.failure
        assert await world.fetch(RIGHTS.format(app=app)) == []
        enters = f"SELECT has_schema_privilege('{app}', 'migration_ledger', 'USAGE, CREATE')"
        assert not await world.value(enters)
        back = await world.rollback(moved())
        assert back.verdict is Verdict.DONE, back.failure
    finally:
        await world.execute_as_superuser(f'DROP OWNED BY "{app}"; DROP ROLE "{app}"')


@pytest.mark.parametrize("published", ["FOR ALL TABLES", "FOR TABLES IN SCHEMA migration_ledger"])
async def test_saved_rows_are_sent_to_no_subscriber(world: World, published: str) -> None:
    await world.execute(MAKE)
    await world.up(users())
    if "SCHEMA" in published and await world.value(
        "SELECT current_setting('server_version_num')::int < 150000"
    ):
        published = "FOR ALL TABLES"
    await world.execute_as_superuser(f"CREATE PUBLICATION everything {published}")
    outcome = await world.up(users(), moved())
    assert outcome.verdict is Verdict.DONE, outcome.failure
    sent = await world.fetch("SELECT tablename::text FROM pg_publication_tables")
    assert ("backup_010",) not in sent
    assert await world.value("SELECT count(*) FROM migration_ledger.backup_010") == 30
    back = await world.rollback(moved())
    assert back.verdict is Verdict.DONE, back.failure
    assert await world.value("SELECT count(*) FROM people WHERE name LIKE 'name %'") == 30


async def test_what_reaches_our_tables_all_the_same_is_warned_of_with_its_remedy(
    world: World,
) -> None:
    await world.up(users())
    for look in (inspect, glance):
        assert (await look(world.settings)).warnings == ()
    await world.execute_as_superuser(
        "CREATE PUBLICATION everything FOR ALL TABLES; "
        f"ALTER ROLE \"{world.settings.user}\" SET log_statement = 'all'"
    )
    for look in (inspect, glance):
        published, logged = (await look(world.settings)).warnings
        assert "published with everything includes migration_ledger.journal" in published
        assert "publish named tables or schemas instead" in published
        assert "log_statement is all" in logged


async def test_rows_that_were_saved_before_somebody_published_everything_are_warned_of(
    world: World,
) -> None:
    await world.execute(MAKE)
    await world.up(moved())
    await world.execute_as_superuser("CREATE PUBLICATION everything FOR ALL TABLES")
    for look in (inspect, glance):
        (published,) = (await look(world.settings)).warnings
        assert "but for what is in migration_ledger.backup_010 until `ledger db drop-" in published


async def test_saved_rows_that_are_published_later_say_only_their_key_when_they_go(
    world: World,
) -> None:
    await world.up(users())
    told_apart = await world.fetch(
        "SELECT c.relname::text, c.relreplident = 'f', EXISTS ("
        "SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary) FROM pg_class AS c "
        "WHERE c.relnamespace = 'migration_ledger'::regnamespace AND c.relkind = 'r' "
        "AND c.relname <> 'journal' ORDER BY 1"
    )
    assert told_apart == [
        ("backup", True, False),
        ("progress", True, False),
        ("saved", False, True),
    ]


async def test_what_a_crash_took_of_saved_rows_is_said_and_not_called_restored(
    world: World,
) -> None:
    await world.execute(MAKE)
    await world.execute_as_superuser("CREATE PUBLICATION everything FOR ALL TABLES")
    await world.up(moved())
    # What the server does to a table that is not logged when it comes up after a crash.
    await world.execute("TRUNCATE migration_ledger.backup_010")
    back = await world.rollback(moved())
    assert back.failure is not None
    assert "the backup was lost when the server crashed or failed over" in back.failure.message


async def test_where_nothing_publishes_it_a_backup_outlives_a_crash(world: World) -> None:
    await world.execute(MAKE)
    await world.up(moved())
    kept = "SELECT relpersistence FROM pg_class WHERE relname = 'backup_010'"
    assert await world.value(kept) == b"p"


async def test_a_key_that_is_saved_among_other_columns_comes_back_with_them(world: World) -> None:
    await world.execute(MAKE)
    text = (
        "-- +migrate Data table=people key=id batch=10 backup=id,name\n"
        "UPDATE people SET name = 'nobody' FROM batch WHERE people.id = batch.id;\n"
    )
    one = load_files("sql-migrate", [SourceFile("010_data.sql", text.encode())])
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    back = await world.rollback(one)
    assert back.verdict is Verdict.DONE, back.failure
    assert await world.value("SELECT count(*) FROM people WHERE name LIKE 'name %'") == 30
