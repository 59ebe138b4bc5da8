"""Rehearsal of every kind of migration, and of tables of every kind."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from migrations.formats.bundle import load_folder
from migrations.model.migration import Language
from migrations.rehearsal.contents import changes_of, contents_of
from migrations.rehearsal.fixtures import load_fixtures
from migrations.rehearsal.rehearsal import RehearsalStage, rehearse
from migrations.rehearsal.results import Mark, MigrationRehearsal, Rehearsal, RehearsalPart
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import FreshDatabase

USERS = """\
-- +migrate Up
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
-- +migrate Down
DROP TABLE users;
"""
ROWS = "INSERT INTO users SELECT n, n || '@Example.com' FROM generate_series(1, 7) n;\n"
EVERY_KIND = """
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
    CREATE TABLE "odd ""name""\n{}:x" ("a:b" int, "{}" jsonb, p pair, s short, x jsonb, t text[]);
    INSERT INTO "odd ""name""\n{}:x" VALUES (1, '{"k": 1}', (1, 'b'), 's', '[1]', '{a,NULL}');
    CREATE TABLE parts (id int, d date) PARTITION BY RANGE (d);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO parts VALUES (1, '2026-02-03'), (2, NULL::date + 1) ON CONFLICT DO NOTHING;
"""


class Nobody:
    """Hears a rehearsal and says nothing."""

    def begun(self, label: str, number: int, total: int) -> None:
        """Ignore."""

    def ended(self, result: MigrationRehearsal) -> None:
        """Ignore."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "migrations"
    made.mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "2.before.sql").write_text(ROWS)
    (made / "1_users.sql").write_text(USERS)
    return made


async def rehearsed(folder: Path, url: str, format: str | None = None) -> Rehearsal:
    migrations = load_folder(folder, format).migrations
    fixtures = load_fixtures(folder.parent / "tests", migrations, needed=False)
    settings = ConnectionSettings.from_url(url, allow_plaintext=True)
    stage = RehearsalStage(settings, programs=frozenset(Language))
    return await rehearse(stage, migrations, fixtures, Nobody())


async def test_a_data_migration_brings_its_rows_back_from_what_it_saved(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder / "2_lower.sql").write_text(
        "-- +migrate Data table=users key=id batch=3 backup=email\n"
        "UPDATE users SET email = lower(users.email) FROM batch WHERE users.id = batch.id;\n"
    )
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded, found.failed
    part = found.migrations[1].part(RehearsalPart.CONTENTS)
    assert part is not None
    assert part.mark is Mark.PASSED


async def test_statements_outside_of_transactions_are_rehearsed_too(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder / "2_index.sql").write_text(
        "-- +migrate Up notransaction\nCREATE INDEX CONCURRENTLY by_email ON users (email);\n"
        "-- +migrate Down notransaction\nDROP INDEX CONCURRENTLY by_email;\n"
    )
    assert (await rehearsed(folder, await fresh_database())).succeeded


async def test_a_module_is_rehearsed_with_both_its_ways(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder / "2_code.py").write_text(
        "async def up(conn):\n    await conn.execute('ALTER TABLE users ADD a int')\n\n"
        "async def down(conn):\n    await conn.execute('ALTER TABLE users DROP a, DROP email')\n"
    )
    found = await rehearsed(folder, await fresh_database())
    (problem,) = [one for one in found.migrations[1].problems if one.difference is not None]
    assert problem.file == "2_code.py"
    assert problem.difference is not None
    assert [one.called for one in problem.difference.changes] == ["column public.users.email"]


async def test_all_phases_of_a_change_go_one_after_the_other(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder.parent / "tests" / "2.before.sql").rename(folder.parent / "tests" / "2.1.before.sql")
    for phase, up, down in (
        ("expand", "ALTER TABLE users ADD mail text", "ALTER TABLE users DROP mail"),
        ("migrate", "UPDATE users SET mail = email", "UPDATE users SET mail = NULL"),
        (
            "contract",
            "ALTER TABLE users DROP email",
            "ALTER TABLE users ADD email text; UPDATE users SET email = mail;"
            "ALTER TABLE users ALTER email SET NOT NULL",
        ),
    ):
        text = f"-- +migrate Up\n{up};\n-- +migrate Down\n{down};\n"
        (folder / f"2_rename.{phase}.sql").write_text(text)
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded, found.failed
    assert [one.version for one in found.migrations] == ["1", "2.1", "2.2", "2.3"]


async def test_files_that_a_baseline_stands_for_are_not_rehearsed_and_that_is_said(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder.parent / "tests" / "2.before.sql").unlink()
    (folder / "2_all.sql").write_text(
        "-- +migrate Baseline through=1\nCREATE TABLE users (id bigint PRIMARY KEY, email text);\n"
    )
    (folder / "3_more.sql").write_text(USERS.replace("users", "more"))
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded, found.failed
    assert [one.version for one in found.migrations] == ["B1", "3"]
    assert "1_users is not rehearsed: B1 stands in its place" in found.notes


async def test_other_tools_files_are_rehearsed_and_a_repeatable_one_has_no_way_back(
    tmp_path: Path, fresh_database: FreshDatabase
) -> None:
    made = tmp_path / "sql"
    made.mkdir()
    (made / "V1__users.sql").write_text("CREATE TABLE users (id int);\n")
    (made / "U1__users.sql").write_text("DROP TABLE users;\n")
    (made / "R__names.sql").write_text("CREATE OR REPLACE VIEW ids AS SELECT id FROM users;\n")
    found = await rehearsed(made, await fresh_database(), "flyway")
    assert found.succeeded, found.failed
    down = found.migrations[1].part(RehearsalPart.DOWN)
    assert down is not None
    assert down.note == "it runs again when it changes"


async def test_what_is_in_tables_of_every_kind_is_read_and_compared(
    fresh_database: FreshDatabase,
) -> None:
    connection = await asyncpg.connect(await fresh_database())
    try:
        await connection.execute(EVERY_KIND.replace("(2, NULL::date + 1)", "(2, '2026-03-04')"))
        before = await contents_of(connection)
        assert changes_of(before, await contents_of(connection)) == ()
        await connection.execute("""UPDATE "odd ""name""\n{}:x" SET "{}" = '{"k": 2}', s = 'z'""")
        await connection.execute("DELETE FROM parts WHERE id = 2")
        said = [str(one) for one in changes_of(before, await contents_of(connection))]
        assert said == [
            'public.odd "name"\\n{}:x.s: not the same 1 values as before',
            'public.odd "name"\\n{}:x.{}: not the same 1 values as before',
            "public.parts_1: 2 rows before, 1 after",
        ]
    finally:
        await connection.close()


async def test_rows_that_a_policy_hides_are_not_taken_for_lost(
    folder: Path, fresh_database: FreshDatabase
) -> None:
    (folder / "2_hidden.sql").write_text(
        "-- +migrate Up\nALTER TABLE users ENABLE ROW LEVEL SECURITY;\n"
        "ALTER TABLE users FORCE ROW LEVEL SECURITY;\n"
    )
    (folder / "3_more.sql").write_text(USERS.replace("users", "more"))
    found = await rehearsed(folder, await fresh_database())
    assert found.succeeded, found.failed
    part = found.migrations[2].part(RehearsalPart.CONTENTS)
    assert part is not None
    assert part.mark is Mark.SKIPPED
    assert part.note.startswith("rows cannot be read: ")
