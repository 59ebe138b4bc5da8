"""What looks as if the way back began there is never a mere comment, whatever else it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import MarkerError
from migrations.formats.bundle import load_folder
from migrations.model.migration import Migration

UP = {
    "plain": "CREATE TABLE a (id int);\n",
    "sql-migrate": "-- +migrate Up\nCREATE TABLE a (id int);\n",
    "goose": "-- +goose Up\nCREATE TABLE a (id int);\n",
    "dbmate": "-- migrate:up\nCREATE TABLE a (id int);\n",
}
LINES = [
    "-- Rollback changes",
    "-- how to roll back:",
    "-- Down (manual)",
    "-- DOWN: drop the table",
    "--rollback drop table a;",
    "/*\n * DOWN\n */",
    "/* Down\n   Migration */",
    "-- DownMigration",
    "-- migrate_down",
    "-- Tear down",
    "-- undo",
    "-- Reverse",
    "  -- REVERT the above",
]
HEADINGS = [
    "  -- +migrate {}",
    "\t-- +migrate {}",
    "--+migrate {}",
    "-- + migrate {}",
    "--\t+migrate\t{}",
    "--- +migrate {}",
    "-- +MIGRATE {}",
    "-- +migrate: {}",
    "-- +migrate{}",
    "-- +migrat {}",
    "-- +migration {}",
    "-- migrate {}",
    "/* +migrate {} */",
]


def loaded(folder: Path, format: str, text: str) -> Migration:
    (folder / "1_a.sql").write_bytes(text.encode())
    (one,) = load_folder(folder, format=format).migrations
    return one


@pytest.mark.parametrize("format", UP)
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_sql_that_drops_what_was_just_made_is_refused_below_such_a_comment(
    tmp_path: Path, format: str, line: str, ends: str
) -> None:
    text = f"{UP[format]}{line}\nDROP TABLE IF EXISTS public.A;\n"
    with pytest.raises(MarkerError, match=r"way back began|section marker"):
        loaded(tmp_path, format, text.replace("\n", ends))


@pytest.mark.parametrize(
    ("made", "taken"),
    [
        ("ALTER TABLE b ADD COLUMN n int", "ALTER TABLE b DROP COLUMN IF EXISTS n"),
        ("ALTER TABLE b ADD CONSTRAINT n CHECK (true)", "ALTER TABLE b DROP CONSTRAINT n"),
        ("CREATE INDEX n ON b (id)", "DROP INDEX x, n"),
        ('CREATE TYPE "N n" AS ENUM ()', 'DROP TYPE "N n"'),
        ("CREATE FUNCTION n() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION n()"),
    ],
)
def test_so_is_any_other_thing_that_was_just_made(tmp_path: Path, made: str, taken: str) -> None:
    with pytest.raises(MarkerError, match="which this file has just made"):
        loaded(tmp_path, "plain", f"{made};\n-- and how to roll back by hand\n{taken};\n")


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE IF EXISTS a;\n-- rolled back before\nCREATE TABLE a (id int);\n",
        "CREATE TEMP TABLE a (id int);\n-- roll back what was copied\nDROP TABLE a;\n",
        "CREATE TABLE a (id int);\n-- Rollback: DROP TABLE a;\n",
        "CREATE TABLE a (id int);\n-- the down payment\nDROP TABLE b;\n",
        "CREATE TABLE a (id int);\nCOMMENT ON TABLE a IS 'rollback';\nDROP TABLE a;\n",
    ],
)
def test_other_comments_with_such_words_are_comments(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, "plain", text).up.statements


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("format", ["plain", "sql-migrate"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_heading_that_is_nearly_ours_runs_nothing(
    tmp_path: Path, format: str, heading: str, ends: str
) -> None:
    up, down = heading.format("Up"), heading.format("Down")
    text = f"{up}\nCREATE TABLE a (id int);\n{down}\nDROP TABLE a;\n"
    with pytest.raises(MarkerError):
        loaded(tmp_path, format, text.replace("\n", ends))
    text = f"-- +migrate Up\nCREATE TABLE a (id int);\n{down}\nDROP TABLE a;\n"
    with pytest.raises(MarkerError):
        loaded(tmp_path, "sql-migrate", text.replace("\n", ends))
