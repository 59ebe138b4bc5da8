"""Messages that nobody believes: each with an event of its own while there are few, else counted.

A message that is no report of ours costs its sender nothing, and the log keeps what it is told
for ever. So only `EACH` of them a minute are written down by themselves; the others are counted,
and one event stands for all of a partition that came in `SUMMARY_EVERY_S` seconds. Until it is
written the partition's position stays before them, so a new leader counts them again.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from uuid import uuid5

from ledger.bus.port import Received
from ledger.contracts.envelope import NAMESPACE, Encoded, Metadata, encode
from ledger.contracts.events import MessageParked
from migrations.clock import Clock

logger = logging.getLogger(__name__)

EACH = 20
"""Messages in a minute that get an event of their own: enough to see what is wrong."""
MINUTE_S = 60.0
SUMMARY_EVERY_S = 60.0
"""How long messages of a partition gather before one event stands for them."""
WHY_MAX_CHARS = 300


@dataclass(slots=True)
class _Gathered:
    """Messages of one partition that are only counted."""

    first: Received
    why: str
    since: float
    last_offset: int = 0
    count: int = 0
    digest: bytes = b""

    def add(self, message: Received) -> None:
        """Count one more: a chain of hashes stands for all of them, and stays small."""
        self.last_offset = message.offset
        self.count += 1
        own = hashlib.sha256(message.value).digest()
        self.digest = hashlib.sha256(self.digest + own).digest()


class Parking:
    """What is to be written down of messages that were not believed, by partition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = clock.monotonic()
        self._left = EACH
        self._single: dict[int, list[Encoded]] = {}
        self._gathered: dict[int, _Gathered] = {}

    def put(self, message: Received, why: str) -> None:
        """`message` was not believed, and why."""
        now = self._clock.monotonic()
        if now - self._minute >= MINUTE_S:
            self._minute, self._left = now, EACH
        why = why[:WHY_MAX_CHARS]
        if self._left > 0:
            self._left -= 1
            self._single.setdefault(message.partition, []).append(_parked(message, why))
            return
        gathered = self._gathered.setdefault(message.partition, _Gathered(message, why, now))
        gathered.add(message)

    def take(self, partition: int, *, moving: bool) -> list[Encoded]:
        """The events to append now; with `moving`, all of them, because the position moves."""
        events = self._single.pop(partition, [])
        if moving or partition in self.due():
            gathered = self._gathered.pop(partition, None)
            if gathered is not None:
                events.append(_summary(gathered))
        return events

    def holds(self, partition: int) -> bool:
        """Whether messages of this partition are counted that no event stands for yet."""
        return partition in self._gathered

    def due(self) -> list[int]:
        """The partitions whose count is to be written down by now."""
        now = self._clock.monotonic()
        return [
            partition
            for partition, gathered in self._gathered.items()
            if now - gathered.since >= SUMMARY_EVERY_S
        ]


def _parked(message: Received, why: str) -> Encoded:
    place = f"{message.topic}/{message.partition}/{message.offset}"
    digest = hashlib.sha256(message.value).hexdigest()
    logger.warning("parked the message at %s: %s", place, why)
    parked = MessageParked(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        sha256=digest,
        why=why,
    )
    return encode(parked, uuid5(NAMESPACE, f"parked/{place}/{digest}/{why}"), Metadata())


def _summary(gathered: _Gathered) -> Encoded:
    first = gathered.first
    place = f"{first.topic}/{first.partition}/{first.offset}-{gathered.last_offset}"
    digest = gathered.digest.hex()
    logger.warning("%d more messages at %s were parked: %s", gathered.count, place, gathered.why)
    parked = MessageParked(
        topic=first.topic,
        partition=first.partition,
        offset=first.offset,
        sha256=digest,
        why=gathered.why,
        count=gathered.count,
        last_offset=gathered.last_offset,
    )
    return encode(parked, uuid5(NAMESPACE, f"parked/{place}/{digest}"), Metadata())
