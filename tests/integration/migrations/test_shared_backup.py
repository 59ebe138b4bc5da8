"""Saved rows where event triggers hear of every table: no DDL, and the same way back."""

from __future__ import annotations

import pytest

from migrations import backup_removal
from migrations.formats.bundle import load_files
from migrations.inspection import glance
from migrations.model.attempt import Verdict
from migrations.model.migration import Migration, SourceFile
from migrations.standalone import Outside
from tests.integration.migrations.test_own_tables import LOGS
from tests.integration.migrations.world import IMPATIENT, World, users

ROWS = 250
TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
    CREATE TYPE place AS (street text, no int);
    CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> '');
"""
MAKE = f"""
    {TYPES}
    CREATE TABLE things (
        tenant text, id numeric, t text, c char(4), v varchar(9), n numeric, f float8, b bool,
        by bytea, d date, ts timestamptz, i interval, j jsonb, js json, a int[], aa text[], m mood,
        p place, s short, u uuid, bits bit(3), net inet, r int4range, "Mixed Case" text, e "char",
        PRIMARY KEY (tenant, id)
    );
    INSERT INTO things SELECT 'te''nant ' || n % 3, n + 0.50, 'line' || chr(10) || '"\\' || n, 'ab',
        'v' || n, n / 7.0, n / 7.0::float8, n % 2 = 0, decode('00ff5c27', 'hex'),
        date '2020-01-31' + n, timestamptz '2020-01-31 23:59:59.123456+05' + n * interval '1 h',
        interval '-1 mon 3 days -04:05:06.7', '{{"a": [1, null, "x"]}}', '{{"a" :  1}}',
        ARRAY[n, NULL],
        ARRAY['a,b', NULL, '', '"'], 'so so', ROW('x "y", z', NULL)::place, 'abc',
        gen_random_uuid(), B'101', '10.0.0.1/8', '[1,5)', NULL, 'e'
    FROM generate_series(1, {ROWS}) AS n;
    UPDATE things SET t = NULL, a = NULL, p = NULL, j = 'null' WHERE id < 10;
"""
SAVED = 't,c,v,n,f,b,by,d,ts,i,j,js,a,aa,m,p,s,u,bits,net,r,"Mixed Case",e'
EMPTY = ", ".join(f"{name} = NULL" for name in SAVED.split(","))
STOPS = """
    CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no DDL today: %', tg_tag; END $$;
    CREATE EVENT TRIGGER no_ddl_starts ON ddl_command_start EXECUTE FUNCTION no_ddl();
