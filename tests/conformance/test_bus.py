"""What every bus does, shown on the in-process one and on a real Apache Kafka broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ledger.bus.kafka import KafkaBus
from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import (
    Bus,
    BusMisconfigured,
    BusUnavailable,
    GroupMember,
    Message,
    Reader,
    Received,
)
from ledger.bus.security import KafkaSettings
from ledger.contracts.topics import COMMANDS_PARTITIONS, commands_topic
from tests.support.patience import PATIENCE_S


@dataclass
class Place:
    """One broker: buses on it, and a topic made by somebody else."""

    connect: Callable[[], Awaitable[Bus]]
    create: Callable[[str, int], Awaitable[None]]


@pytest.fixture(params=["local", "kafka"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A broker by each adapter; every bus that a test made is closed at its end."""
    buses: list[Bus] = []
    if request.param == "local":
        broker = LocalBroker()

        async def create(topic: str, partitions: int) -> None:
            broker.create(topic, partitions)

        def make() -> Bus:
            return LocalBus(broker)
    else:
        bootstrap: str = request.getfixturevalue("kafka_broker")

        async def create(topic: str, partitions: int) -> None:
            await _create(bootstrap, topic, partitions)

        def make() -> Bus:
            return KafkaBus(KafkaSettings(bootstrap=bootstrap), "conformance")

    async def connect() -> Bus:
        bus = make()
        buses.append(bus)
        await bus.start()
        return bus

    yield Place(connect, create)
    for bus in buses:
        await bus.close()


@pytest.fixture
async def bus(place: Place) -> Bus:
    """One connected bus."""
    return await place.connect()


@pytest.fixture
def topic(topic_prefix: str) -> str:
    """A command topic that no other test uses."""
    return commands_topic(topic_prefix)


async def test_publish_and_read_keep_key_value_and_headers(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "k\u00e4y", b"\x00\xff", (("one", b"1"), ("two", b"\xfe")))])
    reader = await bus.read(topic, {})
    (message,) = await take(reader, 1)
    assert (message.topic, message.key, message.value) == (topic, "k\u00e4y", b"\x00\xff")
    assert message.headers == (("one", b"1"), ("two", b"\xfe"))
    assert message.header("two") == b"\xfe"
    assert message.header("three") is None


async def test_messages_of_one_key_keep_their_order_and_their_partition(
    bus: Bus, topic: str
) -> None:
    await bus.ensure_topics([topic])
    sent = [Message(topic, f"key-{number % 7}", str(number).encode()) for number in range(210)]
    await bus.publish(sent[:100])
    await bus.publish(sent[100:])
    received = await take(await bus.read(topic, {}), 210)
    for key in {message.key for message in sent}:
        values = [message.value for message in received if message.key == key]
        assert values == [message.value for message in sent if message.key == key]
        assert len({message.partition for message in received if message.key == key}) == 1
    assert len({message.partition for message in received}) > 1


async def test_a_reader_knows_how_many_messages_it_has_not_delivered(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    reader = await bus.read(topic, {})
    assert reader.behind == 0
    # One key, so one partition: of the others nobody knows the end before something was read there.
    await bus.publish([Message(topic, "same", str(number).encode()) for number in range(10)])
    received: list[Received] = []
    async with asyncio.timeout(PATIENCE_S):
        while not received:
            received += await reader.poll(0.5, 3)
    assert (len(received), reader.behind) == (3, 7)
    await take(reader, 7)
    assert reader.behind == 0
    await bus.publish([Message(topic, "same", b"one more")])
    await take(reader, 1)
    assert reader.behind == 0


async def test_members_of_a_group_share_the_messages(place: Place, topic: str) -> None:
    first, second = await place.connect(), await place.connect()
    one, two = await asyncio.gather(first.join(topic, "group"), second.join(topic, "group"))
    taken: dict[str, list[Received]] = {"one": [], "two": []}
    await until_both_own_partitions(first, topic, one, two)
    await first.publish([Message(topic, f"share-{n}", b"x") for n in range(200)])
    async with asyncio.timeout(PATIENCE_S):
        while len(shared(taken)) < 200:
            taken["one"] += await one.poll(0.1, 100)
            taken["two"] += await two.poll(0.1, 100)
    ones, twos = (values(taken[name]) for name in ("one", "two"))
    assert ones
    assert twos
    assert not ones & twos


async def test_every_group_gets_every_message(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.publish(numbered(topic, 5))
    for group in ("red", "blue"):
        member = await bus.join(topic, f"{topic}-{group}")
        assert len(await take(member, 5)) == 5
        await member.close()


async def test_committed_messages_stay_away_and_others_come_again(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "same", str(n).encode()) for n in range(6)])
    member = await bus.join(topic, topic)
    received = await take(member, 6)
    await member.commit({received[2].partition: received[2].offset + 1})
    await member.close()
    successor = await bus.join(topic, topic)
    again = await take(successor, 3)
    assert [message.value for message in again] == [b"3", b"4", b"5"]
    assert again[0].offset == received[3].offset


