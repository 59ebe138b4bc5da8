"""What a leader and an agent wait for, in the numbers that are read for a scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest

from agents.runtime import Agent
from agents.settings import AgentSettings
from ledger import instruments, telemetry
from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Received
from ledger.instruments import Instrument, Value
from ledger.leader.intake import Intake
from migrations.clock import SYSTEM_CLOCK
from tests.support.house import POOL, House, answers, found
from tests.support.manual_clock import ManualClock

Readers = dict[Instrument, Callable[[], Iterable[Value]]]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Readers:
    """What was asked to be read, by the instrument."""
    kept: Readers = {}
    monkeypatch.setattr(instruments, "observe", kept.__setitem__)
    return kept


async def test_orders_are_counted_until_they_are_answered(house: House, readers: Readers) -> None:
    def now(one: Instrument) -> float:
        values = {tuple(told.values()): value for value, told in readers[one]()}
        # The fleet's pools are known a moment after somebody leads.
        assert values.keys() <= {(), (POOL,)}
        return sum(values.values())

    async with house.leading() as leading, house.actor() as actor:
        leading.leader.observe()
        assert now(instruments.UNANSWERED) == now(instruments.UNANSWERED_AGE) == 0
        rollout = await house.start()
        commands = [await actor.ordered(one) for one in ("acme", "bolt", "crane")]
        assert now(instruments.UNANSWERED) == 3
        assert 0 < now(instruments.UNANSWERED_AGE) < 60
        await actor.applies(commands[0])

        async def is_counted() -> bool | None:
            return now(instruments.UNANSWERED) == 2 or None

        await found(is_counted, "the answer is counted")
        for command in commands[1:]:
            await actor.applies(command)
        await house.becomes(rollout, "completed")
        assert now(instruments.UNANSWERED) == now(instruments.UNANSWERED_AGE) == 0
        assert now(instruments.UNSENT) == now(instruments.UNSENT_AGE) == 0


async def test_reports_are_counted_until_they_are_in_the_log(
    house: House, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, may_go_on = asyncio.Event(), asyncio.Event()
    take = Intake._take

    async def slowly(self: Intake, partition: int, messages: Sequence[Received]) -> None:
        taking.set()
        await may_go_on.wait()
        await take(self, partition, messages)

    def now(one: Instrument) -> float:
        ((value, told),) = readers[one]()
        assert told == {}
        return value

    async with house.leading() as leading, house.actor() as actor:
        leading.leader.observe()
        rollout = await house.start()
        commands = [await actor.ordered(one) for one in ("acme", "bolt", "crane")]
        await leading.leader.drain()
        assert now(instruments.UNTAKEN) == now(instruments.UNTAKEN_AGE) == 0
        clock = ManualClock()
        monkeypatch.setattr(leading.leader._intake.queue, "_clock", clock)
        monkeypatch.setattr(Intake, "_take", slowly)
        await actor.say(commands[0].stream, *answers(commands[0]))
        await taking.wait()
        first = len(answers(commands[0]))
        assert now(instruments.UNTAKEN) == first
        clock.advance(7)
        await actor.say(commands[1].stream, *answers(commands[1]))
        assert now(instruments.UNTAKEN) == first + len(answers(commands[1]))
        assert now(instruments.UNTAKEN_AGE) == 7
        monkeypatch.setattr(leading.leader._intake.queue, "_clock", SYSTEM_CLOCK)
        may_go_on.set()
        await leading.leader.drain()
        assert now(instruments.UNTAKEN) == now(instruments.UNTAKEN_AGE) == 0
        await actor.applies(commands[2])
        await house.becomes(rollout, "completed")


async def test_who_leads_says_so_until_another_leads(house: House, readers: Readers) -> None:
    async with house.leading() as leading:
        leading.leader.observe()
        assert list(readers[instruments.LEADING]()) == [(1, {})]
        await leading.leadership.release()
        assert list(readers[instruments.LEADING]()) == [(0, {})]


async def test_an_idle_agent_has_nothing_in_hand(readers: Readers) -> None:
    settings = AgentSettings(pool="main", name="one", concurrency=7)
    agent = Agent(LocalBus(LocalBroker()), settings)
    agent.observe()
    pool = {telemetry.POOL: "main"}
    assert list(readers[instruments.CONCURRENCY]()) == [(7, pool)]
    assert list(readers[instruments.REPORTS_WAITING]()) == [(0, pool)]
    assert {told[telemetry.STATE]: value for value, told in readers[instruments.JOBS]()} == {
        "queued": 0,
        "connecting": 0,
        "waiting": 0,
        "running": 0,
    }
    ages = {told[telemetry.STATE]: value for value, told in readers[instruments.JOBS_AGE]()}
    assert ages == {"queued": 0, "connecting": 0, "waiting": 0, "running": 0}
    probes = agent.probes()
    assert probes["pool"]() == "it has not joined pool main yet"
    agent.stop()
    assert probes["pool"]() == "it is being stopped and takes nothing more"