"""
OURS = "SELECT tag, thing FROM ddl_log WHERE thing LIKE 'migration_ledger%'"
ALL = "SELECT md5(string_agg(things::text, '|' ORDER BY tenant, id)) FROM things"


def emptied(down: str = "-- +migrate Down restore", more: str = "") -> Migration:
    """Everything is set to NULL in batches, and saved before."""
    return data(
        f"-- +migrate Data table=things key=tenant,id batch=60 backup={SAVED}",
        f"UPDATE things SET {EMPTY} FROM batch "
        "WHERE (things.tenant, things.id) = (batch.tenant, batch.id);",
        f"{more}{down}",
    )


def data(*lines: str) -> Migration:
    """A data migration of these lines."""
    text = "\n".join(lines) + "\n"
    return load_files("sql-migrate", [SourceFile("010_data.sql", text.encode())])


@pytest.fixture
async def stopped(world: World) -> World:
    """A database that is known, and takes no DDL any more."""
    await world.execute(MAKE)
    first = await world.up(users())
    assert first.verdict is Verdict.DONE, first.failure
    await world.execute_as_superuser(STOPS)
    return world


async def test_data_is_saved_and_restored_where_every_ddl_is_refused_after_the_first_contact(
    stopped: World,
) -> None:
    before = await stopped.value(ALL)
    done = await stopped.up(users(), emptied())
    assert done.verdict is Verdict.DONE, done.failure
    assert await stopped.value("SELECT count(*) FROM things WHERE num_nonnulls(t, p, j) > 0") == 0
    (backup,) = (await glance(stopped.settings)).backups
    assert (backup.table, backup.rows) == ("migration_ledger.saved", ROWS)
    assert backup.bytes > 0
    back = await stopped.rollback(emptied())
    assert back.verdict is Verdict.DONE, back.failure
    assert back.steps[0].note == f"{ROWS} rows in 5 batches"
    assert await stopped.value(ALL) == before
    assert await stopped.value("SELECT count(*) FROM migration_ledger.saved") == 0
    again = await stopped.up(users(), emptied(), rollout="again")
    assert again.verdict is Verdict.DONE, again.failure


async def test_the_log_of_an_event_trigger_has_nothing_of_ours_after_the_first_contact(
    world: World,
) -> None:
    await world.execute(MAKE)
    await world.up(users())
    await world.execute_as_superuser(LOGS)
    assert (await world.up(users(), emptied())).verdict is Verdict.DONE
    assert (await world.rollback(emptied())).verdict is Verdict.DONE
    assert await world.fetch(OURS) == []


async def test_sections_of_the_migration_read_what_was_saved_by_the_name_of_its_table(
    stopped: World,
) -> None:
    more = (
        "-- +migrate Validate\n"
        "SELECT FROM migration_ledger.backup_010 WHERE d < '2020-01-01';\n"
        'SELECT 1 WHERE (SELECT sum(x.f) FROM migration_ledger."backup_010" AS x) IS NULL;\n'
        "-- +migrate Verify\n"
        f"SELECT count(*) = {ROWS} FROM Migration_Ledger . backup_010 WHERE backup_010.id > 0;\n"
    )
    down = (
        "-- +migrate Down restore\n"
        "INSERT INTO back SELECT id, v FROM batch JOIN migration_ledger.backup_010 USING (id, v);"
    )
    await stopped.execute_as_superuser("ALTER EVENT TRIGGER no_ddl_starts DISABLE")
    await stopped.execute("CREATE TABLE back (id numeric, v text)")
    await stopped.execute_as_superuser("ALTER EVENT TRIGGER no_ddl_starts ENABLE")
    done = await stopped.up(users(), emptied(down, more))
    assert done.verdict is Verdict.DONE, done.failure
    back = await stopped.rollback(emptied(down, more))
    assert back.verdict is Verdict.DONE, back.failure
    assert await stopped.value("SELECT count(*) FROM back WHERE v LIKE 'v%'") == ROWS


async def test_half_of_it_comes_back_as_far_as_it_came_and_a_retry_goes_on(stopped: World) -> None:
    before = await stopped.value(ALL)
    await stopped.execute("INSERT INTO things (tenant, id, v) VALUES ('z', 1, NULL)")
    wrong = data(
        "-- +migrate Data table=things key=tenant,id batch=60 backup=v,n",
        "UPDATE things SET v = 'x' || things.v, n = CASE WHEN batch.v IS NULL "
        "THEN 1 / (batch.id - batch.id) ELSE 1 END "
        "FROM batch WHERE (things.tenant, things.id) = (batch.tenant, batch.id);",
        "-- +migrate Down restore",
    )
    for _ in range(2):
        failed = await stopped.up(users(), wrong)
        assert failed.failure is not None
        assert failed.failure.sqlstate == "22012"
    assert await stopped.value("SELECT count(*) FROM migration_ledger.saved") == 240
    back = await stopped.rollback(wrong)
    assert back.verdict is Verdict.DONE, back.failure
    await stopped.execute("DELETE FROM things WHERE tenant = 'z'")
    assert await stopped.value(ALL) == before


@pytest.mark.parametrize("rule", ["refuse", "keep", "overwrite"])
async def test_a_row_written_since_is_treated_as_the_file_says(stopped: World, rule: str) -> None:
    before = await stopped.value("SELECT v FROM things WHERE id = 5.50")
    migration = emptied(f"-- +migrate Down restore conflict={rule}")
    assert (await stopped.up(users(), migration)).verdict is Verdict.DONE
    await stopped.execute("UPDATE things SET v = 'mine' WHERE id = 5.50")
    await stopped.execute("DELETE FROM things WHERE id = 7.50")
    undone = await stopped.rollback(migration)
    assert (undone.verdict is Verdict.FAILED) == (rule == "refuse"), undone.failure
    left = await stopped.value("SELECT v FROM things WHERE id = 5.50")
    assert left == (before if rule == "overwrite" else "mine")
    others = await stopped.value("SELECT count(*) FROM things WHERE v IS NULL")
    assert others == (ROWS - 2 if rule == "refuse" else 0)


async def test_a_backup_is_dropped_by_a_persons_word_also_after_a_crash_half_way(
    stopped: World,
) -> None:
    assert (await stopped.up(users(), emptied())).verdict is Verdict.DONE
    # What a crash leaves between the entry that says so and the last of the rows.
    other = "UPDATE migration_ledger.backup SET name = 'gone'"
    gone, outcome = await backup_removal.drop_backups(
        stopped.settings, ["010"], IMPATIENT, outside=Outside("not needed")
    )
    assert outcome.failure is None, outcome.failure
    assert [one.version for one in gone] == ["010"]
    assert await stopped.value("SELECT count(*) FROM migration_ledger.saved") == 0
    assert await stopped.value("SELECT count(*) FROM migration_ledger.backup") == 0
    again = emptied()
    assert (await stopped.up(users(), again, rollout="again")).verdict is Verdict.DONE
    await stopped.execute(other)
    back = await stopped.rollback(again)
    assert back.failure is not None
    assert await stopped.value("SELECT count(*) FROM migration_ledger.saved") == 0


async def test_a_publication_of_all_tables_gets_none_of_the_saved_rows(world: World) -> None:
    """Then there is DDL of ours all the same: a table that is not logged, which none publishes."""
    await world.execute(MAKE)
    await world.up(users())
    await world.execute_as_superuser(f"{LOGS}; CREATE PUBLICATION everything FOR ALL TABLES")
    done = await world.up(users(), emptied())
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.value("SELECT count(*) FROM migration_ledger.saved") == 0
    assert await world.value("SELECT count(*) FROM migration_ledger.backup_010") == ROWS
    back = await world.rollback(emptied())
    assert back.verdict is Verdict.DONE, back.failure
