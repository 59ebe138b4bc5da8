"""goose's files: what its annotations mean, and an error with line and remedy for all else."""

from __future__ import annotations

import hashlib

import pytest

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FormatError,
    LoadError,
    MarkerError,
    VariableError,
)
from migrations.formats import AS_IT_IS, Reading
from migrations.formats.goose import Goose
from migrations.model.migration import Migration, SourceFile

WHOLE = """\
-- a header
-- +goose NO TRANSACTION

-- +goose Up
CREATE TABLE t (a int);
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN RETURN 1; END $$
-- +goose StatementEnd
-- +goose StatementBegin
SELECT f()
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION f();
DROP TABLE t
"""
UP = "-- +goose Up\nSELECT 1;\n"


def load(content: str | bytes, name: str = "00001_a.sql", **variables: str) -> Migration:
    data = content if isinstance(content, bytes) else content.encode()
    (migration,) = Goose().load([SourceFile(name, data)], Reading(variables))
    return migration


def texts(migration: Migration) -> list[str]:
    return [statement.text for statement in migration.up.statements]


def test_a_file_becomes_a_migration_with_its_two_sections() -> None:
    migration = load(WHOLE, "20230102030405_make t.sql")
    assert (migration.version, migration.name) == ("20230102030405", "make t")
    assert [statement.line for statement in migration.up.statements] == [5, 7, 11]
    assert migration.down is not None
    assert [statement.text for statement in migration.down.statements] == [
        "DROP FUNCTION f()",
        "DROP TABLE t",
    ]


def test_no_transaction_holds_for_both_directions_wherever_it_stands() -> None:
    above = load("-- +goose NO TRANSACTION\n" + UP + "-- +goose Down\nSELECT 2;")
    below = load(UP + "-- +goose Down\n-- +goose no transaction\nSELECT 2;")
    for migration in (above, below):
        assert migration.down is not None
        assert not migration.up.options.transaction
        assert not migration.down.options.transaction


def test_the_case_of_an_annotation_does_not_matter() -> None:
    assert texts(load("-- +goose up\nSELECT 1;\n-- +goose DOWN\nSELECT 2;")) == ["SELECT 1"]


def test_down_may_stand_before_up_and_may_be_missing() -> None:
    migration = load("-- +goose Down\nSELECT 2;\n" + UP)
    assert texts(migration) == ["SELECT 1"]
    assert migration.down is not None
    assert load(UP).down is None


@pytest.mark.parametrize("up", ["-- +goose Up\n", "-- +goose Up\n-- nothing to do\n\n"])
def test_an_empty_up_is_a_migration_that_does_nothing(up: str) -> None:
    assert load(up + "-- +goose Down\n").up.statements == ()


def test_lines_end_as_goose_ends_them_and_the_checksum_does_not_know_them() -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\r\nSELECT 1 $$;\r\n"
    migration = load(f"-- +goose Up\r\n{body}".encode())
    assert "\r" not in migration.up.statements[0].text
    assert migration.up.checksum == hashlib.sha256(body.replace("\r", "").encode()).hexdigest()


def test_begin_and_commit_around_everything_are_left_out_with_a_note() -> None:
    migration = load("-- +goose Up\nBEGIN;\nCREATE TABLE t (a int);\nCOMMIT;\n")
    assert texts(migration) == ["CREATE TABLE t (a int)"]
    (note,) = migration.notes
    assert note.startswith("00001_a.sql:2: BEGIN, and COMMIT on line 4")


def test_an_unmarked_concurrent_index_is_noted() -> None:
    migration = load("-- +goose Up\nSELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (a);\n")
    assert not migration.up.transactional
    assert (
        "00001_a.sql:3: CREATE INDEX CONCURRENTLY i cannot run in a transaction"
        in migration.notes[0]
    )


def test_where_envsub_is_on_declared_variables_are_filled() -> None:
    text = (
        "-- +goose Up\n-- +goose ENVSUB ON\nCREATE TABLE ${NAME} (a int);\n"
        "CREATE TABLE $NAME_2 (a int DEFAULT ${N:-7});\n-- +goose ENVSUB OFF\n"
        "SELECT '$UNTOUCHED', '${UNTOUCHED}';\n"
    )
    migration = load(text, NAME="one", NAME_2="two")
    assert texts(migration) == [
        "CREATE TABLE one (a int)",
        "CREATE TABLE two (a int DEFAULT 7)",
        "SELECT '$UNTOUCHED', '${UNTOUCHED}'",
    ]
    assert migration.variables == ("NAME", "NAME_2")
    assert migration.up.checksum == load(text, NAME="x", NAME_2="y").up.checksum


