"""`ledger test`, as a person meets it: on a scratch database, with and without a ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from ledger.contracts.events import RehearsalRecorded
from ledger.runtime import open_ledger, stores_of
from ledger.settings import Settings
from ledger.store.log.decode import open_event
from tests.fixtures.postgres import PostgresServer
from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

NOTES = """\
-- +migrate Up
ALTER TABLE parcels ADD COLUMN note text;
-- +migrate Down
ALTER TABLE parcels DROP COLUMN note;
"""
FORGETS = """\
-- +migrate Up
ALTER TABLE parcels ADD COLUMN note text;
CREATE INDEX by_note ON parcels (note);
CREATE VIEW parcel_ids AS SELECT id FROM parcels;
-- +migrate Down
ALTER TABLE parcels DROP COLUMN note;
"""
LOSES = """\
-- +migrate Up
ALTER TABLE parcels DROP COLUMN weight;
-- +migrate Down
ALTER TABLE parcels ADD COLUMN weight int;
"""


@pytest.fixture
async def scratch(
    postgres_server: PostgresServer, environment: dict[str, str]
) -> AsyncIterator[str]:
    """The environment names a server for scratch databases, with an ordinary role's login."""
    role = f"{postgres_server.prefix}_{uuid4().hex[:8]}"
    password = postgres_server.password
    await postgres_server.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'")
    place = postgres_server.url("postgres").rpartition("@")[2]
    environment["LEDGER_SCRATCH_URL"] = f"postgresql://{role}:{password}@{place}"
    yield role
    await postgres_server.execute(f"DROP ROLE {role}")


def fixture(migrations: Path, name: str, text: str) -> None:
    folder = migrations.parent / "tests"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


async def recorded(url: str) -> list[RehearsalRecorded]:
    async with open_ledger(Settings.model_validate({"database_url": url})) as opened:
        events = [
            open_event(raw).event async for raw in stores_of(opened).log.read_stream("bundles")
        ]
    return [one for one in events if isinstance(one, RehearsalRecorded)]


def written(folder: Path) -> ElementTree.Element:
    """The JUnit document that the program wrote."""
    return ElementTree.fromstring((folder / "result.xml").read_bytes())  # noqa: S314


async def databases_left(server: PostgresServer) -> list[str]:
    connection = await asyncpg.connect(server.admin_url)
    rows = await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'ledger_s%'")
    await connection.close()
    return [row["datname"] for row in rows]


async def test_a_folder_is_rehearsed_without_a_ledger_and_nothing_is_left(
    ledger: LedgerProgram, migrations: Path, scratch: str, postgres_server: PostgresServer
) -> None:
    fixture(migrations, "2.before.sql", "INSERT INTO parcels SELECT generate_series(1, 5);")
    fixture(migrations, "2_weight.after.sql", "SELECT count(*) = 5 FROM parcels;")
    answer = await ledger("test")
    assert answer.code == ExitCode.OK, answer.out + answer.err
    assert "2 migrations went well, on PostgreSQL " in answer.out
    assert "2/2 2_weight" in answer.err
    assert await databases_left(postgres_server) == []


async def test_an_incomplete_down_is_shown_object_by_object_with_the_sql_that_it_lacks(
    ledger: LedgerProgram, migrations: Path, scratch: str
) -> None:
    (migrations / "3_note.sql").write_text(FORGETS)
    answer = await ledger("test")
    assert answer.code == ExitCode.FAILED
    place = "3_note, schema: migrations/3_note.sql:6: after the down the schema is not what it was"
    assert place in answer.out
    assert "added    view public.parcel_ids" in answer.out
    assert "DROP VIEW public.parcel_ids;" in answer.out
    assert answer.out.index("DROP VIEW") < answer.out.index("1_parcels")
    assert "1 failed, 2 migrations went well" in answer.out


