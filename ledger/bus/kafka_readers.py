"""Reading from Apache Kafka: readers of whole topics, and members of a group.

What aiokafka makes easy to get wrong, and what is done here about it:

- a cancelled `getmany` switches off the check of the poll interval for good: a poll is never
  cancelled, it runs in a task of its own, and whoever asks next gets its messages.
- a member that was evicted still believes in its assignment: positions are committed, refusals are
  noted and nothing else; the fence in the target databases is the safety.
- a member can get stuck after its id was forgotten: repeated refusals make a new consumer.
- a member's positions belong to one assignment: after a rebalance, and when a broker came back
  empty, reading begins anew, so only what was read since then is committed.
- defaults that lose messages (`auto_offset_reset=latest`, automatic commits): all are set here.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ledger.bus import tracing
from ledger.bus.port import BusUnavailable, Received
from migrations.clock import Clock

logger = logging.getLogger(__name__)

OPEN_S = 60.0
"""Joining a group waits for members that died: their session time-out, and a rebalance."""
COMMIT_S = 10.0
CLOSE_S = 5.0
_WORDS = re.compile(r"[A-Z][a-z]*")
REFUSALS = 3
"""Commits refused in a row until the consumer is taken for stuck and replaced."""

CONSUMER_OPTIONS: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "isolation_level": "read_uncommitted",
    "request_timeout_ms": 15_000,
    "metadata_max_age_ms": 30_000,
    "retry_backoff_ms": 100,
    "fetch_max_wait_ms": 500,
    "fetch_min_bytes": 1,
    "max_partition_fetch_bytes": 1024 * 1024,
    "check_crcs": True,
}
"""Nothing is left to a default. No transactions are used, so `read_uncommitted` reads all."""

GROUP_OPTIONS: dict[str, Any] = {
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 3_000,
    "max_poll_interval_ms": 24 * 3600 * 1000,
    "rebalance_timeout_ms": 30_000,
}
"""The poll interval is huge: agents poll all the time, and a member without partitions that missed
it could never come back."""


class KafkaReader:
    """Reads all partitions of a topic; the caller keeps the positions."""

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        positions: Mapping[int, int],
        partitions: int,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._options = dict(options)
        self._topic = topic
        self._positions = dict(positions)
        self._partitions = partitions
        self._client = tracing.Client.of(options["client_id"], options["bootstrap_servers"])
        self._consumer: AIOKafkaConsumer | None = None
        self._polling: asyncio.Task[list[Received]] | None = None
        self.behind = 0
        self.closed = False

    async def open(self) -> AIOKafkaConsumer:
        """Connect. Raises `BusUnavailable`."""
        consumer = self._make()
        self._consumer = consumer
        try:
            async with asyncio.timeout(OPEN_S):
                await consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._let_go()
            raise BusUnavailable(
                f"{self._topic} cannot be read ({what(error)}); "
                "check that the broker runs and that this program may READ the topic and group"
            ) from None
        except BaseException:
            await self._let_go()
            raise
        return consumer

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """As `ledger.bus.port.Reader.poll`. Raises `BusUnavailable`."""
        if self.closed:
            raise BusUnavailable("this reader is closed; open another one")
        if self._polling is None:
            self._polling = asyncio.create_task(
                self._poll(timeout_s, limit), name=f"kafka-poll-{self._topic}"
            )
        polling = self._polling
        await asyncio.wait([polling])
        self._polling = None
        return polling.result()

    async def close(self) -> None:
        """Let the poll return, then leave; both within `CLOSE_S`."""
        self.closed = True
        if self._polling is not None:
            await asyncio.wait([self._polling], timeout=CLOSE_S)
        await self._let_go()

    def _make(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(group_id=None, **self._options, **CONSUMER_OPTIONS)

    async def _poll(self, timeout_s: float, limit: int) -> list[Received]:
        try:
            consumer = await self._ready(self._consumer or await self.open())
            with tracing.receiving(self._topic, self._client, self._clock) as received:
                batches = await consumer.getmany(
                    timeout_ms=int(timeout_s * 1000), max_records=limit
                )
                for records in batches.values():
                    received += map(_received, records)
        except (KafkaError, OSError) as error:
            await self._let_go()
            raise BusUnavailable(
                f"{self._topic} cannot be read ({what(error)}); the next poll connects again"
            ) from None
        self._read(received)
        self.behind = self._left(consumer) if received else 0
        return received

    def _left(self, consumer: AIOKafkaConsumer) -> int:
        """How many messages are behind those that were read, where the broker told the end."""
        ends = ((one.partition, consumer.highwater(one)) for one in consumer.assignment())
        known = ((end, self._positions.get(number)) for number, end in ends)
        return sum(max(end - place, 0) for end, place in known if end and place is not None)

    def _read(self, messages: Sequence[Received]) -> None:
        """Take note of how far reading has come."""
        for message in messages:
            self._positions[message.partition] = message.offset + 1

    async def _ready(self, consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
        """Read every partition that the topic has by now."""
        known = consumer.partitions_for_topic(self._topic) or ()
        self._partitions = max(self._partitions, len(known))
        if len(consumer.assignment()) < self._partitions:
            all_ = [TopicPartition(self._topic, number) for number in range(self._partitions)]
            consumer.assign(all_)
            for partition in all_:
                if partition.partition in self._positions:
                    consumer.seek(partition, self._positions[partition.partition])
        return consumer

    async def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        stop = asyncio.create_task(consumer.stop(), name=f"kafka-consumer-stop-{self._topic}")
        await asyncio.wait([stop], timeout=CLOSE_S)
        if not stop.done():
            stop.cancel()
            await asyncio.wait([stop], timeout=1.0)
        if stop.done() and not stop.cancelled() and stop.exception() is not None:
            logger.debug("a consumer of %s did not stop cleanly", self._topic)


class _Anew(ConsumerRebalanceListener):  # type: ignore[misc]
    """Says when partitions were assigned."""

    def __init__(self, assigned: Callable[[], None]) -> None:
        self._assigned = assigned

    def on_partitions_revoked(self, revoked: object) -> None:
        """Work goes on, whoever owns its partition."""

    def on_partitions_assigned(self, assigned: object) -> None:
        """Tell."""
        self._assigned()


class KafkaMember(KafkaReader):
    """A member of a group on one topic."""

    def __init__(self, options: Mapping[str, Any], topic: str, group: str, clock: Clock) -> None:
        super().__init__(options, topic, {}, 0, clock)
        self._client = replace(self._client, group=group)
        self._group = group
        self._began: dict[int, int] = {}
        self._paused = False
        self._refusals = 0

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Keep the next offset of each partition. Raises `BusUnavailable` without an answer.

        Offsets from before the assignment, or beyond what was read in it, are left out: what they
        stand for is read again, and finished with that.
        """
        consumer = self._consumer
        if not positions or consumer is None:
            return
        mine = {
            TopicPartition(self._topic, partition): offset
            for partition, offset in positions.items()
            if TopicPartition(self._topic, partition) in consumer.assignment()
            and self._was_read(partition, offset)
        }
        if not mine:
            # All of them moved, or were not read again yet. aiokafka takes an empty commit for a
            # mistake of its caller.
            return
        try:
            with tracing.settling(self._topic, self._client, self._clock):
                async with asyncio.timeout(COMMIT_S):
                    await consumer.commit(mine)
            self._refusals = 0
        except (CommitFailedError, IllegalStateError) as error:
            self._refusals += 1
            logger.debug("positions of %s were not kept: %s", self._topic, error)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BusUnavailable(
                f"positions of {self._topic} were not kept ({what(error)}); "
                "they are kept with the next commit"
            ) from None

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False
        if self._consumer is not None:
            self._consumer.resume(*self._consumer.paused())

    def _make(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            group_id=self._group, **self._options, **CONSUMER_OPTIONS, **GROUP_OPTIONS
        )
        consumer.subscribe([self._topic], listener=_Anew(self._begin))
        return consumer

    def _begin(self) -> None:
        """Another assignment: nothing of it has been read."""
        self._began.clear()
        self._positions.clear()

    def _read(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self._began.setdefault(message.partition, message.offset)
        super()._read(messages)

    def _was_read(self, partition: int, offset: int) -> bool:
        """Whether reading has come past `offset` in this assignment."""
        began, reached = self._began.get(partition), self._positions.get(partition)
        return began is not None and reached is not None and began <= offset <= reached

    async def _ready(self, consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
        """Replace a stuck consumer; keep partitions that came while paused quiet too."""
        if self._refusals >= REFUSALS:
            self._refusals = 0
            await self._let_go()
            consumer = await self.open()
        if self._paused:
            consumer.pause(*(consumer.assignment() - consumer.paused()))
        return consumer


def _received(record: ConsumerRecord) -> Received:
    key = record.key or b""
    return Received(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=key.decode("utf-8", "backslashreplace"),
        value=record.value or b"",
        headers=tuple((name, value or b"") for name, value in record.headers),
    )


def what(error: BaseException) -> str:
    """What went wrong in words: aiokafka's own texts begin with the name of a class."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    name, text = type(error).__name__, str(error)
    text = text.removeprefix(name).removeprefix(":").strip()
    if text.startswith("Unable to bootstrap"):
        # What follows is how Python writes addresses.
        return "nobody answers there"
    return text or " ".join(_WORDS.findall(name.removesuffix("Error"))).lower()
