"""What is no change of a text, and what is one, by the checksum of its section."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats.bundle import load_folder
from migrations.formats.checksum import checksum, module_checksum

TEXT = b"""CREATE TABLE t (id int);  -- why

CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
    /* it's 'so /* nested */ */
    RETURN 'a
b';
END $body$;
INSERT INTO t VALUES (1), (E'it\\'s
c');
"""


def _same(text: bytes, other: bytes) -> bool:
    return checksum(text) == checksum(other)


@pytest.mark.parametrize(
    "other",
    [
        TEXT.replace(b"\n", b"\r\n"),
        TEXT.replace(b"\n", b"\r\n", 2),
        TEXT.replace(b"END $body$;", b"END $body$; \t"),
        TEXT.replace(b"-- why\n", b"-- why   \n"),
        TEXT.replace(b"\n\n", b"\n  \t\n"),
        TEXT.replace(b"BEGIN\n", b"BEGIN  \n"),
        TEXT.replace(b"nested */ */\n", b"nested */ */ \n"),
        TEXT.rstrip(),
        TEXT + b"\n  \n\n",
        b"\xef\xbb\xbf" + TEXT,
        b"\xef\xbb\xbf" + TEXT.rstrip().replace(b"\n", b"  \r\n", 3),
    ],
    ids=range(11),
)
def test_ends_of_lines_and_of_the_text_are_no_change(other: bytes) -> None:
    assert other != TEXT
    assert _same(TEXT, other)


@pytest.mark.parametrize(
    "other",
    [
        TEXT.replace(b"-- why", b"-- because"),
        TEXT.replace(b"-- why", b"--  why"),
        TEXT.replace(b"it's 'so", b"it's so"),
        TEXT.replace(b"'a\n", b"'a \n"),
        TEXT.replace(b"'s\n", b"'s \n"),
        TEXT.replace(b"b';", b"b ';"),
        TEXT.replace(b"\n\n", b"\n"),
        TEXT.replace(b"\n\n", b"\n\n\n"),
        TEXT.replace(b"(1), ", b"(1),  "),
        b"\n" + TEXT,
        TEXT.replace(b"    RETURN", b"\tRETURN"),
    ],
    ids=range(11),
)
def test_comments_blanks_inside_lines_and_literals_are_a_change(other: bytes) -> None:
    assert other != TEXT
    assert not _same(TEXT, other)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 'a\nb';",
        b"SELECT E'it\\'s\nb';",
        b"SELECT 'it''s\nb';",
        b"SELECT U&'a\nb';",
        b'SELECT "a\nb";',
        b"SELECT $$a\nb$$;",
        b"SELECT $a$ '\n$$ $a$;",
        b"COMMENT ON TABLE t IS $x$a\nb$x$;",
        b"DO $$ BEGIN RAISE 'a\nb'; END $$;",
        b"DO LANGUAGE plpgsql $$ BEGIN EXECUTE $q$a\nb$q$; END $$;",
        b"COPY t FROM stdin;\n1\t\n\\.\n",
        b"COPY t (a) FROM STDIN WITH (FORMAT csv);\na,\n\\.\n",
        b"\\copy t from stdin\n1\t\n\\.\n",
        b"SELECT 'a\nwithout an end",
    ],
)
def test_blanks_at_the_end_of_a_line_of_a_value_are_a_change(text: bytes) -> None:
    at = text.index(b"\n\\.") if b"copy" in text.lower() else text.index(b"\n")
    assert not _same(text, text[:at] + b" " + text[at:])
    assert _same(text, text.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1; -- don't\nSELECT 2;",
        b"/* don't */ SELECT\n1;",
        b"SELECT a$1, $1\n;",
        b"SELECT price$ FROM t\nWHERE price$ > 1;",
        b"\\echo don't\nSELECT 1;",
        b"SELECT 'a'\n'b';",
        b"DO $$\nBEGIN\nEND $$;",
        b"COPY t FROM stdin;\n1\n\\.\nSELECT\n1;",
        b"SELECT 1\n",
        b"\xff\xfe\n",
    ],
)
def test_blanks_at_the_end_of_a_line_of_code_are_none(text: bytes) -> None:
    at = text.rindex(b"\n") if text.startswith(b"COPY") else text.index(b"\n")
    assert _same(text, text[:at] + b" \t" + text[at:])


MODULE = b'''"""Why.

More."""
TEXT = f"""a
{1}b"""


async def up(connection):  # how
    await connection.execute("SELECT 1")
'''


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (MODULE.replace(b"\n", b"\r\n"), True),
        (MODULE.rstrip(), True),
        (b"\xef\xbb\xbf" + MODULE, True),
        (MODULE.replace(b"# how", b"# how  "), True),
        (MODULE.replace(b"\n\n\n", b"\n \n\t\n"), True),
        (MODULE.replace(b"# how", b"# why"), False),
        (MODULE.replace(b'"""a\n', b'"""a \n'), False),
        (MODULE.replace(b"Why.\n", b"Why. \n"), False),
    ],
)
def test_a_module_is_the_same_but_for_its_ends(other: bytes, *, same: bool) -> None:
    assert other != MODULE
    assert (module_checksum(MODULE) == module_checksum(other)) is same


def test_a_module_that_cannot_be_read_has_a_checksum() -> None:
    assert module_checksum(b'x = """a \n') != module_checksum(b'x = """b \n')


def test_a_text_of_many_opened_quotes_is_read_in_one_pass() -> None:
    text = b"".join(b"AS $a%d$ '" % number for number in range(100_000))

    assert len(checksum(text)) == 64


FILES = {
    "ours": ("1_a.sql", "-- +migrate Up\n{}\n-- +migrate Down\nDROP TABLE t;\n"),
    "goose": ("1_a.sql", "-- +goose Up\n{}\n-- +goose Down\nDROP TABLE t;\n"),
    "dbmate": ("1_a.sql", "-- migrate:up\n{}\n-- migrate:down\nDROP TABLE t;\n"),
    "plain": ("1_a.sql", "{}\n"),
    "golang-migrate": ("1_a.up.sql", "{}\n"),
    "flyway": ("V1__a.sql", "{}\n"),
    "python": ("1_a.py", 'async def up(connection):\n    await connection.execute("""{}""")\n'),
}
SQL = "CREATE TABLE t (id int);\nCOMMENT ON TABLE t IS 'a\nb';"


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_any_format_is_the_same_after_a_checkout_and_with_a_byte_order_mark(
    tmp_path: Path, kind: str
) -> None:
    name, form = FILES[kind]
    text = form.format(SQL).encode()
    seen = set()
    for number, content in enumerate(
        [
            text,
            text.replace(b"\n", b"\r\n"),
            b"\xef\xbb\xbf" + text,
            text.rstrip(b"\n"),
            text + b"\n\n",
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(content)
        (migration,) = load_folder(folder).migrations
        down = migration.down.checksum if migration.down else ""
        seen.add((migration.version, migration.format, migration.up.checksum, down))
    assert len(seen) == 1
