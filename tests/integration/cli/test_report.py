"""`ledger report`, and what is left of a rollout: from what ran, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from uuid import uuid4

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.reports import Event, MigrationApplied, MigrationFailed
from ledger.store.stores import open_stores
from migrations.model.attempt import Failure, FailureClass
from tests.support.program import LedgerProgram


async def record(url: str, events: Sequence[Event]) -> None:
    async with open_stores(url) as stores:
        encoded = [encode(one, uuid4(), Metadata()) for one in events]
        await stores.log.append("rollout-r1/reports", encoded)


def applied(database: str, duration_ms: int) -> MigrationApplied:
    return MigrationApplied(
        database=database,
        command=uuid4(),
        version="001",
        checksum="c",
        duration_ms=duration_ms,
        statements=1,
    )


@pytest.fixture
async def ran(installed: str) -> str:
    """A ledger in which a migration ran four times, and failed once."""
    failure = Failure(kind=FailureClass.LOCK_TIMEOUT, message="no")
    failed = MigrationFailed(
        database="bolt",
        command=uuid4(),
        version="001",
        direction="up",
        checksum="c",
        failure=failure,
    )
    runs = [applied("acme", 10), applied("bolt", 20), applied("crane", 90_000), failed]
    await record(installed, runs)
    return installed


async def test_migrations_are_reported_for_people_and_for_programs(
    ledger: LedgerProgram, ran: str
) -> None:
    shown = (await ledger("report", "migrations")).out
    for word in ("001", "75 %", "lock_timeout=1", "20 ms", "1 min 30 s"):
        assert word in shown
    (row,) = (await ledger("report", "migrations", "-o", "json")).items
    assert {name: row[name] for name in ("executions", "successes", "failed", "success_rate")} == {
        "executions": 4,
        "successes": 3,
        "failed": 1,
        "success_rate": 75.0,
    }
    assert row["errors"] == {"lock_timeout": 1}
    assert (row["p50_ms"], row["p95_ms"], row["max_ms"]) == (20, 90_000, 90_000)
    sheet = (await ledger("report", "migrations", "-o", "csv")).out
    (line,) = csv.DictReader(io.StringIO(sheet))
    assert (line["migration"], line["success_rate"], line["max_ms"]) == ("001", "75.0", "90000")


async def test_durations_are_reported_by_size_and_by_database(
    ledger: LedgerProgram, ran: str
) -> None:
    shown = (await ledger("report", "durations", "--slowest", "1")).out
    for word in ("not known", "crane", "1 min 30 s"):
        assert word in shown
    assert "acme" not in shown
    document = (await ledger("report", "durations", "001", "-o", "json")).json
    (sizes,) = document["items"]
    assert (sizes["up_to_mb"], sizes["executions"], sizes["max_ms"]) == (None, 3, 90_000)
    assert [one["database"] for one in document["slowest"]] == ["crane", "bolt", "acme"]


@pytest.mark.parametrize("what", ["migrations", "durations"])
async def test_a_report_of_nothing_says_so_and_of_what_never_ran_is_refused(
    ledger: LedgerProgram, ran: str, what: str
) -> None:
    later = await ledger("report", what, "--until", "2020-01-01")
    assert later.code == ExitCode.OK
    assert "Nothing ran that this is about." in later.err
    never = await ledger("report", what, "777")
    assert never.code == ExitCode.REFUSED
    assert "no migration '777' ran; `ledger report migrations` lists those" in never.err
    wrong = await ledger("report", what, "--since", "yesterdayish")
    assert wrong.code == ExitCode.USAGE
    assert wrong.err.count("\n") <= 2
