"""Every refusal says where it is and what to write instead."""

from __future__ import annotations

import pytest

from migrations.errors import ForbiddenSqlError, SqlSyntaxError
from migrations.sql.statements import script, split

FORBIDDEN = (
    ("SELECT 1;\n\\copy t from x", 2, r"\copy", "as SQL"),
    ("SELECT 1 \\gexec\n", 1, r"\gexec", "as SQL"),
    ("SELECT 1;\nCOPY t FROM STDIN;\n1\t'\n\\.\n", 2, "COPY", "INSERT INTO"),
    ("SELECT 1;\nCOPY t (a)\nFROM stdin WITH (FORMAT csv);\nx,y\n", 2, "COPY", "INSERT INTO"),
    ("\nCOPY t FROM STDIN", 2, "STDIN", "INSERT INTO"),
    ("COPY t TO STDOUT", 1, "STDOUT", "CREATE TABLE"),
    ("SELECT 1;\nBEGIN", 2, "BEGIN", "notransaction"),
    ("START TRANSACTION", 1, "START", "notransaction"),
    ("COMMIT", 1, "COMMIT", "notransaction"),
    ("END", 1, "END", "notransaction"),
    ("ROLLBACK", 1, "ROLLBACK", "notransaction"),
    ("SAVEPOINT x", 1, "SAVEPOINT", "notransaction"),
    ("RELEASE x", 1, "RELEASE", "notransaction"),
    ("PREPARE TRANSACTION 'x'", 1, "PREPARE", "notransaction"),
    ("ROLLBACK PREPARED 'x'", 1, "ROLLBACK", "notransaction"),
    ("DO $$\nBEGIN\n  COMMIT;\nEND $$", 3, "COMMIT inside a DO block", "caller"),
    ("DO '\nBEGIN\n ROLLBACK; END'", 3, "ROLLBACK inside a DO block", "caller"),
    (
        "DO $$ BEGIN\nFOR i IN 1..2 LOOP IF true THEN\nCOMMIT; END IF; END LOOP; END $$",
        3,
        "COMMIT",
        "caller",
    ),
    (
        "\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$\nBEGIN\nNULL;\nEXCEPTION WHEN others THEN\n"
        "ROLLBACK; END $$",
        6,
        "ROLLBACK inside a procedure",
        "caller",
    ),
    (
        "CREATE FUNCTION f() RETURNS int AS $$ BEGIN COMMIT; END $$ LANGUAGE plpgsql",
        1,
        "COMMIT inside a function",
        "caller",
    ),
    ("DISCARD ALL", 1, "DISCARD ALL", "pg_advisory_xact_lock"),
    ("SELECT\npg_advisory_unlock_all()", 1, "pg_advisory_unlock_all", "pg_advisory_xact_lock"),
    ("SELECT PG_CATALOG.PG_Advisory_Unlock(5)", 1, "pg_advisory_unlock", "xact_lock"),
    ("UPDATE t SET a = pg_advisory_unlock(1, 2)", 1, "pg_advisory_unlock", "xact_lock"),
    ("ALTER TABLE t ADD COLUMN b bool DEFAULT pg_advisory_unlock(1)", 1, "unlock", "xact_lock"),
    ('SELECT U&"pg\\005fadvisory_unlock_all"()', 1, "pg_advisory_unlock_all", "xact_lock"),
    ("DO $$ BEGIN\n\nPERFORM pg_advisory_unlock_all(); END $$", 3, "DO block", "xact_lock"),
    ("DO $$ BEGIN\nEXECUTE 'SELECT pg_advisory_unlock(1)'; END $$", 2, "DO block", "xact_lock"),
    ("DO $$ DECLARE x bool; BEGIN x := pg_advisory_unlock(1); END $$", 1, "DO block", "xact_lock"),
    ("CREATE INDEX CONCURRENTLY ON t (a)", 1, "without a name", "Name the index"),
    ("DROP INDEX CONCURRENTLY a, b", 1, "several", "one DROP INDEX"),
)


@pytest.mark.parametrize(("sql", "line", "problem", "remedy"), FORBIDDEN)
def test_forbidden_sql_is_refused_with_its_line_and_a_remedy(
    sql: str, line: int, problem: str, remedy: str
) -> None:
    with pytest.raises(ForbiddenSqlError) as refused:
        split(sql, file="f.sql", first_line=1)
    assert (refused.value.file, refused.value.line) == ("f.sql", line)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