async def test_a_down_that_loses_rows_is_caught_and_one_that_says_so_is_not(
    ledger: LedgerProgram, migrations: Path, scratch: str
) -> None:
    (migrations / "3_no_weight.sql").write_text(LOSES)
    rows = "INSERT INTO parcels SELECT n, n * 10 FROM generate_series(1, 5) AS n;\n"
    fixture(migrations, "3.before.sql", rows)
    lost = await ledger("test")
    assert lost.code == ExitCode.FAILED
    assert "3_no_weight, contents: migrations/3_no_weight.sql:4:" in lost.out
    assert "public.parcels.weight: 5 values before, 0 after" in lost.out
    fixture(migrations, "3.before.sql", f"-- ledger:loses parcels.weight nobody reads it\n{rows}")
    declared = await ledger("test")
    assert declared.code == ExitCode.OK, declared.out
    assert "parcels.weight does not come back: nobody reads it" in declared.out


async def test_the_result_is_data_and_junit_too(
    ledger: LedgerProgram, migrations: Path, scratch: str, tmp_path: Path
) -> None:
    (migrations / "3_note.sql").write_text(FORGETS)
    answer = await ledger("test", "-o", "json", "--junit", "result.xml")
    assert answer.code == ExitCode.FAILED
    assert (answer.json["kind"], answer.json["succeeded"]) == ("test", False)
    third = answer.items[2]
    assert (third["migration"], third["result"]) == ("3_note", "failed")
    problem = next(one for one in third["parts"] if one["part"] == "schema")["problems"][0]
    assert problem["place"] == "migrations/3_note.sql:6"
    assert [one["object"] for one in problem["difference"]] == ["view public.parcel_ids"]
    assert third["statements"][1]["statement"] == "CREATE INDEX by_note"
    assert isinstance(third["up_ms"], int)
    suite = written(tmp_path)
    assert suite.get("failures") == str(len(suite.findall(".//failure")))
    case = suite.find(".//testcase[@name='schema'][@classname='3_note']")
    assert case is not None
    assert (case.get("file"), case.get("line")) == ("migrations/3_note.sql", "6")


async def test_statements_are_told_with_their_times_and_the_locks_that_they_take(
    ledger: LedgerProgram, migrations: Path, scratch: str
) -> None:
    typed = "ALTER TABLE parcels ALTER weight TYPE bigint"
    (migrations / "3_wide.sql").write_text(f"-- +migrate Up\n{typed};\n")
    answer = await ledger("test", "--statements", "-o", "json")
    assert answer.code == ExitCode.OK, answer.err
    (statement,) = answer.items[2]["statements"]
    assert statement["locks"] == [{"table": "public.parcels", "mode": "ACCESS EXCLUSIVE"}]
    assert statement["rewrites"] == ["public.parcels"]
    people = await ledger("test", "--statements", "--after", "2")
    assert people.code == ExitCode.OK, people.err
    assert "up, migrations/3_wide.sql:2: ALTER TABLE parcels, " in people.out
    assert "ms; ACCESS EXCLUSIVE on public.parcels, rewrites public.parcels" in people.out


async def test_names_that_could_paint_on_a_terminal_are_shown_escaped_everywhere(
    ledger: LedgerProgram, migrations: Path, scratch: str, tmp_path: Path
) -> None:
    nasty = 'CREATE TABLE "a\x1b[31m<&>\ufffe" (id int)'
    text = f"-- +migrate Up\n{nasty};\n-- +migrate Down\nSELECT 1;\n"
    (migrations / "3_nasty.sql").write_text(text)
    answer = await ledger("test", "--junit", "result.xml")
    assert answer.code == ExitCode.FAILED
    assert "\x1b" not in answer.out + answer.err
    assert "\\x1b[31m<&>" in answer.out
    assert "\\x1b[31m<&>" in "".join(written(tmp_path).itertext())