def test_where_envsub_is_on_an_undeclared_variable_is_refused_by_name() -> None:
    with pytest.raises(VariableError) as refused:
        load("-- +goose Up\n-- +goose ENVSUB ON\nSELECT ${OWNER};\n")
    assert refused.value.line == 3
    assert "OWNER" in refused.value.problem
    assert "--var OWNER=" in refused.value.remedy


WRONG = (
    ("SELECT 1;\n", 1, "text before", "-- +goose Up"),
    ("-- only\n", 1, "no Up", "-- +goose Up"),
    ("-- +goose Down\nSELECT 1;", 1, "no Up", "-- +goose Up"),
    (UP + UP, 3, "second Up (the first is on line 1)", "once"),
    (UP + "-- +goose Dwon\n", 3, "unknown annotation", "Down"),
    (UP + "-- see +goose docs\n", 3, "unknown annotation", "one of"),
    (UP + "  -- +goose Down\n", 3, "blanks before", "Start the line"),
    ("-- +goose Up\n-- +goose StatementBegin\nSELECT 1;", 2, "without StatementEnd", "after"),
    ("-- +goose Up\nSELECT 1;\n-- +goose StatementEnd", 3, "without StatementBegin", "before"),
    (
        "-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementBegin\nSELECT 1;",
        2,
        "without StatementEnd",
        "after",
    ),
    ("-- +goose StatementBegin\n" + UP, 1, "text before", "-- +goose Up"),
)


@pytest.mark.parametrize(("content", "line", "problem", "remedy"), WRONG)
def test_wrong_annotations_are_refused_with_line_and_remedy(
    content: str, line: int, problem: str, remedy: str
) -> None:
    with pytest.raises(MarkerError) as refused:
        load(content)
    assert (refused.value.file, refused.value.line) == ("00001_a.sql", line)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_what_takes_a_transaction_back_is_refused_where_it_stands() -> None:
    with pytest.raises(LoadError) as refused:
        load("-- +goose Up\nSELECT 1;\n\nROLLBACK;\nSELECT 2;\n")
    assert str(refused.value).startswith("00001_a.sql:4: ROLLBACK is transaction control")


def test_a_byte_order_mark_is_left_out() -> None:
    assert load(b"\xef\xbb\xbf" + UP.encode()).up == load(UP.encode()).up


def test_helpers_without_version_and_annotation_are_left_alone_but_not_lost_migrations() -> None:
    files = [SourceFile("1_a.sql", UP.encode()), SourceFile("seed.sql", b"SELECT 1;")]
    assert len(Goose().load(files, AS_IT_IS)) == 1
    with pytest.raises(FileNameError, match=r"lost\.sql: the file name carries no version"):
        Goose().load([*files, SourceFile("lost.sql", UP.encode())], AS_IT_IS)


def test_go_migrations_are_refused_by_name_and_helpers_are_not() -> None:
    names = ["00002_move.go", "00002_move_test.go", "embed.go", "1_a.sql"]
    assert list(Goose().claims(names)) == ["00002_move.go", "1_a.sql"]
    with pytest.raises(FormatError, match=r"00002_move\.go: a migration in program code"):
        Goose().load([SourceFile("00002_move.go", b"package m")], AS_IT_IS)


def test_versions_are_numbers_and_each_stands_once() -> None:
    files = [SourceFile(name, UP.encode()) for name in ("10_c.sql", "2_b.sql", "1_a.sql")]
    assert [one.name for one in Goose().load(files, AS_IT_IS)] == ["a", "b", "c"]
    with pytest.raises(DuplicateVersionError, match="02_x"):
        Goose().load([*files, SourceFile("02_x.sql", UP.encode())], AS_IT_IS)


ELSEWHERE = (
    ("-- +goose Up\nSELECT '${R}', '{{.R}}';\n", "SELECT '${R}', '{{.R}}'"),
    (
        "-- +goose ENVSUB ON\n-- +goose ENVSUB OFF\n-- +goose Up\nSELECT '${R}';\n",
        "SELECT '${R}'",
    ),
    ("-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$${R}', '\\${R}';\n", "SELECT '${R}', '${R}'"),
    ("-- +goose Up\n-- +goose ENVSUB ON\nSELECT '{{.R}}', '$R';\n", "SELECT '{{.R}}', 'eu'"),
)


@pytest.mark.parametrize(("text", "statement"), ELSEWHERE)
def test_only_envsub_fills_anything(text: str, statement: str) -> None:
    assert texts(load(text, R="eu")) == [statement]
