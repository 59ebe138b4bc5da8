"""What a failure says: which object, which line; and never a value of the tenant's."""

from __future__ import annotations

import pytest

from tests.integration.migrations.world import World, migration

SECRET = "4111111111111111"
BEFORE = f"""
    CREATE TABLE orders (id int PRIMARY KEY, total int);
    CREATE VIEW custom_report_7 AS SELECT total FROM orders;
    CREATE TABLE lines (order_id int REFERENCES orders (id));
    CREATE TABLE people (card text);
    INSERT INTO people VALUES ('{SECRET}');
    CREATE FUNCTION checked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'card % is not valid', NEW.card;
    END $$;
    CREATE TRIGGER checked BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION checked();
"""


@pytest.fixture
async def furnished(world: World) -> World:
    await world.execute(BEFORE)
    return world


async def said(world: World, sql: str, *, stepwise: bool = False) -> tuple[str, int]:
    """Message and line; the statement begins on the second line."""
    failure = (await world.up(migration("001", sql, stepwise=stepwise))).failure
    assert failure is not None
    assert SECRET not in repr(failure)
    return failure.message, failure.line or 0


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("ALTER TABLE orders ALTER COLUMN total TYPE bigint", ["custom_report_7", '"total"']),
        ("ALTER TABLE orders DROP COLUMN total", ["view custom_report_7", "hint: Use DROP"]),
        ("DROP TABLE orders", ["constraint lines_order_id_fkey on table lines"]),
        ("SET ROLE nosuch", ['role "nosuch" does not exist']),
    ],
)
@pytest.mark.parametrize("stepwise", [False, True])
async def test_what_is_in_the_way_is_named(
    furnished: World, sql: str, names: list[str], stepwise: bool
) -> None:
    message, _ = await said(furnished, sql, stepwise=stepwise)
    for name in names:
        assert name in message


@pytest.mark.parametrize("stepwise", [False, True])
async def test_the_line_is_that_of_the_word_which_is_wrong(
    furnished: World, stepwise: bool
) -> None:
    sql = "SELECT 1;\nCREATE TABLE a (\n    id int,\n    x nosuch_type\n)"
    message, line = await said(furnished, sql, stepwise=stepwise)
    assert message == 'type "nosuch_type" does not exist'
    assert line == 5


async def test_of_a_do_block_the_statement_inside_is_named_by_its_line(furnished: World) -> None:
    sql = "SELECT 1;\nDO $$\nBEGIN\n    PERFORM 1;\n    DROP TABLE orders;\nEND $$"
    message, line = await said(furnished, sql)
    assert "orders" in message
    assert line == 6


async def test_what_a_do_block_executes_is_told_in_the_authors_words_and_without_values(
    furnished: World,
) -> None:
    sql = (
        "DO $$ DECLARE r record; BEGIN\n    FOR r IN SELECT 'lines' || '' AS n, card FROM people\n"
        "    LOOP EXECUTE format('ALTER TABLE %I DROP COLUMN total', r.n); END LOOP;\nEND $$"
    )
    message, line = await said(furnished, sql)
    assert message == 'column "total" of relation "lines" does not exist'
    assert line == 4
    message, _ = await said(furnished, sql.replace("'lines' || ''", "card"))
    assert message == 'relation "***" does not exist'


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE people SET card = card",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; "
        "RAISE EXCEPTION 'no %', c; END $$",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; "
        "RAISE EXCEPTION 'no %', c USING ERRCODE = '42P01'; END $$",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; "
        "EXECUTE format('DROP TABLE %I', c); END $$",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; "
        "EXECUTE format('GRANT SELECT ON people TO %I', c); END $$",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; "
        "EXECUTE 'SELECT x' || c || ' FROM people'; END $$",
        "DO $$ DECLARE c text; BEGIN SELECT card INTO c FROM people; ASSERT false, c; END $$",
        "INSERT INTO orders SELECT card::bigint::int FROM people",
    ],
)
@pytest.mark.parametrize("stepwise", [False, True])
async def test_no_value_of_a_row_is_said(furnished: World, sql: str, stepwise: bool) -> None:
    await said(furnished, sql, stepwise=stepwise)


async def test_an_error_that_the_author_wrote_is_said_in_his_words(furnished: World) -> None:
    sql = "DO $$ BEGIN RAISE EXCEPTION 'run the loader first; it''s missing'; END $$"
    message, _ = await said(furnished, sql)
    assert message == "run the loader first; it's missing"


async def test_where_a_function_failed_is_said(furnished: World) -> None:
    message, _ = await said(furnished, "UPDATE people SET card = card")
    assert message.endswith("(in checked(), line 3)")


@pytest.mark.parametrize(
    "name",
    [
        "card::regclass",
        "('a.' || card)::regclass",
        "('a.b.' || card)::regclass",
        "nextval('a' || card)",
        "card::regtype",
        "('x' || card)::regrole",
        "('x' || card)::regproc",
        "current_setting('a' || card)",
    ],
)
async def test_a_value_that_is_looked_up_as_a_name_is_masked(furnished: World, name: str) -> None:
    for number, sql in enumerate(
        (f"SELECT {name} FROM people", f"CREATE TABLE z AS SELECT {name} AS x FROM people")
    ):
        failure = (await furnished.up(migration(f"01{number}", sql))).failure
        assert failure is not None
        assert SECRET not in repr(failure)


@pytest.mark.parametrize("name", ["'nosuch'::regclass", "nextval('nosuch')", "'nosuch'::regtype"])
async def test_a_name_that_the_author_wrote_is_said(furnished: World, name: str) -> None:
    message, _ = await said(furnished, f"SELECT {name}")
    assert '"nosuch" does not exist' in message


async def test_what_stops_a_migration_before_anything_of_it_runs_has_file_and_line(
    world: World,
) -> None:
    assert (await world.up(migration("001", "SELECT 1"))).failure is None
    changed = (await world.up(migration("001", "\nSELECT 2"))).failure
    assert changed is not None
    assert (changed.file, changed.line) == ("001_m.sql", 3)
