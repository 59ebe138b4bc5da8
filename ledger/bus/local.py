"""The bus inside one process: the semantics of Kafka in a few lists, without its machinery.

One `LocalBroker` is shared by all `LocalBus` objects of a process. It forgets everything when the
process ends, and nothing is lost by that: unanswered orders are sent again from the log.

```
LocalBroker ── topic ── partitions: records from `start` on, bounded by RETAINED_BYTES
            └─ group ── members, each with some partitions; committed offsets per partition
```
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.bus.port import BusMisconfigured, BusUnavailable, Message, Received
from ledger.contracts.topics import partitions_of
from migrations.clock import SYSTEM_CLOCK, Clock, happens_within

RETAINED_BYTES = 64 * 1024 * 1024
"""Per partition; older records are dropped, as a broker's retention would."""


@dataclass(slots=True)
class Partition:
    """The records of a partition; `start` is the offset of the first one that is left."""

    start: int = 0
    records: deque[Received] = field(default_factory=deque)
    size: int = 0

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return self.start + len(self.records)

    def append(self, record: Received) -> None:
        """Add `record`, drop what is too much."""
        self.records.append(record)
        self.size += len(record.value)
        while self.size > RETAINED_BYTES and len(self.records) > 1:
            self.size -= len(self.records.popleft().value)
            self.start += 1

    def since(self, offset: int, limit: int) -> list[Received]:
        """Up to `limit` records from `offset`; from the earliest when it is out of range."""
        first = offset - self.start if self.start <= offset <= self.end else 0
        return [self.records[at] for at in range(first, min(first + limit, len(self.records)))]


@dataclass(slots=True)
class Group:
    """The members of a group on one topic, and how far they have finished."""

    members: list[LocalMember] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)


class LocalBroker:
    """What all buses of one process share."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self._topics: dict[str, list[Partition]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._listeners: dict[str, dict[asyncio.Event, None]] = {}

    def create(self, topic: str, partitions: int) -> None:
        """Make `topic`, unless it is there."""
        self._topics.setdefault(topic, [Partition() for _ in range(partitions)])

    def partitions(self, topic: str) -> list[Partition]:
        """The partitions of `topic`. Raises `BusUnavailable` when it does not exist."""
        if topic not in self._topics:
            raise BusUnavailable(f"there is no topic {topic}; create it first")
        return self._topics[topic]

    def exists(self, topic: str) -> bool:
        """Whether `topic` was created."""
        return topic in self._topics

    def append(self, message: Message) -> None:
        """Add a message to the partition of its key and wake whoever listens."""
        partitions = self.partitions(message.topic)
        index = zlib.crc32(message.key.encode()) % len(partitions)
        partition = partitions[index]
        partition.append(
            Received(
                message.topic, index, partition.end, message.key, message.value, message.headers
            )
        )
        for event in self._listeners.get(message.topic, ()):
            event.set()

    def listen(self, topic: str, event: asyncio.Event) -> None:
        """Set `event` whenever something arrives on `topic`."""
        self._listeners.setdefault(topic, {})[event] = None

    def ignore(self, topic: str, event: asyncio.Event) -> None:
        """Leave `event` alone from now on."""
        self._listeners.get(topic, {}).pop(event, None)

    def group(self, topic: str, name: str) -> Group:
        """The group of that name on `topic`."""
        return self._groups.setdefault((topic, name), Group())

    def share_out(self, topic: str, group: Group) -> None:
        """Deal the partitions to the members; who keeps one keeps its place in it."""
        owned: dict[LocalMember, list[int]] = {member: [] for member in group.members}
        for index in range(len(self.partitions(topic))):
            if group.members:
                owned[group.members[index % len(group.members)]].append(index)
        for member, partitions in owned.items():
            member.own(partitions)


class LocalReader:
    """Reads all partitions of a topic from given positions."""

    def __init__(self, broker: LocalBroker, topic: str, positions: Mapping[int, int]) -> None:
        self._broker = broker
        self._topic = topic
        self._positions = dict(positions)
        self._arrived = asyncio.Event()
        self._closed = False
        broker.listen(topic, self._arrived)

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """As `ledger.bus.port.Reader.poll`."""
        if not (found := self._take(limit)):
            self._arrived.clear()
            if not await happens_within(self._broker.clock, self._arrived, timeout_s):
                return ()
            found = self._take(limit)
        return found

    async def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._broker.ignore(self._topic, self._arrived)

    def _take(self, limit: int) -> list[Received]:
        if self._closed:
            raise BusUnavailable("this reader is closed; open another one")
        found: list[Received] = []
        partitions = self._broker.partitions(self._topic)
        for index in range(len(partitions)):
            found += partitions[index].since(self._positions.get(index, 0), limit - len(found))
        for record in found:
            self._positions[record.partition] = record.offset + 1
        return found


class LocalMember(LocalReader):
    """A member of a group: reads the partitions that it was dealt."""

    def __init__(self, broker: LocalBroker, topic: str, group: Group) -> None:
        super().__init__(broker, topic, {})
        self._group = group
        self._owned: list[int] = []
        self._paused = False
        group.members.append(self)
        broker.share_out(topic, group)

    def own(self, partitions: Sequence[int]) -> None:
        """These are this member's partitions now; new ones start where the group has finished."""
        for index in partitions:
            if index not in self._owned:
                self._positions[index] = self._group.committed.get(index, 0)
        self._owned = list(partitions)
        self._arrived.set()

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Keep the next offsets of partitions that are still this member's."""
        self._group.committed.update(
            {index: offset for index, offset in positions.items() if index in self._owned}
        )

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False
        self._arrived.set()

    async def close(self) -> None:
        """Leave the group; the others get this member's partitions."""
        if not self._closed:
            await super().close()
            self._group.members.remove(self)
            self._broker.share_out(self._topic, self._group)

    def _readable(self, count: int) -> Iterable[int]:
        return () if self._paused else tuple(self._owned)


class LocalBus:
    """One program's way to the broker of its own process."""

    system = ""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self._open: list[LocalReader] = []
        self._closed = False

    async def start(self) -> None:
        """Nothing to connect."""

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Create what is missing. Raises `BusMisconfigured` for too few partitions."""
        self._check_open()
        for topic in topics:
            self._broker.create(topic, partitions_of(topic))
            found = len(self._broker.partitions(topic))
            if found < partitions_of(topic):
                raise BusMisconfigured(
                    f"topic {topic} has {found} partitions and needs {partitions_of(topic)}; "
                    "add partitions"
                )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append all. Raises `BusUnavailable` when a topic does not exist."""
        self._check_open()
        for message in messages:
            self._broker.append(message)

    async def join(self, topic: str, group: str) -> LocalMember:
        """Become a member of `group` on `topic`."""
        await self.ensure_topics([topic])
        member = LocalMember(self._broker, topic, self._broker.group(topic, group))
        self._open.append(member)
        return member

    async def read(self, topic: str, positions: Mapping[int, int]) -> LocalReader:
        """Read all of `topic`."""
        await self.ensure_topics([topic])
        reader = LocalReader(self._broker, topic, positions)
        self._open.append(reader)
        return reader

    async def close(self) -> None:
        """Close every reader and member of this bus."""
        self._closed = True
        for reader in self._open:
            await reader.close()
        self._open.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("this bus is closed; make another one")
