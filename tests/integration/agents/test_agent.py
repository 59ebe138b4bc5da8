"""What an agent does with commands: runs them, reports, commits, refuses, and is never in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from agents import scheduler
from agents.runtime import Agent
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from ledger.bus.local import LocalBroker, LocalBus, LocalReader
from ledger.bus.port import BusMisconfigured, Message, Received
from ledger.contracts.envelope import Metadata
from ledger.contracts.registry import Connection
from ledger.contracts.reports import (
    CommandRefused,
    ContentMissing,
    DatabaseIdentified,
    DatabaseInspected,
    MigrationApplied,
    MigrationFailed,
    OutsideChangeFound,
)
from ledger.contracts.topics import CONTENT, HEARTBEATS, PARKED, commands_topic
from ledger.contracts.wire import decode_heartbeat
from migrations import standalone
from migrations.formats.bundle import load_files
from migrations.model.attempt import Expectation, Limits, Mode, Verdict
from migrations.model.migration import SourceFile
from migrations.model.work import Silence
from tests.fixtures.postgres import AsSuperuser, TenantDatabases
from tests.integration.agents.conftest import (
    ADD_NOTE,
    BROKEN,
    SLEEP,
    SLEEP_LONG,
    Desk,
    Place,
    asleep,
    columns,
    connection_of,
)
from tests.support.asked import pages
from tests.support.orders import changed
from tests.support.patience import PATIENCE_S

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_command_is_applied_and_every_fact_is_reported(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [ADD_NOTE])
    async with place.agent(desk.pool, name="agent-one"):
        await desk.send(command, files=[ADD_NOTE], metadata=Metadata(traceparent=TRACEPARENT))
        finished = await desk.finished(command)
    assert (finished.verdict, finished.changed) == (Verdict.DONE, 1)
    assert desk.reports_on(command) == [
        "AttemptStarted",
        "DatabaseIdentified",
        "MigrationApplied",
        "AttemptFinished",
    ]
    assert "note" in await columns(tenant_database)
    for reported in desk.heard:
        assert reported.stream == f"{command.stream}/reports"
        assert reported.metadata.agent == "agent-one"
        assert reported.metadata.insecure == ("postgres",)
        assert reported.metadata.traceparent is not None
        assert TRACEPARENT.split("-")[1] in reported.metadata.traceparent


async def test_the_same_command_again_is_answered_from_the_journal(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [ADD_NOTE])
    async with place.agent(desk.pool):
        await desk.send(command, files=[ADD_NOTE])
        await desk.finished(command)
        first = {reported.event_id: reported.report for reported in desk.heard}
        desk.heard.clear()
        await desk.send(command)
        await desk.finished(command)
    applied = [r for r in desk.heard if isinstance(r.report, MigrationApplied)]
    assert [reported.metadata.recovered for reported in applied] == [True]
    assert {reported.event_id: reported.report for reported in desk.heard} == first


async def test_who_a_database_is_is_reported_until_an_order_expects_it(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    first = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(first, files=[ADD_NOTE])
        head = (await inside_desk.finished(first)).journal_head
        (met,) = [r.report for r in inside_desk.heard if isinstance(r.report, DatabaseIdentified)]
        expected = Expectation(identity=met.identity, journal_head=head)
        later = inside_desk.apply(tenant_database, [ADD_NOTE], expected=expected)
        await inside_desk.send(later)
        assert (await inside_desk.finished(later)).verdict is Verdict.DONE
    assert met.first_contact
    assert inside_desk.reports_on(later) == [
        "AttemptStarted",
        "MigrationApplied",
        "AttemptFinished",
    ]


async def test_many_databases_are_done_by_two_agents_of_a_pool(
    place: Place, desk: Desk, tenant_databases: TenantDatabases
) -> None:
    urls = await tenant_databases(12)
    commands = [desk.apply(url, [ADD_NOTE]) for url in urls]
    async with place.agent(desk.pool, name="one"), place.agent(desk.pool, name="two"):
        await desk.send(*commands, files=[ADD_NOTE])
        for command in commands:
            assert (await desk.finished(command)).verdict is Verdict.DONE
    for url in urls:
        assert "note" in await columns(url)


async def test_a_failure_is_reported_with_its_sqlstate_and_undone(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE, BROKEN])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE, BROKEN])
        finished = await inside_desk.finished(command)
    assert (finished.verdict, finished.changed) == (Verdict.FAILED, 1)
    (failed,) = [r.report for r in inside_desk.heard if isinstance(r.report, MigrationFailed)]
    assert failed.failure.sqlstate == "42P01"
    assert failed.failure.file == BROKEN[0]


async def test_a_rollback_undoes_what_the_rollout_applied(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    up = inside_desk.apply(tenant_database, [ADD_NOTE])
    undo = {"mode": Mode.ROLLBACK, "rollout": f"undo-{inside_desk.rollout}"}
    other = inside_desk.apply(tenant_database, [ADD_NOTE], **undo, undoes="another")
    back = inside_desk.apply(tenant_database, [ADD_NOTE], **undo, undoes=inside_desk.rollout)
    again = inside_desk.apply(tenant_database, [ADD_NOTE], **undo, undoes=inside_desk.rollout)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(up, files=[ADD_NOTE])
        await inside_desk.finished(up)
        await inside_desk.send(other)
        finished = await inside_desk.finished(other)
        assert (finished.verdict, finished.changed) == (Verdict.DONE, 0)
        assert "note" in await columns(tenant_database)
        for order in (back, again):
            # The second attempt finds it undone by the first, and says so.
            await inside_desk.send(order)
            finished = await inside_desk.finished(order)
            assert (finished.verdict, finished.changed) == (Verdict.DONE, 1)
            assert "note" not in await columns(tenant_database)


async def test_what_was_done_outside_of_a_ledger_is_reported_before_what_the_order_does(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    await by_hand(tenant_database, "up", "down")
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        await inside_desk.finished(command)
    assert inside_desk.reports_on(command) == [
        "AttemptStarted",
        "DatabaseIdentified",
        "OutsideChangeFound",
        "OutsideChangeFound",
        "MigrationApplied",
        "AttemptFinished",
    ]


async def test_of_what_was_done_outside_of_a_ledger_the_last_change_is_reported_last(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    await by_hand(tenant_database, "up", "down", "up")
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        await inside_desk.finished(command)
    found = [r.report for r in inside_desk.heard if isinstance(r.report, OutsideChangeFound)]
    assert [one.direction for one in found] == ["down", "up"]
    assert "MigrationSkipped" in inside_desk.reports_on(command)


async def by_hand(url: str, *ways: str) -> None:
    """Apply ADD_NOTE and take it back, as `ledger db` does it."""
    settings = connection_settings(
        connection_of(url), "by-hand", AgentSettings(pool="x", insecure_postgres=True)
    )
    folder = [load_files("sql-migrate", [SourceFile(*ADD_NOTE)])]
    for way in ways:
        run = standalone.up if way == "up" else standalone.down
        outcome = await run(settings, folder, Limits(), Silence())
        assert outcome.failure is None


async def test_an_order_older_than_the_last_one_is_refused(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    late = inside_desk.apply(tenant_database, [ADD_NOTE])
    newer = inside_desk.apply(tenant_database, [ADD_NOTE], mode=Mode.ROLLBACK)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(newer, files=[ADD_NOTE])
        await inside_desk.finished(newer)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(late)
        finished = await inside_desk.finished(late)
    assert finished.verdict is Verdict.REFUSED
    (refused,) = [r.report for r in inside_desk.heard if isinstance(r.report, CommandRefused)]
    assert refused.failure.kind == "fence"
    assert "note" not in await columns(tenant_database)


async def test_an_expired_order_is_not_begun(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    command = inside_desk.apply(tenant_database, [ADD_NOTE], expires_at=past)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.EXPIRED
    assert inside_desk.reports_on(command) == ["AttemptFinished"]


async def test_an_expired_order_that_had_its_effect_before_is_answered_from_the_journal(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        first = await inside_desk.finished(command)
    inside_desk.heard.clear()
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(changed(command, expires_at=past))
        again = await inside_desk.finished(command)
    assert (again.verdict, again.journal_head) == (Verdict.DONE, first.journal_head)
    # It had been started, which its second answer says again: what was cut short is not untouched.
    told = ["AttemptStarted", "MigrationApplied", "AttemptFinished"]
    assert inside_desk.reports_on(command) == told


async def test_missing_texts_are_asked_for_and_waited_for(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command)
        asked = await inside_desk.until(lambda r: isinstance(r.report, ContentMissing))
        assert isinstance(asked.report, ContentMissing)
        assert asked.report.bundle == command.order.bundle
        await inside_desk.send(files=[ADD_NOTE])
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.DONE


class Deaf(LocalBus):
    """A bus whose first reader of texts hears nothing, as one does that is stuck."""

    async def read(self, topic: str, positions: Mapping[int, int]) -> LocalReader:
        """Read; or seem to."""
        reader = await super().read(topic, positions)
        if topic == CONTENT and not any(isinstance(one, DeafReader) for one in self._open):
            reader = DeafReader(self._broker, topic, positions)
            self._open.append(reader)
        return reader


class DeafReader(LocalReader):
    """Its polls end without a message."""

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """Hear nothing."""
        await asyncio.sleep(timeout_s)
        return ()


async def test_texts_that_do_not_come_when_asked_for_are_asked_for_and_read_again(
    tenant_database: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "TEXTS_LATE_S", 0.1)
    monkeypatch.setattr(scheduler, "TEXTS_AGAIN_S", 0.1)
    broker = LocalBroker()
    place = Place(lambda: LocalBus(broker))
    deaf = Place(lambda: Deaf(broker))
    async with place.desk(topic_prefix) as desk, deaf.agent(topic_prefix):
        command = desk.apply(tenant_database, [ADD_NOTE])
        await desk.send(command, files=[ADD_NOTE])
        assert (await desk.finished(command)).verdict is Verdict.DONE
    asked = [one.event_id for one in desk.heard if isinstance(one.report, ContentMissing)]
    assert len(asked) > 1
    assert len(set(asked)) == 1


async def test_a_text_that_does_not_hash_to_the_order_is_refused(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    (step,) = command.order.steps
    command = changed(command, steps=(step.model_copy(update={"checksum": "0" * 64}),))
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.REFUSED
    assert finished.failure is not None
    assert "is not the one that was ordered" in finished.failure.message


async def test_a_literal_password_is_refused_and_shown_nowhere(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    secret = command.connection.model_copy(update={"password": "canary-4711"})
    command = changed(command, connection=secret)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.REFUSED
    assert finished.failure is not None
    assert "env:NAME or file:PATH" in finished.failure.message
    assert "canary" not in str(inside_desk.heard)


async def test_a_database_that_does_not_answer_fails_and_leaves_the_others_alone(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    limits = Limits(retry_for_s=0.5)
    lost = inside_desk.apply(tenant_database, [ADD_NOTE], limits=limits)
    nowhere = Connection.at(**(lost.connection.parts | {"host": "127.0.0.1", "port": 1}))
    lost = changed(lost, connection=nowhere, database="t_lost")
    fine = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool) as agent, pages(agent.probes()) as asked:
        await inside_desk.send(lost, fine, files=[ADD_NOTE])
        assert (await inside_desk.finished(fine)).verdict is Verdict.DONE
        finished = await inside_desk.finished(lost)
        # One database of many is no reason to restart an agent, or to give it nothing to do.
        assert (await asked.unready(), await asked.status("/healthz")) == ({}, 200)
    assert finished.failure is not None
    assert (finished.verdict, finished.failure.kind) == (Verdict.FAILED, "unavailable")


async def test_a_table_that_another_role_holds_is_reported_as_a_lock_timeout_and_no_defect(
    inside: Place, inside_desk: Desk, tenant_database: str, as_superuser: AsSuperuser
) -> None:
    holder = await asyncpg.connect(as_superuser(tenant_database))
    await holder.execute("BEGIN; LOCK users IN ACCESS SHARE MODE")
    # So long that the holder is seen on a busy machine, too.
    limits = Limits(lock_timeout_s=5, retry_budget=0)
    held = inside_desk.apply(tenant_database, [ADD_NOTE], limits=limits)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(held, files=[ADD_NOTE])
        failure = (await inside_desk.finished(held)).failure
        await holder.close()
        free = inside_desk.apply(tenant_database, [ADD_NOTE], limits=limits)
        await inside_desk.send(free)
        assert (await inside_desk.finished(free)).verdict is Verdict.DONE
    assert failure is not None
    assert (failure.kind, failure.sqlstate) == ("lock_timeout", "55P03")
    assert failure.blocker == (
        f"pid {holder.get_server_pid()}, user postgres, holds AccessShareLock on public.users; its "
        "state and age are hidden from our login: grant it pg_read_all_stats or pg_monitor to see "
        "them"
    )


async def test_a_cancelled_command_is_rolled_back_at_once(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [SLEEP_LONG])
    async with place.agent(desk.pool):
        await desk.send(command, files=[SLEEP_LONG])
        await asleep(tenant_database)
        await desk.send(desk.cancel(command))
        finished = await desk.finished(command)
    assert finished.verdict is Verdict.CANCELLED
    assert "slept_long" not in await columns(tenant_database)


async def test_a_queued_command_can_be_cancelled_before_its_turn(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    first = inside_desk.apply(tenant_database, [SLEEP])
    # An abort takes back all that its rollout has ordered on the database.
    second = inside_desk.apply(tenant_database, [ADD_NOTE], rollout=f"of-{inside_desk.rollout}")
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(first, second, files=[SLEEP, ADD_NOTE])
        await inside_desk.send(inside_desk.cancel(second))
        assert (await inside_desk.finished(second)).verdict is Verdict.CANCELLED
        assert (await inside_desk.finished(first)).verdict is Verdict.DONE
    assert "note" not in await columns(tenant_database)


async def test_a_cancellation_that_comes_first_is_remembered(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(command))
        await inside_desk.send(command, files=[ADD_NOTE])
        assert (await inside_desk.finished(command)).verdict is Verdict.CANCELLED


async def test_a_cancelled_command_that_had_its_effect_before_is_answered_from_the_journal(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE])
        first = await inside_desk.finished(command)
    said = {one.event_id: one.report for one in inside_desk.heard}
    inside_desk.heard.clear()
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(command))
        await inside_desk.send(command)
        again = await inside_desk.finished(command)
    assert (again.verdict, again.journal_head) == (Verdict.DONE, first.journal_head)
    # It had been started, which its second answer says again: what was cut short is not untouched.
    told = ["AttemptStarted", "MigrationApplied", "AttemptFinished"]
    assert inside_desk.reports_on(command) == told
    assert [one.metadata.recovered for one in inside_desk.heard] == [None, True, None]
    assert {one.event_id: one.report for one in inside_desk.heard}.items() <= said.items()


async def test_of_a_cancelled_command_what_was_done_before_is_reported_with_the_cancellation(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE, SLEEP_LONG])
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[ADD_NOTE, SLEEP_LONG])
        await inside_desk.until(lambda r: isinstance(r.report, MigrationApplied))
    inside_desk.heard.clear()
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(command))
        await inside_desk.send(command)
        finished = await inside_desk.finished(command)
    assert (finished.verdict, finished.changed) == (Verdict.CANCELLED, 1)
    (applied,) = [r.report for r in inside_desk.heard if isinstance(r.report, MigrationApplied)]
    assert applied.version == command.order.steps[0].version
    assert await columns(tenant_database) >= {"note"}


async def test_a_cancelled_command_whose_journal_cannot_be_read_says_so(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [ADD_NOTE])
    nowhere = Connection.at(**(command.connection.parts | {"host": "127.0.0.1", "port": 1}))
    command = changed(command, connection=nowhere)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(command))
        await inside_desk.send(command, files=[ADD_NOTE])
        finished = await inside_desk.finished(command)
    assert finished.verdict is Verdict.FAILED
    assert finished.failure is not None
    assert finished.failure.kind == "unavailable"
    assert "cancelled before it began" in finished.failure.message


class Withdrawn(LocalBus):
    """A bus on which this program may not write any more."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Refuse."""
        raise BusMisconfigured("this program may not write to ledger.reports; grant it WRITE")


