"""The record: installed, verified, and refused when something is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from ledger.cli.fleet.entries import FleetFileEntry
from ledger.cli.fleet.options import EXAMPLE_FILE
from ledger.service.fleet import FleetService
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store import install as installing
from ledger.store.connections import open_pool
from ledger.store.log.log import EventLog
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from tests.fixtures.postgres import TenantDatabases
from tests.integration.cli.conftest import Fleet, entry_of, variables_of
from tests.support.program import LedgerProgram
from tests.support.raw_event import NewEvent

SCHEMA = installing._schema()
TAMPER = """
    SET session_replication_role = replica;
    UPDATE ledger.log SET body = body || ' '::bytea WHERE position = 3;
"""


async def run(address: str, sql: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_init_installs_a_ledger_and_again_is_harmless(
    ledger: LedgerProgram, database: str
) -> None:
    first = await ledger("init", "--yes", "-o", "json", LEDGER_DATABASE_URL=database)
    second = await ledger("init", "--yes", "-o", "json", LEDGER_DATABASE_URL=database)
    assert first.json["created"] is True
    assert second.json == first.json | {"created": False}
    assert (await ledger("upgrade", "--yes", LEDGER_DATABASE_URL=database)).code == 0


async def test_a_request_says_who_made_it_as_told_and_the_log_as_which_role(
    ledger: LedgerProgram, installed: str
) -> None:
    told = {
        "GITLAB_CI": "true",
        "GITLAB_USER_LOGIN": "bo\x1b[31m",
        "CI_JOB_URL": "https://git.example/jobs/9",
        "LEDGER_DATABASE_URL": installed,
    }
    added = await ledger(
        "fleet", "add", "acme", "--url", "postgresql://app@db.example/acme", **told
    )
    assert added.code == 0, added.err
    shown = await ledger("history", "-o", "json", LEDGER_DATABASE_URL=installed)
    (row,) = [one for one in shown.json["items"] if one["event"] == "DatabaseRegistered"]
    actor = row["metadata"]["actor"]
    assert (actor["name"], actor["known"], actor["source"]) == ("bo?[31m", "told", "gitlab-ci")
    assert actor["run"] == "https://git.example/jobs/9"
    assert actor["program"].startswith("migration-ledger ")
    assert (row["who"], row["by"]) == ("bo?[31m (told)", "postgres")


async def test_a_database_without_a_ledger_is_refused_with_the_remedy(
    ledger: LedgerProgram, database: str
) -> None:
    answer = await ledger("status", LEDGER_DATABASE_URL=database)
    assert answer.code == ExitCode.UNREACHABLE
    assert "ledger init" in answer.err


async def test_another_schema_version_is_refused_with_the_remedy(
    ledger: LedgerProgram, installed: str
) -> None:
    await run(installed, "UPDATE ledger.head SET schema_version = 1")
    answer = await ledger("status")
    assert answer.code == ExitCode.UNREACHABLE
    assert "ledger upgrade" in answer.err


async def test_a_ledger_of_an_older_program_is_refused_until_it_is_upgraded_and_then_works(
    ledger: LedgerProgram,
    database: str,
    environment: dict[str, str],
    migrations: Path,
    tenant_databases: TenantDatabases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tenant,) = await tenant_databases(1)
    with monkeypatch.context() as older:
        older.setattr(installing, "_schema", lambda: SCHEMA[:1])
        assert (await installing.install(database, uuid4())).schema_version == 1
        await register(database, [entry_of("t0", tenant)])
    environment |= variables_of(database, tenant)

    refused = await ledger("status")
    assert refused.code == ExitCode.UNREACHABLE
    assert "ledger upgrade" in refused.err

    upgraded = await ledger("upgrade", "--yes", "-o", "json")
    assert upgraded.json["schema_version"] == len(SCHEMA)
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    assert (await ledger("replay", "-o", "json")).json["agrees"] is True
    assert (await ledger("audit", "verify", "-o", "json")).json["whole"] is True


async def register(address: str, entries: Sequence[FleetFileEntry]) -> None:
    """Write to the log alone, which the first schema has."""
    pool = await open_pool(address)
    try:
        encoder = RequestEncoder(SYSTEM_CLOCK, SYSTEM_CHANCE)
        fleet = FleetService(EventLog(pool), None, encoder)
        for one in entries:
            await fleet.add(one.database, one.pool, one.connection, one.labels, RequestContext())
    finally:
        await pool.close()


async def test_a_ledger_that_does_not_answer_is_told_without_its_password(
    ledger: LedgerProgram,
) -> None:
    url = "postgresql://ada:hunter2@127.0.0.1:1/ledger"
    answer = await ledger("status", LEDGER_DATABASE_URL=url)
    assert answer.code == ExitCode.UNREACHABLE
    assert "hunter2" not in answer.err
    assert answer.err.count("\n") == 1


async def test_an_event_that_was_changed_is_found_by_its_position(
    ledger: LedgerProgram, installed: str, fleet: Fleet
) -> None:
    assert (await ledger("audit", "verify", "-o", "json")).json["whole"] is True
    await run(installed, TAMPER)
    answer = await ledger("audit", "verify", "-o", "json")
    assert answer.code == ExitCode.DIFFERENT
    assert (answer.json["whole"], answer.json["position"]) == (False, 3)


async def test_a_read_model_that_was_changed_is_found_by_replay(
    ledger: LedgerProgram, installed: str, fleet: Fleet
) -> None:
    assert (await ledger("replay", "-o", "json")).json["agrees"] is True
    await run(installed, "UPDATE ledger.fleet_database SET pool = 'x' WHERE database = 't2'")
    answer = await ledger("replay", "-o", "json")
    assert answer.code == ExitCode.DIFFERENT
    (difference,) = answer.items
    assert difference["key"] == {"database": "t2"}
    assert difference["columns"] == ["pool"]


async def test_requests_that_are_refused_change_nothing_and_say_what_to_do(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    before = await ledger("events", "-o", "ndjson")
    refused, usage = ExitCode.REFUSED, ExitCode.USAGE
    for words, code, said in (
        (["fleet", "add", "t0", "--host", "h", "--user", "u"], refused, "registered already"),
        (["fleet", "add", "x", "--host", "h", "--user", "u", "--password", "p"], usage, "env:NAME"),
        (["fleet", "suspend", "nobody"], refused, "ledger fleet list"),
        (["fleet", "retire", "nobody"], refused, "ledger fleet list"),
        (["fleet", "repoint", "nobody", "--host", "h"], refused, "ledger fleet list"),
        (["fleet", "reinstate", "t0"], ExitCode.USAGE, "--reason"),
        (["fleet", "list", "--select", "tier=="], usage, "column 6"),
    ):
        answer = await ledger(*words)
        assert answer.code == code, words
        assert "Ledger " not in answer.err, "refused before it is said what would be done"
        assert said in answer.err
    assert (await ledger("events", "-o", "ndjson")).out == before.out


async def test_a_fleet_is_described_moved_suspended_and_retired_by_events(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    await ledger("fleet", "label", "t0", "tier=gold", "--remove", "half")
    await ledger("fleet", "repoint", "t0", "--host", "localhost", "--reason", "moved", "--yes")
    await ledger("fleet", "suspend", "t1")
    await ledger("fleet", "retire", "t2", "--yes")
    found = {one["database"]: one for one in (await ledger("fleet", "list", "-o", "json")).items}
    assert found["t0"]["labels"] == {"tier": "gold"}
    assert found["t0"]["connection"]["target"]["server"]["host"] == "localhost"
    assert [found[name]["status"] for name in ("t1", "t2")] == ["suspended", "retired"]
    await ledger("fleet", "reinstate", "t1", "--reason", "looked at", "--yes")
    history = await ledger("history", "t1", "-o", "json")
    assert [one["event"] for one in history.items][:-4:-1] == [
        "DatabaseRegistered",
        "DatabaseSuspended",
        "DatabaseReinstated",
    ]


async def test_what_does_not_ask_names_the_ledger_before_it_acts(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    for words, fact in (
        (["fleet", "add", "new", "--host", "h", "--user", "u"], "register 1 database, new"),
        (["fleet", "label", "t0", "tier=gold"], "relabel 1 database, t0"),
        (["fleet", "suspend", "t0"], "suspend 1 database, t0"),
        (["migration", "register", "migrations"], "store the migrations of migrations"),
    ):
        answer = await ledger(*words)
        assert answer.code == ExitCode.OK, answer.err
        assert answer.err.startswith(f"Ledger shop\n  {fact}\n"), words


async def test_a_file_of_databases_is_imported_and_again_is_harmless(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(EXAMPLE_FILE)
    first = await ledger("fleet", "import", "fleet.yaml", "--yes", "-o", "json")
    assert (first.json["added"], first.json["unchanged"]) == (["acme", "bolt"], [])
    second = await ledger("fleet", "import", "fleet.yaml", "--yes", "-o", "json")
    assert (second.json["added"], second.json["unchanged"]) == ([], ["acme", "bolt"])
    listed = await ledger("fleet", "list", "-o", "json")
    assert [one["pool"] for one in listed.items] == ["default", "eu"]


async def test_a_folder_is_registered_once_and_a_text_that_nobody_has_may_be_corrected(
    ledger: LedgerProgram, installed: str, migrations: Path
) -> None:
    first = await ledger("migration", "register", "migrations", "-o", "json")
    assert (first.json["new"], first.json["migrations"]) == (True, 2)
    second = await ledger("migration", "register", "migrations", "-o", "json")
    assert second.json == first.json | {"new": False}
    shown = await ledger("migration", "show", first.json["short"], "-o", "json")
    assert [one["migration"] for one in shown.items] == ["1", "2"]
    file = migrations / "1_parcels.sql"
    file.write_text(file.read_text().replace("bigint", "int"))
    # Nobody has the text yet, so it may still be corrected.
    corrected = await ledger("migration", "register", "migrations", "-o", "json")
    assert corrected.json["new"] is True


async def test_the_history_of_what_nobody_knows_is_refused(
    ledger: LedgerProgram, installed: str
) -> None:
    answer = await ledger("history", "nosuch")
    assert answer.code == ExitCode.REFUSED
    assert "nothing is called 'nosuch'" in answer.err


async def test_an_unreadable_event_is_listed_with_the_command_that_sets_it_aside_and_then_as_aside(
    ledger: LedgerProgram, installed: str
) -> None:
    pool = await open_pool(installed)
    try:
        garbled = NewEvent(uuid4(), "DatabaseSuspended", 1, b"garbage", b"{}")
        position = (await EventLog(pool).append("fleet", [garbled])).first_position
    finally:
        await pool.close()
    assert "ledger audit unreadable" in (await ledger("status")).err
    listed = (await ledger("audit", "unreadable", "-o", "json")).json
    (row,) = listed["items"]
    assert (row["position"], row["event"], listed["set_aside"]) == (
        position,
        "DatabaseSuspended",
        [],
    )
    words = row["try"].replace("WHY", "because").split()[1:]

    unasked = await ledger(*words)
    assert unasked.code == ExitCode.USAGE
    assert (await ledger(*words, "--yes", "--hash", "0" * 12)).code == ExitCode.REFUSED
    for vague in (row["hash"][:7], "not hexadecimal", "0" * 65):
        meant = await ledger(*words, "--yes", "--hash", vague)
        assert (meant.code, "8 or more" in meant.err) == (ExitCode.USAGE, True)
    assert (await ledger("audit", "set-aside", "1", "--reason", "x", "--yes")).code == (
        ExitCode.REFUSED
    )
    done = await ledger(*words, "--yes", "--hash", row["hash"][:12])
    assert done.code == ExitCode.OK, done.err
    again = await ledger("audit", "set-aside", str(position), "--yes", "-o", "json")
    assert again.json["was_aside"] is True

    listed = (await ledger("audit", "unreadable", "-o", "json")).json
    assert listed["items"] == []
    (aside,) = listed["set_aside"]
    assert (aside["position"], aside["reason"], aside["by"]) == (position, "because", "postgres")
    shown = await ledger("status")
    assert "was set aside by" in shown.err
    assert "because" in shown.err
    assert (await ledger("audit", "verify", "-o", "json")).json["whole"] is True


async def test_what_verify_prints_is_what_it_takes(ledger: LedgerProgram, installed: str) -> None:
    shown = (await ledger("audit", "verify", "--at", "1")).out.splitlines()
    last, first = (line.split()[-1] for line in shown)
    compared = await ledger("audit", "verify", "--expect", last, "--expect", first)
    assert compared.code == 0
    assert compared.out.count("as it was kept") == 2
    beyond = await ledger("audit", "verify", "--at", "999999")
    assert beyond.code == ExitCode.REFUSED
    end = last.partition(":")[0]
    assert f"the log ends at {end}; name a position up to there" in beyond.err


async def test_without_a_name_the_bundle_registered_last_is_shown(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    assert "Nothing was asked of this ledger yet" in (await ledger("history")).err
    none = await ledger("bundle", "show")
    assert (none.code, "no bundle is registered" in none.err) == (ExitCode.REFUSED, True)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_a.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    assert (await ledger("bundle", "register", "migrations")).code == 0
    assert [one["migration"] for one in (await ledger("bundle", "show", "-o", "json")).items] == [
        "1"
    ]
