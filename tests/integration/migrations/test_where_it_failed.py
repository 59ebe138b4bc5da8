"""Every failure says its file and line: at COMMIT, before the first statement, in ours."""

from __future__ import annotations

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Failure, Verdict
from migrations.model.migration import Language, Migration, SourceFile
from tests.integration.migrations.world import World, migration, users

DEFERRED = """\
-- +migrate Up
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (
    parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO children VALUES (1);
SELECT 1;
SELECT 2;
"""
NO_JOURNAL = """
    CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'no DDL today'; END $$;
    CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();
"""


def read(text: str, name: str = "001_m.sql") -> Migration:
    return load_files("sql-migrate", [SourceFile(name, text.encode())])


async def failure_of(world: World, *migrations: Migration, **more: object) -> Failure:
    outcome = await world.up(*migrations, **more)
    assert outcome.failure is not None
    return outcome.failure


@pytest.mark.parametrize("words", ["", " notransaction"], ids=["at once", "step by step"])
async def test_a_deferred_constraint_is_told_at_the_statement_that_names_its_table(
    world: World, words: str
) -> None:
    found = await failure_of(world, read(DEFERRED.replace("Up", f"Up{words}")))
    assert (found.sqlstate, found.file, found.line) == ("23503", "001_m.sql", 6)
    assert "at COMMIT" in found.message


async def test_a_deferred_trigger_is_told_at_the_last_statement_that_names_its_table(
    world: World,
) -> None:
    await world.execute(
        "CREATE TABLE watched (id int); CREATE FUNCTION refuse_row() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'; "
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse_row()"
    )
    found = await failure_of(
        world, migration("001", "SELECT 1;\nINSERT INTO watched VALUES (1);\nSELECT 2")
    )
    assert (found.sqlstate, found.file) == ("P0001", "001_m.sql")
    assert found.line in (3, 4)


async def test_what_fails_before_the_first_statement_is_told_at_that_statement(
    world: World,
) -> None:
    found = await failure_of(world, read("-- +migrate Up role=nobody_at_all\n\nSELECT 1;\n"))
    assert (found.file, found.line) == ("001_m.sql", 3)
    assert "before the first statement" in found.message
    stepwise = "-- +migrate Up notransaction role=nobody_at_all\nSELECT 1;\nVACUUM;\n"
    found = await failure_of(world, read(stepwise))
    assert (found.file, found.line) == ("001_m.sql", 2)


async def test_of_a_part_that_a_script_commits_that_statement_is_told_which_names_the_table(
    world: World,
) -> None:
    first, rest = DEFERRED.split("INSERT")
    text = first.replace("Up", "Up notransaction") + f"BEGIN;\nINSERT{rest}COMMIT;\nSELECT 3;\n"
    found = await failure_of(world, read(text))
    assert (found.sqlstate, found.line) == ("23503", 7)
    assert "at COMMIT" in found.message


@pytest.mark.parametrize("met", [False, True])
async def test_a_role_that_the_login_may_not_take_is_told_with_what_to_grant(
    world: World, *, met: bool
) -> None:
    before = [users()] if met else []
    await world.up(*before)
    found = await failure_of(
        world, *before, read("-- +migrate Up role=pg_monitor\nSELECT 1;\n", "002_m.sql")
    )
    assert (found.sqlstate, found.line) == ("42501", 2)
    assert "GRANT that role to the migrating login" in found.message
    assert "CREATE ON DATABASE" not in found.message


async def test_what_keeps_us_from_making_the_journal_is_told_as_ours_with_the_remedy(
    world: World,
) -> None:
    await world.execute_as_superuser(
        f'REVOKE "{world.owner}" FROM "{world.settings.user}"; '
        "GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC"
    )
    found = await failure_of(world, users())
    assert (found.sqlstate, found.file, found.line) == ("42501", "001_m.sql", 2)
    assert "where the journal is made" in found.message
    assert "GRANT CREATE ON DATABASE" in found.message


async def test_an_event_trigger_that_refuses_our_tables_is_told_where_it_was(world: World) -> None:
    await world.execute_as_superuser(NO_JOURNAL)
    found = await failure_of(world, migration("001", "SELECT 1"))
    assert (found.sqlstate, found.file, found.line) == ("P0001", "001_m.sql", 2)
    assert "where the journal is made" in found.message


@pytest.mark.parametrize("stepwise", [False, True])
async def test_an_entry_that_cannot_be_written_is_told_in_the_file(
    world: World, stepwise: bool
) -> None:
    """Somebody has the journal's table to himself for longer than we wait."""
    await world.up(users())
    import asyncpg

    holder = await asyncpg.connect(world.url)
    await holder.execute("BEGIN; LOCK migration_ledger.journal IN EXCLUSIVE MODE")
    try:
        made = migration("002", "SELECT 1;\nSELECT 2", stepwise=stepwise)
        found = await failure_of(world, users(), made)
    finally:
        await holder.close()
    assert (found.sqlstate, found.file) == ("55P03", "002_m.sql")
    assert found.line is not None


async def test_a_psql_script_that_fails_at_its_end_names_its_last_line(
    world: World, psql: None
) -> None:
    up = DEFERRED.partition("\n")[2] + "\\set done 1\n"
    files = [SourceFile("1_a.up.sql", up.encode())]
    script = load_files("golang-migrate", files, reading=Reading(programs=True))
    found = await failure_of(world, script, programs=frozenset({Language.PSQL}))
    assert (found.sqlstate, found.file, found.line) == ("23503", "1_a.up.sql", 8)
    assert "at COMMIT" in found.message


async def test_a_partitioned_table_that_takes_no_unchecked_foreign_key_is_told_the_way(
    world: World,
) -> None:
    parted = "CREATE TABLE parted (id int, parent int) PARTITION BY RANGE (id)"
    one = "CREATE TABLE one PARTITION OF parted FOR VALUES FROM (0) TO (10)"
    await world.execute(f"CREATE TABLE parents (id int PRIMARY KEY); {parted}; {one}")
    key = "ADD CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parents"
    outcome = await world.up(migration("001", f"ALTER TABLE parted {key} NOT VALID"))
    new = "SELECT current_setting('server_version_num')::int >= 180000"
    if (await world.fetch(new))[0][0]:
        assert outcome.verdict is Verdict.DONE
        return
    assert outcome.failure is not None
    assert "add it NOT VALID to each partition" in outcome.failure.message
    apart = f"ALTER TABLE one {key} NOT VALID; ALTER TABLE one VALIDATE CONSTRAINT to_parent"
    done = await world.up(migration("001", f"{apart}; ALTER TABLE parted {key}"))
    assert done.verdict is Verdict.DONE
