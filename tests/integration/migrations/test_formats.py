"""Each format on a real database: up, and down again to where it began."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Verdict
from migrations.model.migration import Language
from migrations.verify_applied import verify
from tests.integration.migrations.world import World
from tests.support.format_samples import FOLDERS, TABLE, written

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'colours_name'::regclass"


@pytest.mark.parametrize("format", FOLDERS)
async def test_a_folder_goes_up_and_down(world: World, tmp_path: Path, format: str) -> None:
    migrations = load_folder(written(tmp_path, FOLDERS[format])).migrations
    assert {one.format for one in migrations} == {format}
    assert (await world.up(*migrations)).verdict is Verdict.DONE
    assert await world.value("SELECT shade('red')") == "dark red"
    assert await world.value(VALID)
    checked = await verify(world.settings, migrations)
    assert len(checked) == len([one for one in migrations if one.verify])
    assert all(one.failure is None for one in checked)
    assert await world.value("SELECT count(*) FROM colours") == 0
    if format == "graphile-migrate":
        assert [one.down for one in migrations] == [None] * 3
        return
    assert (await world.rollback(*migrations)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM pg_class WHERE relname ~ 'colours'") == 0
    assert await world.value("SELECT count(*) FROM pg_proc WHERE proname = 'shade'") == 0


GRANTS = {
    "20230101000000_a.sql": (
        "-- migrate:up\nGRANT SELECT ON schema_migrations TO public;\n"
        "-- migrate:down\nREVOKE SELECT ON schema_migrations FROM public;\n"
    )
}


async def test_a_look_alike_of_the_old_tools_table_is_there_when_it_is_asked_for(
    world: World, tmp_path: Path
) -> None:
    folder = written(tmp_path, GRANTS)
    without = await world.up(*load_folder(folder).migrations)
    assert without.failure is not None
    assert without.failure.sqlstate == "42P01"
    migrations = load_folder(folder, "dbmate+table").migrations
    assert (await world.up(*migrations)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM schema_migrations") == 0
    assert (await world.rollback(*migrations)).verdict is Verdict.DONE


ENUM = {
    "1_mood.up.sql": "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (m mood);",
    "2_more.up.sql": "ALTER TYPE mood ADD VALUE 'b';\nINSERT INTO t VALUES ('b');",
}


async def test_a_value_that_is_added_to_an_enum_can_be_used_in_the_same_file(
    world: World, tmp_path: Path
) -> None:
    migrations = load_folder(written(tmp_path, ENUM)).migrations
    assert (await world.up(*migrations)).verdict is Verdict.DONE
    assert await world.value("SELECT m::text FROM t") == "b"


EMPTY = {
    "1_a.sql": "-- +migrate Up\n-- +migrate Down\n",
    "2_b.sql": "-- +migrate Up notransaction\n-- nothing\n",
}


async def test_migrations_that_do_nothing_are_applied(world: World, tmp_path: Path) -> None:
    first, second = load_folder(written(tmp_path, EMPTY)).migrations
    assert (await world.up(first, second)).verdict is Verdict.DONE


@pytest.mark.parametrize(
    ("down", "problem"),
    [
        (b"DROP TABEL colours;", "1_t.down.sql:1:6: PostgreSQL's grammar"),
        (b"DROP TABLE colours;\n'", "1_t.down.sql:2:1: PostgreSQL's grammar says: unterminated"),
        (b"DROP TABLE ${name};", "1_t.down.sql:1:12: variable name is not declared. Declare it"),
        (b"DROP TABLE colours; -- \xe9", "1_t.down.sql:1: byte 23 (0xE9) is not UTF-8. Save"),
    ],
)
async def test_a_broken_down_stops_only_the_way_back(
    world: World, tmp_path: Path, down: bytes, problem: str
) -> None:
    written(tmp_path, {"1_t.up.sql": TABLE})
    (tmp_path / "1_t.down.sql").write_bytes(down)
    migrations = load_folder(tmp_path).migrations
    assert (await world.up(*migrations)).verdict is Verdict.DONE
    outcome = await world.rollback(*migrations)
    assert outcome.failure is not None
    assert outcome.failure.kind == "irreversible"
    assert f"its down cannot run: {problem}" in outcome.failure.message
    assert await world.has("colours")


TABLES = {
    "flyway": ("V1__a.sql", "GRANT SELECT ON flyway_schema_history TO public;"),
    "sql-migrate": ("1_a.sql", "-- +migrate Up\nGRANT SELECT ON gorp_migrations TO public;"),
    "sql-migrate+names": ("a.sql", "-- +migrate Up\nGRANT SELECT ON gorp_migrations TO public;"),
    "plain": ("1_a/migration.sql", 'GRANT SELECT ON "_prisma_migrations" TO public;'),
}


SQITCH = """\
GRANT USAGE ON SCHEMA sqitch TO public;
GRANT SELECT ON sqitch.changes, sqitch.tags, sqitch.projects TO public;
CREATE VIEW known AS SELECT e.change FROM sqitch.events e JOIN sqitch.dependencies USING (change_id)
    WHERE (SELECT max(version) FROM sqitch.releases) > 1;
