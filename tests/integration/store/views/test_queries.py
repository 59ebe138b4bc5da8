"""What status, lists and orders get from the read models."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Metadata, command_id
from ledger.contracts.registry import Step
from ledger.domain.tally import tally
from ledger.store.log.history import EventFilter
from ledger.store.views.advance import advance, rebuild
from ledger.store.views.tables import TABLES
from migrations.model.attempt import (
    Expectation,
    Failure,
    FailureClass,
    Limits,
    Mode,
    Verdict,
)
from tests.integration.store.views.conftest import Ledger
from tests.support.histories import CHECKSUM, MOMENT, connection, identity

COLUMNS = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'ledger' AND table_name = $1 AND is_generated = 'NEVER'
    ORDER BY ordinal_position
"""
KEY = """
    SELECT attname FROM pg_constraint
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
    WHERE conrelid = ('ledger.' || $1)::regclass AND contype = 'p' ORDER BY attnum
"""
FAILURE = Failure(
    kind=FailureClass.SQL, message="duplicate key", sqlstate="23505", file="1.sql", line=4
)


async def fleet_of(ledger: Ledger, *names: str) -> None:
    for name in names:
        event = e.DatabaseRegistered(
            database=name, pool="main", connection=connection(1), labels={"tier": "gold"}
        )
        await ledger.append("fleet", event)


async def plan(ledger: Ledger, rollout: str, *names: str, version: str = "1") -> None:
    planned = e.RolloutPlanned(
        rollout=rollout,
        mode=Mode.UP,
        bundle="a" * 64,
        steps=(Step(version=version, checksum=CHECKSUM),),
        selection="all",
        fleet_position=1,
        databases=len(names),
        waves=2,
        wave_spec="1,rest",
        in_flight=4,
        budget=e.Budget(percent=2.5),
        when_spent=e.WhenSpent.ROLLBACK,
        limits=Limits(),
        expiry_s=60.0,
        deadline_s=600.0,
    )
    waves = (
        e.WavePlanned(rollout=rollout, wave=0, chunk=0, databases=names[:1]),
        e.WavePlanned(rollout=rollout, wave=1, chunk=0, databases=names[1:]),
    )
    asked = Metadata(reason="faster search", ticket="OPS-7")
    await ledger.append(f"rollout-{rollout}", planned, *waves, metadata=asked)
    await ledger.append(f"rollout-{rollout}", e.RolloutStarted(rollout=rollout))


async def order(ledger: Ledger, rollout: str, database: str, version: str = "1") -> UUID:
    command = command_id(rollout, database, "up", 1)
    ordered = e.MigrationOrdered(
        rollout=rollout,
        database=database,
        pool="main",
        wave=0,
        attempt=1,
        command=command,
        term=1,
        bundle="a" * 64,
        mode=Mode.UP,
        steps=(Step(version=version, checksum=CHECKSUM),),
        connection=connection(1),
        expected=Expectation(),
        limits=Limits(),
        expires_at=MOMENT,
        deadline_at=MOMENT,
    )
    await ledger.append(f"rollout-{rollout}", ordered)
    return command


async def run(
    ledger: Ledger,
    rollout: str,
    database: str,
    version: str = "1",
    failure: Failure | None = None,
) -> None:
    command = await order(ledger, rollout, database, version)
    verdict = Verdict.FAILED if failure else Verdict.DONE
    done: r.Report = r.MigrationApplied(
        database=database,
        command=command,
        version=version,
        checksum=CHECKSUM,
        duration_ms=12,
        statements=1,
    )
    if failure:
        done = r.MigrationFailed(
            database=database,
            command=command,
            version=version,
            direction="up",
            checksum=CHECKSUM,
            failure=failure,
        )
    await ledger.append(
        f"rollout-{rollout}/reports",
        r.AttemptStarted(database=database, command=command, attempt=1, mode=Mode.UP),
        r.DatabaseIdentified(
            database=database,
            command=command,
            identity=identity(3),
            server_version=180000,
            first_contact=True,
        ),
        done,
        r.AttemptFinished(
            database=database,
            command=command,
            attempt=1,
            mode=Mode.UP,
            verdict=verdict,
            changed=0 if failure else 1,
            journal_head="head",
            failure=failure,
        ),
    )


