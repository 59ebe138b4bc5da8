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
        await connection.execute("CREATE TABLE t (a text CHECK (a = 'only this'))")
        shape = TableShape("public", "t", 10, (ColumnShape("a"),))
        (found,) = await fill(connection, (shape,), "", 100)
        assert found == FilledTable(shape, '"public"."t"', 0, found.why)
        assert 'violates check constraint "t_a_check"' in found.why
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
