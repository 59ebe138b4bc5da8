"""Names and texts that would paint on a terminal: refused at the door, escaped where shown."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger.cli.app.main import app
from ledger.cli.app.output import Output, OutputFormat, say
from ledger.contracts.registry import Connection
from ledger.domain.description import check_connection
from ledger.domain.refusals import InvalidDatabase, LiteralPassword
from migrations.errors import FileNameError, FolderError, LoadError
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import SourceFile
from migrations.printable import is_safe

UP = "-- +migrate Up\nSELECT 1;\n"
UNSAFE = [
    "\n",
    "\r",
    "\x1b[2J",
    "\x7f",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\u200b",
    "\ufeff",
]
PAINTED = "\x1b[2J\r\nall 3 applied\u202e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one migration, beside files that belong to nobody here."""
    (tmp_path / "outside.sql").write_text("-- +migrate Up\nSELECT 'CANARY';\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2_b.sql").write_text(UP)
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "1_a.sql").write_text(UP)
    return made


@pytest.mark.parametrize(
    "leads_to",
    [
        "../outside.sql",
        "/proc/self/environ",
        "../elsewhere/2_b.sql",
        "../migrations/../outside.sql",
    ],
)
def test_a_link_out_of_the_folder_is_refused_by_its_name(folder: Path, leads_to: str) -> None:
    (folder / "2_b.sql").symlink_to(leads_to)

    with pytest.raises(FolderError, match=r"2_b\.sql: is a symbolic link that leads out") as caught:
        load_folder(folder)

    assert "CANARY" not in str(caught.value)


def test_a_link_by_way_of_another_link_is_refused_too(folder: Path) -> None:
    (folder / "sub").symlink_to(folder.parent / "elsewhere")
    (folder / "3_c.sql").symlink_to("sub/2_b.sql")

    with pytest.raises(FolderError, match="leads out of the folder"):
        load_folder(folder)


def test_a_folder_with_a_name_that_only_begins_alike_is_outside(folder: Path) -> None:
    alike = folder.parent / "migrations-of-others"
    alike.mkdir()
    (alike / "2_b.sql").write_text(UP)
    (folder / "2_b.sql").symlink_to(alike / "2_b.sql")

    with pytest.raises(FolderError, match="leads out of the folder"):
        load_folder(folder)


def test_links_inside_and_a_link_to_the_folder_itself_are_followed(folder: Path) -> None:
    (folder / "..data").mkdir()
    (folder / "..data" / "text").write_text(UP)
    (folder / "2_b.sql").symlink_to("..data/text")
    (folder.parent / "link").symlink_to(folder)

    found = load_folder(folder.parent / "link").migrations

    assert [one.version for one in found] == ["1", "2"]


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "2_b.sql")
    os.mkfifo(folder / "pipe")
    with pytest.raises(FolderError, match="is not a file"):
        load_folder(folder)
    (folder / "2_b.sql").unlink()
    (folder / "2_b.sql").symlink_to("pipe")
    with pytest.raises(FolderError, match="is not a file"):
        load_folder(folder)


def test_a_file_that_would_fill_the_memory_is_refused_by_its_name(folder: Path) -> None:
    with (folder / "2_b.sql").open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(FolderError, match=r"2_b\.sql: is larger than 62,914,560 bytes"):
        load_folder(folder)
    (folder / "2_b.sql").write_text(UP + "-- " + "x" * 1_000_000)
    assert len(load_folder(folder).migrations) == 2


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_a_file_name_that_paints_is_refused_and_shown_escaped(folder: Path, unsafe: str) -> None:
    (folder / f"2_b{unsafe}c.sql").write_text(UP)

    with pytest.raises(FileNameError) as caught:
        load_folder(folder)

    assert is_safe(str(caught.value))


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_an_agent_takes_no_such_name_either(unsafe: str) -> None:
    file = SourceFile("1_a.sql", UP.encode())
    for version, name in ((f"1{unsafe}", "a"), ("1", f"a{unsafe}")):
        with pytest.raises(LoadError, match="control characters"):
            load_files("sql-migrate", [file], version=version, name=name)
    with pytest.raises(LoadError, match="control characters"):
        load_files("sql-migrate", [SourceFile(f"1_a{unsafe}.sql", UP.encode())])


@pytest.mark.parametrize("unsafe", UNSAFE)
@pytest.mark.parametrize("field", ["host", "database", "user", "role", "schema"])
def test_a_description_that_paints_is_not_registered(field: str, unsafe: str) -> None:
    values: dict[str, Any] = {"host": "db", "database": "acme", "user": "mig_acme"}
    values[field] = f"a{unsafe}b"

    with pytest.raises(InvalidDatabase, match="control characters"):
        check_connection("acme", Connection.at(**values))


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_a_reference_that_paints_is_none(unsafe: str) -> None:
    values: dict[str, Any] = {
        "host": "db",
        "database": "acme",
        "user": "u",
        "password": f"file:a{unsafe}b",
    }

    with pytest.raises(LiteralPassword):
        check_connection("acme", Connection.at(**values))


@pytest.mark.parametrize("unsafe", UNSAFE)
@pytest.mark.parametrize(
    "arguments",
    [
        ["rollout", "abort", "x", "--reason", "why{}"],
        ["rollout", "abort", "x", "--reason=why{}"],
        ["rollout", "abort", "x{}"],
        ["resolve", "acme", "1", "--applied", "--reason", "why{}"],
        ["fleet", "label", "acme", "tier={}"],
        ["up", "--ticket", "T{}"],
    ],
)
def test_an_argument_that_paints_ends_the_command(arguments: list[str], unsafe: str) -> None:
    given = [one.format(unsafe) for one in arguments]

    answer = CliRunner().invoke(app, given)

    assert answer.exit_code == 2
    assert "holds control characters" in " ".join(answer.output.replace("│", " ").split())
    assert unsafe not in answer.output.replace("\n", "") or unsafe == "\n"


def test_what_is_said_is_one_line_whoever_wrote_a_part_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"note: {PAINTED}", always=True)

    shown = capsys.readouterr().err
    assert is_safe(shown, lines=True)
    assert not any(line.startswith("all 3 applied") for line in shown.splitlines())
    assert "\\r\\nall 3 applied" in shown


@pytest.mark.parametrize("form", list(OutputFormat))
def test_values_of_the_record_are_shown_escaped_and_kept_exact(form: OutputFormat) -> None:
    row = {"database": PAINTED, "labels": {PAINTED: [PAINTED]}}
    stream = io.StringIO()
    with redirect_stdout(stream):
        Output(form).rows("a", [row], ["database", "labels"], empty="none")
        Output(form).record("a", row)
        Output(form).record("a", row, text="rollout x: " + PAINTED.replace("\n", ""))

    shown = stream.getvalue()
    assert is_safe(shown, lines=True)
    assert not any(line.startswith("all 3 applied") for line in shown.splitlines())
    if form is OutputFormat.NDJSON:
        assert json.loads(shown.splitlines()[0])["database"] == PAINTED