async def test_the_writers_tables_are_those_of_the_catalog(ledger: Ledger) -> None:
    names = {"timestamp with time zone": "timestamptz"}
    for table in TABLES:
        found = {
            row["column_name"]: names.get(row["data_type"], row["data_type"])
            for row in await ledger.pool.fetch(COLUMNS, table.name)
        }
        assert found == {**table.key, **table.columns}, table.name
        keys = [row["attname"] for row in await ledger.pool.fetch(KEY, table.name)]
        assert keys == list(table.key), table.name


async def test_the_fleet_is_listed_with_what_the_next_order_expects(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme", "bolt")
    await plan(ledger, "r1", "acme", "bolt")
    await run(ledger, "r1", "acme")
    await ledger.models.caught_up()

    acme, bolt = await ledger.models.fleet()

    assert acme.record.connection == connection(1)
    assert acme.record.expected == Expectation(identity=identity(3), journal_head="head")
    assert (acme.server_version, acme.record.labels) == (180000, {"tier": "gold"})
    assert bolt.record.expected == Expectation()
    assert await ledger.models.expected(["bolt"]) == {"bolt": Expectation()}


async def test_a_rollout_is_shown_with_its_databases_by_wave_and_state(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme", "bolt", "crux")
    await plan(ledger, "r1", "acme", "bolt", "crux")
    await run(ledger, "r1", "acme")
    await run(ledger, "r1", "bolt", failure=FAILURE)
    await ledger.append("rollout-r1", e.RolloutHalted(rollout="r1", why="1 failed"))
    await ledger.models.caught_up()

    (rollout,) = await ledger.models.rollouts()

    assert (rollout.status, rollout.why) == ("halted", "1 failed")
    assert (rollout.reason, rollout.ticket) == ("faster search", "OPS-7")
    assert rollout.steps == (Step(version="1", checksum=CHECKSUM),)
    assert rollout.counts == {(0, "applied"): 1, (1, "failed"): 1, (1, "pending"): 1}
    assert tally(rollout.counts).of("applied", "failed") == 2


async def test_rollouts_are_listed_newest_first_by_status_and_in_pages(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme")
    for name in ("r1", "r2", "r3"):
        await plan(ledger, name, "acme")
    await ledger.append("rollout-r2", e.RolloutPaused(rollout="r2"))
    await ledger.models.caught_up()

    every = await ledger.models.rollouts()
    older = await ledger.models.rollouts(before=every[0].planned_position)

    assert [row.rollout for row in every] == ["r3", "r2", "r1"]
    assert [row.rollout for row in older] == ["r2", "r1"]
    assert [row.rollout for row in await ledger.models.rollouts(["paused"])] == ["r2"]


async def test_databases_are_busy_until_their_rollout_has_ended(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme", "bolt")
    await plan(ledger, "r1", "acme")
    await ledger.models.caught_up()

    assert await ledger.models.busy(["acme", "bolt"]) == {"acme": "r1"}
    assert await ledger.models.unfinished_rollouts() == ["r1"]

    await ledger.append("rollout-r1", e.RolloutAborted(rollout="r1", cancel=False))
    await ledger.models.caught_up()

    assert await ledger.models.busy(["acme"]) == {}
    assert await ledger.models.unfinished_rollouts() == []


async def test_each_database_is_told_what_it_has_of_a_bundle_and_what_it_lacks(
    ledger: Ledger,
) -> None:
    await fleet_of(ledger, "acme", "bolt", "crux")
    await plan(ledger, "r1", "acme", "bolt")
    await run(ledger, "r1", "acme")
    await run(ledger, "r1", "bolt", failure=FAILURE)
    await ledger.models.caught_up()

    acme, bolt, crux = await ledger.models.database_versions(["1", "2"])

    assert (acme.applied, acme.missing, acme.latest) == (("1",), ("2",), "1")
    assert bolt.missing == crux.missing == ("1", "2")


async def test_an_applied_migration_names_its_rollout_and_who_ordered_it(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme")
    await plan(ledger, "r1", "acme")
    await run(ledger, "r1", "acme")
    await ledger.models.caught_up()

    (row,) = await ledger.models.applied(["acme"])

    assert (row.version, row.state, row.rollout) == ("1", "applied", "r1")
    assert row.ordered_by == await ledger.pool.fetchval("SELECT session_user")


async def test_a_late_report_does_not_replace_what_a_later_order_did(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme")
    await plan(ledger, "r1", "acme")
    first = await order(ledger, "r1", "acme")
    await plan(ledger, "r2", "acme")
    second = await order(ledger, "r2", "acme")
    undone = r.MigrationRolledBack(
        database="acme",
        command=second,
        version="1",
        checksum=CHECKSUM,
        duration_ms=1,
        statements=1,
    )
    await ledger.append("rollout-r2/reports", undone)
    late = r.MigrationApplied(**undone.model_dump() | {"command": first})
    await ledger.append("rollout-r1/reports", late)
    await ledger.models.caught_up()

    (row,) = await ledger.models.applied(["acme"])

    assert (row.state, row.command) == ("rolled_back", second)


async def test_the_history_of_a_database_is_everything_that_names_it(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme", "bolt")
    await plan(ledger, "r1", "acme", "bolt")
    await run(ledger, "r1", "acme")
    await run(ledger, "r1", "bolt")
    await ledger.models.caught_up()

    found = await ledger.history.database("acme")

    assert [type(one.event).__name__ for one in found] == [
        "DatabaseRegistered",
        "WavePlanned",
        "MigrationOrdered",
        "AttemptStarted",
        "DatabaseIdentified",
        "MigrationApplied",
        "AttemptFinished",
    ]


async def test_the_history_of_a_rollout_joins_decisions_and_reports(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme")
    await plan(ledger, "r1", "acme")
    await plan(ledger, "r10", "acme")
    await run(ledger, "r1", "acme")

    found = await ledger.history.rollout("r1")

    assert [one.position for one in found] == sorted(one.position for one in found)
    assert {one.stream for one in found} == {"rollout-r1", "rollout-r1/reports"}


async def test_events_are_filtered_and_come_in_pages(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme", "bolt")
    await plan(ledger, "r1", "acme")
    await ledger.models.caught_up()

    first = await ledger.history.events(EventFilter(stream_prefix="fleet"), limit=1)
    second = await ledger.history.events(EventFilter(stream_prefix="fleet"), first[0].position)
    typed = await ledger.history.events(EventFilter(types=("WavePlanned",), database="acme"))

    assert [one.event.database for one in (*first, *second)] == ["acme", "bolt"]  # type: ignore[attr-defined]
    assert [type(one.event) for one in typed] == [e.WavePlanned]


@pytest.mark.parametrize("role", ["ledger_viewer", "ledger_operator"])
async def test_everybody_reads_and_only_the_service_writes(ledger: Ledger, role: str) -> None:
    async with ledger.pool.acquire() as connection_, connection_.transaction():
        await connection_.execute(f"SET LOCAL ROLE {role}")
        for table in TABLES:
            await connection_.fetch(f"SELECT * FROM ledger.{table.name}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection_.execute("UPDATE ledger.rollout SET why = 'mine'")


async def test_the_service_role_may_project_and_rebuild(ledger: Ledger) -> None:
    await fleet_of(ledger, "acme")
    async with ledger.pool.acquire() as connection_, connection_.transaction():
        await connection_.execute("SET LOCAL ROLE ledger_service")
        reached = await advance(connection_)
        assert await rebuild(connection_) == reached
