"""Cases of rules in which it counts what a name means: in which schema, and of which kind."""

from __future__ import annotations

from tests.support.lint_cases import LintCase

MADE_IN_APP = "CREATE SCHEMA app;\nCREATE TABLE app.seats (id bigint PRIMARY KEY, row int);\n"

NAME_CASES = (
    LintCase(
        "index-blocks-writes",
        f"{MADE_IN_APP}SET LOCAL search_path = app, public;\nCREATE INDEX i ON users (age);",
        f"{MADE_IN_APP}SET LOCAL search_path = app, public;\nCREATE INDEX i ON seats (row);",
        at=4,
    ),
    LintCase(
        "index-blocks-writes",
        f"{MADE_IN_APP}SET LOCAL search_path = app;\nSET LOCAL search_path TO DEFAULT;\n"
        "CREATE INDEX i ON seats (row);",
        "SET LOCAL search_path TO app;\nCREATE TABLE seats (id bigint, row int);\n"
        "RESET search_path;\nCREATE INDEX i ON app.seats (row);",
        at=5,
    ),
    LintCase(
        "index-blocks-writes",
        "CREATE TABLE seats (row int);\nSET LOCAL search_path = app;\n"
        "CREATE INDEX i ON seats (row);",
        "CREATE TABLE app.seats (row int);\nSELECT set_config('search_path', '\"app\",x', true);\n"
        "CREATE INDEX i ON seats (row);",
        at=3,
    ),
    LintCase(
        "index-blocks-writes",
        "-- +migrate Up notransaction\nCREATE TABLE app.seats (row int);\n"
        "SET LOCAL search_path = app;\nCREATE INDEX i ON seats (row);",
        "-- +migrate Up notransaction\nCREATE TABLE app.seats (row int);\n"
        "SET search_path = app;\nCREATE INDEX i ON seats (row);\nRESET search_path;",
        at=3,
    ),
    LintCase(
        "index-blocks-writes",
        "CREATE TABLE seats (row int);\nALTER TABLE seats SET SCHEMA app;\n"
        "CREATE INDEX i ON seats (row);",
        "CREATE TABLE seats (row int);\nALTER TABLE seats SET SCHEMA app;\n"
        "CREATE INDEX i ON app.seats (row);",
        at=3,
    ),
    LintCase(
        "drop-table",
        f"{MADE_IN_APP}SET LOCAL search_path = app;\nDROP TABLE public.users;",
        f"{MADE_IN_APP}SET LOCAL search_path = app;\nDROP TABLE seats;",
        at=4,
    ),
    LintCase(
        "backfill-in-ddl",
        f"{MADE_IN_APP}SET LOCAL search_path = app, public;\nUPDATE users SET age = 1;",
        f"{MADE_IN_APP}SET LOCAL search_path = app, public;\nUPDATE seats SET row = 1;",
        at=4,
    ),
    LintCase(
        "rename-table",
        "ALTER TABLE users RENAME TO people;",
        "ALTER TABLE users_name RENAME TO by_name;",
    ),
    LintCase(
        "drop-index-blocks",
        "ALTER TABLE users_name RENAME TO by_name;\nDROP INDEX by_name;",
        "CREATE TABLE a (b int);\nCREATE INDEX c ON a (b);\nALTER INDEX c RENAME TO d;\n"
        "DROP INDEX d;",
        at=2,
    ),
    LintCase(
        "drop-object",
        "ALTER TYPE app.pair ADD ATTRIBUTE c int, DROP ATTRIBUTE a;",
        "CREATE TYPE pair AS (a int, b int);\nALTER TYPE pair DROP ATTRIBUTE a;",
    ),
    LintCase(
        "rename-object",
        "ALTER TYPE colour SET SCHEMA app;",
        "CREATE TYPE paint AS ENUM ('red');\nALTER TYPE paint SET SCHEMA app;",
    ),
    LintCase(
        "rename-object",
        "ALTER FUNCTION app.f(int) SET SCHEMA x;",
        "CREATE FUNCTION app.f(n int) RETURNS int LANGUAGE sql RETURN n;\n"
        "ALTER FUNCTION app.f(int) SET SCHEMA x;",
    ),
    LintCase(
        "rename-object",
        "ALTER SEQUENCE numbers SET SCHEMA app;",
        "ALTER VIEW seen SET SCHEMA app;",
    ),
    LintCase(
        "rename-object",
        "ALTER DOMAIN email SET SCHEMA app;",
        "ALTER COLLATION words SET SCHEMA app;",
    ),
    LintCase(
        "rename-object",
        "ALTER EXTENSION hstore SET SCHEMA app;",
        "ALTER TABLE users SET SCHEMA app;",
    ),
)
