"""Who decides, what the next leader finds, and what one that was deposed may still do."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import asyncpg
import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import (
    NAMESPACE,
    Metadata,
    Recorded,
    encode,
    inspection_id,
)
from ledger.contracts.events import (
    CheckFinished,
    DatabaseLeftOut,
    LeadershipTaken,
    MigrationOrdered,
    MigrationRegressed,
    ReportContradicted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPlanned,
    UndoStarted,
    WaveOpened,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseInspected,
    JournalEntry,
    MigrationApplied,
)
from ledger.domain.refusals import BusyDatabases
from ledger.domain.rollback import NothingToUndo, UndoHasNoRollback, UndoUnderWay
from ledger.errors import LeadershipLost, LedgerUnreachable, StaleTerm
from ledger.leader.conductor import Conductor
from ledger.service.request_context import RequestContext
from ledger.store.log.decode import open_event
from ledger.store.log.log import EventLog
from ledger.store.port import Appended, Batch
from migrations.model.attempt import Mode
from tests.support.house import Actor, House, found, seen, started
from tests.support.orders import changed
from tests.support.patience import PATIENCE_S

RAISE_TERM = "UPDATE ledger.head SET term = term + 1"
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def complete(house: House, actor: Actor, rollout: str, *databases: str) -> None:
    for database in databases:
        await actor.applies(await actor.ordered(database))
    await house.becomes(rollout, "completed")


async def test_a_rollout_goes_wave_by_wave_and_ends(house: House) -> None:
    rollout = await house.start(waves="1,rest")
    async with house.leading(), house.actor() as actor:
        first = (await actor.commands(1))[0]
        assert not await house.unsent(actor)
        await complete(house, actor, rollout, first.database, "bolt", "crane")
    assert not (await house.ledger.audit.replay()).differences


async def test_a_conductor_that_an_operator_forestalls_decides_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = await house.start()
    append = EventLog.append
    forestalled = False

    async def late(log: EventLog, stream: str, events: object, **how: object) -> Appended:
        """Let an operator pause in the moment between the first decision and its append."""
        nonlocal forestalled
        if how.get("expected_version") and not forestalled:
            forestalled = True
            await house.ledger.rollouts.pause(rollout, RequestContext("too fast"))
        return await append(log, stream, events, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(EventLog, "append", late)
    async with house.leading() as leading, house.actor() as actor:
        await house.at_least(1, RolloutPaused)
        assert not await house.unsent(actor)
        ordered = await house.events(MigrationOrdered)
        assert f"rollout-{rollout}" not in {one.stream for one in ordered}
        assert not leading.task.done()
        await house.ledger.rollouts.resume(rollout, RequestContext("now"))
        await complete(house, actor, rollout, "acme", "bolt", "crane")


async def test_the_next_leader_goes_on_with_what_is_unfinished(house: House) -> None:
    rollout = await house.start(in_flight=1)
    async with house.actor() as actor:
        async with house.leading() as leading:
            await actor.applies(await actor.ordered("acme"))
            await actor.ordered("bolt")
            await leading.leader.drain()
        async with house.leading():
            await complete(house, actor, rollout, "bolt", "crane")
    terms = [one.event.term for one in await house.events(LeadershipTaken)]  # type: ignore[attr-defined]
    assert terms == [1, 2]
    assert len(await house.events(MigrationOrdered)) == 3
    assert not (await house.ledger.audit.replay()).differences


async def test_a_rollout_that_was_recorded_without_a_leader_is_picked_up(house: House) -> None:
    rollout = await house.start()
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme", "bolt", "crane")


async def test_a_deposed_leader_can_append_nothing_and_ends(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(keeps_positions=True) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await leading.leader.drain()
        await execute(house.url, RAISE_TERM)
        before = await house.position()
        await actor.say(command.stream, started(command))
        assert isinstance(await leading.ended(), StaleTerm)
        assert await house.position() == before
        positions = await house.stores.pool.fetchval(
            "SELECT count(*) FROM ledger.consumer_position"
        )
        assert positions == 0


async def test_a_deposed_leader_orders_nothing(house: House) -> None:
    async with house.leading() as leading:
        await leading.leader.loaded()
        await execute(house.url, RAISE_TERM)
        await house.start()
        assert isinstance(await leading.ended(), StaleTerm)
    assert not await house.events(MigrationOrdered)


async def test_a_leader_whose_sessions_are_ended_says_so_and_the_next_one_goes_on(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.actor() as actor:
        async with house.leading() as leading:
            command = await actor.ordered("acme")
            await execute(house.url, END_SESSIONS)
            error = await leading.ended()
            assert isinstance(error, LeadershipLost | LedgerUnreachable)
            assert "the ledger's database" in str(error)
        await actor.applies(command)
        async with house.leading():
            await house.becomes(rollout, "completed")


async def test_a_rollback_of_a_rollout_that_was_forgotten_is_folded_from_the_log(
    house: House,
) -> None:
    rollout = await house.start()
    async with house.leading() as leading, house.actor() as actor:
        await complete(house, actor, rollout, "acme", "bolt", "crane")

        async def forgotten() -> bool | None:
            return rollout not in leading.leader._conductor._rollouts or None

        await found(forgotten, "the conductor has forgotten it")
        undo = await house.roll_back(rollout, "errors at login")
        for database in ("acme", "bolt", "crane"):
            back = await actor.ordered(database, Mode.ROLLBACK)
            assert [step.version for step in back.order.steps] == ["2", "1"]
            await actor.applies(back)
        await house.becomes(undo, "completed")
        (started,) = await house.events(UndoStarted)
        assert started.metadata.reason == "errors at login"
        await found(forgotten, "the conductor has forgotten it again")
        assert undo not in leading.leader._conductor._rollouts
    assert not (await house.ledger.audit.replay()).differences


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_leader_that_dies_while_it_starts_a_rollback_leaves_the_next_one_to_start_it_once(
    house: House, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    append_both = EventLog.append_both
    died = False

    async def die(log: EventLog, *batches: Batch, **how: object) -> object:
        """Die before the append, or after it and before anybody hears of it."""
        nonlocal died
        if died:
            return await append_both(log, *batches, **how)  # type: ignore[arg-type]
        died = True
        if recorded:
            await append_both(log, *batches, **how)  # type: ignore[arg-type]
        raise LedgerUnreachable("is away", "wait")

    monkeypatch.setattr(EventLog, "append_both", die)
    rollout = await house.start(waves="1,rest", when_spent="rollback")
    async with house.actor() as actor:
        async with house.leading() as leading:
            await actor.fails(await actor.ordered("acme"))
            assert isinstance(await leading.ended(), LedgerUnreachable)
        assert len(await house.events(UndoStarted)) == recorded
        async with house.leading():
            await actor.applies(await actor.ordered("acme", Mode.ROLLBACK))
            await house.becomes(f"undo-{rollout}", "completed")
    assert len(await house.events(UndoStarted)) == 1
    planned = [one.event for one in await house.events(RolloutPlanned)]
    assert [getattr(one, "undoes", None) for one in planned] == [None, rollout]
    modes = [getattr(one.event, "mode", None) for one in await house.events(MigrationOrdered)]
    assert modes == [Mode.UP, Mode.ROLLBACK]
    assert not (await house.ledger.audit.replay()).differences


async def test_what_goes_back_by_itself_leaves_out_who_left_the_fleet_and_says_so(
    house: House,
) -> None:
    rollout = await house.start(waves="1,rest", when_spent="rollback")
    async with house.leading(), house.actor() as actor:
        await actor.applies(await actor.ordered("acme"))
        await actor.applies(await actor.ordered("crane"))
        bolt = await actor.ordered("bolt")
        await house.ledger.fleet.retire("crane", RequestContext("gone"))
        await actor.fails(bolt)
        await house.at_least(1, UndoStarted)
        back = await actor.ordered("acme", Mode.ROLLBACK)
        (_, planned) = await house.events(RolloutPlanned)
        assert isinstance(planned.event, RolloutPlanned)
        assert (planned.event.undoes, planned.event.databases) == (rollout, 2)
        assert "left out: crane is retired" in (planned.metadata.reason or "")
        await actor.applies(back)
        await actor.applies(await actor.ordered("bolt", Mode.ROLLBACK))
        await house.becomes(f"undo-{rollout}", "completed")


async def test_where_nobody_is_left_to_go_back_to_a_rollout_halts(house: House) -> None:
    rollout = await house.start(select="id=acme", when_spent="rollback")
    async with house.leading() as leading, house.actor() as actor:
        acme = await actor.ordered("acme")
        await house.ledger.fleet.retire("acme", RequestContext("gone"))
        await actor.fails(acme)
        await house.becomes(rollout, "halted")
        assert not leading.task.done()
    assert await house.events(UndoStarted) == []


async def test_a_stream_that_somebody_took_keeps_no_rollout_from_halting(house: House) -> None:
    rollout = await house.start(waves="1,rest", when_spent="rollback")
    pause = RolloutPaused(rollout=f"undo-{rollout}")
    odd = encode(pause, NAMESPACE, Metadata())
    await house.stores.log.append(f"rollout-undo-{rollout}", [odd])
    async with house.leading() as leading, house.actor() as actor:
        await actor.fails(await actor.ordered("acme"))
        await house.becomes(rollout, "halted")
        assert not leading.task.done()
    assert await house.events(UndoStarted) == []


async def test_the_next_leader_knows_what_is_at_work_where_a_rollout_is_taken_back(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.actor() as actor:
        async with house.leading():
            forward = await actor.ordered("acme")
            await actor.say(forward.stream, started(forward))
            undo = await house.roll_back(rollout)
            await house.at_least(2, WaveOpened)
        async with house.leading() as leading:
            await leading.leader.loaded()
            # The forward order is sent again, and nothing else.
            assert {one.stream for one in await house.unsent(actor)} <= {forward.stream}
            await actor.applies(forward)
            await actor.applies(await actor.ordered("acme", Mode.ROLLBACK))
            await house.becomes(undo, "completed")
    assert not (await house.ledger.audit.replay()).differences


async def test_a_rollback_has_waves_and_can_be_paused_and_resumed(house: House) -> None:
    rollout = await house.start()
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme", "bolt", "crane")
        rollouts = house.ledger.rollouts
        options = house.request(waves="1,rest", budget="0").options
        plan = await rollouts.plan_rollback(rollout, RequestContext("back"), options)
        undo = await rollouts.start(plan)
        assert [len(wave) for wave in plan.waves] == [1, 2]
        canary = await actor.ordered(plan.waves[0][0], Mode.ROLLBACK)
        await rollouts.pause(undo, RequestContext("wait"))
        await actor.applies(canary)
        assert not await house.unsent(actor)
        await rollouts.resume(undo, RequestContext("go on"))
        for database in plan.waves[1]:
            await actor.applies(await actor.ordered(database, Mode.ROLLBACK))
        await house.becomes(undo, "completed")
        with pytest.raises(NothingToUndo, match=f"{undo} took it back"):
            await house.roll_back(rollout)
        with pytest.raises(UndoHasNoRollback):
            await house.roll_back(undo)
    (listed,) = (one for one in await rollouts.list() if one.rollout == undo)
    assert (listed.undoes, listed.tally.of("applied")) == (rollout, 3)


async def test_what_could_not_be_taken_back_is_taken_back_by_another_rollback(house: House) -> None:
    rollout = await house.start()
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme", "bolt", "crane")
        first = await house.roll_back(rollout)
        await actor.fails(await actor.ordered("bolt", Mode.ROLLBACK))
        for database in ("acme", "crane"):
            await actor.applies(await actor.ordered(database, Mode.ROLLBACK))
        await house.becomes(first, "halted")
        with pytest.raises(UndoUnderWay, match=f"{first}, which is halted"):
            await house.roll_back(rollout)
        await house.ledger.rollouts.abort(first, RequestContext("enough"))
        plan = await house.ledger.rollouts.plan_rollback(rollout, RequestContext("the rest"))
        assert plan.databases == ("bolt",)
        second = await house.ledger.rollouts.start(plan)
        assert second == f"undo-2-{rollout}"
        order = await actor.ordered("bolt", Mode.ROLLBACK, rollout=second)
        assert order.order.undoes == rollout
        await actor.applies(order)
        await house.becomes(second, "completed")
    status = await house.ledger.rollouts.status(rollout)
    assert (status.status, status.undone_by) == ("completed", second)


async def test_a_late_report_on_a_rollout_that_was_forgotten_changes_nothing_else(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await complete(house, actor, rollout, "acme")
        late = MigrationApplied(
            database="acme",
            command=command.command,
            version="0",
            checksum="c",
            duration_ms=1,
            statements=1,
        )
        await actor.say(command.stream, late)
        await leading.leader.drain()
        await house.unsent(actor)

        async def forgotten() -> bool | None:
            return rollout not in leading.leader._conductor._rollouts or None

        await found(forgotten, "the conductor has forgotten it again")
        assert not leading.task.done()
        assert len(await house.events(RolloutCompleted)) == 1


async def test_a_stream_without_a_plan_keeps_nobody_from_leading(house: House) -> None:
    odd = AttemptStarted(database="acme", command=NAMESPACE, attempt=1, mode=Mode.UP)
    async with house.leading() as leading, house.actor() as actor:
        await leading.leader.loaded()
        await house.stores.log.append("rollout-odd/reports", [encode(odd, NAMESPACE, Metadata())])
        rollout = await house.start()
        await complete(house, actor, rollout, "acme", "bolt", "crane")
        assert not leading.task.done()


async def test_a_suspended_database_is_left_out_and_the_others_go_on(house: House) -> None:
    rollout = await house.start(in_flight=1)
    async with house.leading(), house.actor() as actor:
        acme = await actor.ordered("acme")
        await house.ledger.fleet.suspend("bolt", RequestContext("maintenance"))
        await actor.applies(acme)
        await complete(house, actor, rollout, "crane")
        (left_out,) = await house.events(DatabaseLeftOut)
        assert isinstance(left_out.event, DatabaseLeftOut)
        assert left_out.event.database == "bolt"
        assert "suspended" in left_out.event.why


def entry(command: Recorded, version: str) -> JournalEntry:
    applied = command.event
    assert isinstance(applied, MigrationApplied)
    return JournalEntry(
        version=version,
        state="applied",
        direction="up",
        rollout="r",
        command=applied.command,
        checksum=applied.checksum,
        finished_at=None,
    )


@pytest.mark.parametrize("how", ["reinstate", "repoint"])
async def test_what_a_restored_database_lost_is_recorded(house: House, how: str) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme")
        if how == "reinstate":
            check = await house.ledger.fleet.reinstate("acme", RequestContext("restored"))
        else:
            changes = {"host": "elsewhere.internal"}
            check = (
                await house.ledger.fleet.repoint("acme", None, changes, RequestContext("moved"))
                or ""
            )
        look = await actor.looked_at("acme")
        applied = await house.events(MigrationApplied)
        await actor.say(look.stream, seen(look, [entry(applied[0], "1")]))
        (lost,) = await house.at_least(1, MigrationRegressed)
        assert isinstance(lost.event, MigrationRegressed)
        assert (lost.event.database, lost.event.version) == ("acme", "2")
        assert lost.metadata.reason in ("restored", "moved")
        assert (await house.ledger.checks.answers(check, PATIENCE_S)).finished
        actor.heard.clear()
        again = await house.start(select="id=acme")
        command = await actor.ordered("acme")
        assert command.order.rollout == again
        assert [step.version for step in command.order.steps] == ["2"]
    async with house.leading() as leading, house.actor() as actor:
        # The next leader loads the same check: what it says is in the log already.
        await leading.leader.drain()
        await house.unsent(actor)
        assert len(await house.events(MigrationRegressed)) == 1


async def test_the_journal_of_a_restored_database_is_read_however_late_somebody_leads(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme")
    await house.ledger.fleet.reinstate("acme", RequestContext("restored"))
    await house.stores.reads.caught_up()
    await execute(house.url, "UPDATE ledger.requested_check SET requested_at = '2001-01-01'")
    assert await house.stores.reads.unread(["acme", "bolt"]) == {"acme"}
    async with house.leading(), house.actor() as actor:
        look = await actor.looked_at("acme")
        unreachable = DatabaseInspected(
            database="acme", command=look.command, reachable=False, failure=None
        )
        await actor.say(look.stream, unreachable)
        await house.at_least(1, DatabaseInspected)
    await house.stores.reads.caught_up()
    assert await house.stores.reads.unread(["acme", "bolt"]) == {"acme"}
    assert len(await house.stores.reads.open_checks()) == 1
    again = inspection_id(look.stream, look.database, 2)
    async with house.leading(), house.actor() as actor:
        await actor.say(look.stream, seen(changed(look, command=again)))
        await house.at_least(2, MigrationRegressed)
        await house.at_least(1, CheckFinished)
    await house.stores.reads.caught_up()
    assert await house.stores.reads.unread(["acme", "bolt"]) == set()


async def test_a_look_says_nothing_of_what_was_applied_after_it_was_ordered(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        await house.ledger.fleet.reinstate("acme", RequestContext("restored"))
        look = await actor.looked_at("acme")
        rollout = await house.start(select="id=acme")
        await complete(house, actor, rollout, "acme")
        await actor.say(look.stream, seen(look))
        await house.unsent(actor)
        assert not await house.events(MigrationRegressed)


async def test_two_rollouts_never_hold_the_same_database(house: House) -> None:
    await house.start(select="id=acme")
    with pytest.raises(BusyDatabases):
        await house.start()


async def test_of_two_operators_who_start_at_the_same_moment_one_is_refused(house: House) -> None:
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*[house.start() for _ in range(3)], return_exceptions=True)
    refused = [one for one in answers if isinstance(one, BusyDatabases)]
    assert len(refused) == 2
    assert sum(isinstance(one, str) for one in answers) == 1


async def test_a_conductor_at_rest_asks_the_domain_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = await house.start(select="id=acme")
    advance = Conductor._advance
    turns: Counter[str] = Counter()

    async def counted(conductor: Conductor, rollout: str, follower: object) -> None:
        turns[rollout] += 1
        await advance(conductor, rollout, follower)  # type: ignore[arg-type]

    monkeypatch.setattr(Conductor, "_advance", counted)
    async with house.leading(), house.actor() as actor:
        await actor.ordered("acme")
        # What was recorded of it before it comes to rest is seen with the first of these.
        await house.unsent(actor)
        before = turns.copy()
        await house.unsent(actor)
        assert turns.total() > before.total()
        assert turns[resting] == before[resting] > 0


async def test_leaders_that_are_cancelled_anywhere_lose_and_double_nothing(house: House) -> None:
    random = Random(7)
    rollout = await house.start(in_flight=1)
    async with house.actor() as actor:
        for _ in range(60):
            async with house.leading(keeps_positions=True) as leading:
                await asyncio.sleep(random.uniform(0.0, 0.12))
                await actor.hear()
                heard = [one for one in actor.heard if isinstance(one, ApplyCommand)]
                for command in {one.command: one for one in heard}.values():
                    await actor.applies(command)
                await asyncio.sleep(random.uniform(0.0, 0.06))
                assert not leading.task.done()
        async with house.leading(keeps_positions=True):
            await complete(house, actor, rollout, "acme", "bolt", "crane")
    ordered = [one.event for one in await house.events(MigrationOrdered)]
    assert len(ordered) == 3
    assert len(await house.events(AttemptFinished)) == 3
    assert len(await house.events(MigrationApplied)) == 6
    assert not await house.events(ReportContradicted)
    assert (await house.stores.log.verify()).position == await house.position()
    assert not (await house.ledger.audit.replay()).differences


async def test_an_event_that_cannot_be_read_is_said_loudly_and_stops_nobody(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    newer = replace(encode(RolloutPaused(rollout="r"), NAMESPACE, Metadata()), schema_version=99)
    async with house.leading() as leading, house.actor() as actor:
        await leading.leader.loaded()
        await house.stores.pool.execute(
            "UPDATE ledger.event_type SET schema_version = 99 WHERE type = 'RolloutPaused'"
        )
        written = await house.stores.log.append("rollout-r", [newer])
        rollout = await house.start(select="id=acme")
        await complete(house, actor, rollout, "acme")
    assert f"position {written.first_position} of the log" in caplog.text
    await house.stores.reads.caught_up()
    assert [one.position for one in await house.stores.reads.unreadable()] == [
        written.first_position
    ]


async def test_every_position_is_there_and_the_chain_verifies(house: House) -> None:
    rollout = await house.start()
    async with house.leading(), house.actor() as actor:
        await complete(house, actor, rollout, "acme", "bolt", "crane")
    raw = await house.stores.log.tail(0, 10_000)
    assert [one.position for one in raw] == list(range(1, len(raw) + 1))
    assert (await house.stores.log.verify()).position == len(raw)
    assert all(open_event(one).event for one in raw)
