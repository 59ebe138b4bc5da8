"""Takes reports from the bus into the log: known ones are dropped by id, none by its place.

The intake reads every partition of the reports topic itself, without a consumer group, from the
positions kept in the ledger. The position moves in the same call that appends, fenced by the
leadership term, so a second intake or a deposed one can neither lose nor double a report.

Several ledgers may share a broker: what agents report to another one is passed over.

A report with a known id and another body contradicts the log: it becomes ReportContradicted. What
cannot be read, is no report, or answers nothing that this ledger asked becomes MessageParked, with
its place and hash.

```
bytes ─▶ for us? ─▶ a report? ─▶ of a stream that we have? ─▶ append, known ones left out
           │ no        │ no            │ no                      └─ known otherwise: contradicted
           ▼           └───────────────┴─▶ parked
        passed over
```
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid5

from ledger.bus.port import Bus, BusError, BusUnavailable, Reader, Received
from ledger.contracts.envelope import (
    NAMESPACE,
    Encoded,
    Metadata,
    UnknownMessage,
    decode,
    encode,
)
from ledger.contracts.events import MessageParked, ReportContradicted
from ledger.contracts.reports import ContentMissing, Event, Report
from ledger.contracts.topics import REPORTS
from ledger.contracts.wire import addressee, decode_report
from ledger.errors import DuplicateEventDiffers
from ledger.leader.subscription import Follower
from ledger.store.connections import Pool
from ledger.store.log.decode import decode_again
from ledger.store.log.log import ConsumerPosition, EventLog
from ledger.store.log.positions import read_positions
from ledger.store.log.streams import known_streams

logger = logging.getLogger(__name__)

POLL_S = 0.2
BATCH = 500
PACE_S = 0.02
"""Between two appends: reports of many agents share one. After a silence nobody waits."""
TRY_AGAIN_S = 1.0
PARKED_STREAM = "ledger"
CONSUMER = "intake/"
"""With the partition's number behind it, the name under which its position is kept."""
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; behind an odd number of backslashes."""
STREAMS_KEPT = 10_000
"""Streams that are known to be there; looking again costs one query."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message with the event that it becomes, and the report in it, if it holds one."""

    stream: str
    event: Encoded
    message: Received
    report: Report | None = None


class Intake:
    """Reads reports and appends them.

    With `keeps_positions` the place in each partition is kept in the ledger; a bus that ends with
    its process has none worth keeping. `missing` hears of every request for texts, known or not.
    """

    def __init__(
        self,
        bus: Bus,
        pool: Pool,
        log: EventLog,
        term: int,
        *,
        ledger: UUID,
        keeps_positions: bool,
        missing: Callable[[ContentMissing], None],
    ) -> None:
        self._bus = bus
        self._ledger = ledger
        self._pool = pool
        self._log = log
        self._term = term
        self._keeps_positions = keeps_positions
        self._missing = missing
        self._streams: set[str] = set()
        self._drained = asyncio.Event()
        self._next_at = 0.0

    async def run(self, follower: Follower) -> None:
        """Take reports until cancelled; a broker that does not answer is tried again for ever.

        Raises `BusMisconfigured`.
        """
        while True:
            try:
                await self._read(follower)
            except BusUnavailable as error:
                logger.warning("reports cannot be read, agents keep them: %s", error)
                await asyncio.sleep(TRY_AGAIN_S)

    async def drained(self) -> None:
        """Return when there was nothing left to take."""
        self._drained = asyncio.Event()
        await self._drained.wait()

    async def _read(self, follower: Follower) -> None:
        await self._bus.ensure_topics([REPORTS])
        reader = await self._bus.read(REPORTS, await self._positions())
        try:
            while True:
                # Whoever asks while this looks must wait for the next look.
                drained = self._drained
                received = await self._gather(reader)
                for partition, messages in _by_partition(received).items():
                    await self._take(partition, messages)
                if received:
                    follower.poke()
                else:
                    drained.set()
        finally:
            # A broker that is gone must not turn being cancelled into trying again.
            with suppress(BusError):
                await reader.close()

    async def _gather(self, reader: Reader) -> list[Received]:
        """What is there, at a pace that lets reports gather: appends cost more than events."""
        received = list(await reader.poll(POLL_S, BATCH))
        if received and len(received) < BATCH:
            loop = asyncio.get_running_loop()
            early_s = self._next_at - loop.time()
            if early_s > 0:
                await asyncio.sleep(early_s)
                received += await reader.poll(0.0, BATCH)
            self._next_at = loop.time() + PACE_S
        return received

    async def _positions(self) -> dict[int, int]:
        if not self._keeps_positions:
            return {}
        saved = await read_positions(self._pool, CONSUMER)
        return {int(name.removeprefix(CONSUMER)): offset for name, offset in saved.items()}

    async def _take(self, partition: int, messages: Sequence[Received]) -> None:
        """Append one partition's messages stream by stream; the last call moves the position."""
        opened = [one for one in map(self._open, messages) if one is not None]
        await self._learn({one.stream for one in opened})
        streams = _by_stream(opened, self._streams)
        place: ConsumerPosition | None = None
        if self._keeps_positions:
            position = messages[-1].offset + 1
            place = ConsumerPosition(f"{CONSUMER}{partition}", position, self._term)
        if not streams and place is not None:
            await self._log.append(PARKED_STREAM, [], consumer=place)
        for index, (stream, events) in enumerate(streams):
            last = index == len(streams) - 1
            await self._append(stream, events, place if last else None)
        for one in opened:
            if isinstance(one.report, ContentMissing):
                self._missing(one.report)

    def _open(self, message: Received) -> Opened | None:
        """What `message` says, or `None` when it is for another ledger."""
        try:
            if addressee(message) != self._ledger:
                return None
            stream, event = decode_report(message)
            report: Event = decode_again(event.type, event.schema_version, event.body)
        except UnknownMessage as unknown:
            return Opened(PARKED_STREAM, _parked(message, unknown.why), message)
        why = _unfit(report, event)
        if why or not isinstance(report, Report):
            return Opened(PARKED_STREAM, _parked(message, why), message)
        return Opened(stream, event, message, report)

    async def _learn(self, streams: set[str]) -> None:
        """Find out which of these streams of reports belong to something that was asked here."""
        decisions = {decided_in(stream): stream for stream in streams - self._streams}
        if len(self._streams) > STREAMS_KEPT:
            self._streams.clear()
            decisions = {decided_in(stream): stream for stream in streams}
        if decisions:
            known = await known_streams(self._pool, list(decisions))
            self._streams.update(decisions[stream] for stream in known)

    async def _append(
        self, stream: str, events: Sequence[Encoded], place: ConsumerPosition | None
    ) -> None:
        try:
            await self._log.append(stream, events, skip_known=True, consumer=place, term=self._term)
        except DuplicateEventDiffers:
            for event in events:
                await self._append_one(stream, event)
            await self._log.append(stream, [], consumer=place)

    async def _append_one(self, stream: str, event: Encoded) -> None:
        try:
            await self._log.append(stream, [event], skip_known=True, term=self._term)
        except DuplicateEventDiffers as differs:
            report = decode(event.type, event.schema_version, event.body)
            if not isinstance(report, Report):
                raise
            logger.warning("a report contradicts the log: %s", differs)
            contradiction = _contradiction(event, report, str(differs))
            await self._log.append(stream, [contradiction], skip_known=True, term=self._term)


