"""Files beside a psql script: allowed, part of the checksum, missed when the folder is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import LoadError
from migrations.formats import Reading
from migrations.formats.beside import LIST, MAX_BYTES
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Migration, Program
from migrations.sql.psql_files import file_reads, leaves
from migrations.sql.psql_script import open_transaction
from migrations.sql.psql_shell import reaches_out

PSQL = Reading(programs=True)
UP = "CREATE TABLE colours (id int, name text);\n"


def folder(path: Path, **files: str) -> Path:
    """A folder; `__` stands for a dot, `___` for a slash."""
    for name, content in files.items():
        file = path / name.replace("___", "/").replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return path


def loaded(path: Path) -> Migration:
    (one,) = load_folder(path, reading=PSQL).migrations
    return one


def program_of(migration: Migration) -> Program:
    assert migration.up.program is not None
    return migration.up.program


def with_list(path: Path, patterns: str, **files: str) -> Path:
    (path / LIST).write_text(patterns)
    return folder(path, **files)


READS = [
    "\\copy colours from 'data.csv'",
    "\\copy colours (id, name) from data.csv with (format csv)",
    "\\copy colours from program 'cat data.csv'",
    "\\set x `cat data.csv`",
    "\\set x `head -n 5 < data.csv`",
    "\\i data.csv",
    "\\ir data.csv",
    "\\include './data.csv'",
    "\\lo_import data.csv",
]


@pytest.mark.parametrize("line", READS)
def test_what_a_script_reads_and_is_not_there_is_an_error_of_its_line(
    tmp_path: Path, line: str
) -> None:
    folder(tmp_path, **{"1_a__sql": f"{UP}{line}\n"})
    with pytest.raises(LoadError, match="has no such file") as caught:
        load_folder(tmp_path, reading=PSQL)
    assert caught.value.line == 2
    assert LIST in str(caught.value)


@pytest.mark.parametrize("line", READS)
def test_what_is_there_and_not_allowed_is_an_error_with_the_line_to_write(
    tmp_path: Path, line: str
) -> None:
    folder(tmp_path, **{"1_a__sql": f"{UP}{line}\n", "data__csv": ""})
    with pytest.raises(LoadError, match="folder does not allow") as caught:
        load_folder(tmp_path, reading=PSQL)
    assert "a line: data.csv" in str(caught.value)


@pytest.mark.parametrize("line", READS)
def test_what_is_allowed_is_carried_and_part_of_the_checksum(tmp_path: Path, line: str) -> None:
    with_list(tmp_path, "# data\n*.csv\n", **{"1_a__sql": f"{UP}{line}\n", "data__csv": ""})
    first = loaded(tmp_path)
    assert [one.name for one in program_of(first).files] == ["data.csv"]
    assert [one.name for one in first.files] == ["1_a.sql", "beside:data.csv"]
    folder(tmp_path, data__csv="SELECT 2;\n")
    assert loaded(tmp_path).up.checksum != first.up.checksum
    again = load_files(
        first.format, first.files, version=first.version, name=first.name, reading=PSQL
    )
    assert again == first


def test_a_list_without_readers_changes_no_checksum(tmp_path: Path) -> None:
    folder(tmp_path, **{"1_a__sql": f"{UP}\\set x 1\n\\! true\n", "data__csv": "1"})
    before = loaded(tmp_path)
    with_list(tmp_path, "data.csv")
    assert loaded(tmp_path) == before


def test_scripts_include_scripts_relative_to_themselves_and_all_come_along(tmp_path: Path) -> None:
    with_list(
        tmp_path,
        "common/*\n",
        **{
            "1_a__sql": f"{UP}\\ir common/first.sql\n",
            "common___first__sql": "\\ir second.sql\n\\copy colours from 'common/colours.csv'\n",
            "common___second__sql": "SELECT 2;\n",
            "common___colours__csv": "1\tred\n",
        },
    )
    program = program_of(loaded(tmp_path))
    assert [one.name for one in program.files] == [
        "common/colours.csv",
        "common/first.sql",
        "common/second.sql",
    ]
    assert open_transaction(program)
    assert leaves(program, ()) is None


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        ("\\i 1_again.sql\n", "has no such file"),
        ("\\ir inner.sql\n", "without end"),
        ("\\copy colours from 'none.csv'\n", "has no such file"),
    ],
)
def test_what_an_included_script_reads_is_missed_as_well(
    tmp_path: Path, inner: str, problem: str
) -> None:
    files = {"1_a__sql": f"{UP}\\ir inner.sql\n", "inner__sql": inner}
    with_list(tmp_path, "inner.sql\n", **files)
    with pytest.raises(LoadError, match=problem):
        load_folder(tmp_path, reading=PSQL)


def test_an_included_script_that_commits_is_seen(tmp_path: Path) -> None:
    files = {"1_a__sql": f"{UP}\\ir inner.sql\n", "inner__sql": "COMMIT;\n"}
    with_list(tmp_path, "inner.sql\n", **files)
    assert not open_transaction(program_of(loaded(tmp_path)))


def test_an_included_script_that_starts_programs_needs_the_same_leave(tmp_path: Path) -> None:
    files = {"1_a__sql": f"{UP}\\ir inner.sql\n", "inner__sql": "\\! true\n"}
    with_list(tmp_path, "inner.sql\n", **files)
    (note,) = [note for note in loaded(tmp_path).notes if "psql runs" in note]
    assert "LEDGER_AGENT_PSQL_SHELL" in note


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("\\i :which", "cannot be told"),
        ("\\i `ls`", "cannot be told"),
        ("\\copy colours from '../secret'", "has no such file"),
        ("\\ir ../secret", "has no such file"),
    ],
)
def test_what_cannot_be_told_or_leads_out_is_refused(
    tmp_path: Path, line: str, problem: str
) -> None:
    with_list(tmp_path, "*.csv\n", **{"1_a__sql": f"{UP}{line}\n", "1_b__csv": ""})
    with pytest.raises(LoadError, match=problem):
        load_folder(tmp_path, reading=PSQL)


@pytest.mark.parametrize(
    ("patterns", "problem"),
    [("/etc/*\n", "leads out"), ("../*\n", "leads out"), ("none.csv\n", "no file is called")],
)
def test_a_list_that_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, patterns: str, problem: str
) -> None:
    with_list(tmp_path, f"# first\n{patterns}", **{"1_a__sql": UP})
    with pytest.raises(LoadError, match=problem) as caught:
        load_folder(tmp_path, reading=PSQL)
    assert (caught.value.file, caught.value.line) == (LIST, 2)


def test_more_than_a_migration_may_carry_is_refused(tmp_path: Path) -> None:
    files = {"1_a__sql": f"{UP}\\copy colours from 'big.csv'\n", "big__csv": "x" * (MAX_BYTES + 1)}
    with_list(tmp_path, "big.csv\n", **files)
    with pytest.raises(LoadError, match="more than"):
        load_folder(tmp_path, reading=PSQL)


def test_a_carried_file_gives_no_leave_to_read_another() -> None:
    carried = {"data.csv"}
    assert reaches_out("\\copy t from 'data.csv'\n", (), carried) is None
    for text in (
        "\\copy t from '/etc/passwd'\n",
        "\\copy t to 'data.csv'\n",
        "\\copy t from program 'data.csv'\n",
        "\\copy (select 'data.csv') to '/tmp/out'\n",
        "\\i /data.csv\n",
        "\\set x `cat data.csv`\n",
    ):
        assert reaches_out(text, (), carried) is not None, text


def test_streams_and_absolute_paths_are_no_files_of_the_folder() -> None:
    assert list(file_reads("\\copy t from stdin\n1\n\\.\n\\copy t to 'x'\nSELECT '\\i y';\n")) == []
    (one,) = file_reads("\\copy t from '/data/x'\n")
    assert one.path == "/data/x"


@pytest.mark.parametrize(
    "line",
    [
        "\\set x `sed s/a/b/ data.csv`",
        "\\set x `LC_ALL=C sort -u 'data.csv'`",
        "\\copy colours from program 'grep -v ''a|b'' data.csv | cut -d, -f1'",
        "\\copy colours from program 'jq -r .x <data.csv'",
    ],
)
def test_a_file_of_the_folder_that_any_program_reads_comes_along_or_is_refused(
    tmp_path: Path, line: str
) -> None:
    folder(tmp_path, **{"1_a__sql": f"{UP}{line}\n", "data__csv": "1,red\n"})
    with pytest.raises(LoadError, match="which the folder does not allow"):
        load_folder(tmp_path, reading=PSQL)
    with_list(tmp_path, "data.csv\n")
    assert [one.name for one in program_of(loaded(tmp_path)).files] == ["data.csv"]


@pytest.mark.parametrize(
    "line",
    [
        "\\set x `cat data.csv | tr -d '\\n'`",
        "\\set x `tail -n +2 data.csv | head -c 10k`",
        "\\set x `od -A n -t x1 data.csv`",
        "\\set x `cat data.csv 2>/dev/null`",
        "\\set x `cat < data.csv > gone.txt`",
    ],
)
def test_what_a_program_is_told_beside_its_files_is_no_file(tmp_path: Path, line: str) -> None:
    folder(tmp_path, **{"1_a__sql": f"{UP}{line}\n", "data__csv": "1,red\n", LIST: ""})
    with_list(tmp_path, "data.csv\n")
    assert [one.name for one in program_of(loaded(tmp_path)).files] == ["data.csv"]


def test_line_ends_of_what_a_script_reads_are_no_change(tmp_path: Path) -> None:
    lines = f"{UP}\\copy colours from data.csv\n\\i more.sql\n\\lo_import picture.bin\n"
    files = {
        "1_a.sql": lines.encode(),
        "data.csv": b"1,red\n2,blue \n",
        "more.sql": b"SELECT 1;\nSELECT 2;\n",
        "picture.bin": b"\x00\n\x01",
        LIST: b"*.csv\nmore.sql\n*.bin\n",
    }

    def checksum(**changed: bytes) -> str:
        for name, content in (files | changed).items():
            (tmp_path / name).write_bytes(content)
        return loaded(tmp_path).up.checksum

    whole = checksum()
    checked_out = {
        name: content.replace(b"\n", b"\r\n")
        for name, content in files.items()
        if name != "picture.bin"
    }
    assert checksum(**checked_out) == whole
    assert checksum(**{"more.sql": b"\xef\xbb\xbfSELECT 1;  \r\nSELECT 2;"}) == whole
    assert checksum(**{"more.sql": b"SELECT 1;\nSELECT 3;\n"}) != whole
    assert checksum(**{"data.csv": b"1,red\n2,blue\n"}) != whole
    assert checksum(**{"picture.bin": b"\x00\r\n\x01"}) != whole
