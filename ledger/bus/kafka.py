"""The bus on Apache Kafka (aiokafka): publishing, topics, and the way to readers and members.

aiokafka's idempotent producer never gives up on a batch: while the broker is away, `send` and
`stop` wait for ever. So every call here has a deadline of its own; a producer that missed one is
thrown away, batches included, and the next call makes a new one. Its callers publish again what
was not acknowledged, which is safe, because everything on the bus is known by its id.

```
publish ──▶ producer ──ok──▶ all acknowledged
              │ deadline or error
              ▼
           thrown away in the background ──▶ BusUnavailable ──▶ the next publish makes a new one
```
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.admin import ApiVersionRequest

from ledger.bus import security, tracing
from ledger.bus.kafka_readers import KafkaMember, KafkaReader, what
from ledger.bus.kafka_topics import create_topics
from ledger.bus.port import BusMisconfigured, BusUnavailable, Message
from ledger.bus.security import KafkaSettings
from ledger.contracts.topics import partitions_of
from migrations.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger(__name__)

START_S = 10.0
"""Connecting, and learning who the brokers are."""
PUBLISH_S = 15.0
"""All messages of one call; longer than a broker needs to elect another leader."""
STOP_S = 5.0
"""Letting go of a connection, whatever the broker does."""
REQUEST_S = 5.0
"""One request to one broker."""
PROBE_S = 1.2
"""What a probe waits for: an answer that takes longer is none, so that people hear of it soon."""
NEW_TOPIC_S = 0.05
"""Between two looks at a topic that was just made."""

PRODUCER_OPTIONS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,
    "max_batch_size": 256 * 1024,
    "max_request_size": 1024 * 1024,
    "request_timeout_ms": int(REQUEST_S * 1000),
    "metadata_max_age_ms": 30_000,
    "retry_backoff_ms": 100,
}
"""`linger_ms` is 0 because a call's messages are batched before the sender gets its turn."""

T = TypeVar("T")


