"""Recipes on a table whose columns have all that can hang on one: nothing is lost silently."""

from __future__ import annotations

import re

import pytest

from migrations import standalone
from migrations.authoring.recipes import Column, Given
from migrations.model.attempt import Failure, Limits, Verdict
from migrations.model.migration import Migration
from migrations.model.work import Silence
from tests.integration.migrations.test_recipes import down, up, written
from tests.integration.migrations.world import World, migration
from tests.support.catalog import SCHEMA

TABLE = """
    CREATE TABLE kinds (code integer PRIMARY KEY);
    INSERT INTO kinds SELECT generate_series(0, 50);
    CREATE TABLE ev (
        id serial PRIMARY KEY,
        no integer GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5 CACHE 3),
        age integer NOT NULL DEFAULT 18 CONSTRAINT grown CHECK (age >= 0 AND age < 200),
        kind integer NOT NULL CONSTRAINT known REFERENCES kinds (code) ON DELETE CASCADE,
        parent integer REFERENCES ev (id),
        v text,
        CONSTRAINT once UNIQUE (age, id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT sensible CHECK (age < 150 OR kind <> 3)
    );
    CREATE TABLE lines (ev integer CONSTRAINT of_ev REFERENCES ev (id) ON UPDATE CASCADE);
    CREATE INDEX ev_age ON ev (age DESC) WHERE age > 20;
    CREATE INDEX ev_age_kind ON ev (kind, (age + 1));
    CREATE STATISTICS together (dependencies) ON age, kind FROM ev;
    ALTER TABLE ev ALTER COLUMN age SET STATISTICS 77, ALTER COLUMN age SET (n_distinct = 5);
    ALTER TABLE ev REPLICA IDENTITY USING INDEX ev_pkey, CLUSTER ON ev_age_kind;
    COMMENT ON COLUMN ev.age IS 'since birth, 100 % of them';
    COMMENT ON CONSTRAINT grown ON ev IS 'of persons';
    COMMENT ON CONSTRAINT of_ev ON lines IS 'from outside';
    COMMENT ON CONSTRAINT ev_pkey ON ev IS 'the key';
    COMMENT ON INDEX ev_age IS 'of adults';
    COMMENT ON STATISTICS together IS 'both';
    COMMENT ON SEQUENCE ev_no_seq IS 'counts';
    GRANT SELECT (age), UPDATE (age) ON ev TO PUBLIC;
    INSERT INTO ev (age, kind, v) SELECT n % 100, n % 50, 'a' FROM generate_series(1, 2500) AS n;
    UPDATE ev SET parent = 1 WHERE id > 2000;
    INSERT INTO lines SELECT id FROM ev;
"""
MORE = """
    SELECT 'column' AS kind, attname::text AS name, concat_ws(' ', attidentity, attstattarget,
        attoptions, pg_get_serial_sequence('ev', attname)) AS said
    FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'statistics', stxname, concat_ws(' ', stxkind, cardinality(stxkeys::smallint[]))
    FROM pg_statistic_ext
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, concat_ws(' ', indisreplident, indisclustered)
    FROM pg_index WHERE indrelid = 'ev'::regclass
    UNION ALL
    SELECT 'valid', conname, convalidated::text FROM pg_constraint WHERE contype IN ('c', 'f')
    ORDER BY 1, 2, 3
"""


async def catalog(world: World) -> list[str]:
    """All that the catalogs say of the schema, a line each."""
    return [" ".join(map(str, row)) for row in await world.fetch(SCHEMA) + await world.fetch(MORE)]


def meant(lines: list[str], *columns: str, sequence: str = "") -> list[str]:
    """The catalog as it is to be when these columns, and this sequence, are bigint."""
    as_wanted = lines
    for name in columns:
        called = "(?:age|expr)" if name == "age" else name
        pattern = re.compile(rf"^(column (?:ev|ev_\w+|once) {called}) integer")
        as_wanted = [pattern.sub(r"\1 bigint", line) for line in as_wanted]
    if sequence:
        as_wanted = [
            re.sub(r"integer (\d+ \d+ \d+) 2147483647", r"bigint \1 9223372036854775807", line)
            if line.startswith(f"sequence {sequence} ")
            else line
            for line in as_wanted
        ]
    return sorted(as_wanted)


