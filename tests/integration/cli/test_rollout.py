"""Rollouts from the command line, in one process, on real databases."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from ledger.cli.app.exits import ExitCode
from tests.fixtures.postgres import FreshDatabase
from tests.integration.cli.conftest import Fleet
from tests.support.fleet import HELD, HOLDS
from tests.support.patience import PATIENCE_S
from tests.support.program import LedgerProgram, StartLedger

NO_NEW_SEVEN = """\
-- +migrate Up
ALTER TABLE parcels ADD CONSTRAINT no_seven CHECK (id <> 7);
-- +migrate Down
ALTER TABLE parcels DROP CONSTRAINT no_seven;
"""
SLOW = """\
-- +migrate Up
SELECT pg_sleep(600);
CREATE TABLE slow (id int);
-- +migrate Down
DROP TABLE slow;
"""


async def do(address: str, sql: str) -> str:
    connection = await asyncpg.connect(address)
    try:
        return str(await connection.fetchval(sql))
    finally:
        await connection.close()


async def has_table(address: str, name: str) -> bool:
    return await do(address, f"SELECT to_regclass('{name}') IS NOT NULL") == "True"


async def test_a_folder_goes_up_through_the_fleet_and_comes_down_again(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    plan = await ledger("plan", "-o", "json")
    assert [wave["size"] for wave in plan.items] == [1, 1, 2]
    assert [step["label"] for step in plan.json["steps"]] == ["1_parcels", "2_weight"]

    up = await ledger("up", "--yes", "--reason", "spring", "--ticket", "OPS-1", "-o", "json")
    assert (up.code, up.json["status"], up.json["counts"]) == (0, "completed", {"applied": 4})
    assert all([await has_table(one, "parcels") for one in fleet.addresses.values()])
    status = await ledger("status", "-o", "json")
    assert {one["database"]: one["newest"] for one in status.items} == dict.fromkeys(
        fleet.addresses, "2"
    )
    again = await ledger("up", "--yes")
    assert again.code == 0
    assert "Every selected database has all of these migrations." in again.err
    assert (again.out + again.err).lower().count("nothing to do") == 1

    down = await ledger("down", "2", "--yes")
    assert down.code == 0
    assert not any([await has_table(one, "parcels") for one in fleet.addresses.values()])

    history = await ledger("history", "t1", "-o", "json")
    kinds = [one["event"] for one in history.items]
    assert kinds.count("MigrationApplied") == kinds.count("MigrationRolledBack") == 2
    ordered = [one for one in history.items if one["event"] == "MigrationOrdered"][-1]
    assert (ordered["reason"], ordered["ticket"]) == ("spring", "OPS-1")
    assert (await ledger("replay")).code == 0
    assert (await ledger("audit", "verify")).code == 0


async def test_a_selection_leaves_the_others_alone(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    up = await ledger("up", "--yes", "--select", "half=h1")
    assert up.code == 0
    there = [name for name, one in fleet.addresses.items() if await has_table(one, "parcels")]
    assert there == ["t1", "t3"]


async def test_a_failing_database_halts_the_rollout_and_a_retry_completes_it(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await do(fleet.addresses["t1"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)

    up = await ledger("up", "--yes", "-o", "json")
    assert up.code == ExitCode.HALTED
    assert up.json["counts"] == {"applied": 1, "failed": 1, "pending": 2}
    assert 't1 failed: 3_no_seven.sql:2: check constraint "no_seven"' in up.err
    assert "ended as failed" not in up.err, "a failure is told once, and not as a log tells it"
    rollout = up.json["rollout"]
    assert f"ledger rollout retry {rollout}" in up.err
    status = await ledger("rollout", "status", "-o", "json")
    waits = {one["database"]: one["try"] for one in status.items if one["status"] == "pending"}
    assert waits == dict.fromkeys(["t2", "t3"], f"ledger rollout resume {rollout}")

    await do(fleet.addresses["t1"], "DELETE FROM parcels")
    retry = await ledger("rollout", "retry", "--yes", "--reason", "data fixed")
    assert retry.code == 0
    assert "4 applied" in retry.out


async def test_of_a_suspended_database_status_says_to_reinstate_it_before_it_is_tried_again(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await do(fleet.addresses["t0"], "CREATE TABLE parcels (id int)")
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    await ledger("fleet", "suspend", "t0")
    tried = {one["database"]: one["try"] for one in await status_of(ledger, rollout)}
    assert tried["t0"] == "ledger fleet reinstate t0 --reason …"
    assert (await ledger("rollout", "retry", rollout, "t0", "--yes")).code == ExitCode.REFUSED

    await ledger("fleet", "reinstate", "t0", "--yes", "--reason", "it is back")
    tried = {one["database"]: one["try"] for one in await status_of(ledger, rollout)}
    assert tried["t0"] == f"ledger rollout retry {rollout} t0"


async def status_of(ledger: LedgerProgram, rollout: str) -> list[dict[str, Any]]:
    return (await ledger("rollout", "status", rollout, "-o", "json")).items


async def test_a_spent_budget_takes_the_rollout_back_where_it_ran(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await do(fleet.addresses["t3"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    up = await ledger("up", "--yes", "--when-spent", "rollback", "-o", "json")
    assert up.code == ExitCode.HALTED
    assert up.json["status"] == "aborted"
    assert up.json["undone_by"] == f"undo-{up.json['rollout']}"
    assert up.json["undo"]["status"] == "completed"
    assert all([await has_table(one, "parcels") for one in fleet.addresses.values()])


async def test_a_rollback_is_shown_and_goes_in_the_waves_that_are_asked_for(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    refused = await ledger("rollout", "rollback", rollout, "--waves", "1")
    assert "3 of 4 databases are in no wave" in refused.err
    back = await ledger("rollout", "rollback", rollout, "--waves", "1,rest", "--yes")
    assert back.code == ExitCode.OK
    assert f"take rollout {rollout} back on 4 databases in 2 waves (1, 3)" in back.err
    undo = f"undo-{rollout}"
    assert back.out.strip() == f"rollout {undo} completed; undoes {rollout}: 4 undone"
    assert not any([await has_table(one, "parcels") for one in fleet.addresses.values()])

    said = await ledger("rollout", "status", rollout)
    assert f"rollout {rollout} is completed; undone by {undo}" in said.out
    said = await ledger("rollout", "status", undo, "-o", "json")
    assert (said.json["mode"], said.json["undoes"]) == ("rollback", rollout)
    listed = (await ledger("rollout", "list", "-o", "json")).items
    assert [one["undone_by"] for one in listed if one["rollout"] == rollout] == [undo]
    watched = await ledger("rollout", "watch", rollout)
    assert watched.code == ExitCode.HALTED


async def test_ctrl_c_detaches_and_watch_carries_the_work_on(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    (migrations / "3_slow.sql").write_text(SLOW.replace("SELECT pg_sleep(600);", HELD))
    for address in fleet.addresses.values():
        await do(address, HOLDS)
    up = await start_ledger("up", "--yes", "--waves", "1,rest")
    await up.says("is running")
    up.signal(signal.SIGINT)
    for address in fleet.addresses.values():
        await do(address, "DELETE FROM held")
    left = await up.end()
    assert left.code == ExitCode.INTERRUPTED
    assert "nothing is aborted" in left.err
    for verb in ("watch", "pause", "abort"):
        assert f"ledger rollout {verb} " in left.err
    assert "Traceback" not in left.err
    watch = await ledger("rollout", "watch", "-o", "json")
    assert (watch.code, watch.json["counts"]) == (0, {"applied": 4})


async def test_two_signals_at_once_cut_short_what_runs(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    # Whoever heard one of them alone would give it the grace period.
    (migrations / "3_slow.sql").write_text(SLOW)
    up = await start_ledger("up", "--yes", LEDGER_AGENT_GRACE_S="600")
    await up.says("is running")
    up.signal(signal.SIGTERM)
    up.signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE_S):
        left = await up.end()
    assert left.code != 0
    assert "Traceback" not in left.err
    status = await ledger("rollout", "status", "-o", "json")
    assert status.json["status"] == "running"


async def test_a_timeout_ends_the_wait_and_not_the_rollout(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    # Whoever waited for the statement, or for the grace that Ctrl-C gives, waits in vain here.
    (migrations / "3_slow.sql").write_text(SLOW)
    up = await ledger("up", "--yes", "--timeout", "4", LEDGER_AGENT_GRACE_S="600")
    assert up.code == ExitCode.TIMEOUT
    assert "The work stopped with this process" in up.err
    assert "Ctrl-C" not in up.err
    status = await ledger("rollout", "status", "-o", "json")
    assert status.json["status"] == "running"
    assert "failed" not in {one["status"] for one in status.items}


async def test_without_waiting_the_rollout_is_recorded_and_nothing_is_touched(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    up = await ledger("up", "--yes", "--no-wait")
    assert up.code == ExitCode.NO_LEADER
    assert "ledger serve" in up.err
    assert not any([await has_table(one, "parcels") for one in fleet.addresses.values()])
    status = await ledger("rollout", "status", "-o", "json")
    assert {one["try"] for one in status.items} == {"ledger serve"}


async def test_with_a_broker_and_no_leader_a_rollout_is_recorded_and_the_exit_code_says_so(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    up = await ledger("up", "--yes", "-o", "json", LEDGER_KAFKA_BOOTSTRAP="localhost:1")
    assert up.code == ExitCode.NO_LEADER
    assert up.json["status"] == "running"
    aborted = await ledger("rollout", "abort", "--yes", "-o", "json")
    assert (aborted.code, aborted.json["status"]) == (0, "aborted")


async def test_without_a_terminal_and_without_yes_nothing_is_recorded(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    before = await ledger("events", "-o", "ndjson")
    for words in (["up"], ["fleet", "retire", "t1"]):
        answer = await ledger(*words)
        assert answer.code == ExitCode.USAGE
        assert answer.err.startswith("Ledger shop\n")
        assert "--yes" in answer.err
    assert (await ledger("events", "-o", "ndjson")).out == before.out


async def test_one_serves_and_the_second_is_refused_with_its_name(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    serving = await start_ledger("serve")
    assert serving.process.stdout is not None
    leader = (await serving.process.stdout.readline()).decode().split()[2].rstrip(",")
    second = await ledger("serve")
    assert second.code == ExitCode.REFUSED
    assert second.err.startswith(f"ledger: {leader} on ")
    up = await ledger("up", "--yes")
    assert up.code == 0
    serving.signal(signal.SIGTERM)
    assert (await serving.end()).code == 0


async def test_a_check_tabulates_what_is_there_and_what_is_not(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    await ledger(
        "fleet",
        "add",
        "gone",
        "--url",
        "postgresql://ada@127.0.0.1:1/gone",
        "--sslmode",
        "disable",
    )
    check = await ledger("fleet", "check", "-o", "json")
    assert check.code == ExitCode.FAILED
    found = {one["database"]: one for one in check.items}
    assert (found["t0"]["reachable"], found["t0"]["tls"]) == (True, False)
    assert found["t0"]["rights"] == "enough"
    assert found["gone"]["reachable"] is False
    assert "127.0.0.1:1/gone" in found["gone"]["problem"]


async def test_a_check_tells_a_user_who_is_superuser(
    ledger: LedgerProgram, installed: str, superuser_database: FreshDatabase
) -> None:
    parts = urlsplit(await superuser_database())
    await ledger(
        "fleet",
        "add",
        "root",
        "--password",
        "env:TENANT_ROOT",
        "--sslmode",
        "disable",
        "--url",
        f"postgresql://{parts.username}@{parts.hostname}:{parts.port}{parts.path}",
    )
    allowed = {
        "TENANT_ROOT": unquote(parts.password or ""),
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
    }
    check = await ledger("fleet", "check", "-o", "json", **allowed)
    assert [one["rights"] for one in check.items] == ["superuser"]


async def test_no_password_is_ever_written(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    for words in (
        ["config", "show"],
        ["fleet", "list", "-o", "json"],
        ["fleet", "check", "-o", "json"],
        ["up", "--yes"],
        ["events", "-o", "json"],
        ["status", "-o", "json"],
    ):
        answer = await ledger(*words)
        assert fleet.password not in answer.out + answer.err, words


async def test_work_outside_the_ledger_becomes_an_event_at_the_next_contact(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes", "--select", "half=h0")
    by_hand = ("--outside-ledger", "--yes", "--reason", "night shift", "--database", "env:TENANT")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    for way in ("up", "down", "up"):
        yes = ("--yes",) if way == "down" else ()
        done = await ledger("db", way, *by_hand, *yes, TENANT=fleet.addresses["t0"])
        assert done.code == 0, done.err

    up = await ledger("up", "--yes", "-o", "json")
    assert (up.code, up.json["counts"]) == (0, {"applied": 3, "skipped": 1})

    events = (await ledger("history", "t0", "-o", "json")).items
    found = [one for one in events if one["event"] == "OutsideChangeFound"]
    assert [one["reason"] for one in found] == ["night shift", "night shift"]
    status = await ledger("status", "-o", "json")
    assert {one["database"]: one["newest"] for one in status.items} == dict.fromkeys(
        fleet.addresses, "3"
    )
    assert (await ledger("down", "1", "--yes", "--select", "half=h0")).code == 0


async def test_status_leaves_retired_databases_out_and_tells_of_journals_that_were_not_read(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await ledger("fleet", "retire", "t3", "--yes", "--reason", "left")
    await ledger("fleet", "reinstate", "t1", "--yes", "--reason", "restored", "--no-wait")
    status = await ledger("status", "-o", "json")
    unread = {one["database"]: one["unread"] for one in status.items}
    assert unread == {"t0": False, "t1": True, "t2": False}
    assert "t1: its journal was not read yet" in status.err
    assert "`ledger fleet check -s id=t1` has it read now" in status.err
    (retired,) = (await ledger("status", "--select", "id=t3", "-o", "json")).items
    assert (retired["status"], retired["missing"]) == ("retired", [])

    assert (await ledger("fleet", "check")).code == 0
    assert not any(one["unread"] for one in (await ledger("status", "-o", "json")).items)
