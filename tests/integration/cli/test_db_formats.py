"""Folders of Flyway and of Sqitch on one database: up, verified, down, and up again."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.support.program import Answer, LedgerProgram

WHO = "2026-01-02T03:04:05Z A <a@example.com>"


def results(answer: Answer) -> list[tuple[str, str]]:
    return [(item["migration"], item["result"]) for item in answer.items]


async def value(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


@pytest.fixture
def flyway(tmp_path: Path) -> str:
    """Return a folder with versions, an undo, a repeatable and a placeholder."""
    files = {
        "V1__init.sql": "CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.t (a int);",
        "V1_10__more.sql": "ALTER TABLE ${schema}.t ADD b int;",
        "U1.10__more.sql": "DROP VIEW IF EXISTS ${schema}.v; ALTER TABLE ${schema}.t DROP b;",
        "V1.9__index.sql": "CREATE INDEX CONCURRENTLY i ON ${schema}.t (a);",
        "R__view.sql": "CREATE OR REPLACE VIEW ${schema}.v AS SELECT a FROM ${schema}.t;",
    }
    return write(tmp_path / "flyway", files)


@pytest.fixture
def sqitch(tmp_path: Path) -> str:
    """Return a project with a rework; its verify scripts write, and end with ROLLBACK."""
    body = "BEGIN;\nCREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT {}';\n"
    files = {
        "sqitch.plan": "%project=p\n"
        f"table {WHO}\none [table] {WHO}\n@v1 {WHO}\none [one@v1] {WHO} # two\n",
        "deploy/table.sql": "BEGIN;\nCREATE TABLE t (a int);\nCOMMIT;",
        "revert/table.sql": "BEGIN;\nDROP TABLE t;\nCOMMIT;",
        "verify/table.sql": "BEGIN;\nINSERT INTO t VALUES (1);\nSELECT 1/count(*) FROM t;\n"
        "ROLLBACK;",
        "deploy/one@v1.sql": body.format(1) + "COMMIT;",
        "deploy/one.sql": body.format(2) + "COMMIT;",
        "revert/one@v1.sql": "DROP FUNCTION one();",
        "revert/one.sql": body.format(1) + "COMMIT;",
        "verify/one.sql": "SELECT 1/(one() = 2)::int;",
    }
    return write(tmp_path / "sqitch", files)


async def test_a_folder_of_flyway_goes_up_down_and_up(
    ledger: LedgerProgram, flyway: str, database: str
) -> None:
    common = ("-f", flyway, "--var", "schema=app", "-o", "json")
    up = await ledger("db", "up", *common, DATABASE_URL=database)
    assert results(up) == [(v, "applied") for v in ("1", "1.9", "1.10", "R__view")]
    down = await ledger("db", "down", "1", "--yes", *common, DATABASE_URL=database)
    assert results(down) == [("1.10", "rolled_back")]
    again = await ledger("db", "up", *common, DATABASE_URL=database)
    assert ("1.10", "applied") in results(again)
    assert await value(database, "SELECT count(*) FROM pg_indexes WHERE indexname = 'i'") == 1


async def test_a_repeatable_runs_again_when_its_text_changed_and_only_then(
    ledger: LedgerProgram, flyway: str, database: str
) -> None:
    common = ("-f", flyway, "--var", "schema=app", "-o", "json")
    await ledger("db", "up", *common, DATABASE_URL=database)
    same = await ledger("db", "up", *common, DATABASE_URL=database)
    assert ("R__view", "skipped") in results(same)
    view = "CREATE OR REPLACE VIEW ${schema}.v AS SELECT a, b FROM ${schema}.t;"
    (Path(flyway) / "R__view.sql").write_text(view)
    changed = await ledger("db", "up", *common, DATABASE_URL=database)
    assert [one for one in results(changed) if one[1] == "applied"] == [("R__view", "applied")]


async def test_a_baseline_runs_where_there_is_no_history_and_nowhere_else(
    ledger: LedgerProgram, flyway: str, database: str
) -> None:
    text = "CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.t (a int);"
    (Path(flyway) / "B1.9__all.sql").write_text(text)
    common = ("-f", flyway, "--var", "schema=app", "-o", "json")
    up = await ledger("db", "up", *common, DATABASE_URL=database)
    applied = [version for version, result in results(up) if result == "applied"]
    assert applied == ["B1.9", "1.10", "R__view"]
    again = await ledger("db", "up", *common, DATABASE_URL=database)
    assert (again.code, {result for _, result in results(again)}) == (ExitCode.OK, {"skipped"})
    status = await ledger("db", "status", *common, DATABASE_URL=database)
    shown = {line["migration"]: line["standing"] for line in status.items}
    assert {shown[version] for version in applied} == {"applied"}
    assert {shown[version] for version in shown.keys() - set(applied)} == {"covered"}


async def test_a_variable_that_is_missing_is_named_with_its_place(
    ledger: LedgerProgram, flyway: str, database: str
) -> None:
    answer = await ledger("db", "up", "-f", flyway, DATABASE_URL=database)
    assert answer.code != ExitCode.OK
    assert "V1__init.sql:1" in answer.err
    assert "variable schema is not declared" in answer.err


async def test_a_variable_that_no_migration_uses_is_refused_with_the_nearest(
    ledger: LedgerProgram, flyway: str, database: str
) -> None:
    given = ("-f", flyway, "--var", "schema=app", "--var", "shema=app")
    for command in ("up", "status", "check", "verify"):
        answer = await ledger("db", command, *given, DATABASE_URL=database)
        assert answer.code == ExitCode.USAGE, (command, answer)
        assert "no migration of the folder uses the variable 'shema'" in answer.err
        assert "write --var schema=VALUE" in answer.err


async def test_a_variable_of_a_label_needs_a_value_without_a_ledger(
    ledger: LedgerProgram, flyway: str, database: str, tmp_path: Path
) -> None:
    settings = '[variables]\nschema = {label = "schema", sample = "x"}\n'
    config = tmp_path / "other.toml"
    config.write_text(settings)
    answer = await ledger("--config", str(config), "db", "up", "-f", flyway, DATABASE_URL=database)
    assert "give it with --var schema=VALUE" in answer.err


async def test_a_sqitch_project_goes_up_is_verified_down_and_up(
    ledger: LedgerProgram, sqitch: str, database: str
) -> None:
    common = ("-f", sqitch, "-o", "json")
    versions = ["table", "one@v1", "one"]
    up = await ledger("db", "up", *common, DATABASE_URL=database)
    assert results(up) == [(version, "applied") for version in versions]
    assert await value(database, "SELECT one()") == 2
    assert await value(database, "SELECT count(*) FROM t") == 0
    verified = await ledger("db", "verify", *common, DATABASE_URL=database)
    assert {one["migration"]: one["holds"] for one in verified.items} == {
        "table": True,
        "one": True,
    }
    assert await value(database, "SELECT count(*) FROM t") == 0
    one = await ledger("db", "down", "1", "--yes", *common, DATABASE_URL=database)
    assert results(one) == [("one", "rolled_back")]
    assert await value(database, "SELECT one()") == 1
    rest = await ledger("db", "down", "9", "--yes", *common, DATABASE_URL=database)
    assert results(rest) == [("one@v1", "rolled_back"), ("table", "rolled_back")]
    again = await ledger("db", "up", *common, DATABASE_URL=database)
    assert results(again) == [(version, "applied") for version in versions]


async def test_a_verify_script_that_fails_takes_the_change_back_and_is_named(
    ledger: LedgerProgram, sqitch: str, database: str
) -> None:
    (Path(sqitch) / "verify/one.sql").write_text("SELECT 1;\nSELECT 1/(one() = 3)::int;")
    answer = await ledger("db", "up", "-f", sqitch, DATABASE_URL=database)
    assert answer.code == ExitCode.FAILED
    assert "verify/one.sql:2: division by zero" in answer.err
    assert await value(database, "SELECT one()") == 1


async def test_a_revert_script_that_fails_is_named(
    ledger: LedgerProgram, sqitch: str, database: str
) -> None:
    (Path(sqitch) / "revert/one.sql").write_text("\nDROP TABLE nowhere;")
    await ledger("db", "up", "-f", sqitch, DATABASE_URL=database)
    answer = await ledger("db", "down", "--yes", "-f", sqitch, DATABASE_URL=database)
    assert 'revert/one.sql:2: table "nowhere" does not exist' in answer.err