class KafkaBus:
    """One program's connection to the broker."""

    system = tracing.SYSTEM

    def __init__(
        self,
        settings: KafkaSettings,
        client_id: str,
        clock: Clock = SYSTEM_CLOCK,
        *,
        publish_s: float = PUBLISH_S,
    ) -> None:
        self._clock = clock
        security.check(settings)
        self._settings = settings
        self._client = tracing.Client.of(client_id, settings.servers)
        self._publish_s = publish_s
        self._options = security.client_options(settings) | {
            "bootstrap_servers": settings.servers,
            "client_id": client_id,
        }
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._open: list[KafkaReader] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Connect. Raises `BusUnavailable` or `BusMisconfigured`."""
        await self._connected()

    async def probe(self) -> None:
        """Ask every broker at once, on connections of their own; one answer is enough."""
        asking: list[Coroutine[Any, Any, Any]] = []
        if self._producer is not None:
            client, group = self._producer.client, ConnectionGroup.COORDINATION
            asking = [
                client.send(broker.nodeId, ApiVersionRequest(), group=group)
                for broker in client.cluster.brokers()
            ]
        asking = asking or [_knock(server) for server in self._settings.servers]
        tasks = [asyncio.create_task(one, name="kafka-probe") for one in asking]
        try:
            async with asyncio.timeout(PROBE_S):
                await _first_of(tasks)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BusUnavailable(
                f"the broker at {self._settings.bootstrap} does not answer ({what(error)}); "
                "check that it runs"
            ) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Create what is missing, check what is there."""
        found = await self._bounded(self._partitions(topics), START_S)
        missing = [topic for topic in topics if found[topic] == 0]
        if missing:
            await self._bounded(self._create(missing), START_S)
            await self._bounded(self._led(missing), START_S)
            found = await self._bounded(self._partitions(topics), START_S)
        for topic in topics:
            if 0 < found[topic] < partitions_of(topic):
                raise BusMisconfigured(
                    f"topic {topic} has {found[topic]} partitions and needs "
                    f"{partitions_of(topic)}; add partitions, and create topics with "
                    "`ledger serve` or an agent rather than by hand"
                )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all, then wait until all are acknowledged."""
        if not messages:
            return
        async with tracing.sending(messages, self._client, self._clock) as traced:
            producer = await self._connected()
            try:
                async with asyncio.timeout(self._publish_s):
                    await _send_all(producer, traced)
            except MessageSizeTooLargeError as error:
                raise BusMisconfigured(
                    f"a message is larger than the bus allows ({error}); shorten its texts"
                ) from None
            except TopicAuthorizationFailedError as error:
                raise BusMisconfigured(
                    f"this program may not write to {error}; grant it WRITE and DESCRIBE"
                ) from None
            except (KafkaError, OSError, TimeoutError) as error:
                self._throw_away(producer)
                raise BusUnavailable(
                    f"the broker at {self._settings.bootstrap} did not take "
                    f"{len(messages):,} messages ({what(error)}); they are sent again later"
                ) from None

    async def join(self, topic: str, group: str) -> KafkaMember:
        """Become a member of `group` on `topic`."""
        await self.ensure_topics([topic])
        member = KafkaMember(self._options, topic, group, self._clock)
        await self._opened(member)
        return member

    async def read(self, topic: str, positions: Mapping[int, int]) -> KafkaReader:
        """Read all of `topic`."""
        await self.ensure_topics([topic])
        found = await self._bounded(self._partitions([topic]), START_S)
        reader = KafkaReader(self._options, topic, positions, found[topic], self._clock)
        await self._opened(reader)
        return reader

    async def close(self) -> None:
        """Close every reader, then the producer; each within its own deadline."""
        self._closed = True
        for reader in self._open:
            await reader.close()
        self._open.clear()
        if self._producer is not None:
            self._throw_away(self._producer)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=2 * STOP_S)

    async def _opened(self, reader: KafkaReader) -> None:
        await reader.open()
        self._open = [other for other in self._open if not other.closed]
        self._open.append(reader)

    async def _connected(self) -> AIOKafkaProducer:
        """The producer, made and started when there is none."""
        async with self._connecting:
            if self._closed:
                raise BusUnavailable("this bus is closed; make another one")
            if self._producer is None:
                self._producer = await self._connect()
            return self._producer

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**self._options, **PRODUCER_OPTIONS)
        try:
            async with asyncio.timeout(START_S):
                await producer.start()
            hosts = [broker.host for broker in producer.client.cluster.brokers()]
            security.check_hosts(self._settings, hosts)
        except (KafkaError, OSError, TimeoutError) as error:
            self._throw_away(producer)
            raise BusUnavailable(
                f"the broker at {self._settings.bootstrap} cannot be reached ({what(error)}); "
                "check that it runs, its address, and the login and certificates"
            ) from None
        except BaseException:
            self._throw_away(producer)
            raise
        return producer

    def _throw_away(self, producer: AIOKafkaProducer) -> None:
        """Forget `producer` now, stop it in the background."""
        if self._producer is producer:
            self._producer = None
        task = asyncio.create_task(_stop(producer), name="kafka-producer-stop")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each topic has; 0 when it does not exist. Creates nothing."""
        producer = await self._connected()
        cluster = await producer.client.fetch_all_metadata()
        return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}

    async def _led(self, topics: Iterable[str]) -> None:
        """Return when every partition of new topics has a leader that can be talked to."""
        producer = await self._connected()
        waiting = set(topics)
        while waiting:
            cluster = await producer.client.fetch_all_metadata()
            waiting = {
                topic
                for topic in waiting
                if len(cluster.available_partitions_for_topic(topic) or ()) < partitions_of(topic)
            }
            if waiting:
                await self._clock.sleep(NEW_TOPIC_S)

    async def _create(self, topics: Iterable[str]) -> None:
        producer = await self._connected()
        brokers = len(producer.client.cluster.brokers()) or 1
        timeout_ms = PRODUCER_OPTIONS["request_timeout_ms"]
        options = self._options | {"request_timeout_ms": timeout_ms}
        await create_topics(options, topics, self._settings.replication_factor, brokers)

    async def _bounded(self, call: Coroutine[Any, Any, T], deadline_s: float) -> T:
        """The result of `call`, or `BusUnavailable` when it fails or takes too long."""
        try:
            async with asyncio.timeout(deadline_s):
                return await call
        except (KafkaError, OSError, TimeoutError) as error:
            if self._producer is not None:
                self._throw_away(self._producer)
            raise BusUnavailable(
                f"the broker at {self._settings.bootstrap} does not answer ({what(error)}); "
                "check that it runs"
            ) from None


async def _first_of(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Return when one has ended well. Raises what the last one raised when none does."""
    waiting, error = set(tasks), None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if error is None:
                return
    if error is not None:
        raise error


async def _knock(server: str) -> None:
    """Connect to `host:port` and let go again."""
    host, _, port = server.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()


async def _send_all(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Hand all messages to the producer, then wait for every acknowledgement."""
    sent: list[asyncio.Future[Any]] = []
    try:
        for message in messages:
            sent.append(
                await producer.send(
                    message.topic,
                    value=message.value,
                    key=message.key.encode(),
                    headers=list(message.headers),
                )
            )
        for acknowledged in sent:
            await acknowledged
    finally:
        for acknowledged in sent:
            if not acknowledged.cancel() and not acknowledged.cancelled():
                acknowledged.exception()


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop `producer` within `STOP_S`; what it still holds is failed, so that nothing waits."""
    producer._message_accumulator.fail_all(KafkaConnectionError("the producer was thrown away"))
    for part in (producer.stop, producer.client.close):
        try:
            async with asyncio.timeout(STOP_S):
                await part()
        except (Exception, asyncio.CancelledError) as error:
            logger.debug("a producer that was thrown away did not stop cleanly: %s", what(error))
