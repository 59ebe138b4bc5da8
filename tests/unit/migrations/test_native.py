"""The `-- +migrate` format: what it means, and an error with line and remedy for all else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from migrations.errors import (
    DuplicateVersionError,
    EncodingError,
    FileNameError,
    LoadError,
    MarkerError,
)
from migrations.formats import AS_IT_IS
from migrations.formats.bundle import load_files, load_folder
from migrations.formats.native import SqlMigrate
from migrations.model.migration import Migration, Options, SourceFile

WHOLE = """\
-- a header
/* of comments */

-- +migrate Up lock_timeout=2s statement_timeout=5min role=App
CREATE TABLE t (a int);
-- +migrate StatementBegin
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
-- +migrate StatementEnd
-- +migrate Down notransaction
DROP TABLE t;
-- +migrate Verify lock_timeout=500ms
SELECT true;
"""


def load(content: str | bytes, name: str = "1_a.sql") -> Migration:
    data = content if isinstance(content, bytes) else content.encode()
    (migration,) = SqlMigrate().load([SourceFile(name, data)], AS_IT_IS)
    return migration


def test_a_file_becomes_a_migration_with_its_sections_and_options() -> None:
    migration = load(WHOLE, "20260102030405_add_t.sql")
    assert (migration.version, migration.name) == ("20260102030405", "add_t")
    assert migration.label == "20260102030405_add_t"
    assert [s.line for s in migration.up.statements] == [5, 7]
    assert migration.up.options == Options(True, 2.0, 300.0, "App")
    assert migration.down is not None
    assert migration.down.options == Options(transaction=False)
    assert not migration.down.transactional
    assert migration.verify is not None
    assert migration.verify.options.lock_timeout_s == 0.5


def test_a_checksum_is_the_hash_of_the_text_between_the_markers() -> None:
    migration = load("-- +migrate Up\r\nSELECT 1; -- é\r\n-- +migrate Down\nSELECT 2;")
    assert migration.up.checksum == hashlib.sha256("SELECT 1; -- é\n".encode()).hexdigest()
    assert migration.down is not None
    assert migration.down.checksum == hashlib.sha256(b"SELECT 2;\n").hexdigest()


def test_a_changed_down_leaves_the_checksum_of_up_alone() -> None:
    first = load("-- +migrate Up\nSELECT 1;\n-- +migrate Down\nSELECT 2;\n")
    second = load("-- +migrate Up\nSELECT 1;\n-- +migrate Down\nSELECT 3;\n")
    assert first.up.checksum == second.up.checksum


def test_sections_may_stand_in_any_order() -> None:
    migration = load(
        "-- +migrate Verify\nSELECT true;\n-- +migrate Down\n-- +migrate Up\nSELECT 1;"
    )
    assert migration.up.statements[0].line == 5
    assert migration.down is not None
    assert migration.verify is not None


def test_no_down_is_not_the_same_as_a_down_that_does_nothing() -> None:
    assert load("-- +migrate Up\nSELECT 1;").down is None
    empty = load("-- +migrate Up\nSELECT 1;\n-- +migrate Down\n-- nothing to undo\n").down
    assert empty is not None
    assert empty.statements == ()


def test_a_marker_at_the_very_end_without_a_line_end_is_an_empty_section() -> None:
    down = load("-- +migrate Up\nSELECT 1;\n-- +migrate Down").down
    assert down is not None
    assert down.checksum == hashlib.sha256(b"").hexdigest()


def test_a_file_may_bear_the_markers_of_another_tool_beside_ours() -> None:
    text = (
        "-- +goose Up\n-- +migrate Up\nCREATE TABLE t ();\n"
        "-- +goose Down\n-- +migrate Down\nDROP TABLE t;\n"
    )
    migration = load_files("sql-migrate", [SourceFile("1_both.sql", text.encode())])
    assert [one.text for one in migration.up.statements] == ["CREATE TABLE t ()"]
    assert migration.down is not None
    assert [one.text for one in migration.down.statements] == ["DROP TABLE t"]


def test_comments_may_mention_markers() -> None:
    assert load("-- use -- +migrate Up above the SQL\n-- +migrate Up\nSELECT 1;").up.statements


WRONG_MARKERS = (
    ("SELECT 1;\n", 1, "text before", "-- +migrate Up"),
    ("", 1, "no Up", "-- +migrate Up"),
    ("-- +migrate Down\nSELECT 1;", 1, "no Up", "-- +migrate Up"),
    ("-- c\n\n/* x\n*/ SELECT 1;\n-- +migrate Up\nSELECT 1;", 4, "text before", "-- +migrate Up"),
    ("\nfoo bar\n-- +migrate Up\nSELECT 1;", 2, "text before", "-- +migrate Up"),
    ("-- +migrate Up role=a\n-- nothing\n", 1, "no statement", "SQL below the marker"),
    ("-- +migrate Up\nSELECT 1;\n-- +migrate Up\nSELECT 2;", 3, "second Up", "one section"),
    ("-- +migrate up\nSELECT 1;", 1, "unknown marker", "`-- +migrate Up`"),
    ("--+migrate Up\nSELECT 1;", 1, "unknown marker", "`-- +migrate Up`"),
    ("  -- +migrate Up\nSELECT 1;", 1, "unknown marker", "start of the line"),
    ("-- +migrate Up\nSELECT 1;\n-- +Migrate Down", 3, "unknown marker", "`-- +migrate Down`"),
    ("-- +migrate Up\nSELECT 1;\n-- +migrate Dwon", 3, "unknown marker", "`-- +migrate Down`"),
    ("-- +migrate\nSELECT 1;", 1, "unknown marker", "one of"),
    ("-- +migrate Up\nSELECT 1; -- +migrate Down\n", 2, "behind other text", "line of its own"),
    ("-- +migrate Up notransactions\nSELECT 1;", 1, "unknown option", "mean notransaction"),
    ("-- +migrate Up lock_timout=2s\nSELECT 1;", 1, "unknown option", "mean lock_timeout"),
    ("-- +migrate Up x=1\nSELECT 1;", 1, "unknown option x", "Known options"),
    ("-- +migrate Up lock_timeout=2\nSELECT 1;", 1, "no usable value", "units"),
    ("-- +migrate Up lock_timeout\nSELECT 1;", 1, "no usable value", "lock_timeout=2s"),
    ("-- +migrate Up role=\nSELECT 1;", 1, "no usable value", "role=name"),
    ("-- +migrate Up notransaction=1\nSELECT 1;", 1, "takes no value", "`notransaction`"),
    ("-- +migrate Up role=a role=b\nSELECT 1;", 1, "twice", "once"),
    (
        "-- +migrate Up\nSELECT 1;\n-- +migrate Verify notransaction\nSELECT true;",
        3,
        "Verify cannot",
        "only reads",
    ),
    ("-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;", 2, "without StatementEnd", "after"),
    ("-- +migrate Up\nSELECT 1;\n-- +migrate StatementEnd", 3, "without StatementBegin", "before"),
    (
        "-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;\n-- +migrate Down\n",
        2,
        "without StatementEnd",
        "after",
    ),
    (
        "-- +migrate Up\n-- +migrate StatementBegin\n-- +migrate StatementBegin\nSELECT 1;",
        2,
        "without StatementEnd",
        "after",
    ),
    ("-- +migrate StatementBegin\n-- +migrate Up\nSELECT 1;", 1, "text before", "-- +migrate Up"),
    ("-- +migrate Up\n-- +migrate StatementBegin x\nSELECT 1;", 2, "no options", "StatementBegin"),
)


@pytest.mark.parametrize(("content", "line", "problem", "remedy"), WRONG_MARKERS)
def test_wrong_markers_are_refused_with_line_and_remedy(
    content: str, line: int, problem: str, remedy: str
) -> None:
    with pytest.raises(MarkerError) as refused:
        load(content)
    assert (refused.value.file, refused.value.line) == ("1_a.sql", line)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_a_marker_line_inside_quotes_ends_the_section_and_is_explained() -> None:
    with pytest.raises(LoadError) as refused:
        load("-- +migrate Up\nSELECT '\n-- +migrate Down\n';\n")
    assert refused.value.line == 2
    assert "a marker line inside quotes" in refused.value.remedy


WRONG_BYTES = (
    ("-- +migrate Up\nSELECT 1;".encode("utf-16"), 1, "UTF-16", "UTF-8"),
    (b"-- +migrate Up\nSELECT '\0';", 2, "NUL at byte 23", "Remove it"),
    (b"-- +migrate Up\nSELECT 1;\n-- caf\xe9\n", 3, "byte 31 (0xE9)", "UTF-8"),
)


@pytest.mark.parametrize(("content", "line", "problem", "remedy"), WRONG_BYTES)
def test_bytes_that_would_be_misread_are_refused(
    content: bytes, line: int, problem: str, remedy: str
) -> None:
    with pytest.raises(EncodingError) as refused:
        load(content)
    assert refused.value.line == line
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_errors_inside_a_section_count_lines_from_the_top_of_the_file() -> None:
    with pytest.raises(LoadError) as refused:
        load("-- head\n\n-- +migrate Up\nSELECT 1;\n\nROLLBACK;\n")
    assert str(refused.value).startswith("1_a.sql:6: ROLLBACK is transaction control. ")


@pytest.mark.parametrize("name", ["init.sql", "_1.sql", "1a.sql", ".sql", "1_.sql"])
def test_a_file_name_without_a_version_is_refused(name: str) -> None:
    with pytest.raises(FileNameError) as refused:
        load("-- +migrate Up\nSELECT 1;", name)
    assert "20260102030405_add_email.sql" in refused.value.remedy


def test_files_of_this_format_are_known_by_their_markers() -> None:
    format = SqlMigrate()
    assert format.detect([SourceFile("1_a.sql", b"x"), SourceFile("b.sql", b"x\n-- +migrate Up\n")])
    assert not format.detect([SourceFile("a", b"-- +goose Up\n\xff\0")])


def test_by_name_every_file_is_a_version_in_the_order_of_sql_migrate(tmp_path: Path) -> None:
    names = ("10_a", "8_b", "8_a", "2023-02-01-x", "2023-01-01-y", "20150101foo", "add_users")
    for name in names:
        (tmp_path / f"{name}.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    with pytest.raises(LoadError, match=r"--format sql-migrate\+names"):
        load_folder(tmp_path)
    loaded = load_folder(tmp_path, "sql-migrate+names").migrations
    assert [one.version for one in loaded] == [
        "8_a",
        "8_b",
        "10_a",
        "2023-01-01-y",
        "2023-02-01-x",
        "20150101foo",
        "add_users",
    ]
    again = load_files("sql-migrate+names", loaded[0].files, version="8_a")
    assert again == loaded[0]


def test_a_folder_in_which_no_name_is_a_version_goes_by_the_names(tmp_path: Path) -> None:
    for name in ("create_users", "add_email"):
        (tmp_path / f"{name}.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    loaded = load_folder(tmp_path).migrations
    assert [(one.version, one.format) for one in loaded] == [
        ("add_email", "sql-migrate+names"),
        ("create_users", "sql-migrate+names"),
    ]
    (tmp_path / "1_first.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    with pytest.raises(FileNameError, match=r"no version.*--format sql-migrate\+names"):
        load_folder(tmp_path)


def test_the_same_version_twice_names_the_format_that_goes_by_name(tmp_path: Path) -> None:
    for name in ("8_a", "8_b"):
        (tmp_path / f"{name}.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    with pytest.raises(DuplicateVersionError, match=r"8_b.*--format sql-migrate\+names"):
        load_folder(tmp_path)


@pytest.mark.parametrize("up", ["", "-- nothing to do\n", "\n\n"])
def test_an_up_without_a_statement_does_nothing_and_says_so(up: str) -> None:
    migration = load(f"-- +migrate Up notransaction\n{up}-- +migrate Down\nSELECT 1;\n")
    assert migration.up.statements == ()
    assert migration.notes == ("1_a.sql:1: the Up section holds no statement, so nothing runs",)


@pytest.mark.parametrize(
    "ours", ["-- +migrate Up lock_timeout=2s\n", "-- +migrate Up\n-- +migrate Verify\n"]
)
def test_an_up_without_a_statement_in_a_file_of_our_own_is_not_written_yet(ours: str) -> None:
    with pytest.raises(MarkerError, match="holds no statement"):
        load(ours)


def test_bodies_have_the_line_ends_that_sql_migrate_gives_them() -> None:
    text = "-- +migrate Up\r\nDO $$\r\nBEGIN\r\nEND $$;\r\n"
    migration = load(text)
    assert migration.up.statements[0].text == "DO $$\nBEGIN\nEND $$"
    assert migration.up.checksum == load(text.replace("\r", "")).up.checksum
