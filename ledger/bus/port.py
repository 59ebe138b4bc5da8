"""The bus: what the ledger and the agents need of a transport, and what they must not assume.

Delivery is at least once and in order per key. Nothing is true because it is on the bus: what was
sent can be sent again from the log, what was answered can be read again from the journals. So every
call here may fail with `BusUnavailable`, and its caller tries again later.

Two ways of reading:

- a **group** shares a topic among its members (commands). Partitions may move between members at
  any time; a position is committed after the work, and work is never tied to owning a partition.
- a **reader** gets every message of a topic, from the positions its caller kept (reports, content,
  heartbeats); it belongs to no group and commits nothing. A position that the topic no longer has
  (another topic of the same name, retention, an emptied broker) becomes the earliest one.

```
publish ──▶ topic ──▶ partition = hash(key) ──▶ poll() ─▶ work ─▶ commit(partition, next offset)
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ledger.contracts.messages import Message as Message
from ledger.contracts.messages import Received as Received


class BusError(Exception):
    """Something is wrong between this process and the bus."""


class BusUnavailable(BusError):
    """The broker did not answer in time; nothing is lost, the caller tries again."""


class BusMisconfigured(BusError):
    """The broker answers, but it cannot be used as it is; the message says what to change."""


class Reader(Protocol):
    """Reads every message of one topic from kept positions."""

    @property
    def behind(self) -> int:
        """How many messages the topic has that were not delivered, as far as that is known."""

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """Up to `limit` messages; empty when none came in `timeout_s`. Never cancel it midway."""

    async def close(self) -> None:
        """Stop reading; bounded by the adapter's own deadline."""


class GroupMember(Protocol):
    """Shares one topic with the other members of its group."""

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        """As `Reader.poll`; must be called regularly, also while work is under way."""

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Keep, per partition, the next offset to read. A refusal is not an error: the partition
        moved, its new owner gets the messages again and answers from the journal.
        """

    def pause(self) -> None:
        """Deliver nothing until `resume`, while `poll` keeps the membership alive."""

    def resume(self) -> None:
        """Deliver again."""

    async def close(self) -> None:
        """Leave the group; bounded by the adapter's own deadline."""


class Bus(Protocol):
    """One connection of a process to the bus."""

    @property
    def system(self) -> str:
        """What the conventions for messaging call it; empty where messages stay in the process."""

    async def start(self) -> None:
        """Connect. Raises `BusUnavailable` or `BusMisconfigured`."""

    async def probe(self) -> None:
        """Ask whether the broker answers, for a second. Raises `BusUnavailable` when it does not.

        Readers notice nothing of a broker that is gone: they wait for it by themselves.
        """

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Create what is missing with the right number of partitions; check what is there.

        Raises `BusMisconfigured` when a topic has fewer partitions than it needs.
        """

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all and wait until the bus holds them. Raises `BusUnavailable`; then any part of
        them may have been sent.
        """

    async def join(self, topic: str, group: str) -> GroupMember:
        """Become a member of `group` on `topic`, from the earliest message it has not finished."""

    async def read(self, topic: str, positions: Mapping[int, int]) -> Reader:
        """Read all of `topic` from these next offsets; partitions not named from the earliest."""

    async def close(self) -> None:
        """Let go of everything; bounded by the adapter's own deadline."""
