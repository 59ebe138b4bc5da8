"""What is half done in a database is seen by the fleet, and named with the way out of it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

TWICE = """\
-- +migrate Up
CREATE TABLE a (id int);
CREATE UNIQUE INDEX CONCURRENTLY t_u ON t (id);
-- +migrate Down
DROP INDEX IF EXISTS t_u;
DROP TABLE a;
"""
OTHER_TEXT = TWICE.replace("t (id)", "t (id, x)")
T1 = ("--select", "id=t1")


async def do(address: str, sql: str) -> str:
    connection = await asyncpg.connect(address)
    try:
        return str(await connection.fetchval(sql))
    finally:
        await connection.close()


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """One migration, which cannot build its index where an id is there twice."""
    found = tmp_path / "migrations"
    found.mkdir()
    (found / "1_a.sql").write_text(TWICE)
    return found


@pytest.fixture
async def aborted(ledger: LedgerProgram, folder: Path, fleet: Fleet) -> str:
    """A rollout that has left t1 half done, and was aborted; its id."""
    await do(fleet.addresses["t1"], "CREATE TABLE t (id int, x int)")
    await do(fleet.addresses["t1"], "INSERT INTO t SELECT 1, i FROM generate_series(1, 2) AS i")
    up = await ledger("up", "--yes", *T1)
    assert up.code != 0
    (planned,) = (await ledger("rollout", "list", "-o", "json")).items
    rollout = str(planned["rollout"])
    assert (await ledger("rollout", "abort", rollout, "--yes", "--reason", "why")).code == 0
    return rollout


async def test_status_plan_and_check_name_what_an_aborted_rollout_left_half_done(
    ledger: LedgerProgram, aborted: str
) -> None:
    status = await ledger("status", "-o", "json")
    found = {one["database"]: one["half_done"] for one in status.items}
    (left,) = found.pop("t1")
    assert (left["version"], left["direction"], left["rollout"]) == ("1", "up", aborted)
    assert not any(found.values())
    shown = await ledger("status")
    assert "1 (half done)" in shown.out
    assert f"t1: 1_a is half done, begun by rollout {aborted}" in shown.err
    assert f"`ledger rollout rollback {aborted}` takes it back" in shown.err

    plan = await ledger("plan", *T1)
    assert "t1: 1_a is half done" in plan.out
    assert "goes on behind it" in plan.out

    check = await ledger("fleet", "check", "-o", "json")
    problems = {one["database"]: one["problem"] for one in check.items}
    assert "1 is half done" in problems.pop("t1")
    assert not any("half done" in (one or "") for one in problems.values())


async def test_down_cleans_up_what_is_half_done(
    ledger: LedgerProgram, aborted: str, fleet: Fleet
) -> None:
    down = await ledger("down", "--yes")
    assert down.code == 0, down.err
    assert await do(fleet.addresses["t1"], "SELECT to_regclass('a')") == "None"
    assert await do(fleet.addresses["t1"], "SELECT to_regclass('t_u')") == "None"
    status = await ledger("status", "-o", "json")
    assert not any(one["half_done"] for one in status.items)
    assert (await ledger("replay")).code == 0


async def test_a_rollback_of_the_aborted_rollout_leaves_nothing_half_done(
    ledger: LedgerProgram, aborted: str
) -> None:
    assert (await ledger("rollout", "rollback", aborted, "--yes")).code == 0
    status = await ledger("status", "-o", "json")
    assert not any(one["half_done"] for one in status.items)


async def test_up_goes_on_when_the_data_was_corrected(
    ledger: LedgerProgram, aborted: str, fleet: Fleet
) -> None:
    await do(fleet.addresses["t1"], "DELETE FROM t WHERE x = 2")
    up = await ledger("up", "--yes", *T1)
    assert up.code == 0, up.err
    status = await ledger("status", "-o", "json")
    assert not any(one["half_done"] for one in status.items)


async def test_a_corrected_text_is_told_before_the_run(
    ledger: LedgerProgram, aborted: str, folder: Path, fleet: Fleet
) -> None:
    (folder / "1_a.sql").write_text(OTHER_TEXT)
    for command in ("plan", "up", "down"):
        answer = await ledger(command, *(() if command == "plan" else ("--yes",)))
        assert answer.code != 0
        assert "t1: 1_a is half done" in answer.err
        assert "with another text than the folder's" in answer.err
        assert f"`ledger rollout rollback {aborted}`" in answer.err
    assert len((await ledger("rollout", "list", "-o", "json")).items) == 1

    assert (await ledger("rollout", "rollback", aborted, "--yes")).code == 0
    up = await ledger("up", "--yes", *T1)
    assert up.code == 0, up.err
    assert await do(fleet.addresses["t1"], "SELECT to_regclass('t_u')") == "t_u"


async def test_what_was_cleaned_up_outside_of_the_ledger_is_learned_by_a_check(
    ledger: LedgerProgram, aborted: str, fleet: Fleet
) -> None:
    settled = await ledger(
        "db", "down", "--yes", "--outside-ledger", "--reason", "why",
        DATABASE_URL=fleet.addresses["t1"],
    )  # fmt: skip
    assert settled.code == 0, settled.err
    await ledger("fleet", "check", *T1)
    status = await ledger("status", "-o", "json")
    assert not any(one["half_done"] for one in status.items)
