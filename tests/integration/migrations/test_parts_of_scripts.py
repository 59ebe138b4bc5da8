"""Scripts that begin and end transactions themselves, run on a server: their parts are steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration, SourceFile
from tests.integration.migrations.world import World, migration, smuggled
from tests.support.format_samples import written

HEADS = {
    "sql-migrate": ("1_a.sql", "-- +migrate Up notransaction\n"),
    "goose": ("1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\n"),
    "dbmate": ("1_a.sql", "-- migrate:up transaction:false\n"),
    "golang-migrate": ("1_a.autocommit.up.sql", ""),
    "plain": ("1_a.sql", "-- no-transaction\n"),
}
XACT = "SELECT count(DISTINCT xid::text) FROM made"
MADE = "CREATE TABLE made (what text, xid xid8 DEFAULT pg_current_xact_id());\n"


def read(path: Path, format: str, text: str) -> Migration:
    name, head = HEADS[format]
    (one,) = load_folder(written(path, {name: head + text}), format).migrations
    return one


@pytest.mark.parametrize("format", HEADS)
async def test_what_a_script_commits_together_commits_together(
    world: World, tmp_path: Path, format: str
) -> None:
    text = (
        f"{MADE}BEGIN;\nLOCK TABLE made;\nINSERT INTO made VALUES ('a');\n"
        "INSERT INTO made VALUES ('b');\nCOMMIT;\nCREATE INDEX CONCURRENTLY i ON made (what);\n"
        "BEGIN;\nINSERT INTO made VALUES ('c');\nINSERT INTO made VALUES ('d');\nCOMMIT;\n"
    )
    outcome = await world.up(read(tmp_path, format, text))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM made") == 4
    assert await world.value(XACT) == 2
    steps = [step for _, _, step, state in await world.journal() if state == "step_done"]
    assert steps == [1, 4, 5, 7]


async def test_what_is_said_for_one_transaction_holds_in_that_one(
    world: World, tmp_path: Path
) -> None:
    """Also where nothing says that the script takes no transaction."""
    text = (
        "BEGIN;\nSET LOCAL work_mem = '7MB';\n"
        "CREATE TABLE a AS SELECT current_setting('work_mem') AS memory;\nCOMMIT;\n"
        "BEGIN;\nCREATE TABLE b AS SELECT current_setting('work_mem') AS memory;\nCOMMIT;\n"
    )
    (one,) = load_folder(written(tmp_path, {"1_a.sql": text})).migrations
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT memory FROM a") == "7MB"
    assert await world.value("SELECT memory <> '7MB' FROM b")


async def test_what_a_deferred_constraint_checks_at_a_commit_stops_no_later_part(
    world: World, tmp_path: Path
) -> None:
    await world.execute(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1); "
        "CREATE TABLE c (id int, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
    )
    text = (
        "BEGIN;\nINSERT INTO c VALUES (1, 1);\nCOMMIT;\n"
        "BEGIN;\nALTER TABLE c ADD COLUMN z int;\nCOMMIT;\n"
    )
    (one,) = load_folder(written(tmp_path, {"1_a.sql": text})).migrations
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_a_part_that_fails_leaves_nothing_of_itself_and_is_run_again(
    world: World, tmp_path: Path
) -> None:
    text = (
        f"{MADE}BEGIN;\nINSERT INTO made VALUES ('a');\nCOMMIT;\n"
        "BEGIN;\nINSERT INTO made VALUES ('b');\nINSERT INTO there VALUES (1);\nCOMMIT;\n"
    )
    one = read(tmp_path, "goose", text)
    failed = await world.up(one)
    assert failed.failure is not None
    assert (failed.failure.sqlstate, failed.failure.line) == ("42P01", 9)
    assert await world.value("SELECT array_agg(what) FROM made") == ["a"]
    await world.execute("CREATE TABLE there (n int)")
    assert (await world.up(one)).verdict is Verdict.DONE
    assert await world.value("SELECT array_agg(what) FROM made") == ["a", "b"]


async def test_two_pairs_in_a_section_with_a_transaction_are_all_or_nothing(
    world: World, tmp_path: Path
) -> None:
    pairs = "BEGIN;\nCREATE TABLE a ();\nCOMMIT;\nBEGIN;\nCREATE TABLE {} ();\nCOMMIT;\n"
    wrong = written(tmp_path, {"1_a.sql": f"-- +migrate Up\n{pairs.format('a')}"})
    (one,) = load_folder(wrong).migrations
    assert (await world.up(one)).failure is not None
    assert not await world.has("a")
    (tmp_path / "1_a.sql").write_text(f"-- +migrate Up\n{pairs.format('b')}")
    (one,) = load_folder(tmp_path).migrations
    assert (await world.up(one)).verdict is Verdict.DONE


SAVED = """\
INSERT INTO made VALUES ('a');
SAVEPOINT migration_ledger;
INSERT INTO made VALUES ('b');
CREATE TABLE gone (id int);
SAVEPOINT "Inner";
SET LOCAL work_mem = '7MB';
SET LOCAL lock_timeout = '1ms';
ROLLBACK TO "Inner";
ROLLBACK TO SAVEPOINT migration_ledger;
INSERT INTO made SELECT current_setting('work_mem');
RELEASE migration_ledger;
"""


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("", ""),
        ("BEGIN;\n", "COMMIT;\n"),
        ("BEGIN;\n", "COMMIT;\nCREATE INDEX CONCURRENTLY i ON made (what);\n"),
    ],
    ids=["plain", "wrapped", "a part"],
)
async def test_a_scripts_savepoints_take_back_what_they_say(
    world: World, tmp_path: Path, head: str, tail: str, known: bool
) -> None:
    await world.execute(MADE)
    if known:
        await world.up(migration("0", "SELECT 1", None))
    (one,) = load_folder(written(tmp_path, {"1_a.sql": head + SAVED + tail}), "plain").migrations
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    memory = await world.value("SELECT current_setting('work_mem')")
    assert await world.fetch("SELECT what FROM made ORDER BY 1") == [(memory,), ("a",)]
    assert not await world.has("gone")
    assert (await world.up(one)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM made") == 2


async def test_what_fails_behind_a_savepoint_takes_all_of_it_back(
    world: World, tmp_path: Path
) -> None:
    text = "CREATE TABLE t (id int);\nSAVEPOINT a;\nSELECT 1 / 0;\nROLLBACK TO a;\n"
    (one,) = load_folder(written(tmp_path, {"1_a.sql": text}), "plain").migrations
    outcome = await world.up(one)
    assert outcome.failure is not None
    assert (outcome.failure.sqlstate, outcome.failure.line) == ("22012", 3)
    assert not await world.has("t")


async def test_no_savepoint_hides_that_the_journal_was_touched(world: World) -> None:
    forged = "DELETE FROM migration_ledger.journal"
    one = smuggled(migration("1", "SELECT 1", None), "SAVEPOINT a", forged, "RELEASE a")
    await world.up(migration("0", "SELECT 1", None))
    outcome = await world.up(one)
    assert outcome.verdict is Verdict.FAILED
    assert [state for *_, state in await world.journal()] == ["applied", "failed"]


@pytest.mark.usefixtures("psql")
async def test_psql_runs_savepoints_in_one_transaction(world: World) -> None:
    await world.execute(MADE)
    text = "\\set a 1\nSELECT :a;\n" + SAVED.replace("migration_ledger", "outer_one")
    files = [SourceFile("1_a.up.sql", text.encode())]
    one = load_files("golang-migrate", files, reading=Reading(programs=True))
    assert any("in one transaction" in note for note in one.notes)
    outcome = await world.up(one, programs=frozenset({Language.PSQL}))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM made") == 2
