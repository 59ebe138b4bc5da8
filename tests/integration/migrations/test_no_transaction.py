"""A section without a transaction runs what the server takes in none, whoever wrote the marker."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats.bundle import load_folder
from migrations.model.attempt import Verdict
from tests.integration.migrations.world import World
from tests.support.format_samples import written

PARTITIONED = """
    CREATE TABLE ev (id int, d date) PARTITION BY RANGE (d);
    CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE INDEX ev_i ON ev (id);
    CREATE TABLE n (i int);
    CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
        BEGIN
            FOR i IN 1..3 LOOP INSERT INTO n VALUES (i); COMMIT; END LOOP;
        END $$;
    CREATE PROCEDURE one() LANGUAGE sql AS 'INSERT INTO n VALUES (7)';
"""
MARKED = {
    "sql-migrate": ("1_a.sql", "-- +migrate Up notransaction\n"),
    "goose": ("1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\n"),
    "dbmate": ("1_a.sql", "-- migrate:up transaction:false\n"),
    "golang-migrate": ("1_a.autocommit.up.sql", ""),
    "plain": ("1_a.up.sql", "-- no-transaction\n"),
    "plain, as postgres-migrations": (
        "1_a.sql",
        "-- why\n-- postgres-migrations disable-transaction\n",
    ),
}
ALONE = "SELECT 1;\nREINDEX TABLE ev;\nREINDEX INDEX ev_i;\nCALL fill();\nCALL one();\n"
BLOCK = "DO $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO n VALUES (i); COMMIT; END LOOP; END $$;\n"


@pytest.fixture
async def prepared(world: World) -> World:
    await world.execute(PARTITIONED)
    return world


@pytest.mark.parametrize("format", MARKED)
async def test_what_only_the_server_knows_to_need_no_transaction_runs(
    prepared: World, tmp_path: Path, format: str
) -> None:
    name, head = MARKED[format]
    named = format.partition(",")[0]
    (one,) = load_folder(written(tmp_path, {name: head + ALONE}), named).migrations
    outcome = await prepared.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await prepared.value("SELECT array_agg(i) FROM n") == [1, 2, 3, 7]
    states = [state for *_, state in await prepared.journal()]
    assert states.count("intent") == 3, "the others are one with their entries"


@pytest.mark.parametrize("format", MARKED)
async def test_a_block_that_commits_runs_as_a_procedure_does(
    prepared: World, tmp_path: Path, format: str
) -> None:
    name, head = MARKED[format]
    if format == "goose":
        block = f"-- +goose StatementBegin\n{BLOCK}-- +goose StatementEnd\n"
    else:
        block = BLOCK
    named = format.partition(",")[0]
    (one,) = load_folder(written(tmp_path, {name: f"{head}SELECT 1;\n{block}"}), named).migrations
    assert (await prepared.up(one)).verdict is Verdict.DONE
    assert await prepared.value("SELECT array_agg(i) FROM n") == [1, 2, 3]


@pytest.mark.parametrize(
    ("sql", "state"), [("REINDEX TABLE ev", "25001"), ("CALL fill()", "2D000")]
)
async def test_in_a_transaction_it_is_refused_with_the_way(
    prepared: World, tmp_path: Path, sql: str, state: str
) -> None:
    folder = written(tmp_path, {"1_a.sql": f"-- +migrate Up\nSELECT 1;\n{sql};\n"})
    outcome = await prepared.up(*load_folder(folder).migrations)
    assert outcome.failure is not None
    assert (outcome.failure.sqlstate, outcome.failure.line) == (state, 3)
    assert "write notransaction on the section" in outcome.failure.message
    assert await prepared.value("SELECT count(*) FROM n") == 0


@pytest.mark.parametrize(
    ("name", "text", "way"),
    [
        ("1_a.sql", "-- +goose Up\nCALL fill();\n", "-- +goose NO TRANSACTION"),
        ("1_a.sql", "-- migrate:up\nCALL fill();\n", "transaction:false"),
        ("1_a.sql", "CALL fill();\n", "-- no-transaction"),
        ("1_a.up.sql", "CALL fill();\n", "-- no-transaction"),
        ("V1__a.sql", "CALL fill();\n", "executeInTransaction=false"),
        ("1_a.sql", "-- Up Migration\nCALL fill();\n", "a file of ours beside these"),
    ],
)
async def test_the_way_is_said_in_the_words_of_the_format(
    prepared: World, tmp_path: Path, name: str, text: str, way: str
) -> None:
    folder = written(tmp_path, {name: text})
    failure = (await prepared.up(*load_folder(folder).migrations)).failure
    assert failure is not None
    assert way in failure.message


async def test_a_procedure_that_broke_off_is_called_again_by_itself(
    prepared: World, tmp_path: Path
) -> None:
    await prepared.execute(
        """
        CREATE TABLE ready ();
        CREATE PROCEDURE half() LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO n VALUES (1); COMMIT;
            PERFORM 1 / (to_regclass('ready') IS NULL)::int;
        END $$;
        """
    )
    text = "-- +migrate Up notransaction\nCALL half();\n"
    migrations = load_folder(written(tmp_path, {"1_a.sql": text})).migrations
    failed = await prepared.up(*migrations)
    assert failed.failure is not None
    assert failed.failure.sqlstate == "22012"
    assert await prepared.value("SELECT count(*) FROM n") == 1
    await prepared.execute("DROP TABLE ready")
    assert (await prepared.up(*migrations)).verdict is Verdict.DONE
    assert await prepared.value("SELECT count(*) FROM n") == 2
