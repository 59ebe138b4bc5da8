"""golang-migrate's pairs of files: order, halves, other servers' files."""

from __future__ import annotations

import hashlib

import pytest

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FolderError,
    FormatError,
    PsqlScriptError,
)
from migrations.formats import AS_IT_IS
from migrations.formats.golang_migrate import GolangMigrate
from migrations.model.migration import Migration, SourceFile


def load(*names: str, text: str = "SELECT 1;") -> list[Migration]:
    files = [SourceFile(name, f"{text} -- {name}".encode()) for name in names]
    return GolangMigrate().load(files, AS_IT_IS)


def sources(migration: Migration) -> list[str]:
    return [file.name for file in migration.files]


def test_two_files_are_one_migration_and_order_is_by_number() -> None:
    loaded = load("10_b.up.sql", "1_a.down.sql", "1_a.up.sql", "2_c d.up.sql")
    assert [(one.version, one.name) for one in loaded] == [("1", "a"), ("2", "c d"), ("10", "b")]
    assert sources(loaded[0]) == ["1_a.up.sql", "1_a.down.sql"]
    assert loaded[1].down is None


def test_the_checksum_is_that_of_the_whole_file() -> None:
    content = b"SELECT 1;\r\n-- \xc3\xa9"
    (migration,) = GolangMigrate().load([SourceFile("1_a.up.sql", content)], AS_IT_IS)
    assert migration.up.checksum == hashlib.sha256(b"SELECT 1;\n-- \xc3\xa9\n").hexdigest()
    assert migration.up.statements[0].text == "SELECT 1"


def test_an_empty_file_is_a_migration_that_does_nothing() -> None:
    files = [SourceFile("1_a.up.sql", b""), SourceFile("1_a.down.sql", b"-- nothing\n")]
    (migration,) = GolangMigrate().load(files, AS_IT_IS)
    assert migration.up.statements == ()
    assert migration.down is not None


def test_the_file_for_postgresql_wins_and_those_of_other_servers_are_left_alone() -> None:
    (migration,) = load(
        "1_a.up.sql", "1_a.postgres.up.sql", "1_a.mysql.up.sql", "1_a.sqlite3.down.sql",
        "1_a.down.sql", "2_only.mysql.up.sql", "2_only.mysql.down.sql",
    )  # fmt: skip
    assert sources(migration) == ["1_a.postgres.up.sql", "1_a.down.sql"]
    assert migration.name == "a"


def test_autocommit_in_a_name_means_no_transaction() -> None:
    (migration,) = load("1_a.postgres.autocommit.up.sql")
    assert not migration.up.options.transaction


def test_a_dot_in_a_name_is_no_servers_name() -> None:
    (migration,) = load("1_v1.2.up.sql")
    assert migration.name == "v1.2"


def test_a_down_without_its_up_is_refused() -> None:
    with pytest.raises(FolderError, match=r"2_b\.down\.sql: version 2 has a down and no up"):
        load("1_a.up.sql", "2_b.down.sql")


def test_the_same_version_twice_names_both_files() -> None:
    with pytest.raises(DuplicateVersionError, match=r"01_b\.up\.sql: has the same version as 1_a"):
        load("1_a.up.sql", "01_b.up.sql")


@pytest.mark.parametrize("name", ["1_a.sql", "a.up.sql", "v1.down.sql"])
def test_what_looks_like_a_migration_and_is_no_half_of_a_pair_is_refused(name: str) -> None:
    with pytest.raises(FileNameError, match="no half of a pair"):
        load("2_b.up.sql", name)


def test_other_files_are_left_alone_and_programs_are_not() -> None:
    assert len(load("1_a.up.sql", "seed.sql")) == 1
    with pytest.raises(FormatError, match=r"2_move\.ts: a migration in program code"):
        load("1_a.up.sql", "2_move.ts")


def test_a_psql_script_is_refused_with_the_way_to_allow_it() -> None:
    with pytest.raises(PsqlScriptError) as refused:
        load("1_a.up.sql", text="SELECT 1;\n\\copy t from program 'cat x'\n")
    assert refused.value.line == 2
    assert r"\copy is a command of psql" in refused.value.problem
    assert "--allow-psql" in refused.value.remedy


def test_any_ending_will_do_behind_up_and_down() -> None:
    names = ("1_a.up.sql", "2_b.up.pgsql", "2_b.down.pgsql", "notes.txt")
    claimed = GolangMigrate().claims(names)
    files = [SourceFile(name, b"SELECT 1;\n") for name in claimed]
    assert GolangMigrate().detect(files)
    loaded = GolangMigrate().load(files, AS_IT_IS)
    assert [(one.version, one.down is not None) for one in loaded] == [("1", False), ("2", True)]