HARMLESS = (
    "SELECT 'COMMIT; pg_advisory_unlock_all()'",
    "DO $$ BEGIN /* COMMIT; */ RAISE NOTICE 'no ROLLBACK here'; END $$",
    "DO $$ BEGIN -- never call pg_advisory_unlock_all()\n NULL; END $$",
    "CREATE FUNCTION f() RETURNS bool LANGUAGE sql AS 'SELECT pg_advisory_unlock(1)'",
    "SELECT pg_advisory_xact_lock(1)",
    "CREATE TABLE commit_log (rollback text)",
    "COPY t FROM '/srv/data.csv'",
    "CREATE INDEX ON t (a)",
)


@pytest.mark.parametrize("sql", HARMLESS)
def test_words_in_texts_comments_and_names_are_harmless(sql: str) -> None:
    assert len(split(sql, file="f.sql")) == 1


def test_a_do_block_whose_body_is_not_understood_is_left_to_the_server() -> None:
    assert len(split("DO $$ BEGIN nonsense COMMIT END $$", file="f.sql")) == 1


SYNTAX = (
    ("SELEC 1", 5, 1, 'syntax error at or near "SELEC"'),
    ("SELECT 'é';\n  SELECT 'é' FROM FROM", 6, 19, 'syntax error at or near "FROM"'),
    ("SELECT 1 FROM", 5, 14, "syntax error at end of input"),
    ("SELECT 1;\n\nSELECT 'open", 7, 8, "unterminated quoted string"),
    ("DO $$ BEGIN", 5, 4, "unterminated dollar-quoted string"),
)


@pytest.mark.parametrize(("sql", "line", "column", "message"), SYNTAX)
def test_a_syntax_error_has_line_column_and_the_grammars_own_words(
    sql: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(SqlSyntaxError) as refused:
        split(sql, file="f.sql", first_line=5)
    assert refused.value.place == f"f.sql:{line}:{column}"
    assert message in str(refused.value)


def test_a_syntax_error_quotes_only_a_little_of_the_text() -> None:
    with pytest.raises(SqlSyntaxError) as refused:
        split("SELECT 'x" + "y" * 500 + "\nmore", file="f.sql")
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("sql", ["SELECT true", "VALUES (true)", "DO $$ BEGIN ASSERT true; END $$"])
def test_verify_takes_select_values_and_do(sql: str) -> None:
    assert len(split(sql, file="f.sql", verify=True)) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "WITH gone AS (DELETE FROM t RETURNING 1) SELECT * FROM gone",
        "SELECT 1 INTO x",
        "VACUUM",
        "EXPLAIN SELECT 1",
        "SET work_mem = '1MB'",
        "CREATE INDEX CONCURRENTLY i ON t (a)",
    ],
)
def test_verify_takes_nothing_that_changes_or_runs_outside(sql: str) -> None:
    with pytest.raises(ForbiddenSqlError) as refused:
        split(f"\n{sql}", file="f.sql", verify=True)
    assert refused.value.line == 2
    assert "changes belong in Up" in refused.value.remedy


COMMITTING = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"


def test_another_tools_file_may_create_a_procedure_that_commits() -> None:
    assert len(script(COMMITTING, file="f.sql", foreign=True).statements) == 1
    with pytest.raises(ForbiddenSqlError, match="COMMIT inside a procedure"):
        script(COMMITTING, file="f.sql")


def test_a_block_that_commits_is_refused_in_every_format_with_what_to_write_instead() -> None:
    text = "DO $$ BEGIN COMMIT; END $$"
    with pytest.raises(ForbiddenSqlError, match=r"COMMIT inside a DO block.*Up notransaction"):
        script(text, file="f.sql", foreign=True)
    assert len(script(text, file="f.sql", alone=True).statements) == 1
    with pytest.raises(ForbiddenSqlError, match="pg_advisory_unlock"):
        script(text.replace("COMMIT", "PERFORM pg_advisory_unlock(1)"), file="f.sql", alone=True)


def test_a_beginning_that_nothing_commits_is_taken_off_where_a_tool_may_have_done_so() -> None:
    text = "SELECT 1;\nBEGIN;\nSELECT 2;"
    assert script(text, file="f.sql", begun=False, ended=True).control == (2,)
    with pytest.raises(ForbiddenSqlError, match="BEGIN is transaction control"):
        script(f"VACUUM;\n{text}", file="f.sql", begun=False, ended=True)


