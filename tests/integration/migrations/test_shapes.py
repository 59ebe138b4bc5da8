"""Shapes of tables, and rows made like them: as many, as null and as different, and nobody's."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from migrations.formats.bundle import load_folder
from migrations.rehearsal.fixtures import Fixtures
from migrations.rehearsal.rehearsal import RehearsalStage, rehearse
from migrations.rehearsal.results import MigrationRehearsal
from migrations.rehearsal.rows import FilledTable, fill, grow
from migrations.rehearsal.shapes import ColumnShape, TableShape, read, shapes_of, written
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import FreshDatabase

SECRET = "4929-1234-5678-9012"
SCHEMA = """
    CREATE TYPE mood AS ENUM ('good', 'bad', 'odd');
    CREATE DOMAIN short AS varchar(8);
    CREATE TABLE owners (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        code short NOT NULL UNIQUE,
        card text,
        mood mood NOT NULL,
        born date,
        extra jsonb,
        tags text[] NOT NULL,
        twice int GENERATED ALWAYS AS (2) STORED
    );
    CREATE TABLE pets (
        id uuid PRIMARY KEY,
        owner bigint NOT NULL REFERENCES owners,
        weight numeric(9, 2),
        alive boolean NOT NULL,
        seen timestamptz DEFAULT now()
    );
"""
ROWS = f"""
    INSERT INTO owners (code, card, mood, tags)
    SELECT 'c' || n, CASE WHEN n % 4 = 0 THEN '{SECRET}' END, 'good', '{{}}'
    FROM generate_series(1, 400) AS n;
    INSERT INTO pets (id, owner, weight, alive)
    SELECT md5(n::text)::uuid, 1 + n % 400, n % 10, true FROM generate_series(1, 900) AS n;
    ANALYZE owners; ANALYZE pets;