async def refused(world: World, migrations: list[Migration]) -> Failure:
    """Why the last of the migrations was refused."""
    outcome = await standalone.up(world.settings, migrations, Limits(), Silence())
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    return outcome.failure


def counterparts(failure: Failure) -> list[Migration]:
    """Migrations that make what the refusal asks for, word by word."""
    wanted = re.findall(r"with: (CREATE .*?)(?=; index |; view |$)", failure.message)
    return [
        migration(f"0.{number}", sql, None, stepwise=True)
        for number, sql in enumerate(wanted, start=1)
    ]


@pytest.mark.parametrize(
    ("column", "sequence", "indexes"),
    [("id", "ev_id_seq", 2), ("age", "", 3), ("kind", "", 1), ("no", "ev_no_seq", 0)],
)
async def test_a_type_change_keeps_all_that_hangs_on_the_column_and_its_way_back_does(
    world: World, column: str, sequence: str, indexes: int
) -> None:
    await world.execute(TABLE)
    before = await catalog(world)
    migrations = written("type-change", Given("ev", (Column(column, "integer"),), to="bigint"))
    await up(world, migrations[:2])
    expanded = await catalog(world)
    if indexes:
        failure = await refused(world, migrations)
        made = counterparts(failure)
        assert len(made) == indexes, failure.message
        assert "nothing was changed" in failure.message
        assert await catalog(world) == expanded
        await up(world, made)
    await up(world, migrations)
    assert sorted(await catalog(world)) == meant(before, column, sequence=sequence)
    await down(world, migrations)
    assert await catalog(world) == expanded
    assert await world.value("SELECT count(*) FROM ev JOIN lines ON ev.id = lines.ev") == 2500
    await world.execute("INSERT INTO ev (kind) VALUES (1)")
    assert await world.value("SELECT id FROM ev ORDER BY id DESC LIMIT 1") == 2501


async def test_a_rename_keeps_all_that_hangs_on_the_column(world: World) -> None:
    await world.execute(TABLE + "CREATE VIEW report AS SELECT age FROM ev;")
    before = await catalog(world)
    migrations = written("rename-column", Given("ev", (Column("age", "integer"),), to="years"))
    await up(world, migrations[:2])
    await up(world, migrations)
    after = await catalog(world)
    as_before = [re.sub(r"\byears\b", "age", line.replace("years AS age", "age")) for line in after]
    assert sorted(as_before) == sorted(before)
    assert any("years integer true 18" in line for line in after)
    for _ in migrations:
        await down(world, migrations)
    assert await catalog(world) == before


IN_THE_WAY = {
    "a view": ("CREATE VIEW report AS SELECT age FROM ev", "view report"),
    "a materialized view": ("CREATE MATERIALIZED VIEW m AS SELECT sum(age) FROM ev", "view m"),
    "a policy": ("CREATE POLICY adults ON ev USING (age > 17)", "policy adults"),
    "a publication": ("CREATE PUBLICATION told FOR TABLE ev (id, age)", "publication told"),
    "a generated column": (
        "ALTER TABLE ev ADD COLUMN twice integer GENERATED ALWAYS AS (age * 2) STORED",
        "twice",
    ),
    "a trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER watch BEFORE UPDATE OF age ON ev FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger watch",
    ),
    "a trigger's condition": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER watch BEFORE UPDATE ON ev FOR EACH ROW WHEN (OLD.age > 3) "
        "EXECUTE FUNCTION f()",
        "trigger watch",
    ),
    "a rule": ("CREATE RULE r AS ON UPDATE TO ev WHERE OLD.age > 9000 DO NOTHING", "rule r"),
    "a constraint that was never proven": (
        "ALTER TABLE ev ADD CONSTRAINT later CHECK (age <> 9) NOT VALID",
        "constraint later",
    ),
    "a publication's condition": (
        "CREATE PUBLICATION told FOR TABLE ev WHERE (age > 3)",
        "publication told",
    ),
    "a function's body": (
        "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT sum(age) FROM ev; END",
        "function f()",
    ),
    "an exclusion": (
        "ALTER TABLE ev ADD CONSTRAINT apart EXCLUDE USING btree (age WITH =)",
        "constraint apart",
    ),
    "a child table": ("CREATE TABLE child () INHERITS (ev)", "child inherits"),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
