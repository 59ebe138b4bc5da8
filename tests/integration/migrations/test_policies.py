"""What a policy would leave out is refused, also to the statements of the author's own."""

from __future__ import annotations

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration, SourceFile
from tests.integration.migrations.world import World, migration

FORCED = """
    CREATE TABLE invoices (id int PRIMARY KEY, tenant int, paid text DEFAULT 'no');
    INSERT INTO invoices SELECT i, i % 3 FROM generate_series(1, 30) AS i;
    ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
    ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
    CREATE POLICY p ON invoices USING (tenant::text = current_setting('app.tenant', true));
    CREATE TABLE copied (id int);
    CREATE VIEW seen AS SELECT * FROM invoices;
    CREATE FUNCTION pay() RETURNS void LANGUAGE sql AS $$ UPDATE invoices SET paid = 'yes' $$;
"""
UPDATE = "UPDATE invoices SET paid = 'yes'"
MEANT = "SET row_security = on"
STATEMENTS = {
    "update": UPDATE,
    "delete": "DELETE FROM invoices WHERE id > 0",
    "insert of what is selected": "INSERT INTO copied SELECT id FROM invoices",
    "update from": "UPDATE copied SET id = 1 FROM invoices",
    "with": "WITH d AS (DELETE FROM invoices RETURNING id) INSERT INTO copied SELECT id FROM d",
    "a new table": "CREATE TABLE more AS SELECT * FROM invoices",
    "a materialized view": "CREATE MATERIALIZED VIEW more AS SELECT * FROM invoices",
    "a DO block": f"DO $$ BEGIN {UPDATE}; END $$",
    "executed": "DO $$ BEGIN EXECUTE 'UPDATE invoices SET paid = ''yes'''; END $$",
    "a function": "SELECT pay()",
    "through a view": "INSERT INTO copied SELECT id FROM seen",
    "a foreign key that is checked": (
        "ALTER TABLE copied ADD FOREIGN KEY (id) REFERENCES invoices (id)"
    ),
    "delete using": "DELETE FROM invoices USING copied WHERE copied.id = invoices.id",
}
MODULE = """\
async def up(conn):
    await conn.execute("UPDATE invoices SET paid = 'yes'")
"""


def of_psql(text: str) -> Migration:
    files = [SourceFile("1_a.up.sql", text.encode())]
    return load_files("golang-migrate", files, reading=Reading(programs=True))


def refused(failure: object) -> str:
    assert failure is not None
    assert getattr(failure, "sqlstate", "") == "42501", failure
    message: str = getattr(failure, "message", "")
    for said in ("invoices", "BYPASSRLS", "NO FORCE ROW LEVEL SECURITY", MEANT):
        assert said in message
    return message


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
async def test_a_statement_that_a_policy_would_filter_fails_at_its_line(
    world: World, statement: str
) -> None:
    await world.execute(FORCED)
    outcome = await world.up(migration("1", f"CREATE TABLE t (id int);\n{statement}"))
    refused(outcome.failure)
    assert outcome.failure is not None
    assert (outcome.failure.file, outcome.failure.line) == ("1_m.sql", 3)
    assert not await world.has("t")


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(migration("1", UPDATE, None, stepwise=True), id="step by step"),
        pytest.param(
            migration("1", f"CREATE INDEX CONCURRENTLY i ON copied (id);\n{UPDATE}", None),
            id="beside a concurrent index",
        ),
        pytest.param(
            migration("1", "CALL paying()", None, stepwise=True), id="a call that commits"
        ),
        pytest.param(of_psql(f"\\set a 1\nSELECT :a;\n{UPDATE};\n"), id="psql"),
        pytest.param(
            of_psql(f"\\set a 1\nSELECT :a;\nBEGIN;\n{UPDATE};\nCOMMIT;\n"), id="psql, cut"
        ),
        pytest.param(load_files("python", [SourceFile("1_a.py", MODULE.encode())]), id="a module"),
    ],
)
@pytest.mark.usefixtures("psql")
async def test_however_a_migration_runs_it_is_not_filtered(world: World, one: Migration) -> None:
    await world.execute(FORCED)
    await world.execute(
        "CREATE PROCEDURE paying() LANGUAGE plpgsql AS $$ "
        "BEGIN INSERT INTO copied VALUES (1); COMMIT; UPDATE invoices SET paid = 'yes'; END $$"
    )
    outcome = await world.up(one, programs=frozenset(Language))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert "BYPASSRLS" in outcome.failure.message, outcome.failure


async def test_a_way_back_is_not_filtered_either(world: World) -> None:
    await world.execute(FORCED)
    one = migration("1", "SELECT 1", UPDATE)
    assert (await world.up(one)).verdict is Verdict.DONE
    refused((await world.rollback(one)).failure)


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize(
    "one",
    [
        pytest.param(migration("1", f"{MEANT};\n{UPDATE}", None), id="one transaction"),
        pytest.param(migration("1", f"SET LOCAL row_security TO on;\n{UPDATE}", None), id="local"),
        pytest.param(migration("1", f"{MEANT};\n{UPDATE}", None, stepwise=True), id="steps"),
        pytest.param(of_psql(f"\\set a on\nSET row_security = :a;\n{UPDATE};\n"), id="psql"),
    ],
)
async def test_policies_hold_where_the_text_says_that_they_are_meant(
    world: World, one: Migration
) -> None:
    await world.execute(FORCED)
    await world.execute_as_superuser(
        "CREATE POLICY ours ON invoices TO PUBLIC USING (tenant = 1) WITH CHECK (true)"
    )
    outcome = await world.up(one, programs=frozenset({Language.PSQL}))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    await world.execute("ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY")
    assert await world.value("SELECT count(*) FROM invoices WHERE paid = 'yes'") == 10


async def test_what_one_migration_says_of_policies_does_not_hold_for_the_next(
    world: World,
) -> None:
    await world.execute(FORCED)
    outcome = await world.up(migration("1", MEANT, None), migration("2", UPDATE, None))
    refused(outcome.failure)


@pytest.mark.parametrize(
    "cure",
    [
        "ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE invoices DISABLE ROW LEVEL SECURITY",
        "ALTER ROLE {login} BYPASSRLS",
    ],
)
@pytest.mark.parametrize("stepwise", [False, True])
async def test_who_sees_all_rows_is_not_in_the_way(world: World, cure: str, stepwise: bool) -> None:
    await world.execute(FORCED)
    one = migration("1", UPDATE, None, stepwise=stepwise)
    refused((await world.up(one)).failure)
    await world.execute_as_superuser(cure.format(login=world.settings.user))
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM invoices WHERE paid = 'yes'") == 30


async def test_policies_are_made_and_changed_and_keys_are_held_as_ever(world: World) -> None:
    await world.execute(FORCED)
    text = """\
CREATE TABLE lines (invoice int REFERENCES invoices (id) ON DELETE CASCADE, tenant int);
ALTER TABLE lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE lines FORCE ROW LEVEL SECURITY;
CREATE POLICY q ON lines USING (tenant = 1);
ALTER POLICY q ON lines RENAME TO r;
CREATE INDEX ON lines (tenant);
ALTER TABLE invoices ADD COLUMN more int NOT NULL DEFAULT 1;
ALTER TABLE invoices ALTER COLUMN paid SET NOT NULL;
ALTER TABLE invoices ADD CONSTRAINT few CHECK (id < 100);
INSERT INTO copied VALUES (7)"""
    outcome = await world.up(migration("1", text, "DROP TABLE lines"))
    assert outcome.verdict is Verdict.DONE, outcome.failure
