"""What only a broker can do to us: be absent, hang, die, come back, come back empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger.bus.kafka import KafkaBus
from ledger.bus.port import BusUnavailable, Message
from ledger.bus.security import KafkaSettings
from ledger.contracts.topics import commands_topic
from ledger.embedded.kafka import EmbeddedKafka
from tests.conformance.test_bus import PATIENCE_S, numbered, take


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


@pytest.mark.parametrize("kind", ["silent", "absent"])
async def test_a_broker_that_does_not_answer_is_unavailable_in_bounded_time(
    kind: str, silent: str
) -> None:
    bus = KafkaBus(KafkaSettings(bootstrap=silent if kind == "silent" else "127.0.0.1:1"), "test")
    async with asyncio.timeout(20.0):
        with pytest.raises(BusUnavailable, match="cannot be reached"):
            await bus.start()
        await bus.close()


async def test_a_broker_that_dies_makes_publishing_fail_in_time_and_works_again_afterwards(
    own_kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topic = commands_topic(topic_prefix)
    bus = KafkaBus(KafkaSettings(bootstrap=own_kafka.bootstrap), "test", publish_s=3.0)
    await bus.ensure_topics([topic])
    await bus.publish([Message(topic, "k", b"before")])
    reader = await bus.read(topic, {})
    own_kafka.kill()
    async with asyncio.timeout(8.0):
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
    async with asyncio.timeout(15.0):
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
    async with asyncio.timeout(25.0):
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
    own_kafka.lose_data()
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
