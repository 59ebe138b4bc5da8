"""A database that is restored from a backup while a rollout is under way, and taken back in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.integration.cli.test_rollout import NO_NEW_SEVEN, do, has_table
from tests.support.program import Answer, LedgerProgram

ITEMS = "-- +migrate Up\nCREATE TABLE items (id int);\n-- +migrate Down\nDROP TABLE items;\n"
WHY = ("--yes", "--reason", "restored, checked")
TO_BEFORE_ALL = "DROP SCHEMA migration_ledger CASCADE; DROP TABLE parcels"
"""Back to a backup from before the first migration."""


async def execute(address: str, script: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def restore(address: str) -> None:
    """What a restore to the time after the first of two migrations leaves behind."""
    await execute(
        address,
        "DELETE FROM migration_ledger.journal WHERE seq > (SELECT max(seq) FROM "
        "migration_ledger.journal WHERE migration = '1'); "
        "ALTER TABLE parcels DROP COLUMN weight; DELETE FROM parcels",
    )


async def halted_at_the_third(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet, waves: str = "rest"
) -> str:
    """A rollout of a third migration that halted over t1; its id."""
    assert (await ledger("up", "--yes")).code == 0
    await do(fleet.addresses["t1"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    (migrations / "4_items.sql").write_text(ITEMS)
    up = await ledger("up", "--yes", "--waves", waves, "-o", "json")
    assert up.code == ExitCode.HALTED
    rollout: str = up.json["rollout"]
    return rollout


async def told(ledger: LedgerProgram, field: str) -> dict[str, Any]:
    """A field of each database, as `ledger status` tells it."""
    rows = (await ledger("status", "-o", "json")).items
    return {one["database"]: one[field] for one in rows}


async def problem_of(ledger: LedgerProgram, rollout: str, database: str) -> str:
    rows = (await ledger("rollout", "status", rollout, "--all", "-o", "json")).items
    (row,) = [one for one in rows if one["database"] == database]
    return f"{row['status']}: {row['problem']}"


def words(answer: Answer) -> str:
    """What was said, without the ends of lines."""
    return " ".join((answer.out + answer.err).split())


@pytest.mark.parametrize(
    ("how", "lost", "lacking"),
    [
        ("all", ["1", "2"], "1_parcels, 2_weight"),
        ("the second", ["2"], "2_weight"),
    ],
)
async def test_a_retry_does_not_run_a_rollouts_migrations_over_those_that_a_restore_lost(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet, how: str, lost: list[str], lacking: str
) -> None:
    rollout = await halted_at_the_third(ledger, migrations, fleet)
    address = fleet.addresses["t1"]
    await (execute(address, TO_BEFORE_ALL) if how == "all" else restore(address))

    back = await ledger("fleet", "reinstate", "t1", *WHY, "-o", "json")
    assert back.code == 0, back.err
    assert (back.json["read"], back.json["lost"]) == (True, lost)
    assert not any((await told(ledger, "unread")).values())
    retried = await ledger("rollout", "retry", rollout, "t1", "--yes")
    assert retried.code == ExitCode.HALTED
    assert not await has_table(address, "items")
    said = await problem_of(ledger, rollout, "t1")
    assert said.startswith(f"failed: this database lacks {lacking}, which come before")
    assert f"rollout {rollout} does not bring" in said
    assert "`ledger up`" in said
    assert "ledger rollout retry" not in (await ledger("rollout", "status", rollout)).out

    # What it says is the way out.
    assert (await ledger("rollout", "abort", rollout, "--yes")).code == 0
    up = await ledger("up", "--yes", "-o", "json")
    assert (up.code, up.json["counts"]) == (0, {"applied": 1})
    assert await has_table(address, "items")
    assert not any((await told(ledger, "missing")).values())
    assert (await ledger("replay")).code == 0


async def test_neither_does_the_first_order_of_one_that_was_restored_before_its_turn(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = await halted_at_the_third(ledger, migrations, fleet, waves="2,rest")
    await do(fleet.addresses["t1"], "DELETE FROM parcels")
    await execute(fleet.addresses["t3"], TO_BEFORE_ALL)
    assert (await ledger("fleet", "reinstate", "t3", *WHY)).code == 0
    retried = await ledger("rollout", "retry", rollout, "--yes", "-o", "json")
    assert retried.code == ExitCode.HALTED
    assert retried.json["counts"] == {"applied": 3, "failed": 1}
    assert (await problem_of(ledger, rollout, "t3")).startswith("failed: this database lacks 1_")
    assert not await has_table(fleet.addresses["t3"], "items")


async def test_what_a_restore_has_left_alone_is_retried_as_ever(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = await halted_at_the_third(ledger, migrations, fleet)
    await do(fleet.addresses["t1"], "DELETE FROM parcels")
    back = await ledger("fleet", "reinstate", "t1", *WHY)
    assert back.code == 0
    assert "has 2 migrations in force; nothing that was applied is lost" in words(back)
    retried = await ledger("rollout", "retry", rollout, "t1", "--yes", "-o", "json")
    assert (retried.code, retried.json["counts"]) == (0, {"applied": 4})


async def test_reinstating_tells_what_was_lost_and_what_brings_it_back(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    await restore(fleet.addresses["t1"])
    back = await ledger("fleet", "reinstate", "t1", *WHY)
    assert back.code == 0
    assert "has 1 migration in force; it lost 1 migration, 2;" in words(back)
    assert "`ledger up --select id=t1` brings it up again" in words(back)
    # Once it is known it is no news.
    again = await ledger("fleet", "reinstate", "t1", *WHY)
    assert "nothing that was applied is lost" in words(again)
    assert (await ledger("up", "--select", "id=t1", "--yes")).code == 0
    assert (await ledger("replay")).code == 0


async def test_a_database_that_cannot_be_read_stays_unread_and_it_is_said_why(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    elsewhere = ("fleet", "repoint", "t1", "--port", "1", *WHY)
    moved = await ledger(*elsewhere)
    assert moved.code == ExitCode.FAILED
    assert "its journal could not be read, so what it lost is not known" in words(moved)
    unread = await told(ledger, "unread")
    assert unread == {"t0": False, "t1": True, "t2": False, "t3": False}
    recorded = await ledger("fleet", "reinstate", "t2", *WHY, "--no-wait", "-o", "json")
    assert (recorded.code, recorded.json["database"]) == (0, "t2")
    late = await ledger("fleet", "reinstate", "t2", *WHY, "--timeout", "0")
    assert late.code in (0, ExitCode.TIMEOUT)


async def test_one_that_was_restored_is_let_in_before_it_is_tried_again(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = await halted_at_the_third(ledger, migrations, fleet)
    await restore(fleet.addresses["t1"])
    assert (await ledger("rollout", "retry", rollout, "t1", "--yes")).code == ExitCode.HALTED
    assert "restored, cloned or changed by another" in await problem_of(ledger, rollout, "t1")
    assert await suggested(ledger, rollout, "t1") == "ledger fleet reinstate t1 --reason …"
    assert "ledger fleet reinstate t1 --reason …" in (await ledger("rollout", "status")).out

    assert (await ledger("fleet", "reinstate", "t1", *WHY)).code == 0
    assert await suggested(ledger, rollout, "t1") == f"ledger rollout retry {rollout} t1"
    assert (await ledger("rollout", "abort", rollout, "--yes")).code == 0
    assert await suggested(ledger, rollout, "t1") == "ledger up"


async def suggested(ledger: LedgerProgram, rollout: str, database: str) -> str:
    rows = (await ledger("rollout", "status", rollout, "--all", "-o", "json")).items
    (helps,) = [one["try"] for one in rows if one["database"] == database]
    return str(helps)
