"""The in-process bus keeps what somebody still needs, and little else."""

from __future__ import annotations

import pytest

from ledger.bus.local import RETAINED_BYTES, TAKEN_BYTES, LocalBroker, LocalBus
from ledger.bus.port import Message
from ledger.contracts.topics import REPORTS, commands_topic

BODY = b"x" * 1000
MANY = 12_000
"""Messages of a kilobyte: several times what is kept of those that everybody has taken."""
COMMANDS = commands_topic("eu")


@pytest.fixture
def broker() -> LocalBroker:
    return LocalBroker()


def held(broker: LocalBroker, topic: str) -> int:
    """Bytes that the broker holds of a topic."""
    return sum(len(one.value) for part in broker.partitions(topic) for one in part.records)


async def send(bus: LocalBus, topic: str, number: int = MANY, body: bytes = BODY) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, f"key-{n}", body) for n in range(number)])


async def test_what_every_reader_has_taken_is_dropped(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    first, second = await bus.read(REPORTS, {}), await bus.read(REPORTS, {})
    await send(bus, REPORTS)
    assert len(await first.poll(0.0, MANY)) == MANY
    assert held(broker, REPORTS) == MANY * len(BODY)
    assert len(await second.poll(0.0, MANY)) == MANY
    assert held(broker, REPORTS) <= TAKEN_BYTES


async def test_a_reader_that_has_gone_holds_nothing_back(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    gone, stays = await bus.read(REPORTS, {}), await bus.read(REPORTS, {})
    await gone.close()
    await send(bus, REPORTS)
    await stays.poll(0.0, MANY)
    assert held(broker, REPORTS) <= TAKEN_BYTES


async def test_what_a_group_has_not_committed_stays_and_comes_again(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    member = await bus.join(COMMANDS, "agents")
    await send(bus, COMMANDS)
    taken = await member.poll(0.0, MANY)
    await member.close()
    heir = await bus.join(COMMANDS, "agents")
    assert len(await heir.poll(0.0, MANY)) == len(taken) == MANY
    await heir.commit({one.partition: one.offset + 1 for one in taken})
    assert held(broker, COMMANDS) <= TAKEN_BYTES


async def test_another_group_keeps_what_it_has_not_committed(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    quick, slow = await bus.join(COMMANDS, "quick"), await bus.join(COMMANDS, "slow")
    await send(bus, COMMANDS)
    taken = await quick.poll(0.0, MANY)
    await quick.commit({one.partition: one.offset + 1 for one in taken})
    assert len(await slow.poll(0.0, MANY)) == MANY


async def test_what_nobody_takes_is_bounded_for_the_topic_and_not_for_each_partition(
    broker: LocalBroker,
) -> None:
    bus = LocalBus(broker)
    await bus.join(COMMANDS, "agents")
    for _ in range(3):
        await send(bus, COMMANDS, 1_000, b"x" * 50_000)
    assert held(broker, COMMANDS) <= RETAINED_BYTES


async def test_who_comes_late_still_gets_the_latest(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    early = await bus.read(REPORTS, {})
    await send(bus, REPORTS, 10)
    assert len(await early.poll(0.0, MANY)) == 10
    assert len(await (await bus.read(REPORTS, {})).poll(0.0, MANY)) == 10


async def test_offsets_go_on_behind_what_was_dropped(broker: LocalBroker) -> None:
    bus = LocalBus(broker)
    reader = await bus.read(REPORTS, {})
    await send(bus, REPORTS)
    before = await reader.poll(0.0, MANY)
    await send(bus, REPORTS, 1)
    (after,) = await reader.poll(0.0, MANY)
    same = [one.offset for one in before if one.partition == after.partition]
    assert after.offset == max(same) + 1