"""


class Silent:
    """Hears a rehearsal and says nothing."""

    def begun(self, label: str, number: int, total: int) -> None:
        pass

    def ended(self, result: MigrationRehearsal) -> None:
        pass


async def shapes_like(url: str) -> tuple[TableShape, ...]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA + ROWS)
        return await shapes_of(connection)
    finally:
        await connection.close()


async def test_shapes_hold_counts_and_no_value_of_any_row(fresh_database: FreshDatabase) -> None:
    shapes = await shapes_like(await fresh_database())
    owners, pets = shapes
    assert (owners.name, owners.rows, pets.rows) == ("owners", 400, 900)
    by_name = {one.name: one for one in owners.columns}
    assert by_name["card"].nulls == pytest.approx(0.75, abs=0.01)
    assert by_name["code"].distinct == -1
    document = written(shapes)
    assert SECRET.encode() not in document
    assert b"good" not in document
    assert read(document) == shapes


async def test_rows_are_like_the_shapes_and_keep_what_the_tables_demand(
    fresh_database: FreshDatabase,
) -> None:
    shapes = await shapes_like(await fresh_database())
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute(SCHEMA)
        # The table that refers to the other comes first: it waits.
        filled = await fill(connection, tuple(reversed(shapes)), "", 500)
        assert sorted((one.table, one.rows, one.why) for one in filled) == [
            ('"public"."owners"', 400, ""),
            ('"public"."pets"', 500, ""),
        ]
        nulls, codes = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE card IS NULL), count(DISTINCT code) FROM owners"
        ) or (0, 0)
        assert nulls == pytest.approx(300, abs=10)
        assert codes == 400
        weights = "SELECT count(DISTINCT weight), count(DISTINCT owner) > 100 FROM pets"
        assert tuple(await connection.fetchrow(weights) or ()) == (10, True)
        again = await fill(connection, shapes, "", 500)
        assert again == []
    finally:
        await connection.close()


async def test_a_column_that_comes_later_gets_values_where_nothing_else_gave_any(
    fresh_database: FreshDatabase,
) -> None:
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
        columns = (ColumnShape("id", distinct=-1), ColumnShape("n", distinct=3), ColumnShape("d"))
        (made,) = await fill(connection, (TableShape("public", "t", 9, columns),), "", 100)
        await connection.execute("ALTER TABLE t ADD n int, ADD d int DEFAULT 5")
        grown = await grow(connection, made, "")
        assert grown.columns == {"id", "n", "d"}
        assert await connection.fetchval("SELECT count(DISTINCT n) FROM t WHERE d = 5") == 3
        assert await grow(connection, grown, "") == grown
    finally:
        await connection.close()


async def test_a_table_that_refuses_such_rows_stays_empty_and_is_named(
    fresh_database: FreshDatabase,
) -> None:
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute("CREATE TABLE t (a text NOT NULL CHECK (md5(a) = 'no such'))")
        shape = TableShape("public", "t", 10, (ColumnShape("a"),))
        (found,) = await fill(connection, (shape,), "", 100)
        assert found == FilledTable(shape, '"public"."t"', 0, found.why)
        assert 'violates check constraint "t_a_check"' in found.why
    finally:
        await connection.close()


DEMANDS = {
    "a key of two references": (
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);"
        "CREATE TABLE t (a int REFERENCES a, b int REFERENCES b, PRIMARY KEY (a, b))",
        100,
    ),
    "a reference of two columns": (
        "CREATE TABLE a (x int, y int, PRIMARY KEY (x, y));"
        "CREATE TABLE t (x int NOT NULL, y int NOT NULL, FOREIGN KEY (y, x) REFERENCES a (y, x))",
        100,
    ),
    "a reference of two columns, in a key with another": (
        "CREATE TABLE a (x int, y int, PRIMARY KEY (x, y));"
        "CREATE TABLE t (x int, y int, z boolean, PRIMARY KEY (x, y, z),"
        " FOREIGN KEY (x, y) REFERENCES a)",
        100,
    ),
    "references that share a column": (
        "CREATE TABLE a (tenant int, id int, PRIMARY KEY (tenant, id));"
        "CREATE TABLE b (tenant int, id int, PRIMARY KEY (tenant, id));"
        "CREATE TABLE t (tenant int NOT NULL, a int NOT NULL, b int NOT NULL,"
        " FOREIGN KEY (tenant, a) REFERENCES a, FOREIGN KEY (tenant, b) REFERENCES b)",
        100,
    ),
    "a key of few values": (
        "CREATE TYPE mood AS ENUM ('good', 'bad', 'odd');"
        "CREATE TABLE t (m mood, b boolean, PRIMARY KEY (m, b))",
        6,
    ),
    "a key with a column that is free": (
        "CREATE TABLE t (b boolean, day date, UNIQUE (b, day), n int)",
        100,
    ),
    "one of a list": ("CREATE TABLE t (a text NOT NULL CHECK (a IN ('draft', 'sent')))", 100),
    "one text": ("CREATE TABLE t (a text CHECK (a = 'only this'))", 100),
    "a number between": ("CREATE TABLE t (n int NOT NULL CHECK (n BETWEEN 7 AND 9))", 100),
    "a number below zero": ("CREATE TABLE t (n int NOT NULL CHECK (n < -5))", 100),
    "a share": ("CREATE TABLE t (n numeric(3, 2) NOT NULL CHECK (n > 0 AND n < 1))", 100),
    "a small number": ("CREATE TABLE t (n smallint NOT NULL CHECK (n > 32000))", 100),
    "one column beyond another": (
        "CREATE TABLE t (a timestamptz NOT NULL, b timestamptz NOT NULL, CHECK (b > a),"
        " CHECK (a >= '2024-02-01' AND a < '2024-03-01'))",
        100,
    ),
    "one of two": (
        "CREATE TABLE t (a text, b int, CHECK ((a IS NULL) <> (b IS NULL)))",
        100,
    ),
    "a length": ("CREATE TABLE t (code text NOT NULL UNIQUE CHECK (length(code) = 12))", 100),
    "letters of a length": (
        "CREATE TABLE t (code char(3) NOT NULL CHECK (code = upper(code) AND code ~ '^[A-Z]{3}$'))",
        100,
    ),
    "a pattern": (
        "CREATE TABLE t (mail text NOT NULL CHECK (mail ~ '^[^@]+@[^@]+[.][a-z]{2,}$'))",
        100,
    ),
    "a likeness": ("CREATE TABLE t (a text NOT NULL UNIQUE CHECK (a LIKE 'user-%'))", 100),
    "an array that is not empty": (
        "CREATE TABLE t (tags text[] NOT NULL CHECK (cardinality(tags) > 0))",
        100,
    ),
    "an object with a key": (
        "CREATE TABLE t (data jsonb NOT NULL CHECK (data ? 'name'))",
        100,
    ),
    "a domain": (
        "CREATE DOMAIN zip AS text CHECK (VALUE ~ '^[0-9]{5}$'); CREATE DOMAIN home AS zip"
        " NOT NULL; CREATE TABLE t (a home)",
        100,
    ),
    "partitions": (
        "CREATE TABLE t (id int NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2031-01-01') TO ('2032-01-01')",
        100,
    ),
    "partitions by list, below each other": (
        "CREATE TABLE t (kind text NOT NULL, n int NOT NULL) PARTITION BY LIST (kind);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('warm') PARTITION BY RANGE (n);"
        "CREATE TABLE t2 PARTITION OF t1 FOR VALUES FROM (5000) TO (6000)",
        100,
    ),
    "two of one table that differ": (
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE t (x int NOT NULL REFERENCES a,"
        " y int NOT NULL REFERENCES a, CHECK (x <> y))",
        100,
    ),
    "a reference to itself": (
        "CREATE TABLE t (id int PRIMARY KEY, up int NOT NULL REFERENCES t, old int REFERENCES t,"
        " CHECK (old <> id))",
        100,
    ),
    "a reference to itself by a number that the server gives": (
        "CREATE TABLE t (id bigserial PRIMARY KEY, name text, up bigint REFERENCES t)",
        100,
    ),
    "a reference to itself beside another that shares a column": (
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE t (a int REFERENCES a, id int,"
        " up int, PRIMARY KEY (a, id), FOREIGN KEY (a, up) REFERENCES t)",
        100,
    ),
    "kinds that are rare": (
        "CREATE TABLE t (p point NOT NULL, r int4range NOT NULL, m macaddr NOT NULL UNIQUE,"
        " b bit(8) NOT NULL, i inet NOT NULL, t time NOT NULL, h numeric(2, 0)"
        " NOT NULL, v tsvector NOT NULL)",
        100,
    ),
}


@pytest.mark.parametrize("demand", DEMANDS)
async def test_rows_are_made_that_fit_what_a_table_demands(
    fresh_database: FreshDatabase, demand: str
) -> None:
    sql, rows = DEMANDS[demand]
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute(sql)
        shapes = tuple(
            TableShape("public", name, 100, ())
            for name in ("t", "a", "b")
            if f"TABLE {name} (" in sql
        )
        filled = {one.table: one for one in await fill(connection, shapes, "", 100)}
        assert {one.why for one in filled.values()} == {""}
        assert await connection.fetchval("SELECT count(*) FROM t") == rows
    finally:
        await connection.close()


async def test_a_new_column_gets_what_its_condition_lets_in(fresh_database: FreshDatabase) -> None:
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, low int NOT NULL)")
        columns = tuple(ColumnShape(one) for one in ("id", "low", "high", "state"))
        (made,) = await fill(connection, (TableShape("public", "t", 50, columns),), "", 100)
        await connection.execute(
            "ALTER TABLE t ADD high int, ADD state text, ADD CHECK (high > low + 100),"
            " ADD CHECK (state IN ('open', 'closed'))"
        )
        grown = await grow(connection, made, "")
        assert grown.why == ""
        asked = "SELECT count(high), count(state) FROM t"
        assert tuple(await connection.fetchrow(asked) or ()) == (50, 50)
    finally:
        await connection.close()


async def test_a_rehearsal_with_such_rows_catches_what_a_down_loses(
    fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    shapes = await shapes_like(await fresh_database())
    (tmp_path / "1_all.sql").write_text(f"-- +migrate Up\n{SCHEMA}\n")
    lossy = "-- +migrate Up\nALTER TABLE pets DROP COLUMN weight;\n"
    lossy += "-- +migrate Down\nALTER TABLE pets ADD COLUMN weight numeric(9, 2);\n"
    (tmp_path / "2_weight.sql").write_text(lossy)
    settings = ConnectionSettings.from_url(await fresh_database(), allow_plaintext=True)
    stage = RehearsalStage(settings, shapes=shapes, rows_most=200)
    migrations = load_folder(tmp_path).migrations
    found = await rehearse(stage, migrations, Fixtures(), Silent())
    (problem,) = found.migrations[1].problems
    assert problem.details == ("public.pets.weight: 200 values before, 0 after",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"form": 2, "tables": []}',
        b'{"form": 1, "tables": [{"schema": "", "name": "t"}]}',
        b'{"form": 1, "tables": [{"schema": "", "name": 3, "rows": 1, "columns": []}]}',
        b'{"form": 1, "tables": [{"schema": "", "name": "t", "rows": 1e400, "columns": []}]}',
        b'{"form": 1, "tables": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_file_of_shapes_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(ValueError, match="this is no file of shapes"):
        read(content)
