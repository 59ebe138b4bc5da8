"""Every format that is loaded is judged: in its own file and line, comments included."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats.registry import FORMATS
from tests.support.format_samples import FOLDERS, INDEX, SHADE_HASH, committed
from tests.support.linted import UP, linted, rules_in

WRONG = "-- ledger:ignore drop-table a word\nDROP TABLE shops;\n\nDROP TABLE towns;\n"
SEEDS = {
    "CONCURRENTLY in a transaction": (
        "BEGIN;\nALTER TABLE users ADD COLUMN phone text;\n"
        "CREATE INDEX CONCURRENTLY users_phone ON users (phone) WHERE phone IS NOT NULL;\nCOMMIT;",
        "concurrently-in-transaction",
        "a file of its own, without BEGIN and COMMIT",
        "--recipe index-concurrently",
    ),
    "an enum behind the table that uses it": (
        "CREATE TABLE addresses (id bigint PRIMARY KEY, kind address_type);\n"
        "CREATE TYPE address_type AS ENUM ('billing', 'shipping');",
        "used-before-made",
        "Put the statement that makes it first",
        "",
    ),
    "a new value of an enum, used at once": (
        "ALTER TYPE colour ADD VALUE 'blue';\nUPDATE users SET name = 'blue' WHERE id = 1;",
        "enum-add-used",
        "in a migration of its own, before the one that uses it",
        "",
    ),
    "a CHECK without NOT VALID": (
        "ALTER TABLE users ADD CONSTRAINT phone_form CHECK (phone ~ '^[0-9]+$');",
        "check-validates",
        "Add it NOT VALID, and VALIDATE it",
        "--recipe check",
    ),
    "a lock that is stolen": (
        "UPDATE migration_lock SET locked_by = 'me', locked_at = now()\n"
        "WHERE locked_at IS NULL OR locked_at < now() - interval '30 seconds';",
        "own-lock",
        "locked by an advisory lock of the session",
        "",
    ),
}
"""What the examples that this project grew from do wrong."""


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("squawk", [False, True])
def test_a_finding_names_file_and_line_as_its_author_has_them(
    tmp_path: Path, format: str, squawk: bool
) -> None:
    if format == "graphile-migrate":
        changed = {"committed/000010-index.sql": committed(SHADE_HASH, WRONG)}
    else:
        changed = {
            name: text.replace(INDEX, WRONG)
            for name, text in FOLDERS[format].items()
            if INDEX in text
        }
    found = linted(tmp_path, FOLDERS[format] | changed, squawk=squawk)
    ((file, text),) = changed.items()
    line = text.splitlines().index("DROP TABLE towns;") + 1
    assert [(one.rule, one.file, one.line) for one in found.findings] == [
        ("drop-table", file, line)
    ]
    assert [(one.rule, one.line) for one, _ in found.ignored] == [("drop-table", line - 2)]


def test_every_format_has_a_folder() -> None:
    known = {one.name.partition("+")[0] for one in FORMATS}
    assert known - FOLDERS.keys() <= {"ours", "sql-migrate", "plain"}


@pytest.mark.parametrize(("text", "rule", "advice", "recipe"), SEEDS.values(), ids=SEEDS)
def test_the_broken_examples_are_found_with_the_right_advice(
    tmp_path: Path, text: str, rule: str, advice: str, recipe: str
) -> None:
    old = "CREATE TABLE users (id bigint, name text);\nCREATE TYPE colour AS ENUM ('red');\n"
    files = {"1_old.sql": UP + old, "2_new.sql": f"{UP}{text}\n"}
    found = linted(tmp_path, files, judged=["2_new.sql"])
    (finding,) = (one for one in found.findings if one.rule == rule)
    assert advice in finding.rewrite
    assert recipe in finding.recipe


def test_programs_are_named_as_not_looked_into(tmp_path: Path) -> None:
    module = "async def up(conn):\n    pass\n"
    files = {"1_a.sql": f"{UP}SELECT 1;\n", "20260101000000_fill.py": module}
    found = linted(tmp_path, files)
    assert found.unseen == ("20260101000000_fill",)


def test_blocks_of_code_are_named_with_their_line_until_a_trace_has_seen_them(
    tmp_path: Path,
) -> None:
    text = f"{UP}SELECT 1;\nDO $$ BEGIN DROP TABLE users; END $$;\nCALL grow();\n"
    found = linted(tmp_path, {"1_a.sql": text})
    assert found.unseen == ("1_a, line 3", "1_a, line 4")


def test_comments_in_a_script_for_psql_are_not_called_unused(tmp_path: Path) -> None:
    text = f"{UP}\\set a 1\n-- ledger:ignore drop-table nobody reads it\nDROP TABLE shops;\n"
    found = linted(tmp_path, {"1_a.sql": text})
    assert (found.findings, found.unseen) == ((), ("1_a",))


def test_batches_of_a_data_migration_are_no_backfill_in_one_statement(tmp_path: Path) -> None:
    text = (
        "-- +migrate Data table=users key=id\n"
        "UPDATE users SET a = 1 FROM batch\nWHERE users.id = batch.id;\n"
    )
    assert "backfill-in-ddl" not in rules_in(linted(tmp_path, {"20260101000000_fill.sql": text}))