def _by_partition(received: Iterable[Received]) -> dict[int, list[Received]]:
    partitions: dict[int, list[Received]] = {}
    for message in received:
        partitions.setdefault(message.partition, []).append(message)
    return partitions


def _by_stream(opened: Iterable[Opened], known: Collection[str]) -> list[tuple[str, list[Encoded]]]:
    """The events by stream, each stream in its order of arrival; those of unknown ones parked."""
    streams: dict[str, dict[object, Encoded]] = {}
    for one in opened:
        stream, event = one.stream, one.event
        if stream != PARKED_STREAM and stream not in known:
            event = _parked(one.message, f"nothing was asked in {decided_in(stream)}")
            stream = PARKED_STREAM
        same = streams.setdefault(stream, {})
        key: object = event.event_id
        if key in same and same[key].body != event.body:
            key = (event.event_id, event.body)
        same.setdefault(key, event)
    return [(stream, list(events.values())) for stream, events in streams.items()]


def _unfit(report: Event, event: Encoded) -> str:
    """Why this cannot be taken for a report, if it cannot."""
    if not isinstance(report, Report):
        return f"{event.type} is nothing that an agent reports"
    if b"u0000" in event.body and NUL.search(event.body):
        return "a text in it holds a NUL, which no table can keep"
    return ""


def decided_in(reports: str) -> str:
    """The stream whose orders the reports in this one answer."""
    return reports.removesuffix("/reports")


def _parked(message: Received, why: str) -> Encoded:
    digest = hashlib.sha256(message.value).hexdigest()
    logger.warning(
        "parked the message at %s/%d/%d: %s",
        *(message.topic, message.partition, message.offset, why),
    )
    parked = MessageParked(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        sha256=digest,
        why=why,
    )
    name = f"parked/{message.topic}/{message.partition}/{message.offset}/{digest}/{why}"
    return encode(parked, uuid5(NAMESPACE, name), Metadata())


def _contradiction(event: Encoded, report: Report, why: str) -> Encoded:
    contradiction = ReportContradicted(
        database=report.database,
        command=report.command,
        report_id=event.event_id,
        report_type=event.type,
        body=event.body.decode(),
        why=why,
    )
    digest = hashlib.sha256(event.body).hexdigest()
    event_id = uuid5(NAMESPACE, f"contradiction/{event.event_id}/{digest}")
    return encode(contradiction, event_id, Metadata())
