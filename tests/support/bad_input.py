"""A corpus of folders that cannot be read as migrations, over all formats.

Each case is a folder, as names and contents, and what the one error must say: the place (file, and
line where there is one), and a word each of the problem and of the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Content = bytes | str | Callable[[Path], None]
"""Bytes, text to be written as UTF-8, or what makes the entry itself."""


@dataclass(frozen=True, slots=True)
class Case:
    """One folder. `format` is named as with `--format`, `None` leaves it to the marks."""

    name: str
    files: Mapping[str, Content]
    place: str
    problem: str
    remedy: str
    format: str | None = None


def link_to(target: str) -> Callable[[Path], None]:
    """A symbolic link to `target`."""
    return lambda path: path.symlink_to(target)


def folder(path: Path) -> None:
    """A folder where a file is expected."""
    path.mkdir()


def write(case: Case, place: Path) -> Path:
    """Make the folder of a case below `place`."""
    made = place / "migrations"
    made.mkdir()
    for name, content in case.files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return made


UP = "-- +migrate Up\nCREATE TABLE t (a int);\n"
GOOSE = "-- +goose Up\nCREATE TABLE t (a int);\n"
DBMATE = "-- migrate:up\nCREATE TABLE t (a int);\n"
TABLE = "CREATE TABLE t (a int);\n"
PLAN = "%syntax-version=1.0.0\n%project=shop\n\n"
WHO = "2026-01-01T00:00:00Z A B <a@b.example>"
LINES = "SELECT 1;\n" * 500_000
"""5 MB of statements, so that the fault in the last line is far down."""

OURS = (
    Case("no marker", {"1_a.sql": "SELECT 1;\n"}, "1_a.sql:1", "before the first", "+migrate Up", "sql-migrate"),
    Case("empty file", {"1_a.sql": UP, "2_b.sql": ""}, "2_b.sql", "no Up", "+migrate Up"),
    Case("only blanks", {"1_a.sql": UP, "2_b.sql": " \n\n\t\n"}, "2_b.sql", "no Up", "+migrate Up"),
    Case("down without up", {"1_a.sql": "-- +migrate Down\nSELECT 1;\n"}, "1_a.sql", "no Up", "Up"),
    Case("text before", {"1_a.sql": "SELECT 1;\n" + UP}, "1_a.sql:1", "before the first", "Up"),
    Case("two ups", {"1_a.sql": UP + UP}, "1_a.sql:3", "second Up", "one section"),
    Case("up without a statement", {"1_a.sql": "-- +migrate Up\n-- soon\n-- +migrate Verify\nSELECT true;\n"}, "1_a.sql:1", "no stat", "SQL"),
    Case("written in Go", {"1_a.sql": UP, "2_b.go": "package main\n"}, "2_b.go", "program code", "Python module"),
    Case("written in TypeScript", {"1_a.sql": UP, "3_c.ts": "export {}\n"}, "3_c.ts", "program code", "Python module"),
    Case("a loop of folders", {"1_a.sql": UP, "2_b.sql": link_to(".")}, "2_b.sql", "not a file", "must lead to a file"),
    Case("unknown marker", {"1_a.sql": UP + "-- +migrate Upp\n"}, "1_a.sql:3", "unknown", "Up"),
    Case("marker in lower case", {"1_a.sql": "-- +migrate up\nSELECT 1;\n"}, "1_a.sql:1", "unknown", "Up"),
    Case("marker behind a blank", {"1_a.sql": UP + "  -- +migrate Down\nSELECT 1;\n"}, "1_a.sql:3", "unknown", "start of the line"),
    Case("marker behind a statement", {"1_a.sql": UP + "SELECT 1; -- +migrate Down\n"}, "1_a.sql:3", "behind other text", "line of its own"),
    Case("marker behind a blank that does not break", {"1_a.sql": UP + "--\u00a0+migrate Down\nSELECT 1;\n"}, "1_a.sql:3", "unknown", "+migrate Down"),
    Case("marker behind a carriage return", {"1_a.sql": UP + "-- a\r-- +migrate Down\nSELECT 1;\n"}, "1_a.sql:3", "behind other text", "line of its own"),
    Case("marker of goose among ours", {"1_a.sql": UP + "-- +goose Down\nSELECT 1;\n"}, "1_a.sql:3", "another tool", "+migrate Down"),
    Case("marker of dbmate among ours", {"1_a.sql": UP + "-- migrate:down\nSELECT 1;\n"}, "1_a.sql:3", "another tool", "+migrate Down"),
    Case("unknown option", {"1_a.sql": "-- +migrate Up lock_timout=2s\nSELECT 1;\n"}, "1_a.sql:1", "lock_timout", "lock_timeout"),
    Case("option twice", {"1_a.sql": "-- +migrate Up role=a role=b\nSELECT 1;\n"}, "1_a.sql:1", "twice", "once"),
    Case("time without a unit", {"1_a.sql": "-- +migrate Up lock_timeout=2\nSELECT 1;\n"}, "1_a.sql:1", "lock_timeout", "2s"),
    Case("time beyond the server's", {"1_a.sql": "-- +migrate Up lock_timeout=30d\nSELECT 1;\n"}, "1_a.sql:1", "lock_timeout", "at most 24d"),
    Case("time of 400 digits", {"1_a.sql": f"-- +migrate Up lock_timeout={'9' * 400}d\nSELECT 1;\n"}, "1_a.sql:1", "lock_timeout", "at most 24d"),
    Case("begin without end", {"1_a.sql": UP + "-- +migrate StatementBegin\nSELECT 1;\n"}, "1_a.sql:3", "StatementBegin without", "StatementEnd"),
    Case("end without begin", {"1_a.sql": UP + "-- +migrate StatementEnd\n"}, "1_a.sql:3", "StatementEnd without", "StatementBegin"),
    Case("begin inside begin", {"1_a.sql": UP + "-- +migrate StatementBegin\n" * 2 + "SELECT 1;\n"}, "1_a.sql:3", "StatementBegin", "StatementEnd"),
    Case("section inside begin", {"1_a.sql": UP + "-- +migrate StatementBegin\n-- +migrate Down\nSELECT 1;\n"}, "1_a.sql:3", "StatementBegin", "StatementEnd"),
    Case("begin before up", {"1_a.sql": "-- +migrate StatementBegin\n" + UP}, "1_a.sql:1", "", "Up"),
    Case("verify without a transaction", {"1_a.sql": UP + "-- +migrate Verify notransaction\nSELECT true;\n"}, "1_a.sql:3", "Verify", "Leave it out"),
    Case("verify that writes", {"1_a.sql": UP + "-- +migrate Verify\nDELETE FROM t;\n"}, "1_a.sql:4", "only SELECT", "changes belong in Up"),
    Case("syntax error", {"1_a.sql": "-- +migrate Up\nSELECT 1;\nCREATE TABEL t ();\n"}, "1_a.sql:3:8", "TABEL", "Correct"),
    Case("open quote", {"1_a.sql": "-- +migrate Up\nSELECT 'a;\n-- +migrate Down\nSELECT 1;\n"}, "1_a.sql:2", "unterminated", "Close it"),
    Case("open comment", {"1_a.sql": "-- +migrate Up\nSELECT 1 /* a;\n-- +migrate Down\nSELECT 1;\n"}, "1_a.sql:2", "unterminated", "Close it"),
    Case("half a statement", {"1_a.sql": "-- +migrate Up\nSELECT 1 +\n"}, "1_a.sql:", "end of input", "Complete"),
    Case("savepoint", {"1_a.sql": UP + "SAVEPOINT a;\n"}, "1_a.sql:3", "transaction control", "Leave it out"),
    Case("commit in a DO block", {"1_a.sql": UP + "DO $$\nBEGIN\n  COMMIT;\nEND $$;\n"}, "1_a.sql:5", "COMMIT inside", "caller"),
    Case("unlock", {"1_a.sql": UP + "SELECT pg_advisory_unlock_all();\n"}, "1_a.sql:3", "pg_advisory_unlock_all", "pg_advisory_xact_lock"),
    Case("create database", {"1_a.sql": UP + "CREATE DATABASE d;\n"}, "1_a.sql:3", "CREATE DATABASE", "by hand"),
    Case("unnamed concurrent index", {"1_a.sql": UP + "CREATE INDEX CONCURRENTLY ON t (a);\n"}, "1_a.sql:3", "without a name", "Name the index"),
    Case("psql command", {"1_a.sql": UP + "\\d t\n"}, "1_a.sql:3", "\\d", "Leave it out"),
    Case("inline data", {"1_a.sql": UP + "COPY t FROM stdin;\n1\n\\.\n"}, "1_a.sql:3", "COPY", "INSERT"),
    Case("undeclared placeholder", {"1_a.sql": UP + "CREATE TABLE ${schema}.u (a int);\n"}, "1_a.sql:3", "schema", "--var"),
    Case("UTF-16", {"1_a.sql": UP.encode("utf-16")}, "1_a.sql:1", "UTF-16", "UTF-8"),
    Case("Latin-1", {"1_a.sql": UP.encode() + b"-- caf\xe9\n"}, "1_a.sql:3", "0xE9", "UTF-8"),
    Case("NUL", {"1_a.sql": UP.encode() + b"SELECT '\0';\n"}, "1_a.sql:3", "NUL", "Remove it"),
    Case("a fault behind 5 MB", {"1_a.sql": f"-- +migrate Up\n{LINES}SELEC 1;\n"}, "1_a.sql:500002:1", "SELEC", "Correct"),
    Case("CRLF and a fault", {"1_a.sql": "-- +migrate Up\r\nSELECT 1;\r\nSELEC 1;\r\n"}, "1_a.sql:3:1", "SELEC", "Correct"),
    Case("no version", {"1_a.sql": UP, "b.sql": UP}, "b.sql", "no version", "Name it like"),
    Case("same version", {"1_a.sql": UP, "01_b.sql": UP}, "", "same version", "another version"),
    Case("names that differ by case", {"1_a.sql": UP, "1_A.sql": UP}, "", "same version", "another version"),
    Case("one of 10,000", {f"{n}_a.sql": UP for n in range(1, 10_000)} | {"10000_b.sql": "SELECT 1;"}, "10000_b.sql:1", "before the first", "+migrate Up"),
    Case("folder with a file's name", {"1_a.sql": UP, "2_b.sql": folder}, "2_b.sql", "not a file", "Rename"),
    Case("link to nowhere", {"1_a.sql": UP, "2_b.sql": link_to("gone.sql")}, "2_b.sql", "cannot be read", "remove it"),
    Case("link to itself", {"1_a.sql": UP, "2_b.sql": link_to("2_b.sql")}, "2_b.sql", "cannot be read", "remove it"),
    Case("no file at all", {"README.md": "nothing"}, "", "no .sql file", "Name it like"),
    Case("two tools", {"1_a.sql": GOOSE, "2_b.sql": DBMATE}, "", "mixed", "one format"),
    Case("unknown format", {"1_a.sql": UP}, "", "liquibase", "Known formats", "liquibase"),
    Case("data without a key", {"1_a.sql": "-- +migrate Data table=users\nUPDATE users SET a = 1;\n"}, "1_a.sql:1", "key", "key="),
    Case("data that reads no batch", {"1_a.sql": "-- +migrate Data table=users key=id\nUPDATE users SET a = 1;\n"}, "1_a.sql:2", "batch", "batch"),
)  # fmt: skip

GOOSE_CASES = (
    Case("goose: no up", {"1_a.sql": GOOSE, "2_b.sql": "-- +goose Down\nSELECT 1;\n"}, "2_b.sql", "Up", "+goose Up"),
    Case("goose: misspelt", {"1_a.sql": GOOSE + "-- +goose Dwon\nSELECT 1;\n"}, "1_a.sql:3", "Dwon", "Down"),
    Case("goose: capitals", {"1_a.sql": GOOSE + "-- +GOOSE Down\nSELECT 1;\n"}, "1_a.sql:3", "not written", "-- +goose Down"),
    Case("goose: without a plus", {"1_a.sql": GOOSE + "-- goose Down\nSELECT 1;\n"}, "1_a.sql:3", "not written", "-- +goose Down"),
    Case("goose: behind a statement", {"1_a.sql": GOOSE + "SELECT 1; -- +goose Down\nSELECT 1;\n"}, "1_a.sql:3", "behind other text", "line of its own"),
    Case("goose: begin without end", {"1_a.sql": "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n"}, "1_a.sql:2", "StatementBegin", "StatementEnd"),
    Case("goose: end without begin", {"1_a.sql": GOOSE + "-- +goose StatementEnd\n"}, "1_a.sql:3", "StatementEnd", "StatementBegin"),
    Case("goose: two ups", {"1_a.sql": GOOSE + GOOSE}, "1_a.sql:3", "second Up", "once"),
    Case("goose: text before", {"1_a.sql": "SELECT 1;\n" + GOOSE}, "1_a.sql:1", "before", "+goose Up"),
    Case("goose: written in Go", {"1_a.sql": GOOSE, "2_b.go": "package main\n"}, "2_b.go", "program code", "Python module"),
    Case("goose: envsub of an unknown name", {"1_a.sql": "-- +goose ENVSUB ON\n-- +goose Up\nCREATE ROLE ${WHO};\n"}, "1_a.sql:3", "WHO", "--var"),
    Case("goose: no version", {"1_a.sql": GOOSE, "b.sql": GOOSE}, "b.sql", "version", "00001"),
    Case("goose: syntax", {"1_a.sql": "-- +goose Up\nSELEC 1;\n"}, "1_a.sql:2:1", "SELEC", "Correct"),
)  # fmt: skip

DBMATE_CASES = (
    Case("dbmate: no up", {"1_a.sql": DBMATE, "2_b.sql": "-- migrate:down\nSELECT 1;\n"}, "2_b.sql", "up", "migrate:up"),
    Case("dbmate: capitals", {"1_a.sql": DBMATE + "-- migrate:Down\nSELECT 1;\n"}, "1_a.sql:3", "migrate:Down", "migrate:down"),
    Case("dbmate: behind a statement", {"1_a.sql": DBMATE + "SELECT 1; -- migrate:down\nSELECT 1;\n"}, "1_a.sql:3", "behind other text", "line of its own"),
    Case("dbmate: a blank that does not break", {"1_a.sql": DBMATE + "--\u00a0migrate:down\nSELECT 1;\n"}, "1_a.sql:3", "unknown", "migrate:down"),
    Case("dbmate: text before", {"1_a.sql": "SELECT 1;\n" + DBMATE}, "1_a.sql:1", "before", "migrate:up"),
    Case("dbmate: marker without a number in the name", {"1_a.sql": DBMATE, "b.sql": DBMATE}, "b.sql", "version", "Name it like"),
    Case("dbmate: syntax", {"1_a.sql": "-- migrate:up\nSELEC 1;\n"}, "1_a.sql:2:1", "SELEC", "Correct"),
    Case("dbmate: Latin-1", {"1_a.sql": DBMATE.encode() + b"-- \xe9\n"}, "1_a.sql:3", "0xE9", "UTF-8"),
)  # fmt: skip

PAIRS = (
    Case("golang-migrate: down alone", {"1_a.up.sql": TABLE, "2_b.down.sql": TABLE}, "2_b.down.sql", "up", "2_b.up.sql"),
    Case("golang-migrate: same version", {"1_a.up.sql": TABLE, "01_b.up.sql": TABLE}, "", "same version", "version"),
    Case("golang-migrate: no version", {"1_a.up.sql": TABLE, "b.up.sql": TABLE}, "b.up.sql", "no version", "Name it like"),
    Case("golang-migrate: in Go", {"1_a.up.sql": TABLE, "2_b.up.go": "package main\n"}, "2_b.up.go", "program code", "Python module"),
    Case("golang-migrate: syntax in a file of another ending", {"1_a.up.sql": TABLE, "2_b.up.pgsql": "SELEC 1;\n"}, "2_b.up.pgsql:1:1", "SELEC", "Correct"),
    Case("golang-migrate: syntax", {"1_a.up.sql": "SELEC 1;\n"}, "1_a.up.sql:1:1", "SELEC", "Correct"),
    Case("plain: no version", {"1_a.sql": TABLE, "schema.sql": TABLE}, "schema.sql", "version", "Name it like", "plain"),
    Case("plain: another tool's marker", {"1_a.sql": "-- @UP\nSELECT 1;\n-- @DOWN\nSELECT 2;\n"}, "1_a.sql:1", "@UP", ""),
    Case("plain: same version", {"1_a.sql": TABLE, "1_b.sql": TABLE}, "", "same version", "version", "plain"),
    Case("plain: journal names a missing file", {"0000_a.sql": TABLE, "meta/_journal.json": '{"entries": [{"idx": 0, "tag": "0000_a"}, {"idx": 1, "tag": "0001_b"}]}'}, "meta/_journal.json", "0001_b", ""),
    Case("plain: in TypeScript", {"1600_a/up.sql": TABLE, "1601_b/up.ts": "export {}\n"}, "1601_b/up.ts", "program code", "Python module"),
    Case("plain: in YAML", {"1600_a/up.sql": TABLE, "1601_b/up.yaml": "- type: x\n"}, "1601_b/up.yaml", "program code", "Python module"),
    Case("plain: a shell script", {"1_a.sql": TABLE, "2_b.sh": "psql\n"}, "2_b.sh", "program code", "Python module"),
    Case("plain: journal is no JSON", {"0000_a.sql": TABLE, "meta/_journal.json": "{"}, "meta/_journal.json", "", ""),
)  # fmt: skip

FLYWAY = (
    Case("flyway: same version", {"V1__a.sql": TABLE, "V1.0__b.sql": TABLE}, "", "version", "version"),
    Case("flyway: in Java", {"V1__a.sql": TABLE, "V2__B.java": "class B {}"}, "V2__B.java", "program code", "as SQL"),
    Case("flyway: one underscore", {"V1__a.sql": TABLE, "V2_b.sql": TABLE}, "V2_b.sql", "", "V2__"),
    Case("flyway: undo without its version", {"V1__a.sql": TABLE, "U2__b.sql": TABLE}, "U2__b.sql", "no V file", "Add that file"),
    Case("flyway: undeclared placeholder", {"V1__a.sql": "CREATE TABLE ${schema}.t (a int);\n"}, "V1__a.sql:1", "schema", "--var"),
    Case("flyway: own placeholder", {"V1__a.sql": "CREATE TABLE t (a text DEFAULT '${flyway:timestamp}');\n"}, "V1__a.sql:1", "flyway:timestamp", ""),
    Case("flyway: callback", {"V1__a.sql": TABLE, "beforeMigrate.sql": "SELECT 1;\n"}, "beforeMigrate.sql", "callback", ""),
    Case("flyway: repeatable twice", {"V1__a.sql": TABLE, "R__v.sql": TABLE, "more/R__v.sql": TABLE}, "", "", ""),
    Case("flyway: unknown setting", {"V1__a.sql": TABLE, "V1__a.sql.conf": "shouldExecute=false\n"}, "V1__a.sql.conf", "shouldExecute", ""),
)  # fmt: skip

SQITCH = (
    Case("sqitch: script missing", {"sqitch.plan": f"{PLAN}users {WHO} # u\n"}, "", "deploy/users.sql", ""),
    Case("sqitch: requires what comes later", {"sqitch.plan": f"{PLAN}a [b] {WHO} # a\nb {WHO} # b\n", "deploy/a.sql": TABLE, "deploy/b.sql": TABLE}, "sqitch.plan:4", "b", ""),
    Case("sqitch: change twice", {"sqitch.plan": f"{PLAN}a {WHO} # a\na {WHO} # a\n", "deploy/a.sql": TABLE}, "sqitch.plan:5", "a", ""),
    Case("sqitch: line that is no change", {"sqitch.plan": f"{PLAN}a {WHO} # a\n???\n", "deploy/a.sql": TABLE}, "sqitch.plan:5", "", ""),
    Case("sqitch: conflict", {"sqitch.plan": f"{PLAN}a {WHO} # a\nb [!a] {WHO} # b\n", "deploy/a.sql": TABLE, "deploy/b.sql": TABLE}, "sqitch.plan:5", "a", ""),
    Case("sqitch: two plans", {"x/sqitch.plan": f"{PLAN}a {WHO} # a\n", "y/sqitch.plan": f"{PLAN}b {WHO} # b\n"}, "", "plan", ""),
)  # fmt: skip

PYTHON = (
    Case("python: no up", {"1_a.sql": UP, "2_b.py": "x = 1\n"}, "2_b.py", "async def up(conn)", "top level"),
    Case("python: up is not async", {"1_a.sql": UP, "2_b.py": "def up(conn):\n    pass\n"}, "2_b.py:1", "async", "async def up"),
    Case("python: wrong parameters", {"1_a.sql": UP, "2_b.py": "async def up():\n    pass\n"}, "2_b.py:1", "", "async def up(conn)"),
    Case("python: syntax", {"1_a.sql": UP, "2_b.py": "async def up(conn):\n  pass\n pass\n"}, "2_b.py:3", "", ""),
    Case("python: same version", {"1_a.sql": UP, "1_b.py": "async def up(conn):\n    pass\n"}, "", "same version", "another version"),
    Case("python: Latin-1", {"1_a.sql": UP, "2_b.py": b"# \xe9\nasync def up(conn):\n    pass\n"}, "2_b.py:1", "0xE9", "UTF-8"),
)  # fmt: skip

CORPUS = (*OURS, *GOOSE_CASES, *DBMATE_CASES, *PAIRS, *FLYWAY, *SQITCH, *PYTHON)
