"""What pg_dump writes since August 2025: lines that keep psql's commands out of a dump."""

from __future__ import annotations

import pytest

from migrations.errors import PsqlScriptError
from migrations.formats.bundle import load_files
from migrations.model.migration import Migration, SourceFile

DUMP = """\
--
-- PostgreSQL database dump
--

\\restrict aB3x{end}
SET x.y = '1';
CREATE TABLE t ();

\\unrestrict aB3x{end}

"""


def load(format: str, name: str, text: str) -> Migration:
    return load_files(format, [SourceFile(name, text.encode())])


@pytest.mark.parametrize(
    ("format", "name", "head"),
    [
        ("plain", "1_baseline.sql", ""),
        ("flyway", "V1__baseline.sql", ""),
        ("sql-migrate", "1_baseline.sql", "-- +migrate Up\n"),
        ("goose", "1_baseline.sql", "-- +goose Up\n"),
    ],
)
@pytest.mark.parametrize("end", ["", "\r", "  "])
def test_a_dump_is_read_without_them_and_says_so(
    format: str, name: str, head: str, end: str
) -> None:
    migration = load(format, name, head + DUMP.format(end=end))
    lines = {one.text.split()[0]: one.line for one in migration.up.statements}
    shift = head.count("\n")
    assert lines == {"SET": 6 + shift, "CREATE": 7 + shift}
    assert any(f"{name}:{5 + shift}" in note and "restrict" in note for note in migration.notes)


def test_other_commands_of_psql_beside_them_are_refused_as_before() -> None:
    with pytest.raises(PsqlScriptError, match="connect"):
        load("plain", "1_b.sql", DUMP.format(end="") + "\\connect other\n")


def test_such_a_line_inside_of_a_text_stays() -> None:
    text = "SELECT $$\n\\restrict a\n$$;\n"
    assert "\\restrict a" in load("plain", "1_b.sql", text).up.statements[0].text