"""


async def test_scripts_may_name_what_sqitch_keeps_for_itself(world: World, tmp_path: Path) -> None:
    plan = "%syntax-version=1.0.0\n%project=p\n\na 2020-01-01T00:00:00Z A <a@b.c>\n"
    revert = "DROP VIEW known;\nREVOKE SELECT ON sqitch.changes FROM public;\n"
    written(tmp_path, {"sqitch.plan": plan, "deploy/a.sql": SQITCH, "revert/a.sql": revert})
    (advised,) = load_folder(tmp_path).migrations
    assert len(advised.notes) == 7
    assert all("read the folder with --format sqitch+table" in note for note in advised.notes)
    assert (await world.up(advised)).failure is not None
    migrations = load_folder(tmp_path, "sqitch+table").migrations
    assert migrations[0].up.checksum == advised.up.checksum
    assert len(migrations[0].notes) == 7
    assert (await world.up(*migrations)).verdict is Verdict.DONE
    assert (await world.rollback(*migrations)).verdict is Verdict.DONE


@pytest.mark.parametrize("format", TABLES)
async def test_every_tool_with_a_table_of_its_own_has_a_look_alike(
    world: World, tmp_path: Path, format: str
) -> None:
    folder = written(tmp_path, dict([TABLES[format]]))
    (advised,) = load_folder(folder, format).migrations
    assert f"--format {format}+table" in advised.notes[-1]
    migrations = load_folder(folder, f"{format}+table").migrations
    assert "an empty one is made" in migrations[0].notes[-1]
    assert len(migrations[0].notes) == len(advised.notes)
    assert (await world.up(*migrations)).verdict is Verdict.DONE


PAIR = {
    "1_a.up.sql": "\\set x 1\nGRANT SELECT ON public._sqlx_migrations TO public;\nSELECT :x;\n",
    "1_a.down.sql": "REVOKE SELECT ON public._sqlx_migrations FROM public;\n",
}


@pytest.mark.usefixtures("psql")
async def test_a_script_that_psql_runs_finds_a_look_alike_too(world: World, tmp_path: Path) -> None:
    folder, reading = written(tmp_path, PAIR), Reading(programs=True)
    (without,) = load_folder(folder, reading=reading).migrations
    assert any(note.startswith("1_a.up.sql:2: names _sqlx_migrations") for note in without.notes)
    outcome = await world.up(without, programs=frozenset({Language.PSQL}))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42P01"
    assert outcome.failure.line == 2
    (made,) = load_folder(folder, "golang-migrate+table", reading).migrations
    assert (await world.up(made, programs=frozenset({Language.PSQL}))).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM public._sqlx_migrations") == 0
    assert (await world.rollback(made)).verdict is Verdict.DONE


@pytest.mark.usefixtures("psql")
async def test_a_script_that_another_one_includes_finds_a_look_alike_too(
    world: World, tmp_path: Path
) -> None:
    files = {
        "1_a.sql": "\\i inner/rights.sql\n",
        "inner/rights.sql": 'GRANT SELECT ON public."_sqlx_migrations" TO public;\n',
        "psql-files.txt": "inner/*.sql\n",
    }
    folder = written(tmp_path, files)
    (made,) = load_folder(folder, "plain+table", Reading(programs=True)).migrations
    outcome = await world.up(made, programs=frozenset({Language.PSQL}))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM public._sqlx_migrations") == 0
