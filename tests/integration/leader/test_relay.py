"""When orders and texts are sent, and when they are sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ledger.bus.local import LocalBroker, LocalBus, LocalReader
from ledger.bus.port import BusMisconfigured, BusUnavailable, Message
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.explain_error import explain
from ledger.contracts.commands import ApplyCommand, CancelCommand, InspectCommand
from ledger.contracts.events import CheckRequested
from ledger.contracts.reports import AttemptFinished, ContentMissing
from ledger.contracts.topics import CONTENT, commands_topic
from ledger.service.liveness import LEADER_BEAT
from ledger.service.request_context import RequestContext
from ledger.store.log.chain import leaf
from ledger.store.log.decode import open_event
from migrations.model.attempt import Verdict
from tests.support.house import POOL, Actor, House, finished, found, seen, started
from tests.support.orders import chain_row
from tests.support.patience import PATIENCE_S
from tests.support.wrong_clock import Watch


def ids(actor: Actor) -> list[object]:
    return [one.command for one in actor.heard if not isinstance(one, CancelCommand)]


async def test_an_order_is_sent_again_after_the_resend_interval_and_never_after_its_answer(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(resend_s=0.3), house.actor() as actor:
        heard = await actor.commands(3)
        assert len(set(ids(actor))) == 1
        (command, *_) = heard
        assert isinstance(command, ApplyCommand)
        await actor.applies(command)
        # Whoever could conclude this has told the relay of the answer before.
        await house.becomes(rollout, "completed")
        assert not await house.unsent(actor, times=3)


async def test_what_is_sent_is_what_the_log_has_hashed(house: House) -> None:
    rollout = await house.start(select="id=acme")
    await house.ledger.fleet.check("id=bolt", RequestContext())
    async with house.leading(), house.actor() as actor:
        await actor.commands(2)
        await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)
        heard = await actor.commands(3)
    stored = {raw.position: raw for raw in await house.stores.log.tail(0, 1000)}
    assert {type(one) for one in heard} == {ApplyCommand, InspectCommand, CancelCommand}
    for command in heard:
        row = stored[command.position]
        assert command.ledger == house.ledger.id
        assert command.stream == row.stream
        if isinstance(command, InspectCommand):
            # It stands in no log: the request at its place orders the looks at all its databases.
            asked = open_event(row).event
            assert isinstance(asked, CheckRequested)
            assert command.database in asked.databases
            continue
        assert command.recorded.stored.body == row.body
        assert leaf(chain_row(command.recorded)) == row.leaf


async def test_an_order_is_not_sent_again_before_its_time(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(resend_s=60.0), house.actor() as actor:
        await actor.commands(1)
        assert not await house.unsent(actor)


async def test_a_leader_sends_every_unanswered_order_when_it_starts(house: House) -> None:
    await house.start()
    async with house.actor() as actor:
        async with house.leading() as leading:
            first = {one.database: one for one in await actor.commands(3)}
            answered = first["acme"]
            assert isinstance(answered, ApplyCommand)
            await actor.applies(answered)
            await leading.leader.drain()
        actor.heard.clear()
        async with house.leading():
            again = await actor.commands(2)
            assert {one.database: one for one in again} == {
                database: one for database, one in first.items() if database != "acme"
            }


class Noting(LocalBroker):
    """A broker that keeps the order in which messages came, over all topics."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[Message] = []

    def append(self, message: Message) -> None:
        """Note it, then add it as usual."""
        self.came.append(message)
        super().append(message)


async def test_texts_go_before_the_first_order_and_not_with_every_order(house: House) -> None:
    house.broker = broker = Noting()
    rollout = await house.start(in_flight=1)
    async with house.leading(), house.actor() as actor:
        for database in ("acme", "bolt", "crane"):
            command = await actor.ordered(database)
            refs = (await house.ledger.bundles.get(command.order.bundle)).migrations
            wanted = {file.sha256 for ref in refs for file in ref.files} | {command.order.bundle}
            assert set(actor.texts) == wanted
            await actor.applies(command)
        await house.becomes(rollout, "completed")
    sent = [one for one in broker.came if one.topic in (CONTENT, commands_topic(POOL))]
    assert [one.topic for one in sent] == [CONTENT] * 3 + [commands_topic(POOL)] * 3
    assert {one.key for one in sent[:3]} == wanted


