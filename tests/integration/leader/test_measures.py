"""What a leader and an agent wait for, in the numbers that are read for a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from agents.runtime import Agent
from agents.settings import AgentSettings
from ledger import instruments, telemetry
from ledger.bus.local import LocalBroker, LocalBus
from ledger.instruments import Instrument, Value
from tests.support.house import POOL, House, found

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
        assert now(instruments.UNSENT) == 0


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
