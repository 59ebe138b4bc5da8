"""Placeholders: declared ones are filled, data is left alone, and statements stay what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.errors import SqlSyntaxError, VariableError
from migrations.formats.variables import read
from migrations.sql.grammar import tokens

FUNCTION = "CREATE FUNCTION f() RETURNS text"
INJECTED = "x'; DELETE FROM canvas; SELECT '"


def texts(sql: str, **values: str) -> list[str]:
    return [one.text for one in read(sql, values, file="f.sql").statements]


@pytest.mark.parametrize(
    "written", ["${schema}", "{{schema}}", "{{ schema }}", "{{.schema}}", "{{ .schema }}"]
)
def test_every_spelling_of_a_declared_name_is_filled(written: str) -> None:
    assert texts(f"CREATE TABLE {written}.t (a int);", schema="app") == [
        "CREATE TABLE app.t (a int)"
    ]


def test_the_names_that_were_filled_are_known_and_so_are_those_that_were_left() -> None:
    found = read("SELECT '${a}', '${b}', '{{.OTP}}'", {"a": "1", "c": "2"}, file="f.sql")

    assert found.variables == ("a",)
    assert found.left == ("OTP", "b")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO mail (body) VALUES ('Your code is {{.OTP}}')",
        'INSERT INTO t VALUES (\'{"a": "${b}", "c": "$$"}\')',
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '${x} {{ y }}' $$",
        "SELECT 1 -- ${nothing}",
    ],
)
def test_what_is_data_stays_as_it_is(sql: str) -> None:
    found = read(sql, {"schema": "app"}, file="f.sql")

    assert found.statements[0].text in sql
    assert found.variables == ()


def test_a_declared_name_is_filled_inside_literals_and_bodies_too() -> None:
    assert texts("DO $$ BEGIN PERFORM '${a}'; END $$", a="it") == [
        "DO $$ BEGIN PERFORM 'it'; END $$"
    ]


def test_an_undeclared_placeholder_where_sql_needs_it_is_refused_by_its_name() -> None:
    with pytest.raises(VariableError) as caught:
        read("SELECT 1;\nCREATE TABLE ${schema}.t ();", {}, file="f.sql", first_line=5)

    assert (caught.value.file, caught.value.line) == ("f.sql", 6)
    assert "variable schema is not declared" in str(caught.value)
    assert "--var schema=VALUE" in str(caught.value)


def test_a_placeholder_inside_a_name_is_refused_by_its_name_too() -> None:
    with pytest.raises(VariableError, match="variable tenant is not declared"):
        read("CREATE TABLE t_{{ tenant }} ();", {}, file="f.sql")


def test_another_mistake_stays_a_mistake_of_syntax() -> None:
    with pytest.raises(SqlSyntaxError) as caught:
        read("SELECT '${a}';\nSELEC 1;", {}, file="f.sql")

    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT * FROM ${v};", "t; DROP TABLE u"),
        ("SELECT '${v}';", "a'; DROP TABLE u; --"),
        ("SELECT * FROM ${v}; SELECT 2;", "t --"),
        ("SELECT * FROM ${v};", "t; DROP TABLE u --"),
        ("SELECT 1, ${v}; SELECT 2, '*/';", "/*"),
        ("SELECT '${v}'; SELECT 'x';", "it's"),
        ("SELECT $a$ ${v} $a$; SELECT 1", "$a$; SELECT 2; SELECT $a$"),
    ],
)
def test_a_value_that_changes_the_statements_is_refused(sql: str, value: str) -> None:
    with pytest.raises(VariableError, match="variable v is more than one literal or one name"):
        read(sql, {"v": value}, file="f.sql")


def test_quotes_that_stay_inside_their_statement_are_put_in_as_they_are() -> None:
    assert texts("SELECT ${v};", v="'a; b'") == ["SELECT 'a; b'"]
    assert texts("SELECT '${v}';", v="it''s") == ["SELECT 'it''s'"]


def test_lines_are_the_files_lines_behind_a_value_of_many_lines() -> None:
    sql = "SELECT '${v}';\nSELECT 2;\n\nSELECT '${v}',\n 4;\nSELECT 5;"
    found = read(sql, {"v": "1,\n2,\n3"}, file="f.sql", first_line=10)

    assert [one.line for one in found.statements] == [10, 11, 13, 15]


def test_errors_have_the_files_lines_too() -> None:
    with pytest.raises(SqlSyntaxError) as behind:
        read("SELECT '${v}';\nSELEC;", {"v": "1,\n2"}, file="f.sql")

    assert behind.value.line == 2


def test_the_place_of_an_error_counts_characters_not_bytes() -> None:
    with pytest.raises(VariableError) as caught:
        read("SELECT 'ä€', ${n};", {"s": "1"}, file="f.sql")

    assert caught.value.column == 14


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT ${v};", "1, 2"),
        ("SELECT ${v};", "a.b"),
        ("SELECT ${v};", "f()"),
        ("SELECT ${v};", "'a' || 'b'"),
        ("SELECT ${v};", "1 -- "),
        ("SELECT ${v};", "/**/1"),
        ("SELECT ${v};", " 1"),
        ("SELECT ${v};", ""),
        ("SELECT ${v};", "SELECT"),
        ("SELECT 2 -${v};", "-1"),
        ("SELECT '${v}';", "x' || (SELECT rolname FROM pg_roles LIMIT 1) || '"),
        ("INSERT INTO t VALUES ('${v}');", "x'), ('y"),
        ("SELECT E'${v}';", "\\"),
        ('SELECT "${v}";', 'a" FROM b --'),
        ("SELECT 1 -- ${v}\n;", "\n, 2"),
        ("SELECT 1 /* ${v} */;", "*/, 2 /*"),
        ("SELECT t_${v};", "a, b"),
        ("SELECT ${v}ect;", "sel"),
        ("DO $$ BEGIN PERFORM f('${v}'); END $$;", "x'); DELETE FROM canvas; PERFORM ('"),
        ("DO $$ BEGIN PERFORM f(${v}); END $$;", "1); DELETE FROM canvas; PERFORM (1"),
        ("DO $$ BEGIN EXECUTE 'CREATE TABLE ${v} (a int)'; END $$;", "t (); DROP TABLE u; --"),
        ("DO $$ BEGIN EXECUTE '${v}'; END $$;", "DROP TABLE u"),
        ("DO $$ BEGIN EXECUTE 'SELECT ' || '${v}'; END $$;", "1; DROP TABLE u"),
        ("DO $$ BEGIN EXECUTE $x$SELECT ${v}$x$; END $$;", "1; DROP TABLE u"),
        ("DO $$ BEGIN q := 'SELECT ${v}'; EXECUTE q; END $$;", "1; DROP TABLE u"),
        ("DO 'BEGIN PERFORM ${v}; END';", "1; DROP TABLE u"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT ${v} $$;", "1; DELETE FROM u"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT ${v}';", "1; DELETE FROM u"),
        (f"DO $$ BEGIN {FUNCTION} LANGUAGE sql AS $f$ SELECT '${{v}}' $f$; END $$;", INJECTED),
        (f"DO $$ BEGIN {FUNCTION} AS $f$ SELECT '${{v}}' $f$ LANGUAGE sql; END $$;", INJECTED),
        (f"DO $$ BEGIN IF a THEN {FUNCTION} AS $f$ SELECT '${{v}}' $f$; END IF; END $$;", INJECTED),
        ("DO $$ BEGIN DO $f$ BEGIN PERFORM '${v}'; END $f$; END $$;", INJECTED),
        ("DO LANGUAGE plpython3u $$ x = '${v}' $$;", "\\"),
        ("DO $$ x = '${v}' $$ LANGUAGE plperl;", "\nimport os"),
        (f"{FUNCTION} AS $$ return '${{v}}' $$ LANGUAGE 'plv8';", "\\"),
        (f'{FUNCTION} LANGUAGE pltcl AS $$ return "${{v}}" $$;', "[exec]"),
        (f"{FUNCTION} LANGUAGE C AS 'lib', '${{v}}';", "f'; DROP TABLE u; --"),
    ],
)
def test_a_value_that_is_more_than_one_token_is_refused(sql: str, value: str) -> None:
    with pytest.raises(VariableError, match="is more than one literal or one name"):
        read(sql, {"v": value}, file="f.sql")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT ${v};", "-1"),
        ("SELECT ${v};", "1.5e3"),
        ("SELECT ${v};", "'it''s; -- all one'"),
        ("SELECT ${v};", '"Any name; at all"'),
        ("SELECT ${v};", "$a$ it's $a$"),
        ("SELECT ${v};", "NULL"),
        ("SELECT 1::${v};", "integer"),
        ("SELECT '${v}';", "anything; -- but quotes\n/* $$"),
        ("SELECT 't_${v}';", "it''s"),
        ("SELECT t_${v}_2;", "acme"),
        ("SELECT users${v};", ""),
        ("SELECT ${v}00;", "5"),
        ("SELECT 1${v};", "000"),
        ('SELECT "${v}";', "Any name; at all"),
        ("SELECT 1 -- ${v}\n;", "it's a comment; $$"),
        ("COMMENT ON TABLE t IS $$For ${v}$$;", "it's John's, and; more"),
        ("DO $$ BEGIN PERFORM f('${v}'); END $$;", "John Smith; Sons"),
        ("DO $$ BEGIN PERFORM f(${v}); END $$;", "42"),
        ("DO $$ BEGIN EXECUTE format('INSERT INTO t VALUES (%L)', '${v}'); END $$;", "John; Smith"),
        ("DO $$ BEGIN EXECUTE 'CREATE TABLE ${v} (a int)'; END $$;", "acme"),
        ("DO 'BEGIN PERFORM ${v}; END';", "acme"),
        ("DO LANGUAGE plpython3u $$ x = '${v}' $$;", "acme"),
        (f"{FUNCTION} AS $$ SELECT '${{v}}' $$ LANGUAGE 'SQL';", "John Smith; Sons"),
        (f"DO $$ BEGIN {FUNCTION} LANGUAGE sql AS $f$ SELECT '${{v}}' $f$; END $$;", "J; Sons"),
    ],
)
def test_a_value_that_is_one_token_or_a_part_of_one_goes_in_as_it_is(sql: str, value: str) -> None:
    assert texts(sql, v=value) == [sql.replace("${v}", value).rstrip(";\n")]


PIECES = ["$$", "''", "--", "/*", "*/", "$b$", "; DROP", *"'\"$;-/*\\\n\t ().,|aE1&U:=%"]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
PLACES = [
    "SELECT ${v} FROM a;",
    "SELECT '${v}', 2;",
    "SELECT E'${v}', 2;",
    'SELECT "a${v}" FROM b;',
    "SELECT t_${v}, 1 /* ${v} */;",
    "SELECT $b$ ${v} $b$, 2;",
    "DO $$ BEGIN PERFORM '${v}', 1; END $$;",
    "DO $$ BEGIN PERFORM ${v}; EXECUTE 'SELECT ${v}'; END $$;",
    "DO 'BEGIN PERFORM ${v}; END';",
]


@given(st.sampled_from(PLACES), HOSTILE)
def test_whatever_a_value_is_the_tokens_around_it_stay(sql: str, value: str) -> None:
    try:
        (found,) = texts(sql, v=value)
    except (VariableError, SqlSyntaxError):
        return
    plain = texts(sql, v="x")[0]
    outer, wanted = kinds(found), kinds(plain)
    assert len(outer) - signs(found) == len(wanted)
    if "$$" in sql:
        body, neutral = found.split("$$", 1)[1][:-2], plain.split("$$", 1)[1][:-2]
        assert len(kinds(body)) - signs(body) == len(kinds(neutral))


def kinds(sql: str) -> list[int]:
    found = tokens(sql)
    assert found is not None
    return [one.kind for one in found]


def signs(sql: str) -> int:
    return sum(one.end - one.start == 1 and sql[one.start] in "+-" for one in tokens(sql) or [])


@given(st.text(), st.integers(0, 3))
def test_whatever_a_value_is_the_other_statements_stay(value: str, blank_lines: int) -> None:
    sql = "SELECT 1;\n" + "\n" * blank_lines + "SELECT '${v}';\nSELECT 3;"
    try:
        found = read(sql, {"v": value.replace("\0", "")}, file="f.sql").statements
    except (VariableError, SqlSyntaxError):
        return
    assert [found[0].text, found[2].text] == ["SELECT 1", "SELECT 3"]
    assert [one.line for one in found] == [1, 2 + blank_lines, 3 + blank_lines]