async def test_texts_are_sent_again_to_each_agent_that_misses_them(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        command = await actor.ordered("acme")
        texts = tuple(sorted(set(actor.texts)))
        missing = ContentMissing(
            database="acme", command=command.command, bundle=command.order.bundle
        )
        for times in (2, 3):
            # The second agent asks with the same id, which the log knows.
            await actor.say(command.stream, missing)
            await actor.commands(times)
            assert sorted(actor.texts) == sorted(texts * times)
        assert len(await house.events(ContentMissing)) == 1


async def test_texts_go_again_with_an_order_that_nobody_has_started(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(resend_s=0.4), house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.commands(2)
        assert len(actor.texts) >= 4
        await actor.say(command.stream, started(command))

        async def alone() -> bool | None:
            before = len(actor.texts)
            await actor.commands(len(actor.heard) + 1)
            return len(actor.texts) == before or None

        await found(alone, "the order goes again without its texts")
        before = len(actor.texts)
        await actor.commands(len(actor.heard) + 2)
        assert len(actor.texts) == before


async def test_an_abort_that_cancels_tells_the_agents(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)
        cancel = (await actor.commands(2))[-1]
        assert isinstance(cancel, CancelCommand)
        assert cancel.takes_back(command)
        await actor.say(command.stream, finished(command, Verdict.CANCELLED))
        await leading.leader.drain()
        assert not await house.unsent(actor)


async def test_an_abort_that_cancels_is_told_by_the_next_leader_too_before_the_order(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.actor() as actor:
        async with house.leading():
            command = await actor.ordered("acme")
        await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)
        actor.heard.clear()
        async with house.leading(resend_s=0.4):
            heard = (await actor.commands(5))[:5]
            kinds = [type(one) for one in heard]
            assert kinds[0] is CancelCommand
            for before, after in pairwise(heard):
                if isinstance(after, ApplyCommand):
                    assert isinstance(before, CancelCommand)
                    assert before.takes_back(after)
                    assert after.command == command.command


async def test_an_abort_that_does_not_cancel_lets_what_runs_finish(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        command = await actor.ordered("acme")
        await house.ledger.rollouts.abort(rollout, RequestContext("stop"))
        assert not await house.unsent(actor)
        await actor.applies(command)
        await house.at_least(1, AttemptFinished)


async def test_a_look_that_expired_is_not_sent_any_more(house: House) -> None:
    clock = Watch()
    await house.ledger.fleet.check("id=acme", RequestContext())
    async with house.leading(resend_s=0.3) as leading, house.actor() as actor:
        # Its own clock, which can be moved.
        leading.leader._relay._clock = clock
        command = await actor.looked_at("acme")
        clock.wrong = command.expires_at - datetime.now(UTC)

        async def forgotten() -> bool | None:
            return not leading.leader._relay._unanswered or None

        await found(forgotten, "the relay has given it up")
        clock.wrong = timedelta(0)
        await actor.hear()
        assert not await house.unsent(actor)


class Shaky(LocalBus):
    """A bus that fails as often as it is told to, and whose readers cannot even be closed."""

    def __init__(self, broker: LocalBroker, failures: dict[str, int]) -> None:
        super().__init__(broker)
        self.failures = failures

    def fail(self, name: str) -> None:
        """Fail, if this was asked for."""
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise BusUnavailable(f"{name} failed; try again")

    async def start(self) -> None:
        """Connect, or not."""
        self.fail("start")

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Create, or not."""
        self.fail("ensure_topics")
        await super().ensure_topics(topics)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send, or not."""
        self.fail("publish")
        await super().publish(messages)

    async def read(self, topic: str, positions: Mapping[int, int]) -> LocalReader:
        """Read, in a shaky way."""
        self.fail("read")
        reader = ShakyReader(self._broker, topic, positions)
        reader.bus = self
        self._open.append(reader)
        return reader


class ShakyReader(LocalReader):
    """A reader of a shaky bus."""

    bus: Shaky

    async def poll(self, timeout_s: float, limit: int) -> Sequence[object]:  # type: ignore[override]
        """Read, or not."""
        self.bus.fail("poll")
        return await super().poll(timeout_s, limit)

    async def close(self) -> None:
        """Close, and complain."""
        await super().close()
        self.bus.fail("close")


@pytest.mark.parametrize("what", ["start", "ensure_topics", "publish", "read", "poll"])
async def test_a_bus_that_fails_anywhere_is_tried_again(house: House, what: str) -> None:
    rollout = await house.start(select="id=acme")
    failures = {what: 2, "close": 2}
    async with (
        house.leading(bus=lambda broker: Shaky(broker, failures)) as leading,
        house.actor() as actor,
    ):
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        assert failures[what] == 0
        assert not leading.task.done()
        failures.clear()


async def test_a_bus_that_has_to_be_mended_ends_the_leader_with_its_error(house: House) -> None:
    class Withdrawn(LocalBus):
        """A bus on which the leader may not write any more."""

        async def publish(self, messages: Sequence[Message]) -> None:
            """Refuse."""
            raise BusMisconfigured("this program may not write to commands; grant it WRITE")

    await house.start(select="id=acme")
    async with house.leading(bus=Withdrawn) as leading:
        explained = explain(await leading.ended() or AssertionError())
    assert "grant it WRITE" in explained.text
    assert explained.code is ExitCode.USAGE


async def test_a_leader_that_is_stopped_ends_even_if_its_readers_cannot_be_closed(
    house: House,
) -> None:
    failures: dict[str, int] = {}
    async with house.leading(bus=lambda broker: Shaky(broker, failures)) as leading:
        await leading.leader.drain()
        failures["close"] = 1000
        leading.task.cancel()
        await leading.task_ended()
        failures.clear()
        assert leading.task.cancelled()


async def test_a_leader_without_its_broker_says_so(house: House) -> None:
    failures = {"start": 1000}
    async with house.leading(bus=lambda broker: Shaky(broker, failures)):

        async def told() -> str | None:
            beats = await house.stores.signs.recent(10.0)
            return next((beat.body for beat in beats if beat.agent == LEADER_BEAT), None)

        assert '"broker": false' in await found(told, "the leader has said how it is")


async def test_a_check_is_answered_by_whoever_looks(house: House) -> None:
    check = await house.ledger.fleet.check("", RequestContext())
    async with house.leading() as leading, house.actor() as actor:
        for command in await actor.commands(3):
            assert isinstance(command, InspectCommand)
            await actor.say(command.stream, seen(command))
        await leading.leader.drain()
        result = await house.ledger.checks.answers(check, PATIENCE_S)
        assert result.finished
        assert all(row.answer is not None for row in result.rows)
