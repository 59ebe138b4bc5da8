"""The bus inside one process: the semantics of Kafka in a few lists, without its machinery.

One `LocalBroker` is shared by all `LocalBus` objects of a process. It forgets everything when the
process ends, and nothing is lost by that: unanswered orders are sent again from the log.

```
LocalBroker ── topic ── partitions: records from `start` on
            ├─ readers ── the next offset per partition
            └─ group ── members, each with some partitions; committed offsets per partition
```

A record goes when every reader has taken it and every group has committed it, except for the last
few, which whoever comes late may still want. What nobody takes is bounded, too.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ledger.bus.port import BusMisconfigured, BusUnavailable, Message, Received
from ledger.contracts.topics import partitions_of
from migrations.clock import SYSTEM_CLOCK, Clock, happens_within

RETAINED_BYTES = 64 * 1024 * 1024
"""Of a topic, shared out to its partitions; older records go, as they would on a broker. What is
lost by that is sent again: orders from the log, answers from the journals."""
TAKEN_BYTES = 1024 * 1024
"""As above, of what everybody has taken."""
RECORD_BYTES = 500
"""What a record takes beside its value and its headers, about."""


@dataclass(slots=True)
class Partition:
    """The records of a partition; `start` is the offset of the first one that is left.

    `share` is its part of what its topic may hold.
    """

    share: float = 1.0
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
        self.size += _size(record)
        self._drop(self.end - 1, RETAINED_BYTES * self.share)

    def taken(self, upto: int) -> None:
        """Everybody has what is before this offset: drop it, except for a little."""
        self._drop(upto, TAKEN_BYTES * self.share)

    def since(self, offset: int, limit: int) -> list[Received]:
        """Up to `limit` records from `offset`; from the earliest when it is out of range."""
        first = offset - self.start if self.start <= offset <= self.end else 0
        return list(islice(self.records, first, first + limit))

    def _drop(self, before: int, bytes_left: float) -> None:
        while self.size > bytes_left and self.start < before:
            self.size -= _size(self.records.popleft())
            self.start += 1


def _size(record: Received) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return RECORD_BYTES + len(record.value) + headers


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
        self._readers: dict[str, dict[LocalReader, None]] = {}

    def create(self, topic: str, partitions: int) -> None:
        """Make `topic`, unless it is there."""
        share = 1 / partitions
        self._topics.setdefault(topic, [Partition(share) for _ in range(partitions)])

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
        for reader in self._readers.get(message.topic, ()):
            reader.arrived()

    def listen(self, topic: str, reader: LocalReader) -> None:
        """Tell `reader` whenever something arrives on `topic`."""
        self._readers.setdefault(topic, {})[reader] = None

    def ignore(self, topic: str, reader: LocalReader) -> None:
        """Leave `reader` alone from now on."""
        self._readers.get(topic, {}).pop(reader, None)

    def forget_taken(self, topic: str, indexes: Iterable[int]) -> None:
        """Drop, in these partitions, what all readers and groups of `topic` have finished with."""
        partitions = self.partitions(topic)
        for index in indexes:
            offsets = [
                reader.finished(index)
                for reader in self._readers.get(topic, ())
                if not isinstance(reader, LocalMember)
            ]
            offsets += [
                group.committed.get(index, 0)
                for (place, _), group in self._groups.items()
                if place == topic
            ]
            if offsets and index < len(partitions):
                partitions[index].taken(min(offsets))

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
        broker.listen(topic, self)

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """As `ledger.bus.port.Reader.poll`."""
        if not (found := self._take(limit)):
            self._arrived.clear()
            if not await happens_within(self._broker.clock, self._arrived, timeout_s):
                return ()
            found = self._take(limit)
        return found

    @property
    def behind(self) -> int:
        """As `ledger.bus.port.Reader.behind`."""
        partitions = self._broker.partitions(self._topic)
        reached = ((one, self._positions.get(index, 0)) for index, one in enumerate(partitions))
        return sum(max(one.end - max(place, one.start), 0) for one, place in reached)

    async def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._broker.ignore(self._topic, self)

    def arrived(self) -> None:
        """There is something to read."""
        self._arrived.set()

    def finished(self, index: int) -> int:
        """Before which offset of a partition it needs nothing any more."""
        return self._positions.get(index, 0)

    def _take(self, limit: int) -> list[Received]:
        if self._closed:
            raise BusUnavailable("this reader is closed; open another one")
        found: list[Received] = []
        partitions = self._broker.partitions(self._topic)
        for index in self._readable(len(partitions)):
            found += partitions[index].since(self._positions.get(index, 0), limit - len(found))
        for record in found:
            self._positions[record.partition] = record.offset + 1
        self._forget({record.partition for record in found})
        return found

    def _readable(self, count: int) -> Iterable[int]:
        return range(count)

    def _forget(self, indexes: Iterable[int]) -> None:
        self._broker.forget_taken(self._topic, indexes)


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
        owned = {index: offset for index, offset in positions.items() if index in self._owned}
        self._group.committed.update(owned)
        self._broker.forget_taken(self._topic, owned)

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

    def _forget(self, indexes: Iterable[int]) -> None:
        """A member has finished with what it commits."""

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

    async def probe(self) -> None:
        """What is in this process answers."""
        self._check_open()

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