async def test_messages_of_a_member_that_leaves_come_to_another(place: Place, topic: str) -> None:
    first, second = await place.connect(), await place.connect()
    member = await first.join(topic, topic)
    await first.publish(numbered(topic, 20))
    assert len(await take(member, 20)) == 20
    heir = await second.join(topic, topic)
    _, early = await asyncio.gather(member.close(), heir.poll(0.5, 100))
    inherited = {message.value for message in early}
    async with asyncio.timeout(PATIENCE_S):
        while len(inherited) < 20:
            inherited |= {message.value for message in await heir.poll(0.2, 100)}


async def test_committing_a_partition_that_moved_is_not_an_error(place: Place, topic: str) -> None:
    first, second = await place.connect(), await place.connect()
    member = await first.join(topic, topic)
    await first.publish(numbered(topic, 20))
    received = await take(member, 20)
    polling = asyncio.create_task(poll_for(member, 4.0))
    heir = await second.join(topic, topic)
    await heir.poll(0.5, 100)
    await polling
    await member.commit({message.partition: message.offset + 1 for message in received})


async def test_committing_nothing_but_partitions_that_moved_is_no_error(
    bus: Bus, topic: str
) -> None:
    member = await bus.join(topic, topic)
    await poll_for(member, 0.5)
    await member.commit({COMMANDS_PARTITIONS + 1: 7})


async def test_a_paused_member_gets_nothing_and_stays_in_the_group(bus: Bus, topic: str) -> None:
    member = await bus.join(topic, topic)
    await poll_for(member, 0.5)
    member.pause()
    await bus.publish(numbered(topic, 5))
    assert len(await take(await bus.read(topic, {}), 5)) == 5, "they are there to be had"
    assert not any([await member.poll(0.1, 100) for _ in range(3)])
    member.resume()
    received = await take(member, 5)
    await member.commit({message.partition: message.offset + 1 for message in received})
    await member.close()
    successor = await bus.join(topic, topic)
    await bus.publish([Message(topic, "key", b"last")])
    assert [message.value for message in await take(successor, 1)] == [b"last"]


async def test_a_reader_starts_at_the_positions_it_is_given(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "same", str(n).encode()) for n in range(4)])
    (first, *_) = await take(await bus.read(topic, {}), 4)
    reader = await bus.read(topic, {first.partition: first.offset + 2})
    assert [message.value for message in await take(reader, 2)] == [b"2", b"3"]
    await bus.publish([Message(topic, "same", b"last")])
    assert [message.value for message in await take(reader, 1)] == [b"last"]


async def test_a_position_that_the_topic_does_not_have_becomes_the_earliest(
    bus: Bus, topic: str
) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "same", str(n).encode()) for n in range(3)])
    reader = await bus.read(topic, dict.fromkeys(range(COMMANDS_PARTITIONS), 5_000))
    assert [message.value for message in await take(reader, 3)] == [b"0", b"1", b"2"]


