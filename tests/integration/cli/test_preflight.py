"""What a rollout asks of each database before, and what people see of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.integration.cli.test_rollout import has_table
from tests.support.patience import PATIENCE_S
from tests.support.program import LedgerProgram, StartLedger

ADD_NOTE = "-- +migrate Up\nALTER TABLE users ADD COLUMN note text;\n"
AT_ONCE = {"LEDGER_PREFLIGHT_IDLE_IN_TRANSACTION_S": "/0"}
"""Whoever idles with a lock on a touched table blocks at once."""


def write(migrations: Path) -> None:
    for one in migrations.iterdir():
        one.unlink()
    (migrations / "1_note.sql").write_text(ADD_NOTE)


async def forgotten(address: str) -> asyncpg.Connection:
    """A session that has read `users` and idles in its transaction."""
    connection = await asyncpg.connect(address, server_settings={"application_name": "shop"})
    await connection.execute("BEGIN; SELECT count(*) FROM users")
    return connection


async def blocked(ledger: LedgerProgram) -> dict[str, Any]:
    """The first database that `rollout status` says is blocked."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = await ledger("rollout", "status", "-o", "json")
            for one in status.items if status.code == 0 else ():
                if (one["waits_for"] or "").startswith("blocked: "):
                    return one
            await asyncio.sleep(0.2)


