"""History is found by what people know: a migration, a ticket, a person, a time."""

from __future__ import annotations

import csv
import signal
from io import StringIO
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram, StartLedger


async def test_a_change_is_found_by_migration_bundle_ticket_person_and_time(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    ada = {"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada", "CI_JOB_URL": "https://git.example/9"}
    words = ("up", "--yes", "--reason", "spring", "--ticket", "CHG-78")
    assert (await ledger(*words, **ada)).code == 0
    asked = (await ledger("history", "-o", "json")).items
    # One line for each request: four databases joined by one, two events began one rollout.
    assert [one["event"] for one in asked] == [
        "RolloutPlanned", "BundleRegistered", "DatabaseRegistered",
    ]  # fmt: skip
    assert [one["databases"] for one in asked] == [4, None, 4]
    table = (await ledger("history")).out.splitlines()
    assert "t0 and 3 more" in table[-1]
    # Two events began the rollout: that says nothing of databases.
    assert "more" not in table[1]

    by_ticket = (await ledger("history", "CHG-78", "-o", "json")).items
    by_person = (await ledger("history", "--by", "ada", "-o", "json")).items
    assert [one["event"] for one in by_ticket] == ["RolloutPlanned", "BundleRegistered"]
    assert [one["position"] for one in by_person] == [one["position"] for one in by_ticket]
    assert (await ledger("history", "ada", "-o", "json")).items == by_person
    assert (await ledger("history", "--by", "ad", "-o", "json")).items == []

    found = (await ledger("history", "1", "--database", "t2", "-o", "json")).items
    (applied,) = [one for one in found if one["event"] == "MigrationApplied"]
    assert (applied["body"]["database"], applied["body"]["version"]) == ("t2", "1")
    # Who asked for it, why, and for which ticket: the plan of its rollout says.
    assert (applied["who"], applied["reason"], applied["ticket"]) == (
        "ada (told)", "spring", "CHG-78",
    )  # fmt: skip
    whole = (await ledger("history", "parcels", "-o", "json")).items
    kinds = {one["event"] for one in whole}
    assert {"RolloutPlanned", "RolloutCompleted", "MigrationApplied", "BundleRegistered"} <= kinds
    assert "MigrationOrdered" not in kinds
    assert [one["position"] for one in whole] == sorted(
        (one["position"] for one in whole), reverse=True
    )
    digest = next(one["body"]["bundle"] for one in asked if one["event"] == "BundleRegistered")
    of_bundle = (await ledger("history", digest[:8], "-o", "json")).items
    assert "RolloutPlanned" in {one["event"] for one in of_bundle}

    assert (await ledger("history", "--since", "2h", "-o", "json")).items == asked
    assert (await ledger("history", "--until", "2h", "-o", "json")).items == []
    first = (await ledger("history", "--limit", "1", "-o", "json")).items
    rest = await ledger("history", "--before", str(first[0]["position"]), "-o", "json")
    assert first + rest.items == asked
    sheet = list(csv.DictReader(StringIO((await ledger("history", "-o", "csv")).out)))
    assert [one["ticket"] for one in sheet] == ["CHG-78", "CHG-78", ""]


async def test_the_text_that_ran_is_printed_though_the_file_was_corrected_since(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    nobody = await ledger("bundle", "show", "--sql", "1")
    assert nobody.code == 4
    assert (await ledger("up", "--yes")).code == 0
    shown = await ledger("bundle", "show", "--sql", "1")
    assert shown.out == "-- 1_parcels.sql\n" + (migrations / "1_parcels.sql").read_text()
    by_name = (await ledger("bundle", "show", "--sql", "parcels", "-o", "json")).json
    assert by_name["files"][0]["text"] == (migrations / "1_parcels.sql").read_text()
    assert set(by_name["holders"]) == set(fleet.addresses)
    unknown = await ledger("bundle", "show", "--sql", "77")
    assert unknown.code == 4
    assert "has no migration '77'" in unknown.err


async def test_the_log_is_filtered_and_followed(
    ledger: LedgerProgram, start_ledger: StartLedger, fleet: Fleet
) -> None:
    of_one = (await ledger("events", "-d", "t1", "-o", "json")).items
    assert [one["body"]["database"] for one in of_one] == ["t1"]
    last = await ledger("events", "--limit", "1")
    assert "--before" in last.err
    assert "HASH" in last.out
    refused = await ledger("events", "--follow", "-o", "json")
    assert refused.code == 2
    assert "ndjson" in refused.err
    following = await start_ledger("events", "--follow", "--after", "4", "-o", "ndjson")
    assert following.process.stdout is not None
    shown = (await following.process.stdout.readline()).decode()
    assert '"position":5' in shown
    await ledger("fleet", "suspend", "t1")
    shown = (await following.process.stdout.readline()).decode()
    assert "DatabaseSuspended" in shown
    following.signal(signal.SIGINT)
    assert (await following.end()).code == 130


@pytest.mark.parametrize("text", ["soon", "-1h", "25:00", "2026-13-01", "99999999999d"])
async def test_what_is_no_moment_is_wrong_usage(ledger: LedgerProgram, text: str) -> None:
    answer = await ledger("history", f"--since={text}")
    assert answer.code == 2
    assert "write how long ago" in answer.err
