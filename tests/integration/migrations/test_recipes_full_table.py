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
    ALTER STATISTICS together SET STATISTICS 88;
    ALTER INDEX ev_age_kind ALTER COLUMN 2 SET STATISTICS 99;
    CREATE INDEX ev_v ON ev (lower(v) COLLATE "C");
    ALTER TABLE ev ALTER COLUMN v SET STORAGE EXTERNAL, ALTER COLUMN v SET COMPRESSION pglz;
    COMMENT ON SEQUENCE ev_no_seq IS 'counts';
    GRANT SELECT (age), UPDATE (age) ON ev TO PUBLIC;
    INSERT INTO ev (age, kind, v) SELECT n % 100, n % 50, 'a' FROM generate_series(1, 2500) AS n;
    UPDATE ev SET parent = 1 WHERE id > 2000;
    INSERT INTO lines SELECT id FROM ev;
"""
MORE = """
    SELECT 'column' AS kind, attname::text AS name, concat_ws(' ', attidentity, attstattarget,
        attoptions, attcollation::regcollation, attcompression,
        CASE attlen WHEN -1 THEN attstorage END, pg_get_serial_sequence('ev', attname)) AS said
    FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'statistics', stxname, concat_ws(' ', stxkind, cardinality(stxkeys::smallint[]),
        nullif(stxstattarget, -1))
    FROM pg_statistic_ext
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, concat_ws(' ', indisreplident, indisclustered)
    FROM pg_index WHERE indrelid = 'ev'::regclass
    UNION ALL
    SELECT 'of index', attrelid::regclass::text, concat_ws(' ', attnum, nullif(attstattarget, -1))
    FROM pg_attribute JOIN pg_index ON attrelid = indexrelid WHERE indrelid = 'ev'::regclass
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
    "an exclusion's condition": (
        "ALTER TABLE ev ADD CONSTRAINT apart EXCLUDE USING hash (id WITH =) WHERE (age < 0)",
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


LATER = {
    "a table that inherits": ("CREATE TABLE child () INHERITS (ev)", "child inherits from it"),
    "a key of two columns": (
        "ALTER TABLE ev DROP CONSTRAINT ev_pkey, ADD PRIMARY KEY (age, id)",
        "no unique index has exactly the key id",
    ),
    "a key for some rows": (
        "ALTER TABLE ev DROP CONSTRAINT ev_pkey; CREATE UNIQUE INDEX few ON ev (id) WHERE id > 3",
        "no unique index has exactly the key id",
    ),
}


@pytest.mark.parametrize("recipe", ["type-change", "rename-column", "table-split", "not-null"])
@pytest.mark.parametrize("what", LATER)
async def test_what_a_later_phase_would_fail_at_is_found_by_the_first(
    world: World, what: str, recipe: str
) -> None:
    await world.execute("CREATE TABLE ev (id bigint PRIMARY KEY, age integer, v text)")
    statement, said = LATER[what]
    await world.execute(statement)
    column = Column("v") if recipe == "not-null" else Column("v", "text")
    value = "'x'" if recipe == "not-null" else ""
    to = {"type-change": "varchar(9)", "not-null": ""}.get(recipe, "other")
    migrations = written(recipe, Given("ev", (column,), to=to, value=value))
    before = await catalog(world)
    if recipe == "not-null" and "inherits" in said:
        await up(world, migrations)
        return
    failure = await refused(world, migrations[:1])
    assert said in failure.message
    assert await catalog(world) == before


@pytest.mark.parametrize("recipe", ["type-change", "rename-column"])
async def test_an_inherited_column_is_refused_by_the_first_phase(world: World, recipe: str) -> None:
    await world.execute(
        "CREATE TABLE parent (age integer);"
        "CREATE TABLE ev (id bigint PRIMARY KEY) INHERITS (parent)"
    )
    migrations = written(recipe, Given("ev", (Column("age", "integer"),), to="bigint"))
    failure = await refused(world, migrations[:1])
    assert "column age is inherited" in failure.message


async def test_what_is_not_null_already_does_not_lose_that_on_a_way_back(world: World) -> None:
    await world.execute("CREATE TABLE ev (id bigint PRIMARY KEY, age integer NOT NULL)")
    failure = await refused(world, written("not-null", Given("ev", (Column("age"),)))[:1])
    assert "NOT NULL already" in failure.message


@pytest.mark.parametrize("recipe", ["type-change", "rename-column", "table-split"])
async def test_a_generated_column_is_refused_by_the_first_phase(world: World, recipe: str) -> None:
    await world.execute(
        "CREATE TABLE ev (id bigint PRIMARY KEY, n int, age int GENERATED ALWAYS AS (n * 2) STORED)"
    )
    migrations = written(recipe, Given("ev", (Column("age", "int"),), to="bigint"))
    failure = await refused(world, migrations[:1])
    assert "generated column" in failure.message


async def test_a_type_change_keeps_how_a_text_is_stored(world: World) -> None:
    await world.execute(TABLE)
    before = await catalog(world)
    migrations = written("type-change", Given("ev", (Column("v", "text"),), to="varchar(90)"))
    await up(world, migrations[:2])
    await up(world, counterparts(await refused(world, migrations)))
    await up(world, migrations)
    after = [line.replace("character varying(90)", "text") for line in await catalog(world)]
    after = [line.replace("((v)::text)", "(v)") for line in after]
    assert sorted(after) == sorted(before)


async def test_a_collation_that_the_new_type_does_not_say_is_named_before_it_is_lost(
    world: World,
) -> None:
    await world.execute('CREATE TABLE ev (id bigint PRIMARY KEY, v text COLLATE "C")')
    without = written("type-change", Given("ev", (Column("v", "text"),), to="varchar(90)"))
    await up(world, without[:2])
    failure = await refused(world, without)
    assert 'collation "C" of column v' in failure.message
    await down(world, without)
    await down(world, without)
    type_ = 'varchar(90) COLLATE "C"'
    migrations = written("type-change", Given("ev", (Column("v", 'text COLLATE "C"'),), to=type_))
    await up(world, migrations)
    collation = "SELECT collation_name FROM information_schema.columns WHERE column_name = 'v'"
    assert await world.value(collation) == "C"
    await down(world, migrations)
    assert await world.value(collation) == "C"


CHANGES = """
    CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN NEW.age := NEW.age + 1; RETURN NEW; END';
    CREATE TRIGGER {} BEFORE INSERT OR UPDATE ON ev FOR EACH ROW EXECUTE FUNCTION change()
"""


@pytest.mark.parametrize("recipe", ["type-change", "rename-column"])
async def test_a_trigger_of_the_tables_own_does_not_part_what_is_kept_alike(
    world: World, recipe: str
) -> None:
    await world.execute(
        "CREATE TABLE ev (id bigint PRIMARY KEY, age integer);" + CHANGES.format("upd_age")
    )
    to = "bigint" if recipe == "type-change" else "years"
    migrations = written(recipe, Given("ev", (Column("age", "integer"),), to=to))
    await up(world, migrations[:2])
    await world.execute("INSERT INTO ev VALUES (1, 10)")
    await up(world, migrations)
    name = "age" if recipe == "type-change" else "years"
    assert await world.value(f"SELECT {name} FROM ev") == 11


@pytest.mark.parametrize("recipe", ["type-change", "rename-column"])
@pytest.mark.parametrize("late", [False, True])
async def test_a_trigger_that_has_the_last_word_is_named_before_anything_is_touched(
    world: World, recipe: str, late: bool
) -> None:
    await world.execute("CREATE TABLE ev (id bigint PRIMARY KEY, age integer)")
    to = "bigint" if recipe == "type-change" else "years"
    migrations = written(recipe, Given("ev", (Column("age", "integer"),), to=to))
    if late:
        await up(world, migrations[:2])
    await world.execute(CHANGES.format("zzz"))
    before = await catalog(world)
    failure = await refused(world, migrations if late else migrations[:1])
    assert failure.sqlstate == "ML002"
    assert "zzz" in failure.message
    assert await catalog(world) == before


async def test_whoever_writes_the_old_table_goes_on_when_it_is_split(world: World) -> None:
    await world.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, name text, city text, street text);"
        "INSERT INTO users SELECT n, 'n', 'c' FROM generate_series(1, 30) AS n"
    )
    names = [f"{world.settings.database}_{role}" for role in ("app", "one", "reader")]
    app, one, reader = names
    await world.execute_as_superuser(
        "".join(f"CREATE ROLE {name};" for name in names)
        + f"GRANT SELECT, INSERT, UPDATE ON users TO {app}; GRANT SELECT ON users TO {reader};"
        f"GRANT SELECT (id), UPDATE (name) ON users TO {one};"
        f"ALTER TABLE users OWNER TO {world.owner}"
    )
    given = Given("users", (Column("city", "text"), Column("street", "text")), to="addresses")
    migrations = written("table-split", given)
    try:
        await up(world, migrations[:2])
        for role, does in (
            (app, "UPDATE users SET city = 'z' WHERE id = 1; INSERT INTO users VALUES (31, 'x')"),
            (app, "UPDATE addresses SET street = 's' WHERE id = 2"),
            (one, "UPDATE users SET name = 'm' WHERE id = 3"),
            (reader, "SELECT count(*) FROM addresses, users_with_addresses"),
            (world.owner, "UPDATE users SET city = 'o' WHERE id = 4"),
        ):
            await world.execute_as_superuser(f"SET ROLE {role}; {does}")
        assert await world.value("SELECT city FROM addresses WHERE id = 1") == "z"
        assert await world.value("SELECT street FROM users WHERE id = 2") == "s"
        assert await world.value("SELECT city FROM addresses WHERE id = 4") == "o"
        await up(world, migrations)
        for _ in migrations:
            await down(world, migrations)
    finally:
        await world.execute_as_superuser(
            "".join(f"DROP OWNED BY {name}; DROP ROLE {name};" for name in names)
        )