async def test_a_bus_that_has_to_be_mended_ends_the_agent_with_its_error() -> None:
    agent = Agent(Withdrawn(LocalBroker()), AgentSettings(pool="main"))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BusMisconfigured, match="grant it WRITE"):
            await agent.run()


async def test_a_look_at_a_database_is_answered_while_a_change_of_it_runs(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    slow = inside_desk.apply(tenant_database, [SLEEP_LONG])
    look = inside_desk.inspect(tenant_database)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(slow, files=[SLEEP_LONG])
        await asleep(tenant_database)
        await inside_desk.send(look)
        answer = await inside_desk.until(lambda r: isinstance(r.report, DatabaseInspected))
        assert "AttemptFinished" not in inside_desk.reports_on(slow)
    assert isinstance(answer.report, DatabaseInspected)
    assert answer.report.reachable
    assert answer.report.rights is not None


async def test_what_cannot_be_read_is_parked_with_its_reason_and_passed_over(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [ADD_NOTE])
    topic = commands_topic(desk.pool)
    poison = [
        Message(topic, command.database, b"\x00not json", (("ce_type", b"\xff"),)),
        Message(topic, command.database, b"", ()),
    ]
    async with place.agent(desk.pool):
        await desk.bus.publish(poison)
        await desk.send(command, files=[ADD_NOTE])
        assert (await desk.finished(command)).verdict is Verdict.DONE
    parked = await desk.bus.read(PARKED, {})
    found: list[Received] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < 2:
            found += [m for m in await parked.poll(0.2, 100) if m.key == command.database]
    assert {message.value for message in found} == {b"\x00not json", b""}
    assert all(b"cannot be read" in (message.header("parked_why") or b"") for message in found)
    assert all(
        (message.header("parked_from") or b"").startswith(topic.encode()) for message in found
    )


async def test_answered_commands_are_not_delivered_to_the_next_agent(
    place: Place, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [ADD_NOTE])
    async with place.agent(desk.pool):
        await desk.send(command, files=[ADD_NOTE])
        await desk.finished(command)
    desk.heard.clear()
    other = desk.apply(tenant_database, [ADD_NOTE])
    async with place.agent(desk.pool):
        await desk.send(other)
        await desk.finished(other)
    assert desk.reports_on(command) == []


async def test_a_heartbeat_says_what_the_agent_works_on(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.apply(tenant_database, [SLEEP_LONG])
    heartbeats = await inside_desk.bus.read(HEARTBEATS, {})
    async with inside.agent(inside_desk.pool, name="busy-one"):
        await inside_desk.send(command, files=[SLEEP_LONG])
        async with asyncio.timeout(PATIENCE_S):
            while True:
                beats = [decode_heartbeat(m) for m in await heartbeats.poll(0.5, 10)]
                busy = [entry for beat in beats for entry in beat.busy if entry.statements]
                if busy:
                    break
    assert beats[-1].agent == "busy-one"
    assert beats[-1].insecure == ("postgres",)
    assert (busy[0].command, busy[0].phase) == (command.command, "running")
    assert busy[0].statements == 2