async def test_a_reader_hears_what_comes_later(bus: Bus, topic: str) -> None:
    reader = await bus.read(topic, {})
    assert await reader.poll(0.2, 10) in ([], ())
    waiting = asyncio.create_task(take(reader, 1))
    await asyncio.sleep(0.1)
    await bus.publish(numbered(topic, 1))
    assert len(await waiting) == 1


async def test_a_poll_that_is_given_up_loses_nothing(bus: Bus, topic: str) -> None:
    member = await bus.join(topic, topic)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await member.poll(2.0, 10)
    await bus.publish(numbered(topic, 3))
    assert len(await take(member, 3)) == 3


async def test_a_poll_returns_at_most_as_many_as_asked_for(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "same", b"x")] * 10)
    reader = await bus.read(topic, {})
    async with asyncio.timeout(PATIENCE_S):
        while not (first := await reader.poll(0.5, 3)):
            pass
    assert len(first) == 3
    assert len(await take(reader, 7)) == 7


async def test_missing_topics_are_made_with_the_right_number_of_partitions(
    bus: Bus, topic: str
) -> None:
    await bus.ensure_topics([topic])
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, f"key-{n}", b"x") for n in range(500)])
    received = await take(await bus.read(topic, {}), 500)
    assert {message.partition for message in received} == set(range(COMMANDS_PARTITIONS))


async def test_a_topic_with_too_few_partitions_is_refused(place: Place, topic: str) -> None:
    await place.create(topic, 3)
    bus = await place.connect()
    with pytest.raises(BusMisconfigured, match=f"{topic} has 3 partitions and needs"):
        await bus.ensure_topics([topic])


async def test_a_closed_bus_refuses_to_publish(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])
    await bus.close()
    with pytest.raises(BusUnavailable):
        await bus.publish(numbered(topic, 1))


async def test_closing_ends_its_readers_and_members_in_bounded_time(bus: Bus, topic: str) -> None:
    member, reader = await bus.join(topic, topic), await bus.read(topic, {})
    polling = asyncio.create_task(member.poll(1.0, 10))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_S):
        await bus.close()
    await polling
    with pytest.raises(BusUnavailable):
        await reader.poll(0.1, 1)
    with pytest.raises(BusUnavailable):
        await member.poll(0.1, 1)


async def take(source: Reader | GroupMember, number: int) -> list[Received]:
    """Exactly `number` messages, however many polls they need."""
    received: list[Received] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(received) < number:
            received += await source.poll(0.5, number - len(received))
    return received


async def poll_for(source: Reader | GroupMember, seconds: float) -> list[Received]:
    """Whatever comes in that time."""
    loop, received = asyncio.get_running_loop(), list[Received]()
    end = loop.time() + seconds
    while loop.time() < end:
        received += await source.poll(0.1, 1000)
    return received


async def until_both_own_partitions(
    bus: Bus, topic: str, one: GroupMember, two: GroupMember
) -> None:
    """Send probes until each member has heard one, then finish all of them."""
    heard: tuple[list[Received], list[Received]] = ([], [])
    async with asyncio.timeout(PATIENCE_S):
        while not (heard[0] and heard[1]):
            await bus.publish([Message(topic, f"probe-{n}", b"probe") for n in range(50)])
            heard[0].extend(await one.poll(0.5, 100))
            heard[1].extend(await two.poll(0.5, 100))
            if heard[0] and heard[1] and places(heard[0]) & places(heard[1]):
                heard[0].clear()
                heard[1].clear()


def numbered(topic: str, number: int) -> list[Message]:
    """So many messages with keys and values of their own."""
    return [Message(topic, f"key-{n}", str(n).encode()) for n in range(number)]


def places(messages: Sequence[Received]) -> set[tuple[int, int]]:
    """Where these messages stood."""
    return {(message.partition, message.offset) for message in messages}


def values(messages: Sequence[Received]) -> set[tuple[int, int]]:
    """Where these messages stood, without the probes."""
    return places([message for message in messages if message.value != b"probe"])


def shared(taken: dict[str, list[Received]]) -> set[tuple[int, int]]:
    """What all members together have got, without the probes."""
    return values([message for messages in taken.values() for message in messages])


async def _create(bootstrap: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
