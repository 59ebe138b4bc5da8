"""Python modules as migrations: read without being run."""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

import pytest

from migrations.errors import (
    DuplicateVersionError,
    EncodingError,
    LoadError,
    MarkerError,
    ModuleError,
)
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Language, Migration, SourceFile
from tests.support.manifests import bundle_name

UP = "async def up(conn):\n    await conn.execute('SELECT 1')\n"
NAME = "20260102030405_fill.py"


def module(text: str, name: str = NAME) -> Migration:
    return load_files("python", [SourceFile(name, text.encode())])


def test_up_down_and_verify_are_programs_of_one_migration() -> None:
    text = UP + "async def down(conn): pass\nasync def verify(conn): return True\n"
    loaded = module(text)
    assert (loaded.version, loaded.name, loaded.format) == ("20260102030405", "fill", "python")
    sections = (loaded.up, loaded.down, loaded.verify)
    programs = [section.program for section in sections if section and section.program]
    assert [program.entry for program in programs] == ["up", "down", "verify"]
    assert {program.language for program in programs} == {Language.PYTHON}
    assert {program.text for program in programs} == {text}


def test_every_section_has_the_checksum_of_the_whole_file() -> None:
    text = UP + "async def down(conn): pass\n"
    loaded = module(text)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    assert loaded.down is not None
    assert (loaded.up.checksum, loaded.down.checksum) == (wanted, wanted)


def test_down_and_verify_may_be_missing() -> None:
    loaded = module(UP)
    assert (loaded.down, loaded.verify) == (None, None)


def test_options_stand_in_comments_in_the_words_of_the_markers() -> None:
    loaded = module(
        "# +migrate Up lock_timeout=2s notransaction\n"
        + UP
        + "# +migrate Down statement_timeout=5min role=owner\n"
        + "async def down(conn): pass\n"
    )
    assert loaded.up.options.lock_timeout_s == 2
    assert not loaded.up.transactional
    assert loaded.down is not None
    assert loaded.down.transactional
    assert loaded.down.options.statement_timeout_s == 300
    assert loaded.down.options.role == "owner"


def test_a_marker_inside_a_text_is_no_marker() -> None:
    loaded = module('NOTE = """\n# +migrate Up notransaction\n"""\n' + UP)
    assert loaded.up.transactional


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("async def down(conn): pass\n", 1, "no `async def up(conn)`"),
        ("x = 1\ndef up(conn): pass\n", 2, "up is not async"),
        ("async def up(): pass\n", 1, "other parameters"),
        ("async def up(conn, schema): pass\n", 1, "other parameters"),
        ("async def up(*conn): pass\n", 1, "other parameters"),
        (UP + "def verify(conn): return True\n", 3, "verify is not async"),
        (UP + UP, 3, "a second up"),
        ("async def up(conn):\n    yield 1\n", 1, "yields"),
        ("import functools\n@functools.cache\nasync def up(conn): pass\n", 3, "decorated"),
        ("if True:\n    async def up(conn): pass\n", 1, "up is no function at the top level"),
        (UP + "verify = None\n", 3, "verify is no function at the top level"),
    ],
)
def test_a_module_that_declares_no_migration_is_refused_with_its_line(
    text: str, line: int, problem: str
) -> None:
    with pytest.raises(ModuleError, match=problem.replace("(", r"\(").replace(")", r"\)")) as said:
        module(text)
    assert (said.value.file, said.value.line) == (NAME, line)


def test_a_syntax_error_names_the_line_and_the_version_of_python() -> None:
    with pytest.raises(ModuleError, match=f"Python {platform.python_version()} says") as said:
        module(UP + "x = = 1\n")
    assert said.value.place == f"{NAME}:3:5"


def test_a_module_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ModuleError):
        module("x = " + "(" * 100_000 + "\n" + UP)


@pytest.mark.parametrize("content", [UP.encode() + b"# \xff\n", UP.encode() + b"\0"])
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    with pytest.raises(EncodingError):
        load_files("python", [SourceFile(NAME, content)])


@pytest.mark.parametrize(
    "marker",
    ["# +migrate Upp", "#+migrate Up", "# +migrate", "# +Migrate Up", "# +migrate StatementBegin"],
)
def test_what_only_looks_like_a_marker_is_an_error(marker: str) -> None:
    with pytest.raises(MarkerError, match="unknown marker"):
        module(f"{marker}\n{UP}")


def test_two_markers_for_one_section_are_refused() -> None:
    with pytest.raises(MarkerError, match="a second marker for Up"):
        module(f"# +migrate Up\n# +migrate Up lock_timeout=1s\n{UP}")


def test_loading_runs_nothing_and_imports_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / NAME).write_text(f"open({str(canary)!r}, 'w').close()\nraise SystemExit\n{UP}")
    before, path = set(sys.modules), list(sys.path)
    load_folder(tmp_path)
    assert not canary.exists()
    assert sys.path == path
    assert not {name for name in set(sys.modules) - before if "20260102" in name}


def test_modules_stand_beside_sql_files_in_one_order(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    (tmp_path / "2_b.py").write_text(UP)
    (tmp_path / "10_c.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    loaded = load_folder(tmp_path).migrations
    assert [one.label for one in loaded] == ["1_a", "2_b", "10_c"]
    assert [one.format for one in loaded] == ["sql-migrate", "python", "sql-migrate"]


def test_a_folder_may_hold_modules_alone(tmp_path: Path) -> None:
    (tmp_path / "1_a.py").write_text(UP)
    assert [one.format for one in load_folder(tmp_path).migrations] == ["python"]
    assert [one.label for one in load_folder(tmp_path, "python").migrations] == ["1_a"]


def test_a_module_without_a_version_in_its_name_is_no_migration(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    for name in ("__init__.py", "conftest.py", "helpers.py"):
        (tmp_path / name).write_text("syntax error here")
    assert [one.label for one in load_folder(tmp_path).migrations] == ["1_a"]


def test_a_module_with_the_version_of_a_sql_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    (tmp_path / "01_b.py").write_text(UP)
    with pytest.raises(DuplicateVersionError):
        load_folder(tmp_path)


def test_the_bundles_digest_covers_every_byte_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "1_a.py").write_text(UP)
    before = bundle_name(load_folder(tmp_path))
    (tmp_path / "1_a.py").write_text(UP + "# a comment\n")
    assert bundle_name(load_folder(tmp_path)) != before


def test_a_migration_of_another_framework_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "0001_initial.py").write_text("class Migration:\n    operations = []\n")
    with pytest.raises(LoadError, match=r"0001_initial\.py:1: no `async def up\(conn\)`"):
        load_folder(tmp_path)
