"""What a file that commits statement by statement may not rest on, as its folder is read."""

from __future__ import annotations

import pytest

from migrations.errors import ForbiddenSqlError
from migrations.formats.bundle import load_files
from migrations.model.migration import Migration, SourceFile
from migrations.sql.session_settings import carried
from migrations.sql.session_state import wears_session


def stepwise(statement: str) -> Migration:
    text = f"-- +migrate Up notransaction\n{statement};\nSELECT 1;\n"
    return load_files("sql-migrate", [SourceFile("1_m.sql", text.encode())])


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN PERFORM set_config('search_path', 'a', false); END $$",
        "DO $$ BEGIN SET search_path TO a; END $$",
        "DO $$ BEGIN -- what\n /* why */ SET search_path TO a; END $$",
        "DO $$ BEGIN IF true THEN RESET search_path; END IF; END $$",
        "DO $$ BEGIN EXECUTE 'SET ROLE other'; END $$",
        "DO $$ BEGIN EXECUTE format('SET search_path TO %I', 'a'); END $$",
        "DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$",
        "SELECT set_config('search_path', 'a', false) FROM pg_class",
        "SELECT set_config('search_path', 'a', 1 > 2)",
        "INSERT INTO t SELECT set_config('app.x', 'a', false)",
        "WITH x AS (SELECT set_config('app.x', 'a', is_local => false)) SELECT * FROM x",
        "SELECT dblink_connect('there', 'host=x')",
    ],
)
def test_what_ends_with_the_session_and_is_not_made_again_is_refused(statement: str) -> None:
    with pytest.raises(ForbiddenSqlError, match="ends with the session"):
        stepwise(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('search_path', 'a', false)",
        "SELECT pg_catalog.set_config('search_path', 'a', is_local => false)",
        "SELECT set_config('a.b', 'a', false), set_config('a.c', 'a', false)",
        "SET search_path TO a",
        "SET SESSION search_path TO a",
        "RESET search_path",
        "SET ROLE other",
    ],
)
def test_what_only_sets_something_is_carried_over(statement: str) -> None:
    assert len(carried(stepwise(statement).up.statements)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN PERFORM set_config('a.b', 'a', true); SET LOCAL a.b = '1MB'; END $$",
        "DO $$ BEGIN UPDATE t SET a = 1; IF true THEN UPDATE t SET a = 2; END IF; END $$",
        "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7); END $$",
        "DO $$ BEGIN -- wait, then reset it back\n PERFORM 1; /* then set it */ END $$",
        "DO $$ BEGIN EXECUTE 'UPDATE t SET a = 1'; END $$",
        "SELECT set_config('search_path', 'a', true)",
        "SELECT set_config('search_path', 'a', is_local := true) FROM t",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT set_config('a.b', 'c', false)$$",
        "COMMENT ON TABLE t IS 'calls set_config(''a'', ''b'', false)'",
    ],
)
def test_what_ends_with_its_own_transaction_stands_in_any_file(statement: str) -> None:
    assert carried(stepwise(statement).up.statements) == ()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT dblink_connect('there', 'host=x')",
        "DO LANGUAGE plperl $$ $_SHARED{x} = 1; $$",
        "DO LANGUAGE plpython3u $$ GD['x'] = 1 $$",
        "SET app.tenant = 'x'",
        "LOAD 'auto_explain'",
    ],
)
def test_what_cannot_be_taken_back_in_a_session_wears_it(text: str) -> None:
    assert wears_session([text])
