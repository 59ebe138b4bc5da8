"""For any statements: what is written in a format is read back, and no byte of it is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.formats.bundle import load_files
from migrations.model.migration import Migration, SourceFile

words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement whose text could be taken for something else."""
    word = draw(words)
    quoted = word.replace("'", "''").replace("\\", "/").replace("+goose", "").replace("$", "")
    body = f"'; {quoted} /* -- '"
    return draw(
        st.sampled_from(
            [
                f"SELECT {body}",
                f"CREATE TABLE t (a text DEFAULT {body})",
                f"DO $x$ BEGIN PERFORM {body}; END $x$",
                f"SELECT /* a /* nested; */ comment */ {body}",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
            ]
        )
    )


scripts = st.lists(statements(), min_size=1, max_size=4)
separators = st.sampled_from(
    [";\n", " ;\n\n", ";\n-- a comment; with 'signs\n", ";\n/* more; */\n"]
)

Render = Callable[[str, str], list[SourceFile]]


def _file(text: str, name: str = "001_a.sql") -> SourceFile:
    return SourceFile(name, text.encode())


FORMATS: dict[str, Render] = {
    "sql-migrate": lambda up, down: [_file(f"-- +migrate Up\n{up}-- +migrate Down\n{down}")],
    "goose": lambda up, down: [_file(f"-- +goose Up\n{up}-- +goose Down\n{down}")],
    "dbmate": lambda up, down: [_file(f"-- migrate:up\n{up}-- migrate:down\n{down}")],
    "golang-migrate": lambda up, down: [
        _file(up, "001_a.up.sql"),
        _file(down, "001_a.down.sql"),
    ],
    "flyway": lambda up, down: [_file(up, "V1__a.sql"), _file(down, "U1__a.sql")],
    "plain": lambda up, down: [_file(up, "001_a/up.sql"), _file(down, "001_a/down.sql")],
}


def texts(migration: Migration) -> tuple[list[str], list[str]]:
    assert migration.down is not None
    return (
        [statement.text for statement in migration.up.statements],
        [statement.text for statement in migration.down.statements],
    )


def clean(text: str) -> bool:
    """Whether no line of it begins like a marker, which would end a section, quoted or not."""
    starts = tuple("-+")
    return not any(line.lstrip().startswith(starts) for line in text.split("\n"))


@pytest.mark.parametrize("format", FORMATS)
@given(up=scripts, down=scripts, separator=separators)
def test_what_is_written_is_read_back_statement_by_statement(
    format: str, up: list[str], down: list[str], separator: str
) -> None:
    kept = [[one for one in script if clean(one)] or ["SELECT 1"] for script in (up, down)]
    files = FORMATS[format](*("".join(one + separator for one in script) for script in kept))
    assert texts(load_files(format, files)) == (kept[0], kept[1])


@pytest.mark.parametrize("format", FORMATS)
@given(up=scripts, down=scripts, separator=separators)
def test_the_checksum_is_that_of_the_sections_bytes_and_nothing_else(
    format: str, up: list[str], down: list[str], separator: str
) -> None:
    kept = [[one for one in script if clean(one)] or ["SELECT 1"] for script in (up, down)]
    ups, downs = ("".join(one + separator for one in script) for script in kept)
    migration = load_files(format, FORMATS[format](ups, downs))
    assert migration.up.checksum == hashlib.sha256(ups.encode()).hexdigest()
    assert migration.down is not None
    assert migration.down.checksum == hashlib.sha256(downs.encode()).hexdigest()


@pytest.mark.parametrize("format", FORMATS)
@given(up=scripts, separator=separators)
def test_loading_the_same_files_again_gives_the_same_migration(
    format: str, up: list[str], separator: str
) -> None:
    script = [one for one in up if clean(one)] or ["SELECT 1"]
    files = FORMATS[format]("".join(one + separator for one in script), "SELECT 2;\n")
    first = load_files(format, files)
    again = load_files(format, first.files, version=first.version, name=first.name)
    assert again == first
