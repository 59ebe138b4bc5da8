"""Rehearsal: what a way back leaves behind, or takes away for good, is caught on a database that
nobody needs.
"""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from migrations.formats.bundle import load_folder
from migrations.rehearsal.fixtures import load_fixtures
from migrations.rehearsal.rehearsal import IRREVERSIBLE, RehearsalStage, rehearse
from migrations.rehearsal.results import (
    Mark,
    MigrationRehearsal,
    Rehearsal,
    RehearsalPart,
    RehearsalProblem,
)
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import FreshDatabase

USERS = """\
-- +migrate Up
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
-- +migrate Down
DROP TABLE users;
-- +migrate Verify
SELECT true FROM pg_class WHERE relname = 'users';
"""
PHONE = """\
-- +migrate Up
ALTER TABLE users ADD COLUMN phone text;
CREATE INDEX users_by_phone ON users (phone);
-- +migrate Down
ALTER TABLE users DROP COLUMN phone;
"""
ROWS = "INSERT INTO users (id, email) SELECT n, n || '@Example.com' FROM generate_series(1, 7) n;\n"


class Heard:
    """Hears a rehearsal."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begun(self, label: str, number: int, total: int) -> None:
        self.said.append(f"{number}/{total} {label}")

    def ended(self, result: MigrationRehearsal) -> None:
        self.said.append(f"{result.label} {result.mark}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "migrations"
    made.mkdir()
    (tmp_path / "tests").mkdir()
    return made


def write(folder: Path, **files: str) -> None:
    """Migrations as `v1_users`, fixtures as `before_2` and `after_2`."""
    for name, text in files.items():
        kind, _, rest = name.partition("_")
        if kind in ("before", "after"):
            (folder.parent / "tests" / f"{rest}.{kind}.sql").write_text(text)
        else:
            (folder / f"{name.removeprefix('v')}.sql").write_text(text)


async def rehearsed(
    folder: Path, url: str, heard: Heard | None = None, ready: tuple[str, ...] = ()
) -> Rehearsal:
    migrations = load_folder(folder).migrations
    fixtures = load_fixtures(folder.parent / "tests", migrations, needed=False)
    settings = ConnectionSettings.from_url(url, allow_plaintext=True)
    stage = RehearsalStage(settings, ready=frozenset(ready))
    return await rehearse(stage, migrations, fixtures, heard or Heard())


def marks(result: MigrationRehearsal) -> dict[str, str]:
    return {one.part.value: one.mark.value for one in result.parts}


def only_problem(found: Rehearsal) -> RehearsalProblem:
    (problem,) = [problem for one in found.migrations for problem in one.problems]
    return problem


async def test_every_migration_goes_up_down_and_up_again(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    write(folder, v1_users=USERS, v2_phone=PHONE, before_2=ROWS)
    heard = Heard()
    url = await fresh_database()
    found = await rehearsed(folder, url, heard)
    assert found.succeeded, found
    first, second = found.migrations
    assert marks(first) == {
        "up": "passed",
        "verify": "passed",
        "down": "passed",
        "schema": "passed",
        "contents": "passed",
        "up again": "passed",
        "after": "skipped",
    }
    assert marks(second)["before"] == "passed"
    assert heard.said == ["1/2 1_users", "1_users passed", "2/2 2_phone", "2_phone passed"]
    assert [one.summary for one in second.statements] == [
        "ALTER TABLE users",
        "CREATE INDEX users_by_phone",
        "ALTER TABLE users",
    ]
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(phone) + count(*) FROM users") == 7
    await connection.close()


async def test_a_down_that_is_not_complete_is_shown_with_what_it_lacks(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    forgets = "-- +migrate Up\nALTER TABLE users ADD COLUMN phone text;\nCREATE VIEW v AS SELECT id"
    forgets += " FROM users;\n-- +migrate Down\n\nALTER TABLE users DROP COLUMN phone;\n"
    write(folder, v1_users=USERS, v2_phone=forgets)
    found = await rehearsed(folder, await fresh_database())
    assert [one.mark for one in found.migrations] == [Mark.PASSED, Mark.FAILED]
    problems = found.migrations[1].problems
    assert [one.place for one in problems] == ["2_phone.sql:6", "2_phone.sql:3"]
    assert problems[0].difference is not None
    assert [one.called for one in problems[0].difference.changes] == ["view public.v"]
    assert "DROP VIEW public.v;" in problems[0].remedy
    assert 'relation "v" already exists' in problems[1].message


async def test_a_down_that_loses_data_is_caught_though_the_schema_is_the_same(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    lossy = "-- +migrate Up\nALTER TABLE users DROP COLUMN email;\n"
    lossy += "-- +migrate Down\nALTER TABLE users ADD COLUMN email text NOT NULL DEFAULT '';\n"
    lossy += "ALTER TABLE users ALTER email DROP DEFAULT;\n"
    write(folder, v1_users=USERS, v2_email=lossy, before_2=ROWS)
    found = await rehearsed(folder, await fresh_database())
    assert marks(found.migrations[1])["schema"] == "passed"
    problem = only_problem(found)
    assert problem.details == ("public.users.email: not the same 7 values as before",)
    assert problem.place == "2_email.sql:4"
    assert "-- ledger:loses" in problem.message


@pytest.mark.parametrize(
    ("up", "down", "said"),
    [
        ("DELETE FROM users WHERE id > 5", "SELECT 1", "public.users: 7 rows before, 5 after"),
        (
            "INSERT INTO users VALUES (8, 'h@example.com')",
            "SELECT 1",
            "public.users: 7 rows before, 8 after",
        ),
        (
            "ALTER TABLE users ALTER email DROP NOT NULL; UPDATE users SET email = NULL",
            "UPDATE users SET email = id WHERE id = 1; DELETE FROM users WHERE email IS NULL;"
            "ALTER TABLE users ALTER email SET NOT NULL",
            "public.users: 7 rows before, 1 after",
        ),
        (
            "UPDATE users SET email = lower(email)",
            "SELECT 1",
            "public.users.email: not the same 7 values as before",
        ),
        (
            "UPDATE users SET email = (8 - id) || '@Example.com'",
            "SELECT 1",
            "public.users: values have moved from row to row",
        ),
    ],
)
async def test_whatever_a_down_does_not_bring_back_is_named(
    folder: Path, fresh_database: FreshDatabase, up: str, down: str, said: str
) -> None:
    text = f"-- +migrate Up\n{up};\n-- +migrate Down\n{down};\n"
    write(folder, v1_users=USERS, v2_change=text, before_2=ROWS)
    problems = (await rehearsed(folder, await fresh_database())).migrations[1].problems
    assert problems[0].details == (said,)


async def test_a_column_that_comes_back_in_another_place_with_its_values_is_no_loss(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    moved = "-- +migrate Up\nCREATE TABLE emails AS SELECT id, email FROM users;\n"
    moved += "ALTER TABLE users DROP COLUMN email;\n-- +migrate Down\n"
    moved += "ALTER TABLE users ADD COLUMN email text;\n"
    moved += "UPDATE users SET email = emails.email FROM emails WHERE emails.id = users.id;\n"
    moved += "ALTER TABLE users ALTER email SET NOT NULL;\nDROP TABLE emails;\n"
    write(folder, v1_users=USERS, v2_emails=moved, before_2=ROWS)
    assert (await rehearsed(folder, await fresh_database())).succeeded


async def test_a_declared_loss_is_said_and_one_that_does_not_happen_is_wrong(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    lower = "-- +migrate Up\nUPDATE users SET email = lower(email);\n-- +migrate Down\nSELECT 1;\n"
    declared = "-- ledger:loses users.email how it was written\n"
    write(folder, v1_users=USERS, v2_lower=lower, before_2=declared + ROWS)
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded
    said = "contents: users.email does not come back: how it was written"
    assert said in found.migrations[1].notes
    write(folder, before_2=declared.replace("email", "id") + ROWS)
    problems = (await rehearsed(folder, await fresh_database())).migrations[1].problems
    assert "users.id is declared to be lost, and nothing of it is" in problems[1].message
    assert problems[1].line == 1


async def test_a_migration_without_a_down_is_said_and_does_not_fail(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    final = "-- +migrate Up\nALTER TABLE users ADD COLUMN phone text;\n"
    write(folder, v1_users=USERS, v2_final=final)
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded
    part = found.migrations[1].part(RehearsalPart.DOWN)
    assert part is not None
    assert (part.mark, part.note) == (Mark.SKIPPED, IRREVERSIBLE)


async def test_what_fails_names_its_file_and_line_and_what_comes_behind_is_not_reached(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    broken = "-- +migrate Up\nALTER TABLE users ADD a int;\nALTER TABLE nowhere ADD b int;\n"
    write(folder, v1_users=USERS, v2_broken=broken, v3_phone=PHONE)
    found = await rehearsed(folder, await fresh_database())
    assert [one.mark for one in found.migrations] == [Mark.PASSED, Mark.FAILED, Mark.SKIPPED]
    problem = only_problem(found)
    assert problem.place == "2_broken.sql:3"
    assert 'relation "nowhere" does not exist' in problem.message


async def test_a_down_that_fails_leaves_the_rest_to_be_rehearsed(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    stuck = "-- +migrate Up\nALTER TABLE users ADD a int;\n-- +migrate Down\n"
    stuck += "ALTER TABLE users DROP COLUMN b;\n"
    write(folder, v1_users=USERS, v2_stuck=stuck, v3_phone=PHONE)
    found = await rehearsed(folder, await fresh_database())
    assert [one.mark for one in found.migrations] == [Mark.PASSED, Mark.FAILED, Mark.PASSED]
    assert only_problem(found).place == "2_stuck.sql:4"


async def test_a_verify_section_that_does_not_hold_with_rows_is_found(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    empty = "-- +migrate Up\nALTER TABLE users ADD a int;\n-- +migrate Down\n"
    empty += "ALTER TABLE users DROP COLUMN a;\n-- +migrate Verify\nSELECT a > 0 FROM users;\n"
    write(folder, v1_users=USERS, v2_empty=empty, before_2=ROWS)
    problem = only_problem(await rehearsed(folder, await fresh_database()))
    assert problem.place == "2_empty.sql:6"
    assert "the first column is not true in 7 of 7 rows" in problem.message


async def test_checks_say_what_they_expect_and_nothing_of_them_stays(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    after = """\
SELECT count(*) = 7 FROM users;
-- ledger:expect no rows
SELECT id FROM users WHERE email = '';
-- ledger:expect 2 rows
-- ledger:within 10 s
SELECT id FROM users WHERE id < 3;
-- ledger:expect error 23505
INSERT INTO users VALUES (1, 'again');
INSERT INTO users VALUES (8, 'new');
SELECT count(*) = 8 FROM users;
"""
    write(folder, v1_users=USERS, v2_phone=PHONE, before_2=ROWS, after_2=after)
    url = await fresh_database()
    found = await rehearsed(folder, url)
    assert found.succeeded, found.failed
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM users") == 7
    await connection.close()


async def test_each_check_that_does_not_hold_is_told_with_its_line(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    after = """\
SELECT false;
-- ledger:expect no rows
SELECT id FROM users;
-- ledger:expect 8 rows
SELECT id FROM users;
-- ledger:expect error 23505
SELECT 1;
-- ledger:expect error 23505
SELECT 1 / 0;
-- ledger:within 1 ms
SELECT true FROM pg_sleep(0.1);
SELECT true FROM users
WHERE nothing = 1;
"""
    write(folder, v1_users=USERS, v2_phone=PHONE, before_2=ROWS, after_2=after)
    (problems,) = [one.problems for one in (await rehearsed(folder, await fresh_database())).failed]
    assert [one.line for one in problems] == [1, 3, 5, 7, 9, 11, 13]
    assert {Path(one.file).name for one in problems} == {"2.after.sql"}
    said = [one.message for one in problems]
    assert said[1] == "7 rows came back, and none is expected"
    assert said[2] == "7 rows came back, and 8 are expected"
    assert said[3] == "no error came, and 23505 is expected"
    assert said[4] == ("another error came than 23505: division by zero (SQLSTATE 22012)")
    assert "and may take 1 ms" in said[5]
    assert 'column "nothing" does not exist' in said[6]


async def test_rows_that_cannot_be_made_are_told_with_file_and_line(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    before = "INSERT INTO users VALUES (1, 'a');\n\nINSERT INTO users\nVALUES (1, 'b');\n"
    write(folder, v1_users=USERS, v2_phone=PHONE, before_2=before)
    found = await rehearsed(folder, await fresh_database())
    problem = only_problem(found)
    assert (Path(problem.file).name, problem.line) == ("2.before.sql", 3)
    assert "Key (id)=(1) already exists." in problem.message
    assert marks(found.migrations[1])["up again"] == "passed"


async def test_what_is_ready_is_applied_with_its_rows_and_not_rehearsed(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    write(folder, v1_users=USERS, v2_phone=PHONE, v3_more=PHONE.replace("phone", "fax"))
    write(folder, before_2=ROWS, after_3="SELECT count(*) = 7 FROM users;")
    found = await rehearsed(folder, await fresh_database(), ready=("1", "2"))
    assert found.succeeded
    assert [one.version for one in found.migrations] == ["3"]
    (folder / "2_phone.sql").write_text("-- +migrate Up\nSELECT 1 / 0;\n")
    failed = await rehearsed(folder, await fresh_database(), ready=("1", "2"))
    assert [one.mark for one in failed.migrations] == [Mark.FAILED, Mark.SKIPPED]
    assert only_problem(failed).place == "2_phone.sql:2"


async def test_the_first_file_makes_what_no_migration_does(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder.parent / "tests" / "before.sql").write_text("CREATE SCHEMA audit;\n")
    inside = USERS.replace("users", "audit.users").replace("'audit.users'", "'users'")
    write(folder, v1_users=inside)
    assert (await rehearsed(folder, await fresh_database())).succeeded
    (folder.parent / "tests" / "before.sql").write_text("CREATE NOTHING;\n")
    with pytest.raises(Exception, match=r"before\.sql:1"):
        await rehearsed(folder, await fresh_database())
    (folder.parent / "tests" / "before.sql").write_text("SELECT 1;\nCREATE SCHEMA public;\n")
    found = await rehearsed(folder, await fresh_database())
    assert [one.mark for one in found.migrations] == [Mark.FAILED, Mark.SKIPPED]
    assert only_problem(found).line == 2