async def test_only_what_some_database_lacks_is_rehearsed_and_the_result_is_recorded(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str, scratch: str
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    nothing = await ledger("test")
    assert nothing.code == ExitCode.OK
    assert "Nothing is rehearsed: 0 migrations of 2 that some database lacks" in nothing.err
    (migrations / "3_note.sql").write_text(NOTES)
    answer = await ledger("test", "-o", "json")
    assert answer.code == ExitCode.OK, answer.err
    assert [one["migration"] for one in answer.items] == ["3_note"]
    (event,) = await recorded(installed)
    assert event.bundle == answer.json["recorded_for"]
    assert (event.succeeded, event.versions, event.failed) == (True, ("3",), ())
    every = await ledger("test", "--all", "--no-record", "-o", "json")
    assert [one["version"] for one in every.items] == ["1", "2", "3"]
    assert len(await recorded(installed)) == 1


async def test_a_rollout_that_needs_a_rehearsal_is_refused_until_there_is_one_of_its_bundle(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str, scratch: str
) -> None:
    def words(answer: str) -> str:
        return " ".join(answer.split())

    planned = await ledger("plan")
    assert "not rehearsed" in planned.out
    refused = await ledger("up", "--yes", "--require-rehearsal")
    assert refused.code == ExitCode.REFUSED
    assert "this bundle was never rehearsed; run `ledger test`" in words(refused.err)
    assert (await ledger("up", "--dry-run", LEDGER_ROLLOUT_REQUIRE_REHEARSAL="true")).code == (
        ExitCode.REFUSED
    )
    assert (await ledger("test")).code == ExitCode.OK
    known = await ledger("plan")
    assert "ago on PostgreSQL " in known.out
    (migrations / "3_note.sql").write_text(FORGETS)
    changed = await ledger("up", "--yes", "--require-rehearsal")
    assert "this bundle was never rehearsed" in words(changed.err)
    assert (await ledger("test")).code == ExitCode.FAILED
    failed = await ledger("up", "--yes", "--require-rehearsal")
    assert "the newest one of this bundle failed (at 3)" in words(failed.err)
    shown = await ledger("plan", "-o", "json")
    assert (shown.json["rehearsal"]["succeeded"], shown.json["rehearsal"]["failed"]) == (
        False,
        ["3"],
    )
    (migrations / "3_note.sql").write_text(NOTES)
    assert (await ledger("test")).code == ExitCode.OK
    old = await ledger(
        "up", "--yes", "--require-rehearsal", LEDGER_ROLLOUT_REHEARSAL_MAX_AGE_DAYS="0.0000001"
    )
    assert old.code == ExitCode.REFUSED
    assert "days old, and may be" in words(old.err)
    assert (await ledger("up", "--yes", "--require-rehearsal")).code == ExitCode.OK


async def test_a_rehearsal_that_did_not_try_all_that_goes_does_not_count(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str, scratch: str
) -> None:
    assert (await ledger("test", "--after", "1")).code == ExitCode.OK
    refused = await ledger("up", "--yes", "--require-rehearsal")
    assert refused.code == ExitCode.REFUSED
    assert "did not try 1" in refused.err
    assert (await ledger("up", "--yes")).code == ExitCode.OK


async def test_a_file_with_a_schema_stands_for_what_came_before(
    ledger: LedgerProgram, migrations: Path, scratch: str, tmp_path: Path
) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE parcels (id bigint PRIMARY KEY);\n")
    unsaid = await ledger("test", "--schema-from", "file:schema.sql")
    assert unsaid.code == ExitCode.USAGE
    assert "--after VERSION" in unsaid.err
    answer = await ledger("test", "--schema-from", "file:schema.sql", "--after", "1", "-o", "json")
    assert answer.code == ExitCode.OK, answer.err
    assert [one["version"] for one in answer.items] == ["2"]
    assert answer.json["schema_from"] == "file"


async def test_the_catalog_of_a_database_of_the_fleet_stands_for_what_it_has(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, scratch: str
) -> None:
    assert (await ledger("up", "--yes", "--to", "1", "--select", "id=t2")).code == ExitCode.OK
    connection = await asyncpg.connect(fleet.addresses["t2"])
    await connection.execute("CREATE VIEW weights AS SELECT id FROM parcels")
    await connection.close()
    (migrations / "3_weights.sql").write_text(
        "-- +migrate Up\nCREATE TABLE weights (id int);\n-- +migrate Down\nDROP TABLE weights;\n"
    )
    answer = await ledger("test", "--schema-from", "database:t2", "-o", "json")
    assert answer.code == ExitCode.FAILED, answer.err
    assert [(one["version"], one["result"]) for one in answer.items] == [
        ("2", "passed"),
        ("3", "failed"),
    ]
    assert 'relation "weights" already exists' in answer.err


async def test_a_schema_of_a_tenant_may_be_the_target(
    ledger: LedgerProgram, migrations: Path, scratch: str
) -> None:
    fixture(migrations, "2.before.sql", "INSERT INTO parcels SELECT generate_series(1, 5);")
    fixture(migrations, "2.after.sql", "SELECT count(*) = 5 FROM acme.parcels;")
    answer = await ledger("test", "--schema", "acme")
    assert answer.code == ExitCode.OK, answer.out + answer.err


@pytest.mark.parametrize(
    ("words", "files", "says"),
    [
        (("--after", "9"), {}, "the folder has no migration 9"),
        (("--after", "1", "--all"), {}, "--all and --after say two things"),
        (("--fixtures", "nowhere"), {}, "nowhere: cannot be listed"),
        (("--junit", "no/such/file.xml"), {}, "no/such/file.xml cannot be written"),
        (("--schema-from", "moon"), {}, "--schema-from moon names no schema"),
        ((), {"3.before.sql": "SELECT 1;"}, "no migration is called 3"),
        ((), {"2.before.sql": "", "2_weight.before.sql": ""}, "is a second file for 2"),
        ((), {"2.before.sql": "SELEC 1;"}, "tests/2.before.sql:1"),
        ((), {"2.after.sql": "-- ledger:expcet 1 row\nSELECT 1;"}, "tests/2.after.sql:1"),
        ((), {"2.after.sql": "-- ledger:within soon\nSELECT 1;"}, "`-- ledger:within soon` says"),
        ((), {"2.after.sql": "SELECT 1;\n-- ledger:expect no rows\n"}, "behind the last statement"),
        (
            (),
            {"2.after.sql": "-- ledger:expect no rows\n-- ledger:expect 1 row\nSELECT 1;"},
            "is asked twice of one statement",
        ),
        ((), {"2.after.sql": "SELECT 1\n-- ledger:expect 1 row\n;"}, "stands within a statement"),
        ((), {"2.before.sql": "-- ledger:loses parcels\n"}, "tests/2.before.sql:1"),
    ],
)
async def test_what_cannot_be_meant_is_said_before_anything_runs(
    ledger: LedgerProgram,
    migrations: Path,
    scratch: str,
    words: tuple[str, ...],
    files: dict[str, str],
    says: str,
) -> None:
    for name, text in files.items():
        fixture(migrations, name, text)
    answer = await ledger("test", *words)
    assert answer.code in (ExitCode.USAGE, ExitCode.FAILED)
    assert says in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    assert "Starting" not in answer.err
    assert "1/2" not in answer.err


async def test_a_ledger_that_cannot_be_reached_takes_nothing_from_the_result(
    ledger: LedgerProgram, migrations: Path, scratch: str
) -> None:
    nowhere = "postgresql://nobody:x@127.0.0.1:1/nothing"
    answer = await ledger("test", "-o", "json", LEDGER_DATABASE_URL=nowhere)
    assert answer.code == ExitCode.OK, answer.err
    assert answer.json["recorded_for"] is None
    assert "the result is not recorded" in answer.err
    asked = await ledger("test", "--record", LEDGER_DATABASE_URL=nowhere)
    assert asked.code == ExitCode.UNREACHABLE
    unnamed = await ledger("test", "--record")
    assert unnamed.code == ExitCode.USAGE
    assert json.dumps("LEDGER_DATABASE_URL")[1:-1] in unnamed.err


async def test_rows_are_made_like_those_of_a_database_that_were_counted(
    ledger: LedgerProgram, migrations: Path, scratch: str, database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE parcels (id bigint PRIMARY KEY, weight int);"
        "INSERT INTO parcels SELECT n, n % 7 FROM generate_series(1, 50) AS n;"
        "ANALYZE parcels; CREATE TABLE uncounted (id int)"
    )
    await connection.close()
    shapes = await ledger("db", "shapes", "--to", "shapes.json", DATABASE_URL=database)
    assert shapes.code == ExitCode.OK, shapes.err
    assert "1 of 2 tables were never counted; run ANALYZE there" in shapes.err
    (migrations / "3_no_weight.sql").write_text(LOSES)
    lost = await ledger("test", "--rows-like", "shapes.json")
    assert lost.code == ExitCode.FAILED
    assert "public.parcels.weight: 50 values before, 0 after" in lost.out
    (tmp_path / "shapes.json").write_text("[]")
    wrong = await ledger("test", "--rows-like", "shapes.json")
    assert wrong.code == ExitCode.USAGE
    assert "shapes.json: this is no file of shapes; write one with `ledger db shapes" in wrong.err