async def test_a_table_with_policies_is_not_split_into_one_without(world: World) -> None:
    await world.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, city text);"
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY"
    )
    migrations = written("table-split", Given("users", (Column("city", "text"),), to="addresses"))
    failure = await refused(world, migrations[:1])
    assert "policies" in failure.message
    assert not await world.has("addresses")


@pytest.mark.parametrize("recipe", ["type-change", "rename-column", "table-split"])
async def test_no_way_back_leaves_out_rows_that_a_policy_hides(world: World, recipe: str) -> None:
    await world.execute(
        "CREATE TABLE ev (id bigint PRIMARY KEY, age integer);"
        "INSERT INTO ev SELECT n, n FROM generate_series(1, 30) AS n"
    )
    to = {"type-change": "bigint", "rename-column": "years", "table-split": "ages"}[recipe]
    migrations = written(recipe, Given("ev", (Column("age", "integer"),), to=to))
    await up(world, migrations)
    await world.execute(
        "ALTER TABLE ev ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY few ON ev USING (id < 3)"
    )
    outcome = await standalone.down(world.settings, migrations, Limits(), Silence())
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42501"
    assert "BYPASSRLS" in outcome.failure.message
    await world.execute("ALTER TABLE ev NO FORCE ROW LEVEL SECURITY")
    await down(world, migrations)
    assert await world.value("SELECT count(*) FROM ev WHERE age = id") == 30
