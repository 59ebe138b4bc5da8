"""Splitting and naming statements, on what makes splitting hard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import migrations
from migrations.errors import SqlSyntaxError
from migrations.model.migration import ConcurrentIndex
from migrations.sql import summary
from migrations.sql.statements import split

TRICKY = (
    "SELECT 1",
    "SELECT ';', 'it''s; fine', E'\\';', $$;$$, $tag$ $$; $tag$",
    'SELECT 1 AS "semi;colon"',
    "SELECT /* outer ; /* inner ; */ ; */ 2",
    "SELECT 3 -- not the end;\n, 4",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "CREATE RULE r AS ON INSERT TO a DO ALSO (INSERT INTO b VALUES (1); INSERT INTO c VALUES (2))",
    "DO $body$\nBEGIN\n  PERFORM 1; -- ;\n  PERFORM '$$';\nEND\n$body$",
    "INSERT INTO größe VALUES ('Zürich; 東京 🚚')",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$",
    "SELECT 'a'\n\t, 'b\n;\n'",
    "VALUES (1), (2)",
    "COMMENT ON TABLE t IS 'one; two'",
)
BETWEEN = (";\n", " ;\n\n-- between; é\n", ";/* a ; /* b */ */", ";;\r\n;", "\n;\t")


def test_a_tricky_script_is_split_into_exactly_its_statements() -> None:
    found = split(";\n".join(TRICKY), file="f.sql")
    assert tuple(statement.text for statement in found) == TRICKY


@given(st.lists(st.tuples(st.sampled_from(TRICKY), st.sampled_from(BETWEEN)), max_size=12))
def test_splitting_loses_no_byte_of_any_statement(pieces: list[tuple[str, str]]) -> None:
    script = "".join(text + separator for text, separator in pieces)
    found = split(script, file="f.sql")
    assert [statement.text for statement in found] == [text for text, _ in pieces]


@given(st.lists(st.tuples(st.sampled_from(TRICKY), st.sampled_from(BETWEEN)), max_size=12))
def test_every_statement_knows_the_line_it_starts_on(pieces: list[tuple[str, str]]) -> None:
    script, lines = "", []
    for text, separator in pieces:
        lines.append(7 + script.count("\n"))
        script += text + separator
    found = split(script, file="f.sql", first_line=7)
    assert [statement.line for statement in found] == lines


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_literal_comes_back_whole_and_is_masked(value: str) -> None:
    quoted = "'" + value.replace("'", "''") + "'"
    (statement,) = split(f"SELECT {quoted} ; ", file="f.sql")
    assert statement.text == f"SELECT {quoted}"
    assert summary.normalized(statement.text) == "SELECT $1"


@pytest.mark.parametrize("count", [50, 5000])
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(lambda count: "SELECT a" + " || a" * count + " FROM t", id="concatenated"),
        pytest.param(
            lambda count: "INSERT INTO u " + " UNION ALL ".join(["SELECT 1 FROM t"] * count),
            id="in a union",
        ),
        pytest.param(
            lambda count: "SELECT FROM t" + " JOIN t USING (a)" * count + " WHERE a = 'into'",
            id="joined",
        ),
    ],
)
def test_a_statement_may_be_as_deep_as_the_server_lets_it_be(
    statement: Callable[[int], str], count: int
) -> None:
    text = statement(count)
    (found,) = split(text, file="f.sql")
    assert found.text == text
    assert "t" in summary.tables(text)


def test_a_chain_of_operators_that_no_server_runs_is_refused() -> None:
    with pytest.raises(SqlSyntaxError, match="nested too deeply"):
        split("SELECT 1" + "+1" * 50_000, file="1_deep.sql")


def test_a_statement_that_is_too_deep_for_the_grammar_is_to_be_taken_apart() -> None:
    with pytest.raises(SqlSyntaxError, match=r"memory exhausted.*nested too deeply"):
        split("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, file="f.sql")


def test_comments_around_statements_are_left_out_and_empty_text_has_no_statement() -> None:
    (statement,) = split("-- lead é\n/* x */ SELECT 1\n;\n-- tail", file="f.sql")
    assert (statement.text, statement.line) == ("SELECT 1", 2)
    assert split("-- nothing\n\n/* here */ ;;", file="f.sql") == ()


def test_literals_and_comments_never_reach_the_normalized_text() -> None:
    script = (
        "CREATE TABLE t (a text DEFAULT 'secret', b int DEFAULT 4711);"
        "UPDATE t SET a = 'secret' /* secret */ WHERE b = 4711 -- secret\n;"
        "ALTER ROLE r PASSWORD 'secret'; DO $$ BEGIN PERFORM 'secret'; END $$;"
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'secret');"
        "COMMENT ON TABLE t IS $x$secret$x$"
    )
    for statement in split(script, file="f.sql"):
        assert "secret" not in summary.normalized(statement.text) + statement.summary
        assert "4711" not in summary.normalized(statement.text) + statement.summary


def test_the_words_that_settings_are_given_are_values_too() -> None:
    for text in (
        "SET app.token TO secret",
        'SET LOCAL é.token = "secret", secret',
        "ALTER SYSTEM SET a = secret",
        "ALTER ROLE r SET a.b TO secret",
        "ALTER DATABASE d SET a.b TO secret",
        "ALTER FUNCTION f SET a.b TO secret",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET a.b = secret AS ''",
    ):
        assert "secret" not in summary.normalized(text), text


def test_a_word_is_masked_only_where_it_is_a_value() -> None:
    for text in (
        "UPDATE t SET a = b",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET a.b FROM CURRENT",
        "RESET a.b",
    ):
        assert summary.normalized(text) == text
    assert summary.normalized("SET search_path TO a, b") == "SET search_path TO $1, $2"
    assert summary.normalized("SET that does not parse 'x'") == "SET that does not parse $1"


SUMMARIES = (
    ("CREATE TABLE s.a (id int REFERENCES b (id))", "CREATE TABLE s.a", ("s.a", "b")),
    (
        "CREATE TABLE a (LIKE b, c int REFERENCES c, FOREIGN KEY (c) REFERENCES s.d) INHERITS (e)",
        "CREATE TABLE a",
        ("a", "e", "b", "c", "s.d"),
    ),
    ("CREATE TABLE p PARTITION OF q FOR VALUES IN (1)", "CREATE TABLE p", ("p", "q")),
    ("CREATE INDEX users_email_idx ON users (email)", "CREATE INDEX users_email_idx", ("users",)),
    ("CREATE INDEX CONCURRENTLY i ON s.t (a)", "CREATE INDEX CONCURRENTLY i", ("s.t",)),
    ("CREATE INDEX ON users (email)", "CREATE INDEX ON users", ("users",)),
    ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY i", ()),
    ("ALTER TABLE users ADD COLUMN a int DEFAULT 5", "ALTER TABLE users", ("users",)),
    ("ALTER TABLE users RENAME COLUMN a TO b", "ALTER TABLE users", ("users",)),
    ("ALTER TABLE users OWNER TO x", "ALTER TABLE users", ("users",)),
    ("UPDATE users SET a = 1 FROM b WHERE true", "UPDATE users", ("users", "b")),
    ("WITH q AS (SELECT 1 FROM z) SELECT * FROM q", "SELECT z", ("z",)),
    ("INSERT INTO a VALUES ((SELECT x FROM b))", "INSERT a", ("a", "b")),
    ("DELETE FROM a USING b WHERE x IN (SELECT y FROM c)", "DELETE a", ("a", "b", "c")),
    ("DROP TABLE a, b.c", "DROP TABLE a", ("a", "b.c")),
    ("DROP TRIGGER t ON s.users", "DROP TRIGGER s.users", ("s.users",)),
    ("DROP TYPE s.e", "DROP TYPE s.e", ()),
    ("DROP FUNCTION f(int)", "DROP FUNCTION f", ()),
    ("COMMENT ON COLUMN s.users.a IS 'x'", "COMMENT s.users", ("s.users",)),
    ("CREATE VIEW v AS SELECT * FROM users", "CREATE VIEW v", ("v", "users")),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW v", ("v",)),
    ("CREATE TYPE e AS ENUM ('a')", "CREATE TYPE e", ()),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'x'", "CREATE FUNCTION f", ()),
    ("CREATE EXTENSION hstore", "CREATE EXTENSION hstore", ()),
    ("GRANT SELECT ON users TO x", "GRANT users", ("users",)),
    ("REVOKE SELECT ON users FROM x", "REVOKE users", ("users",)),
    ("TRUNCATE a, b", "TRUNCATE a", ("a", "b")),
    ("SET lock_timeout = '1s'", "SET", ()),
    ("DO $$ BEGIN NULL; END $$", "DO", ()),
    ("VALUES (1)", "SELECT", ()),
    ("TABLE users", "SELECT users", ("users",)),
    ("CREATE DOMAIN d AS int", "CREATE DOMAIN d", ()),
    ("CHECKPOINT", "CHECKPOINT", ()),
)


@pytest.mark.parametrize(("sql", "name", "tables"), SUMMARIES)
def test_a_statement_has_a_short_name_and_its_tables(
    sql: str, name: str, tables: tuple[str, ...]
) -> None:
    (statement,) = split(sql, file="f.sql")
    assert (statement.summary, summary.tables(statement.text)) == (name, tables)


def test_only_one_module_knows_the_parser() -> None:
    package = Path(migrations.__file__).parent
    importers = [
        path.name for path in package.rglob("*.py") if "import postgast" in path.read_text()
    ]
    assert importers == ["grammar.py"]


def test_a_concurrent_index_is_known_by_name_schema_and_table() -> None:
    script = (
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a);"
        "DROP INDEX CONCURRENTLY s.i; DROP INDEX CONCURRENTLY j; CREATE INDEX k ON t (a)"
    )
    found = [statement.concurrent_index for statement in split(script, file="f.sql")]
    assert found == [
        ConcurrentIndex("create", "i", "s", '"s"."t"', if_not_exists=True),
        ConcurrentIndex("drop", "i", "s", None),
        ConcurrentIndex("drop", "j", None, None),
        None,
    ]


def test_a_script_of_many_statements_is_split_whole() -> None:
    script = "INSERT INTO t VALUES (1, 'é');\n" * 20_000
    found = split(script, file="f.sql")
    assert len(found) == 20_000
    assert found[-1].line == 20_000