async def test_what_every_database_said_is_kept_with_the_rollout(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    events = await ledger("events", "--type", "PreflightChecked", "-o", "json")
    assert len(events.items) == 4
    history = await ledger("history", "t1", "-o", "json")
    kinds = [one["event"] for one in history.items]
    newest_first = ["MigrationApplied", "PreflightChecked", "AttemptStarted"]
    assert sorted(newest_first, key=kinds.index) == newest_first


async def test_a_blocked_database_is_left_alone_told_and_asked_again(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    await asyncio.to_thread(write, migrations)
    idle = await forgotten(fleet.addresses["t2"])
    try:
        running = await start_ledger("up", "--yes", "-o", "json", **AT_ONCE)
        wait = await blocked(ledger)
        assert wait["database"] == "t2"
        assert "idle_in_transaction" in wait["waits_for"]
        assert "(shop)" in wait["waits_for"]
        assert "ledger rollout retry" in wait["try"]
        assert not await has_table(fleet.addresses["t2"], "migration_ledger.journal")
    finally:
        await idle.close()
    up = await running.end()
    assert (up.code, up.json["counts"]) == (0, {"applied": 4})
    assert (await ledger("replay")).code == 0


async def test_a_database_that_stays_blocked_fails_with_its_reason(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await asyncio.to_thread(write, migrations)
    idle = await forgotten(fleet.addresses["t0"])
    try:
        up = await ledger("up", "--yes", "-o", "json", LEDGER_PREFLIGHT_WAIT_S="0", **AT_ONCE)
    finally:
        await idle.close()
    assert up.code == ExitCode.HALTED
    assert up.json["counts"] == {"failed": 1, "pending": 3}
    assert "idle_in_transaction" in up.err


async def test_what_would_block_is_told_alone_where_the_setting_says_so(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    closed = {"LEDGER_PREFLIGHT_SERVER_VERSION": "/99"}
    warned = await ledger("up", "--yes", LEDGER_PREFLIGHT_ENFORCEMENT="warn", **closed)
    assert warned.code == 0
    events = await ledger("events", "--type", "PreflightChecked", "-o", "json")
    assert len(events.items) == 4


async def test_a_way_back_is_not_barred(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    back = await ledger("down", "2", "--yes", LEDGER_PREFLIGHT_SERVER_VERSION="/99")
    assert back.code == 0


async def test_the_whole_fleet_is_asked_and_what_blocks_is_told_first(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await asyncio.to_thread(write, migrations)
    idle = await forgotten(fleet.addresses["t2"])
    try:
        asked = await ledger("check", "-o", "json", **AT_ONCE)
        shown = await ledger("check", "--select", "id in (t1,t2)", **AT_ONCE)
    finally:
        await idle.close()
    assert asked.code == shown.code == ExitCode.FAILED
    assert asked.json["tables"] == ['"users"']
    assert [one["verdict"] for one in asked.items] == ["block", "pass", "pass", "pass"]
    assert asked.items[0]["database"] == "t2"
    found = {one["check"]: one for one in asked.items[0]["checks"]}
    assert found["idle_in_transaction"]["verdict"] == "block"
    assert found["backup_age"]["counts_as"] == "pass"
    assert "(shop)" in shown.out
    assert shown.out.index("t2") < shown.out.index("t1")
    wrong = await ledger("check", "--folder", "nowhere")
    assert (wrong.code, wrong.err.count("nowhere")) == (ExitCode.USAGE, 1), wrong.err
    assert not await has_table(fleet.addresses["t1"], "migration_ledger.journal")


async def test_a_database_that_could_not_be_asked_is_no_good_moment(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    elsewhere = ("--host", "127.0.0.1", "--port", "1")
    await ledger("fleet", "repoint", "t2", *elsewhere, "--yes", "--reason", "moved")
    asked = await ledger("check", "-o", "json")
    assert [one["verdict"] for one in asked.items] == ["unknown", "pass", "pass", "pass"]
    assert asked.json["finished"]
    assert asked.code == ExitCode.FAILED


async def test_whom_an_agent_has_cancelled_is_told_by_log_and_status(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await asyncio.to_thread(write, migrations)
    busy = await forgotten(fleet.addresses["t2"])
    try:
        working = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))
        up = asyncio.create_task(
            ledger(
                "up", "--yes", "-o", "json", "--select", "id=t2", "--lock-timeout", "60",
                LEDGER_WATCHDOG_WHEN_BLOCKED="cancel",
                LEDGER_WATCHDOG_AFTER_S="1",
                LEDGER_AGENT_CANCEL_BLOCKERS="true",
            )
        )  # fmt: skip
        with pytest.raises(asyncpg.QueryCanceledError):
            await working
        await busy.execute("ROLLBACK")
        ended = await up
    finally:
        await busy.close()
    assert ended.code == 0, ended.err
    events = await ledger("events", "--type", "BlockerCancelled", "-o", "json")
    assert len(events.items) == 1
    status = await ledger("rollout", "status", "-o", "json")
    (row,) = status.items
    (told,) = row["blockers_cancelled"]
    assert "(shop)" in told
    assert "pg_sleep" not in told
    shown = await ledger("rollout", "status", "--all")
    assert "its agent cancelled what ran there: pid" in shown.out
    short = await ledger("rollout", "status")
    assert "what others ran in the way was cancelled in 1 database: " in short.out
    assert (await ledger("replay")).code == 0


SLOWLY_INDEXED = """
    CREATE FUNCTION slowly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM pg_sleep(0.05); RETURN n; END $$;
    CREATE TABLE pages (n int, wide text);
    ALTER TABLE pages ALTER wide SET STORAGE PLAIN;
    INSERT INTO pages SELECT n, repeat('x', 5000) FROM generate_series(1, 400) n;
"""


async def test_how_far_an_index_is_stands_in_the_status_while_it_is_built(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    await asyncio.to_thread(write, migrations)
    await asyncio.to_thread(
        (migrations / "1_note.sql").write_text,
        "-- +migrate Up\nCREATE INDEX pages_n ON pages (slowly(n));\n",
    )
    owner = await asyncpg.connect(fleet.addresses["t1"])
    try:
        await owner.execute(SLOWLY_INDEXED)
    finally:
        await owner.close()
    running = await start_ledger("up", "--yes", "-o", "json", "--select", "id=t1")
    seen = set[str]()
    async with asyncio.timeout(100):
        while len(seen) < 2:
            status = await ledger("rollout", "status", "-o", "json")
            for one in status.items if status.code == 0 else ():
                seen |= set(re.findall(r"\b([1-9]\d?) %", str(one["waits_for"])))
    assert seen
    up = await running.end()
    assert up.code == 0, up.err