async def test_a_type_change_names_what_it_cannot_carry_over_before_it_touches_anything(
    world: World, what: str
) -> None:
    await world.execute("CREATE TABLE ev (id bigint PRIMARY KEY, age integer);")
    statement, name = IN_THE_WAY[what]
    if (
        what.startswith("a publication")
        and await world.value("SELECT current_setting('server_version_num')::int") < 150000
    ):
        pytest.skip("lists of columns came with PostgreSQL 15")
    migrations = written("type-change", Given("ev", (Column("age", "integer"),), to="bigint"))
    await up(world, migrations[:2])
    await world.execute(statement)
    expanded = await catalog(world)
    failure = await refused(world, migrations)
    assert failure.sqlstate == "ML002"
    assert name in failure.message
    assert await catalog(world) == expanded


async def test_a_foreign_key_of_several_columns_is_carried_over(world: World) -> None:
    await world.execute(
        "CREATE TABLE ev (id bigint PRIMARY KEY, age integer, CONSTRAINT pairs UNIQUE (age, id));"
        "CREATE TABLE other (a int, b bigint, CONSTRAINT two FOREIGN KEY (a, b) "
        "REFERENCES ev (age, id) MATCH FULL ON DELETE CASCADE);"
        "INSERT INTO ev VALUES (1, 7); INSERT INTO other VALUES (7, 1)"
    )
    migrations = written("type-change", Given("ev", (Column("age", "integer"),), to="bigint"))
    await up(world, migrations[:2])
    await up(world, counterparts(await refused(world, migrations)))
    await up(world, migrations)
    said = "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conname = 'two'"
    assert await world.fetch(said) == [
        ("FOREIGN KEY (a, b) REFERENCES ev(age, id) MATCH FULL ON DELETE CASCADE", True)
    ]
    await world.execute("DELETE FROM ev")
    assert await world.value("SELECT count(*) FROM other") == 0


@pytest.mark.parametrize("recipe", ["table-split", "rename-column"])
async def test_a_column_that_goes_for_good_takes_nothing_along_unsaid(
    world: World, recipe: str
) -> None:
    await world.execute(TABLE)
    given = Given("ev", (Column("age", "integer"),), to="details")
    if recipe == "rename-column":
        given = Given("ev", (Column("v", "text"),), to="age_2")
    migrations = written(recipe, given)
    await up(world, migrations[:2])
    if recipe == "rename-column":
        await world.execute(
            "CREATE INDEX own ON ev (age_2); ALTER TABLE ev ALTER COLUMN age_2 SET DEFAULT 'x'"
        )
        names = ["index own", "default value for column age_2"]
    else:
        names = [
            "grown",
            "sensible",
            "once",
            "index ev_age",
            "together",
            "NOT NULL",
            "default",
            "comment of column age",
            "grants of column age",
            "statistics target",
        ]
    expanded = await catalog(world)
    failure = await refused(world, migrations)
    assert [name for name in names if name not in failure.message] == []
    assert await catalog(world) == expanded


@pytest.mark.parametrize("recipe", ["type-change", "rename-column", "table-split"])
async def test_a_generated_column_is_refused_by_the_first_phase(world: World, recipe: str) -> None:
    await world.execute(
        "CREATE TABLE ev (id bigint PRIMARY KEY, n int, age int GENERATED ALWAYS AS (n * 2) STORED)"
    )
    migrations = written(recipe, Given("ev", (Column("age", "int"),), to="bigint"))
    failure = await refused(world, migrations[:1])
    assert "generated column" in failure.message
