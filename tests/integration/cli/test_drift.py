"""`ledger drift`, as a person meets it: one of four tenants was changed by hand."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from ledger.cli.app.exits import ExitCode
from ledger.contracts.events import DriftAccepted, DriftDetected, DriftEnded
from ledger.runtime import open_ledger, stores_of
from ledger.settings import Settings
from ledger.store.log.decode import open_event
from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

ACCEPT = ("drift", "accept", "t2", "--reason", "an index for their reports", "--yes")


async def run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def told(url: str) -> list[tuple[str, str]]:
    """What the log says of drift."""
    types = [one.__name__ for one in (DriftDetected, DriftEnded, DriftAccepted)]
    async with open_ledger(Settings.model_validate({"database_url": url})) as opened:
        events = [
            open_event(raw).event
            async for raw in stores_of(opened).log.read_stream("fleet", types=types)
        ]
    return [(type(event).__name__, getattr(event, "database", "")) for event in events]


async def test_a_tenant_changed_by_hand_is_found_with_what_would_bring_it_back(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    fine = await ledger("drift")
    assert fine.code == ExitCode.OK, fine.err
    assert "4 databases with 2 as the latest migration: 4 have the same schema" in fine.out
    assert await told(installed) == []

    await run(fleet.addresses["t2"], "CREATE INDEX by_weight ON parcels (weight)")
    found = await ledger("drift")
    assert found.code == ExitCode.DIFFERENT, found.err
    assert "3 have the same schema" in found.out
    assert "added    index public.by_weight" in found.out
    assert "DROP INDEX public.by_weight;" in found.out
    assert await told(installed) == [("DriftDetected", "t2")]

    again = await ledger("drift", "-o", "json")
    (cohort,) = again.json["items"]
    assert cohort["drifted"] == ["t2"]
    assert cohort["differences"][0]["sql"] == ["DROP INDEX public.by_weight;"]
    assert await told(installed) == [("DriftDetected", "t2")]


async def test_what_is_accepted_is_no_drift_until_it_changes_again(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    early = await ledger(*ACCEPT)
    assert early.code == ExitCode.REFUSED
    assert "t2 was not seen to have drifted" in early.err
    await run(fleet.addresses["t2"], "CREATE INDEX by_weight ON parcels (weight)")
    assert (await ledger("drift")).code == ExitCode.DIFFERENT
    assert (await ledger("drift", "accept", "t2", "--yes")).code == ExitCode.USAGE
    reasonless = await ledger("drift", "accept", "t2")
    assert "say why with --reason" in reasonless.err, "nobody is asked what would be refused then"
    assert (await ledger("drift", "accept")).code == ExitCode.USAGE
    accepted = await ledger(*ACCEPT)
    assert accepted.code == ExitCode.OK, accepted.err
    same = await ledger("drift")
    assert same.code == ExitCode.OK, same.err
    assert "t2 (accepted)" in same.out
    await run(fleet.addresses["t2"], "CREATE INDEX another ON parcels (weight, id)")
    assert (await ledger("drift")).code == ExitCode.DIFFERENT
    await run(fleet.addresses["t2"], "DROP INDEX another, by_weight")
    assert (await ledger("drift")).code == ExitCode.OK
    assert await told(installed) == [
        ("DriftDetected", "t2"),
        ("DriftAccepted", "t2"),
        ("DriftDetected", "t2"),
        ("DriftEnded", "t2"),
    ]


async def test_of_two_and_two_nobody_says_who_is_right(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    for tenant in ("t1", "t2"):
        await run(fleet.addresses[tenant], "COMMENT ON TABLE parcels IS 'theirs'")
    found = await ledger("drift")
    assert found.code == ExitCode.DIFFERENT, found.err
    assert "nobody can say which of them is right" in found.out
    assert await told(installed) == []


async def test_agents_that_take_fingerprints_find_drift_without_being_asked(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path, installed: str
) -> None:
    taking = {"LEDGER_AGENT_FINGERPRINTS": "true"}
    assert (await ledger("up", "--yes", **taking)).code == ExitCode.OK
    assert await told(installed) == []
    await run(fleet.addresses["t2"], "CREATE INDEX by_weight ON parcels (weight)")
    (migrations / "3_more.sql").write_text(
        "-- +migrate Up\nCREATE TABLE more ();\n-- +migrate Down\nDROP TABLE more;\n"
    )
    assert (await ledger("up", "--yes", **taking)).code == ExitCode.OK
    assert await told(installed) == [("DriftDetected", "t2")]
    await run(fleet.addresses["t2"], "DROP INDEX by_weight")
    assert (await ledger("down", "1", "--yes", **taking)).code == ExitCode.OK
    assert await told(installed) == [("DriftDetected", "t2"), ("DriftEnded", "t2")]


async def test_databases_with_other_migrations_are_not_compared(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    assert (await ledger("up", "--yes", "--select", "half=h0")).code == ExitCode.OK
    found = await ledger("drift", "-o", "json")
    assert found.code == ExitCode.OK, found.err
    assert [(row["latest"], row["databases"]) for row in found.json["items"]] == [("", 2), ("2", 2)]


async def test_a_database_that_cannot_be_looked_at_is_named(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    await run(fleet.addresses["t1"], "CREATE VIEW held AS SELECT id FROM parcels")
    connection = await asyncpg.connect(fleet.addresses["t1"])
    await connection.execute("BEGIN; LOCK parcels IN ACCESS EXCLUSIVE MODE")
    found = await ledger("drift")
    await connection.close()
    assert found.code == ExitCode.FAILED
    assert "t1: somebody changes a table or a catalog and holds its lock" in found.err


async def test_a_rollout_warns_of_drifted_databases_leaves_them_out_or_refuses(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    await run(fleet.addresses["t2"], "ALTER TABLE parcels ADD note text")
    assert (await ledger("drift")).code == ExitCode.DIFFERENT
    (migrations / "3_more.sql").write_text("-- +migrate Up\nCREATE TABLE more ();\n")
    refused = await ledger("plan", "--on-drift", "refuse")
    assert refused.code == ExitCode.REFUSED
    assert "drifted: t2; see how with `ledger drift`" in refused.err
    warned = await ledger("plan", "-o", "json")
    assert any("drifted, and part of this all the same: t2" in one for one in warned.json["notes"])
    alone = await ledger("plan", "--on-drift", "leave-out", "--select", "id=t2")
    assert alone.code == ExitCode.REFUSED
    left = await ledger("up", "--on-drift", "leave-out", "--yes")
    assert left.code == ExitCode.OK, left.err
    assert "left out, because they have drifted: t2" in left.err
    assert "3 databases" in left.err
    assert (
        await ledger("drift", "accept", "t2", "--reason", "theirs", "--yes")
    ).code == ExitCode.OK
    assert (await ledger("up", "--on-drift", "refuse", "--yes")).code == ExitCode.OK
