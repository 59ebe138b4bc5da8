"""A real broker: it starts, crashes, recovers, and loses its data when told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import UnknownTopicOrPartitionError

from ledger.embedded.kafka import EmbeddedKafka
from ledger.embedded.process import free_ports
from tests.support.lost_data import lose_data
from tests.support.patience import PATIENCE_S

TOPIC = "kept"
MESSAGES = [f"message {number}".encode() for number in range(100)]


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def topics(bootstrap: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return list(await admin.list_topics())
    finally:
        await admin.close()


async def send_all(bootstrap: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(TOPIC, each) for each in MESSAGES])
    finally:
        await producer.stop()


async def read_all(bootstrap: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in MESSAGES]
    finally:
        await consumer.stop()


async def test_acknowledged_messages_survive_a_killed_broker(own_kafka: EmbeddedKafka) -> None:
    await create_topic(own_kafka.bootstrap)
    await send_all(own_kafka.bootstrap)
    bootstrap = own_kafka.bootstrap
    await asyncio.to_thread(own_kafka.kill)
    assert own_kafka.pid is None
    await asyncio.to_thread(own_kafka.start)
    assert own_kafka.bootstrap == bootstrap
    assert await asyncio.wait_for(read_all(bootstrap), PATIENCE_S) == MESSAGES


async def test_a_broker_that_lost_its_data_has_no_topics(own_kafka: EmbeddedKafka) -> None:
    await create_topic(own_kafka.bootstrap)
    bootstrap = own_kafka.bootstrap
    await asyncio.to_thread(lose_data, own_kafka)
    assert own_kafka.bootstrap == bootstrap
    assert await topics(bootstrap) == []


async def test_asking_for_a_topic_does_not_make_it(own_kafka: EmbeddedKafka) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=own_kafka.bootstrap, request_timeout_ms=1000)
    await producer.start()
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for(TOPIC)
    finally:
        await producer.stop()
    assert await topics(own_kafka.bootstrap) == []


async def test_the_broker_of_the_run_is_ready_for_topics(
    kafka_broker: str, topic_prefix: str
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic_prefix, num_partitions=3, replication_factor=1)])
    finally:
        await admin.close()
    assert topic_prefix in await topics(kafka_broker)


async def test_clients_are_sent_to_the_advertised_port(server_folder: Path) -> None:
    (elsewhere,) = free_ports(1)
    broker = EmbeddedKafka(server_folder / "kafka", advertised_port=elsewhere)
    try:
        await asyncio.to_thread(broker.start)
        assert broker.bootstrap == f"127.0.0.1:{elsewhere}"
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        await client.bootstrap()
        told = {node.port for node in client.cluster.brokers()}
        await client.close()
        assert told == {elsewhere}
    finally:
        broker.stop()
