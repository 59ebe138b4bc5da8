"""dbmate's files: markers, options, order, and an error with line and remedy for all else."""

from __future__ import annotations

import hashlib

import pytest

from migrations.errors import FileNameError, MarkerError
from migrations.formats import AS_IT_IS
from migrations.formats.bundle import load_files
from migrations.formats.dbmate import Dbmate
from migrations.model.migration import Migration, SourceFile

UP = "-- migrate:up\nSELECT 1;\n"


def load(content: str, name: str = "20230102030405_a.sql") -> Migration:
    (migration,) = Dbmate().load([SourceFile(name, content.encode())], AS_IT_IS)
    return migration


def texts(migration: Migration, down: bool = False) -> list[str]:
    section = migration.down if down else migration.up
    return [statement.text for statement in section.statements] if section else []


def test_a_file_becomes_a_migration_with_its_two_sections() -> None:
    migration = load("-- head\n\n" + UP + "\n-- migrate:down\nSELECT 2\n")
    assert (migration.version, migration.name) == ("20230102030405", "a")
    assert (texts(migration), texts(migration, down=True)) == (["SELECT 1"], ["SELECT 2"])
    assert migration.up.statements[0].line == 4
    assert migration.up.checksum == hashlib.sha256(b"SELECT 1;\n").hexdigest()


@pytest.mark.parametrize(
    "marker", ["--migrate:up", "--  migrate:up", "-- migrate:up\t", "--\tmigrate:up\r"]
)
def test_blanks_around_a_marker_do_not_matter(marker: str) -> None:
    assert texts(load(f"{marker}\nSELECT 1;\n")) == ["SELECT 1"]


def test_each_section_says_whether_it_takes_a_transaction() -> None:
    migration = load(
        "-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down transaction:true\nSELECT 2;"
    )
    assert migration.down is not None
    assert (migration.up.options.transaction, migration.down.options.transaction) == (False, True)


def test_down_may_be_missing_and_up_may_be_empty() -> None:
    assert load(UP).down is None
    assert load("-- migrate:up\n\n-- migrate:down\n").up.statements == ()


def test_several_pairs_in_one_file_run_forth_and_back() -> None:
    pairs = "".join(f"-- migrate:up\nSELECT {n};\n-- migrate:down\nSELECT -{n};\n" for n in (1, 2))
    migration = load(pairs)
    assert texts(migration) == ["SELECT 1", "SELECT 2"]
    assert texts(migration, down=True) == ["SELECT -2", "SELECT -1"]
    assert [one.line for one in migration.up.statements] == [2, 6]


def test_order_is_that_of_the_names_as_dbmate_has_it() -> None:
    files = [SourceFile(name, UP.encode()) for name in ("1_a.sql", "10_b.sql", "2_c.sql")]
    loaded = Dbmate().load(files, AS_IT_IS)
    assert [one.files[0].name for one in loaded] == ["10_b.sql", "1_a.sql", "2_c.sql"]


WRONG = (
    ("SELECT 1;\n", 1, "text before", "-- migrate:up"),
    ("-- c\nSELECT 0;\n" + UP, 2, "text before", "-- migrate:up"),
    ("-- c\n", 1, "no up section", "-- migrate:up"),
    ("-- migrate:down\nSELECT 1;\n", 1, "no up section", "-- migrate:up"),
    (UP + "-- Migrate:Down\nSELECT 2;", 3, "unknown marker", "`-- migrate:down`"),
    (UP + "  -- migrate:down\nSELECT 2;", 3, "unknown marker", "start of the line"),
    (UP + "-- migrate: down\nSELECT 2;", 3, "unknown marker", "`-- migrate:down`"),
    (UP + "-- migrate:dwon\nSELECT 2;", 3, "unknown marker", "`-- migrate:down`"),
)


@pytest.mark.parametrize(("content", "line", "problem", "remedy"), WRONG)
def test_wrong_markers_are_refused_with_line_and_remedy(
    content: str, line: int, problem: str, remedy: str
) -> None:
    with pytest.raises(MarkerError) as refused:
        load(content)
    assert refused.value.line == line
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_a_migration_without_a_number_is_refused_and_another_file_left_alone() -> None:
    assert Dbmate().load([SourceFile("seed.sql", b"SELECT 1;")], AS_IT_IS) == []
    with pytest.raises(FileNameError):
        Dbmate().load([SourceFile("seed.sql", UP.encode())], AS_IT_IS)


GRANT = "-- migrate:up\nGRANT SELECT ON schema_migrations TO public;\n"


def test_who_names_dbmates_own_table_is_told_how_to_have_one() -> None:
    (note,) = load(GRANT).notes
    assert "20230102030405_a.sql:2: names schema_migrations" in note
    assert "--format dbmate+table" in note


def test_the_look_alike_is_made_first_and_leaves_the_checksum_alone() -> None:
    with_table = load_files("dbmate+table", [SourceFile("1_a.sql", GRANT.encode())])
    made, grant = with_table.up.statements
    assert made.text.startswith("CREATE TABLE IF NOT EXISTS schema_migrations (version varchar")
    assert grant.line == 2
    assert with_table.format == "dbmate+table"
    assert with_table.up.checksum == load(GRANT).up.checksum


def test_other_words_behind_a_marker_mean_nothing_and_are_noted() -> None:
    migration = load("-- migrate:up create table foo:bar transaction:false\nSELECT 1;")
    assert not migration.up.options.transaction
    (note,) = migration.notes
    assert "20230102030405_a.sql:1: `create table foo:bar` behind the marker means nothing" in note
