"""How long migrations took and how often they failed, from the log's own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import MigrationOrdered
from ledger.contracts.reports import (
    AttemptStarted,
    BatchProgressed,
    Event,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    PreflightChecked,
)
from ledger.domain.performance import Spread
from ledger.domain.refusals import InvalidSelection
from ledger.domain.waiting import Reason
from ledger.service.performance import NeverRan, Outlook, PerformanceService, ReportSubject
from ledger.service.request_context import RequestContext
from ledger.service.status import DatabaseGroup, RolloutStatus
from ledger.store.views import performance
from ledger.store.views.performance import PerformanceTable
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Failure, FailureClass
from migrations.model.preflight import PreflightCheck, PreflightResult, PreflightVerdict
from tests.integration.service.conftest import LogIn
from tests.support.house import Actor, House, found, started
from tests.support.manual_clock import ManualClock

RAN = """
    INSERT INTO ledger.execution (
        position, database, rollout, version, direction, succeeded, duration_ms, table_mb, at)
    VALUES ($1, 'x', 'old', $2, 'up', true, $3, $4, now())
"""


async def record(house: House, events: Sequence[Event], rollout: str = "r1") -> None:
    encoded = [encode(one, uuid4(), Metadata()) for one in events]
    await house.stores.log.append(f"rollout-{rollout}/reports", encoded)


def applied(database: str, duration_ms: int, version: str = "1") -> MigrationApplied:
    return MigrationApplied(
        database=database,
        command=uuid4(),
        version=version,
        checksum="c",
        duration_ms=duration_ms,
        statements=1,
    )


def failed(database: str, kind: FailureClass, version: str = "1") -> MigrationFailed:
    return MigrationFailed(
        database=database,
        command=uuid4(),
        version=version,
        direction="up",
        checksum="c",
        failure=Failure(kind=kind, message="no"),
    )


async def test_a_report_counts_executions_successes_and_failures_by_class(house: House) -> None:
    runs: list[Event] = [applied(f"db{number}", 10 * number) for number in range(1, 101)]
    runs += [failed("db1", FailureClass.SQL)] * 1 + [failed("db2", FailureClass.LOCK_TIMEOUT)]
    runs += [failed("db3", FailureClass.LOCK_TIMEOUT), applied("db1", 7, "2")]
    runs.append(MigrationRolledBack(**applied("db1", 30, "2").model_dump()))
    await record(house, runs)
    second, back, first = await house.ledger.performance.migrations(ReportSubject(), 10)
    assert (second.summary.version, second.summary.direction) == ("2", "up")
    assert (back.summary.version, back.summary.direction) == ("2", "down")
    assert back.summary.spread == Spread(30, 30, 30)
    assert (first.summary.executions, first.summary.successes, first.failed) == (103, 100, 3)
    assert first.failures == {"lock_timeout": 2, "sql": 1}
    assert first.success_rate == 97.09
    assert first.summary.spread == Spread(500, 950, 1000)


async def test_a_migration_that_only_failed_has_no_durations(house: House) -> None:
    await record(house, [failed("db1", FailureClass.SQL)])
    (one,) = await house.ledger.performance.migrations(ReportSubject(), 10)
    assert (one.success_rate, one.summary.spread) == (0.0, None)
    report = await house.ledger.performance.durations(ReportSubject(), 10, 10)
    assert (report.sizes, report.slowest) == ((), ())


async def test_a_report_is_of_the_versions_the_databases_and_the_time_that_were_asked_for(
    house: House,
) -> None:
    await record(house, [applied("acme", 1), applied("bolt", 5), applied("acme", 9, "2")])
    reports, now = house.ledger.performance, SYSTEM_CLOCK.now()
    (one,) = await reports.migrations(ReportSubject(("1",), select="id=bolt"), 10)
    assert (one.summary.executions, one.summary.spread) == (1, Spread(5, 5, 5))
    assert [one.summary.version for one in await reports.migrations(ReportSubject(), 1)] == ["2"]
    assert await reports.migrations(ReportSubject(since=now + timedelta(hours=1)), 10) == []
    assert await reports.migrations(ReportSubject(until=now - timedelta(hours=1)), 10) == []
    assert len(await reports.migrations(ReportSubject(since=now - timedelta(hours=1)), 10)) == 2
    with pytest.raises(NeverRan, match="no migration '7' ran"):
        await reports.migrations(ReportSubject(("7",)), 10)
    with pytest.raises(InvalidSelection):
        await reports.migrations(ReportSubject(select="id=="), 10)


@pytest.mark.parametrize("few", [0, 1000], ids=["of many databases", "of a few"])
async def test_a_selection_says_the_same_however_it_is_looked_for(
    house: House, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(performance, "FEW", few)
    runs = [applied("acme", 1), applied("bolt", 5), applied("crane", 9)]
    await record(house, [*runs, failed("bolt", FailureClass.SQL)])
    reports = house.ledger.performance
    (one,) = await reports.migrations(ReportSubject(select="id in (bolt,crane)"), 10)
    assert (one.summary.executions, one.summary.successes, one.failed) == (3, 2, 1)
    assert one.summary.spread == Spread(5, 9, 9)
    told = await reports.durations(ReportSubject(select="id=bolt"), 10, 10)
    assert [(one.executions, one.spread) for one in told.sizes] == [(1, Spread(5, 5, 5))]
    assert [one.database for one in told.slowest] == ["bolt"]
    with pytest.raises(InvalidSelection, match="says otherwise of 'id'"):
        await reports.migrations(ReportSubject(select="id=acme,id=bolt"), 10)


def sizes(command: ApplyCommand, mb: float | None) -> PreflightChecked:
    verdict = PreflightVerdict.FINE if mb is not None else PreflightVerdict.UNKNOWN
    result = PreflightResult(PreflightCheck.TABLE_SIZE, verdict, mb)
    return PreflightChecked(
        database=command.database,
        command=command.command,
        checked_at=SYSTEM_CLOCK.now(),
        results=(result,),
    )


async def took(actor: Actor, database: str, mb: float | None, duration_ms: int) -> None:
    """Have a database migrated: so large a table, so long."""
    command = await actor.ordered(database)
    runs = [
        applied(database, duration_ms, step.version).model_copy(
            update={"command": command.command, "checksum": step.checksum}
        )
        for step in command.order.steps
    ]
    await actor.say(command.stream, started(command), sizes(command, mb), *runs)


async def test_durations_are_told_by_the_size_of_the_largest_table_and_where_they_were_longest(
    house: House,
) -> None:
    await house.register("large", "unasked")
    async with house.leading(), house.actor() as actor:
        await house.start()
        for database, mb, duration_ms in (
            ("acme", 0.4, 3),
            ("bolt", 7.0, 20),
            ("crane", 9.0, 40),
            ("large", 5000.0, 60_000),
            ("unasked", None, 11),
        ):
            await took(actor, database, mb, duration_ms)
        await house.at_least(10, MigrationApplied)
        report = await house.ledger.performance.durations(ReportSubject(("1",)), 10, 2)
    classes = {one.magnitude: (one.executions, one.spread) for one in report.sizes}
    assert classes == {
        0: (1, Spread(3, 3, 3)),
        1: (2, Spread(20, 40, 40)),
        4: (1, Spread(60_000, 60_000, 60_000)),
        None: (1, Spread(11, 11, 11)),
    }
    assert [(one.database, one.duration_ms, one.table_mb) for one in report.slowest] == [
        ("large", 60_000, 5000.0),
        ("crane", 40, 9.0),
    ]


async def status_of(house: House, rollout: str) -> RolloutStatus:
    return await house.ledger.rollouts.status(rollout)


async def test_what_is_left_is_told_by_history_until_the_rollout_has_a_pace_of_its_own(
    house: House,
) -> None:
    await house.register(*(f"more{number:02}" for number in range(20)))
    before = [applied("x", ms, version) for version in ("1", "2") for ms in (800, 1000, 1200)]
    await record(house, before, "old")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=12)
        performance = house.ledger.performance
        outlook = await performance.outlook(await status_of(house, rollout))
        # 23 databases, 12 at once: two rounds of both migrations.
        assert (outlook.basis, outlook.left_s) == ("history", 4.0)
        assert outlook.usual == (2000, 2400)
        assert outlook.slower == ()
        for command in (await actor.commands(12))[:12]:
            assert isinstance(command, ApplyCommand)
            await actor.applies(command)
        done = await house.at_least(24 + len(before), MigrationApplied)
        assert done
        clock = ManualClock(SYSTEM_CLOCK.now() + timedelta(hours=1))
        later = PerformanceService(house.stores, PerformanceTable(house.stores.pool), clock)
        status = await status_of(house, rollout)
        outlook = await later.outlook(status)
        count = status.tally.of("applied")
        first = min(
            one.recorded_at
            for one in await house.events(MigrationApplied)
            if isinstance(one.event, MigrationApplied)
            and (one.stream, one.event.version) == (f"rollout-{rollout}/reports", "2")
        )
        elapsed_s = (clock.now() - first).total_seconds()
        assert outlook.basis == "pace"
        assert outlook.left_s == pytest.approx((23 - count) * elapsed_s / (count - 1))
        # Nobody moves any of them without a broker, so no pace of before goes on.
        lost = replace(status.databases[0], reason=Reason.NO_BROKER)
        away = replace(status, databases=(lost, *status.databases[1:]))
        assert (await later.outlook(away)).left_s is None
        group = DatabaseGroup("pending", 9, reason=Reason.NO_LEADER)
        grouped = replace(status, databases=(), groups=(group,))
        assert (await later.outlook(grouped)).left_s is None
        # While it stood still it had no pace, and what it had before is none of now.
        await house.ledger.rollouts.pause(rollout, RequestContext("the night"))
        assert (await later.outlook(await status_of(house, rollout))).left_s is None
        await house.ledger.rollouts.resume(rollout, RequestContext("the morning"))
        outlook = await later.outlook(await status_of(house, rollout))
        assert outlook.basis == "history"


async def test_a_database_that_runs_for_longer_than_is_usual_is_named(house: House) -> None:
    before = [applied("x", 1000, version) for version in ("1", "2") for _ in range(5)]
    await record(house, before, "old")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        command = await actor.ordered("acme")
        await actor.say(command.stream, started(command))

        async def outlook(after_s: float) -> Outlook:
            clock = ManualClock(SYSTEM_CLOCK.now() + timedelta(seconds=after_s))
            table = PerformanceTable(house.stores.pool)
            await house.stores.reads.caught_up()
            return await PerformanceService(house.stores, table, clock).outlook(
                await status_of(house, rollout)
            )

        async def runs() -> bool | None:
            return (await status_of(house, rollout)).counts.get("running") == 1 or None

        await found(runs, "it runs")
        assert (await outlook(1)).slower == ()
        assert (await outlook(1)).left_s == 2.0
        (slow,) = (await outlook(600)).slower
        # Of what is slower than usual nobody knows when it ends.
        assert (await outlook(600)).left_s is None
    assert slow.database == "acme"
    assert 590 < slow.for_s < 660


@pytest.mark.parametrize(
    ("runs", "mb", "slow"),
    [
        ([(1000, 0.5)] * 5, 0.5, True),
        # What ran too seldom says nothing of what is usual.
        ([(1000, 0.5)] * 4, 0.5, False),
        # Nor does what ran where tables were of another size.
        ([(1000, 0.5)] * 9, 5000.0, False),
        ([(1000, 0.5)] * 9 + [(900_000, 4000.0)] * 5, 5000.0, False),
        ([(900_000, 4000.0)] * 9 + [(1000, 0.5)] * 5, 0.5, True),
        # Of a size that nobody asked for, everything that ran is the measure.
        ([(1000, 0.5)] * 5, None, True),
    ],
)
async def test_slower_than_usual_goes_by_what_ran_where_tables_are_as_large(
    house: House, runs: Sequence[tuple[int, float]], mb: float | None, slow: bool
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        command = await actor.ordered("acme")
        await actor.say(command.stream, started(command))
        begun = (await house.at_least(1, AttemptStarted))[0].recorded_at
        await house.stores.reads.caught_up()
        pool = house.stores.pool
        for number, (ms, size) in enumerate(runs):
            for version in ("1", "2"):
                await pool.execute(RAN, 1000 * int(version) + number, version, ms, size)
        await pool.execute("UPDATE ledger.attempt SET table_mb = $1", mb)
        clock = ManualClock(begun + timedelta(seconds=60))
        service = PerformanceService(house.stores, PerformanceTable(pool), clock)
        outlook = await service.outlook(await status_of(house, rollout))
    assert [one.database for one in outlook.slower] == ["acme"] * slow
    assert [one.usual for one in outlook.slower] == [(2000, 2000)] * slow


async def test_what_waits_for_an_agent_is_not_slow_and_what_runs_is_since_it_began(
    house: House,
) -> None:
    before = [applied("x", 1000, version) for version in ("1", "2") for _ in range(5)]
    await record(house, before, "old")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id in (acme,bolt)")
        command = await actor.ordered("acme")
        ordered_at = (await house.events(MigrationOrdered))[0].recorded_at
        await actor.say(command.stream, started(command))
        begun = await house.at_least(1, AttemptStarted)
        await house.stores.reads.caught_up()
        clock = ManualClock(begun[0].recorded_at + timedelta(seconds=600))
        table = PerformanceTable(house.stores.pool)
        service = PerformanceService(house.stores, table, clock)
        outlook = await service.outlook(await status_of(house, rollout))
    assert [(one.database, one.for_s) for one in outlook.slower] == [("acme", 600.0)]
    assert ordered_at < begun[0].recorded_at
    assert (outlook.basis, outlook.left_s) == ("history", 2.0), "of the other one"


@pytest.mark.parametrize(
    ("usual_ms", "select", "left_s", "basis"),
    [
        # Nothing but its own word: of 300 seconds, ten passed since.
        (None, "id=acme", 290.0, "data"),
        # The other two, one after the other, are taken to need as long as this one in all.
        (None, "id in (acme,bolt,crane)", 290.0 + 2 * 290.0, "data"),
        # It needs longer than what is usual for all of them.
        (1000, "id in (acme,bolt,crane)", 290.0, "data"),
        (1_000_000, "id in (acme,bolt,crane)", 6000.0, "history"),
    ],
)
async def test_a_data_migration_that_says_how_long_it_needs_is_believed(
    house: House, usual_ms: int | None, select: str, left_s: float, basis: str
) -> None:
    if usual_ms is not None:
        runs = [applied("x", usual_ms, version) for version in ("1", "2") for _ in range(5)]
        await record(house, runs, "old")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=select, in_flight=1)
        (command,) = await actor.commands(1)
        assert isinstance(command, ApplyCommand)
        await actor.say(command.stream, started(command))
        begun = (await house.at_least(1, AttemptStarted))[0].recorded_at
        for number, needs_s in enumerate((900, 300), 1):
            told = BatchProgressed(
                database=command.database,
                command=command.command,
                version="1",
                direction="up",
                batches=number,
                rows=1000 * number,
                total=10_000,
                left_s=needs_s,
            )
            await actor.say(command.stream, told)
        said = await house.at_least(2, BatchProgressed)
        await house.stores.reads.caught_up()
        clock = ManualClock(said[-1].recorded_at + timedelta(seconds=10))
        service = PerformanceService(house.stores, PerformanceTable(house.stores.pool), clock)
        outlook = await service.outlook(await status_of(house, rollout))
    ran_s = (clock.now() - begun).total_seconds()
    others = 2 if left_s == 3 * 290.0 else 0
    assert outlook.left_s == pytest.approx(left_s + others * ran_s)
    assert outlook.basis == basis


async def test_a_viewer_reads_reports_though_nobody_leads(house: House, log_in: LogIn) -> None:
    await record(house, [applied("acme", 1)])
    await house.stores.reads.caught_up()
    async with log_in("ledger_viewer") as theirs:
        (one,) = await theirs.ledger.performance.migrations(ReportSubject(), 10)
    assert one.summary.executions == 1


async def test_a_replay_finds_every_execution_again(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        command = await actor.ordered("acme")
        await actor.say(command.stream, sizes(command, 12.0))
        await actor.applies(command)
        await house.becomes(rollout, "completed")
    await record(house, [failed("bolt", FailureClass.SQL)])
    await house.stores.reads.caught_up()
    report = await house.ledger.audit.replay()
    assert not report.differences
    assert await house.stores.pool.fetchval("SELECT count(*) FROM ledger.execution") == 3
