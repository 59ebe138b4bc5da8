"""One rule for names in markers and options: as they are, or in quotes as in SQL."""

from __future__ import annotations

import pytest

from migrations.formats.bundle import load_files
from migrations.model.migration import SourceFile
from migrations.sql.written_names import names_in, quoted_path, words_in


@pytest.mark.parametrize(
    ("text", "separator", "names"),
    [
        ("users", ".", ("users",)),
        ("User", ".", ("User",)),
        ('"User"', ".", ("User",)),
        ('"My Schema"."a.b"', ".", ("My Schema", "a.b")),
        ('"say ""x"""', ".", ('say "x"',)),
        ('"a,b",c', ",", ("a,b", "c")),
        ('my "schema.users', ".", ('my "schema', "users")),
        ('"', ",", ('"',)),
        ('public."two\nlines"', ".", ("public", "two\nlines")),
        ('"a b=c"', ".", ("a b=c",)),
    ],
)
def test_names_are_read_as_they_are_or_out_of_their_quotes(
    text: str, separator: str, names: tuple[str, ...]
) -> None:
    assert names_in(text, separator) == names


@pytest.mark.parametrize("text", ["", "a.", ".a", "a..b"])
def test_a_name_that_is_missing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="lacks a name"):
        names_in(text, ".")


def test_blanks_in_quotes_do_not_end_an_option() -> None:
    said = 'Data table="My T".x key="I d","b,c" batch=5'
    assert words_in(said) == ["Data", 'table="My T".x', 'key="I d","b,c"', "batch=5"]
    assert words_in('key=" columns="0') == ['key="', 'columns="0']


def test_a_path_is_quoted_part_by_part() -> None:
    assert quoted_path('a."b.C"') == '"a"."b.C"'


def test_a_data_marker_takes_names_in_quotes() -> None:
    text = '-- +migrate Data table="My Users" key="I d",Tenant backup="a,b"\n'
    text += "UPDATE t SET a = 1 FROM batch WHERE true;\n"
    batches = load_files("sql-migrate", [SourceFile("1_d.sql", text.encode())]).up.batches
    assert batches is not None
    assert (batches.table, batches.key, batches.backup) == (
        '"My Users"',
        ("I d", "Tenant"),
        ("a,b",),
    )