def parts(text: str, *, begun: bool) -> list[int]:
    """In which part of the script each of its statements stands."""
    found = script(";\n".join(text.split("; ")), file="f.sql", begun=begun)
    return [one.part for one in found.statements]


@pytest.mark.parametrize(
    ("text", "alone", "in_a_transaction"),
    [
        ("BEGIN; SELECT 1; COMMIT; SELECT 2; BEGIN; SELECT 3; END", [1, 0, 2], [1, 0, 2]),
        ("SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT 3", [0, 1, 0], [1, 1, 0]),
        ("SELECT 1; COMMIT; SELECT 2", [0, 0], [1, 0]),
        ("BEGIN; BEGIN; SELECT 1; COMMIT; COMMIT; BEGIN; COMMIT; SELECT 2", [1, 0], [1, 0]),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; VACUUM; SELECT 2; COMMIT", [1, 0, 0], [1, 0, 0]),
    ],
)
def test_the_parts_of_a_script_are_what_it_commits_together(
    text: str, alone: list[int], in_a_transaction: list[int]
) -> None:
    assert parts(text, begun=False) == alone
    assert parts(text, begun=True) == in_a_transaction


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("BEGIN;\nSAVEPOINT a;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 2),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;\nROLLBACK;", 5),
        ("BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;\nSELECT 2;\nCOMMIT;", 3),
        ("SELECT 1;\nBEGIN;\nSELECT 2;", 2),
        ("BEGIN;\nSET LOCAL a.b = 1;\nVACUUM;\nCOMMIT;\nBEGIN;\nSELECT 1;\nCOMMIT;", 1),
    ],
)
def test_of_what_cannot_be_taken_off_that_is_named_which_cannot(text: str, line: int) -> None:
    with pytest.raises(ForbiddenSqlError, match="is transaction control") as refused:
        script(text, file="f.sql", begun=False)
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("BEGIN; INSERT INTO s.t VALUES (1); COMMIT; BEGIN; ALTER TABLE t ADD a int; COMMIT", 5),
        ("BEGIN; WITH x AS (DELETE FROM t) SELECT 1; COMMIT; BEGIN; DROP TABLE t; COMMIT", 5),
        ("UPDATE t SET a = 1; BEGIN; SELECT 1; COMMIT; TRUNCATE t", 5),
        ("BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; ALTER TABLE u ADD a int; COMMIT", None),
        ("BEGIN; INSERT INTO t VALUES (1); ALTER TABLE t ADD a int; COMMIT; SELECT 1", None),
        ("BEGIN; SET LOCAL a.b = 1; SELECT 1; COMMIT; SELECT 2", 2),
        ("BEGIN; SET LOCAL a.b = 1; SELECT 1; COMMIT; BEGIN; COMMIT", None),
    ],
)
def test_parts_go_apart_where_one_transaction_would_not_do(text: str, line: int | None) -> None:
    found = script(";\n".join(text.split("; ")), file="f.sql", begun=False)
    assert found.apart == line


def test_where_nothing_may_be_begun_or_ended_one_pair_around_all_of_it_is_taken_off() -> None:
    assert len(script("BEGIN; SELECT 1; COMMIT;", file="f.sql").statements) == 1
    with pytest.raises(ForbiddenSqlError, match="COMMIT is transaction control"):
        script("SELECT 1; COMMIT;", file="f.sql")


@pytest.mark.parametrize(
    "first",
    [
        "SET client_encoding = 'LATIN1'",
        "SET LOCAL client_encoding TO win1252",
        "SET NAMES 'SJIS'",
        "SELECT pg_catalog.set_config('client_encoding', 'EUC_JP', false)",
    ],
)
def test_letters_are_not_taken_for_those_of_another_encoding(first: str) -> None:
    with pytest.raises(ForbiddenSqlError, match="sent as UTF-8") as refused:
        split(f"SELECT 1;\n{first};\nSELECT 'é';", file="f.sql")
    assert refused.value.line == 2
    assert "client_encoding" in refused.value.remedy
    assert len(split(f"{first};\nSELECT 'e';", file="f.sql")) == 2


@pytest.mark.parametrize("name", ["'UTF8'", "'utf-8'", "unicode", "'SQL_ASCII'", "DEFAULT"])
def test_an_encoding_in_which_letters_stay_what_they_are_may_be_said(name: str) -> None:
    assert split(f"SET client_encoding = {name};\nSELECT 'é';", file="f.sql")
