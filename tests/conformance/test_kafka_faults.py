"""What only a broker can do to us: be absent, hang, die, come back, come back empty."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from ledger.bus.kafka import KafkaBus
from ledger.bus.port import BusUnavailable, GroupMember, Message, Received
from ledger.bus.security import KafkaSettings
from ledger.contracts.topics import commands_topic
from ledger.embedded.kafka import EmbeddedKafka
from tests.conformance.test_bus import numbered, take
from tests.support.lost_data import lose_data
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of something that accepts connections and never answers."""
    writers: list[asyncio.StreamWriter] = []

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    for writer in writers:
        writer.close()
    server.close()


@pytest.fixture(scope="module")
def broken_broker(servers_folder: Path) -> Iterator[EmbeddedKafka]:
    """Return the broker that all tests here break, one after the other."""
    broker = EmbeddedKafka(servers_folder / "broken")
    yield broker
    broker.stop()


@pytest.fixture
def own_kafka(broken_broker: EmbeddedKafka) -> Iterator[EmbeddedKafka]:
    """Return it, running; what other tests left on it has other names.

    A test that fails leaves no broker to the others that is frozen, or ended behind our back.
    """
    broken_broker.start()
    yield broken_broker
    if broken_broker.pid is not None:
        os.kill(broken_broker.pid, signal.SIGCONT)


@pytest.mark.parametrize("kind", ["silent", "absent"])
async def test_a_broker_that_does_not_answer_is_unavailable_in_bounded_time(
    kind: str, silent: str
) -> None:
    bus = KafkaBus(KafkaSettings(bootstrap=silent if kind == "silent" else "127.0.0.1:1"), "test")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BusUnavailable, match="cannot be reached"):
            await bus.start()
        await bus.close()


async def test_a_probe_says_of_a_frozen_and_of_a_dead_broker_that_it_does_not_answer(
    own_kafka: EmbeddedKafka,
) -> None:
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test")
    # Before anything is connected, too.
    await bus.probe()
    await bus.start()
    await bus.probe()
    assert own_kafka.pid is not None
    os.kill(own_kafka.pid, signal.SIGSTOP)
    with pytest.raises(BusUnavailable, match="does not answer"):
        await answered_no_more(bus)
    os.kill(own_kafka.pid, signal.SIGCONT)
    await answers(bus)
    own_kafka.kill()
    with pytest.raises(BusUnavailable, match="does not answer"):
        await bus.probe()
    await asyncio.to_thread(own_kafka.start)
    await answers(bus)
    await bus.close()


async def answered_no_more(bus: KafkaBus) -> None:
    """Raise what a probe raises, once one does: a signal reaches one thread after the other."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await bus.probe()


async def answers(bus: KafkaBus) -> None:
    """Return when a probe is answered."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.probe()
            except BusUnavailable:
                await asyncio.sleep(0.2)


async def test_a_broker_that_dies_makes_publishing_fail_in_time_and_works_again_afterwards(
    own_kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topic = commands_topic(topic_prefix)
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "k", b"before")])
    reader = await bus.read(topic, {})
    own_kafka.kill()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BusUnavailable, match="sent again later"):
            await bus.publish([Message(topic, "k", b"lost")])
    own_kafka.start()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await bus.publish([Message(topic, "k", b"after")])
                break
            except BusUnavailable:
                await asyncio.sleep(0.2)
    values = {message.value for message in await take(reader, 2)}
    assert values >= {b"before"}
    async with asyncio.timeout(PATIENCE_S):
        await bus.close()


async def test_closing_is_bounded_while_the_broker_is_dead(
    own_kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topic = commands_topic(topic_prefix)
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    await bus.join(topic, topic)
    publishing = asyncio.create_task(bus.publish(numbered(topic, 100)))
    own_kafka.kill()
    await asyncio.wait([publishing])
    async with asyncio.timeout(PATIENCE_S):
        await bus.close()


async def test_a_broker_that_comes_back_empty_gets_its_topics_again(
    own_kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topic = commands_topic(topic_prefix)
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    member = await bus.join(topic, topic)
    await bus.publish(numbered(topic, 20))
    received = await take(member, 20)
    await member.commit({message.partition: message.offset + 1 for message in received})
    lose_data(own_kafka)
    again = [Message(topic, f"again-{n}", b"again") for n in range(20)]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await bus.ensure_topics([topic])
                await bus.publish(again)
                break
            except BusUnavailable:
                await asyncio.sleep(0.2)
    keys: set[str] = set()
    async with asyncio.timeout(2 * PATIENCE_S):
        while len(keys) < 20:
            try:
                keys |= {m.key for m in await member.poll(0.5, 100) if m.value == b"again"}
            except BusUnavailable:
                await asyncio.sleep(0.2)
    await bus.close()


async def publish_again(bus: KafkaBus, topic: str, messages: Sequence[Message]) -> None:
    """Publish to a broker that has just come back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await bus.ensure_topics([topic])
                await bus.publish(messages)
                return
            except BusUnavailable:
                await asyncio.sleep(0.2)


async def take_again(member: GroupMember, count: int, word: bytes) -> list[Received]:
    """Messages of the new life, through what the old one leaves behind."""
    taken: dict[str, Received] = {}
    async with asyncio.timeout(2 * PATIENCE_S):
        while len(taken) < count:
            try:
                taken |= {m.key: m for m in await member.poll(0.5, 100) if m.value == word}
            except BusUnavailable:
                await asyncio.sleep(0.2)
    return list(taken.values())


async def kept_and_ends(bootstrap: str, topic: str, group: str) -> dict[int, tuple[int, int]]:
    """Per partition the offset that the group has kept, and where the partition ends."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await admin.start()
    await consumer.start()
    try:
        kept = await admin.list_consumer_group_offsets(group)
        ends = await consumer.end_offsets([one for one in kept if one.topic == topic])
        return {one.partition: (kept[one].offset, end) for one, end in ends.items()}
    finally:
        await consumer.stop()
        await admin.close()


@pytest.mark.parametrize(("before", "after"), [(60, 20), (20, 60)])
async def test_of_a_broker_that_comes_back_empty_nothing_is_passed_over_by_old_positions(
    own_kafka: EmbeddedKafka, topic_prefix: str, before: int, after: int
) -> None:
    topic = commands_topic(topic_prefix)
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    member = await bus.join(topic, topic)
    await bus.publish(numbered(topic, before))
    received = await take(member, before)
    old = {message.partition: 0 for message in received}
    for message in received:
        old[message.partition] = max(old[message.partition], message.offset + 1)
    await member.commit(old)
    lose_data(own_kafka)
    again = [Message(topic, f"again-{n}", b"again") for n in range(after)]
    await publish_again(bus, topic, again)

    # What ends only now in an agent's hands is committed at any time until it is read again.
    first: dict[str, Received] = {}
    async with asyncio.timeout(2 * PATIENCE_S):
        while not first:
            try:
                first = {m.key: m for m in await member.poll(0.5, 1) if m.value == b"again"}
                await member.commit(old)
            except BusUnavailable:
                await asyncio.sleep(0.2)
    for partition, (kept, end) in (await kept_and_ends(own_kafka.bootstrap, topic, topic)).items():
        read = [m.offset + 1 for m in first.values() if m.partition == partition]
        assert kept <= end
        assert kept <= max(read, default=0)
    await member.close()

    other = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    successor = await other.join(topic, topic)
    seen = {m.key for m in await take_again(successor, after - len(first), b"again")}
    assert seen | set(first) == {message.key for message in again}
    await other.close()
    await bus.close()
