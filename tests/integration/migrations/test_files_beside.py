"""Files beside a psql script reach the database, from a folder and from what was registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats import Reading
from migrations.formats.beside import LIST
from migrations.formats.bundle import load_files, load_folder
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration
from tests.integration.migrations.world import World

pytestmark = pytest.mark.usefixtures("psql")

ALLOWED = frozenset({Language.PSQL})
READING = Reading(programs=True)
SCRIPT = """\
CREATE TABLE colours (id int, name text);
\\copy colours from 'data/colours.csv' with (format csv)
\\ir parts/more.sql
"""
FILES = {
    "1_a.sql": SCRIPT,
    "data/colours.csv": "1,red\n2,green\n",
    "parts/more.sql": "INSERT INTO colours VALUES (3, 'blue');\n\\ir deeper/last.sql\n",
    "parts/deeper/last.sql": "INSERT INTO colours VALUES (4, 'violet');\n",
    LIST: "data/*\nparts/*\n",
}


def written(path: Path, files: dict[str, str]) -> Migration:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    (one,) = load_folder(path, reading=READING).migrations
    return one


def registered(migration: Migration) -> Migration:
    """As an agent builds it again, far from the folder."""
    return load_files(
        migration.format,
        migration.files,
        version=migration.version,
        name=migration.name,
        reading=READING,
    )


async def test_what_a_script_reads_comes_along_without_leave_to_reach_out(
    world: World, tmp_path: Path
) -> None:
    migration = written(tmp_path, FILES)
    outcome = await world.up(registered(migration), programs=ALLOWED)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.fetch("SELECT id, name FROM colours ORDER BY id") == [
        (1, "red"),
        (2, "green"),
        (3, "blue"),
        (4, "violet"),
    ]
    assert await world.journal() == [("1", "up", 1, "step_done"), ("1", "up", 0, "applied")]


async def test_an_error_in_an_included_script_names_its_file_and_line_and_leaves_nothing(
    world: World, tmp_path: Path
) -> None:
    wrong = {**FILES, "parts/deeper/last.sql": "SELECT 1;\nSELECT nothing;\n"}
    outcome = await world.up(registered(written(tmp_path, wrong)), programs=ALLOWED)
    assert outcome.failure is not None
    where = (outcome.failure.file, outcome.failure.line, outcome.failure.sqlstate)
    assert where == ("parts/deeper/last.sql", 2, "42703")
    assert not await world.has("colours")


async def test_programs_read_what_came_along_and_need_the_second_leave(
    world: World, tmp_path: Path
) -> None:
    script = (
        "CREATE TABLE colours (id int, name text);\n"
        "\\copy colours from program 'cat data/colours.csv' with (format csv)\n"
        "\\set both `cat data/colours.csv`\n"
        "INSERT INTO colours VALUES (length(:'both'), 'read');\n"
    )
    migration = registered(written(tmp_path, {**FILES, "1_a.sql": script}))
    refused = await world.up(migration, programs=ALLOWED)
    assert refused.verdict is Verdict.REFUSED
    done = await world.up(migration, programs=ALLOWED, psql_shell=True)
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.value("SELECT count(*) FROM colours") == 3
    assert await world.value("SELECT max(id) FROM colours") == len("1,red\n2,green")


@pytest.mark.parametrize("line", ["\\set x `false`", "\\echo `cat /none/of/that/name` \\set y 1"])
async def test_a_program_in_backquotes_that_fails_is_no_empty_value(
    world: World, tmp_path: Path, line: str
) -> None:
    text = f"CREATE TABLE colours (id int);\n{line}\n\\set z 1\n"
    migration = registered(written(tmp_path, {"1_a.sql": text}))
    outcome = await world.up(migration, programs=ALLOWED, psql_shell=True)
    assert outcome.failure is not None
    assert (outcome.failure.file, outcome.failure.line) == ("1_a.sql", 2)
    assert "a program in backquotes" in outcome.failure.message
    assert not await world.has("colours")


async def test_a_program_in_backquotes_that_succeeds_gives_its_value(
    world: World, tmp_path: Path
) -> None:
    text = "CREATE TABLE colours (id int);\n\\set x `echo 7`\nINSERT INTO colours VALUES (:x);\n"
    migration = registered(written(tmp_path, {"1_a.sql": text}))
    outcome = await world.up(migration, programs=ALLOWED, psql_shell=True)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT id FROM colours") == 7


@pytest.mark.parametrize("line", ["\\! false", "\\set x `false`", "SELECT 1 \\g | false"])
async def test_a_program_that_an_included_script_starts_may_not_fail_either(
    world: World, tmp_path: Path, line: str
) -> None:
    files = {**FILES, "parts/more.sql": f"SELECT 1;\n{line}\n"}
    migration = registered(written(tmp_path, files))
    outcome = await world.up(migration, programs=ALLOWED, psql_shell=True)
    assert outcome.failure is not None
    assert (outcome.failure.file, outcome.failure.line) == ("parts/more.sql", 2)
    assert "failed (exit status" in outcome.failure.message
    assert not await world.has("colours")
