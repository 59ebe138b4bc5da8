"""Takes reports from the bus into the log: known ones are dropped by id, none by its place.

The intake reads every partition of the reports topic itself, without a consumer group, from the
positions kept in the ledger. The position moves in the same call that appends, fenced by the
leadership term, so a second intake or a deposed one can neither lose nor double a report.

Several ledgers may share a broker: what agents report to another one is passed over.

Whoever may write to the topic can say anything. Only what answers an order of its own stream is
taken for a fact (`ledger.domain.report_check`), if somebody signed it who may speak for the order's
pool (`ledger.leader.signatures`); the rest is kept by its place and hash, each by
itself or counted (`ledger.leader.parking`), and stops nothing. A report with a known id and another
body is what another delivery of its command has to say: what was said first stands, and the other
is passed over, unless it takes something of that back. Then it contradicts the log: it becomes
ReportContradicted, and says whether the two leave the database in two different states.

```
bytes ─▶ for us? ─▶ a report? ─▶ answers an order? ─▶ signed? ─▶ append, known ones left out
           │ no        │ no          │ no                │ no  ├─ known otherwise: contradicted,
           │           │             │                   │     │  or passed over: takes nothing back
           │           │             │                   │     └─ of a check: appended if it is news
           ▼           └─────────────┴───────────────────┴─▶ parked
        passed over
```
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from ledger import telemetry
from ledger.bus.port import Bus, BusError, BusUnavailable, Received
from ledger.contracts.envelope import (
    NAMESPACE,
    Encoded,
    Metadata,
    UnknownMessage,
    decode_metadata,
    encode,
    report_id,
)
from ledger.contracts.events import EVENT_TYPES, ReportContradicted
from ledger.contracts.reports import ContentMissing, DatabaseInspected, Event, Report
from ledger.contracts.statements import REPORTS as SIGNED_REPORTS
from ledger.contracts.topics import REPORTS
from ledger.contracts.wire import addressee, decode_report
from ledger.domain.report_check import (
    Asked,
    claims_another_effect,
    contradicts,
    decided_in,
    difference,
    why_unbelieved,
)
from ledger.errors import DuplicateEventDiffers
from ledger.leader.look_desk import LookDesk, check_of
from ledger.leader.order_book import OrderBook
from ledger.leader.parking import Parking
from ledger.leader.report_queue import ReportQueue
from ledger.leader.signatures import Speakers
from ledger.leader.subscription import Follower
from ledger.store.log.decode import decode_again, holds_nul
from ledger.store.port import ConsumerPosition, Log
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock

logger = logging.getLogger(__name__)

PARKED_STREAM = "ledger"
CONSUMER = "intake/"
"""With the partition's number behind it, the name under which its position is kept."""
CONTRADICTIONS = 5
"""Contradictions of one command that are kept with what they say; more are parked."""
COMMANDS_KEPT = 10_000
"""Contradicted commands that are remembered."""
CONTRADICTION_MAX_BYTES = 64 * 1024
"""Of a contradiction's text; a longer one is known by its hash in the id alone."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message with the report in it, and the stream and the event that it becomes.

    The report has the snapshot of a schema, if one was sent; the event does not.
    """

    stream: str
    event: Encoded
    message: Received
    report: Report


class Intake:
    """Reads reports and appends them.

    With `keeps_positions` the place in each partition is kept in the ledger; a bus that ends with
    its process has none worth keeping. `missing` hears of every request for texts, known or not.
    `orders` knows what was asked, and `looks` what by checks, whose answers go to it; `speakers`
    who may answer; without them everybody on the bus may.
    """

    def __init__(
        self,
        bus: Bus,
        log: Log,
        term: int,
        *,
        ledger: UUID,
        keeps_positions: bool,
        missing: Callable[[ContentMissing], None],
        orders: OrderBook,
        looks: LookDesk,
        clock: Clock,
        chance: Chance,
        speakers: Speakers | None = None,
    ) -> None:
        self._bus = bus
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._term = term
        self._keeps_positions = keeps_positions
        self._missing = missing
        self._orders = orders
        self._looks = looks
        self._speakers = speakers
        self._parking = Parking(clock)
        self._reached: dict[int, int] = {}
        self._contradicted: OrderedDict[tuple[UUID, bool], int] = OrderedDict()
        self.queue = ReportQueue(clock, this_process=not keeps_positions)
        """Knows how much waits to be taken, and when nothing does."""
        self._backoff = Backoff(clock, chance)

    async def run(self, follower: Follower) -> None:
        """Take reports until cancelled; a broker that does not answer is tried again for ever.

        Raises `BusMisconfigured`.
        """
        while True:
            try:
                await self._read(follower)
            except BusUnavailable as error:
                logger.warning("reports cannot be read, agents keep them: %s", error)
                await self._backoff.wait()

    async def _read(self, follower: Follower) -> None:
        await self._bus.ensure_topics([REPORTS])
        reader = await self._bus.read(REPORTS, await self._positions())
        try:
            while True:
                received = await self.queue.next(reader)
                self._backoff.reset()
                taken = _by_partition(received)
                for partition, messages in taken.items():
                    await self._take(partition, messages)
                for partition in self._parking.due():
                    await self._take(partition, ())
                if received:
                    follower.poke()
                self.queue.taken()
        finally:
            # A broker that is gone must not turn being cancelled into trying again.
            with suppress(BusError):
                await reader.close()

    async def _positions(self) -> dict[int, int]:
        if not self._keeps_positions:
            return {}
        saved = await self._log.positions(CONSUMER)
        return {int(name.removeprefix(CONSUMER)): offset for name, offset in saved.items()}

    async def _take(self, partition: int, messages: Sequence[Received]) -> None:
        """Append one partition's messages stream by stream; the last call moves the position."""
        origins = (telemetry.extract(one.headers) for one in messages)
        told = {telemetry.MESSAGING_BATCH: len(messages)}
        with telemetry.span_of(telemetry.INTAKE_SPAN, told, origins):
            await self._take_in(partition, messages)

    async def _take_in(self, partition: int, messages: Sequence[Received]) -> None:
        answers = await self._believed(messages)
        streams = _by_stream([one for one in answers if check_of(one.stream) is None])
        await self._take_looks([one for one in answers if check_of(one.stream) is not None])
        if messages:
            self._reached[partition] = messages[-1].offset + 1
        parked = self._parking.take(partition, moving=bool(streams))
        place: ConsumerPosition | None = None
        if self._keeps_positions and not self._parking.holds(partition):
            name = f"{CONSUMER}{partition}"
            place = ConsumerPosition(name, self._reached[partition], self._term)
        last = len(streams) - 1
        for index, (stream, said) in enumerate(streams):
            await self._append(stream, said, place if index == last and not parked else None)
        if parked:
            await self._log.append(
                PARKED_STREAM, parked, skip_known=True, consumer=place, term=self._term
            )
        elif not streams and place is not None:
            await self._log.append(PARKED_STREAM, [], consumer=place)
        for one in answers:
            if isinstance(one.report, ContentMissing):
                self._missing(one.report)

    async def _take_looks(self, answers: Sequence[Opened]) -> None:
        """Append what is news of the answers that a check waits for, and let it have them all."""
        awaited = self._looks.awaited(answers)
        news = [answers[number] for number, one in awaited.items() if one.is_news]
        for stream, said in _by_stream(news):
            await self._append(stream, said, None)
        if awaited:
            events = ((one, answers[number].event) for number, one in awaited.items())
            await self._looks.keep([(one, said.schema_version, said.body) for one, said in events])

    async def _believed(self, messages: Sequence[Received]) -> list[Opened]:
        """The reports in these messages that answer an order; the others are parked."""
        opened = [one for one in map(self._open, messages) if one is not None]
        asked = await self._orders.look_up(
            (decided_in(one.stream), one.report.command) for one in opened
        )
        believed = []
        for one in opened:
            question = (decided_in(one.stream), one.report.command)
            order = asked.get(question) or await self._looks.asked(one.stream, one.report)
            why = why_unbelieved(one.report, order) or self._why_unsigned(one, order)
            if why:
                self._parking.put(one.message, why)
            else:
                believed.append(one)
        return believed

    def _why_unsigned(self, one: Opened, order: Asked | None) -> str:
        """Why nobody who may speak for the order's pool signed this report, if so."""
        if self._speakers is None or order is None:
            return ""
        told = decode_metadata(one.event.metadata).key or ""
        return self._speakers.why_unbelieved(one.message, SIGNED_REPORTS, order.pool, told)

    def _open(self, message: Received) -> Opened | None:
        """The report in `message`; `None` when it is for another ledger, or was parked."""
        try:
            if addressee(message) != self._ledger:
                return None
            stream, event = decode_report(message)
            report: Event = decode_again(event.type, event.schema_version, event.body)
        except UnknownMessage as unknown:
            self._parking.put(message, unknown.why)
            return None
        if not isinstance(report, Report):
            self._parking.put(message, f"{event.type} is nothing that an agent reports")
            return None
        why = _unfit(report, stream, event)
        if why:
            self._parking.put(message, why)
            return None
        return Opened(stream, _without_snapshot(report, event), message, report)

    async def _append(
        self, stream: str, said: Sequence[Opened], place: ConsumerPosition | None
    ) -> None:
        events = [one.event for one in said]
        try:
            await self._log.append(stream, events, skip_known=True, consumer=place, term=self._term)
        except DuplicateEventDiffers:
            for one in said:
                await self._append_one(stream, one)
            if place is not None:
                await self._log.append(stream, [], consumer=place)

    async def _append_one(self, stream: str, one: Opened) -> None:
        try:
            await self._log.append(stream, [one.event], skip_known=True, term=self._term)
        except DuplicateEventDiffers as differs:
            recorded = await self._recorded_as(one.event.event_id)
            if recorded is not None and not contradicts(recorded, one.report):
                logger.info("another delivery of %s has its own words", one.report.command)
                return
            effect = recorded is None or claims_another_effect(recorded, one.report)
            if not self._keeps_contradiction(one.report.command, effect):
                self._parking.put(one.message, "its command was contradicted often enough")
                return
            why = str(differs) if recorded is None else difference(recorded, one.report)
            logger.warning("a report on %s contradicts the log: %s", one.report.database, why)
            contradiction = _contradiction(one, why, effect=effect)
            await self._log.append(stream, [contradiction], skip_known=True, term=self._term)

    async def _recorded_as(self, event_id: UUID) -> Event | None:
        """What the log holds under this id; `None` where nobody here can read it."""
        for raw in await self._log.by_id([event_id]):
            with suppress(UnknownMessage):
                return decode_again(raw.type, raw.schema_version, raw.body)
        return None

    def _keeps_contradiction(self, command: UUID, effect: bool) -> bool:
        """Whether another contradiction of this command is written down."""
        key = (command, effect)
        self._contradicted[key] = self._contradicted.get(key, 0) + 1
        if len(self._contradicted) > COMMANDS_KEPT:
            self._contradicted.popitem(last=False)
        return self._contradicted[key] <= CONTRADICTIONS


def _by_partition(received: Iterable[Received]) -> dict[int, list[Received]]:
    partitions: dict[int, list[Received]] = {}
    for message in received:
        partitions.setdefault(message.partition, []).append(message)
    return partitions


def _by_stream(believed: Iterable[Opened]) -> list[tuple[str, list[Opened]]]:
    """The reports by stream, each stream in its order of arrival, and the same one only once."""
    streams: dict[str, dict[tuple[UUID, bytes], Opened]] = {}
    for one in believed:
        same = streams.setdefault(one.stream, {})
        same.setdefault((one.event.event_id, one.event.body), one)
    return [(stream, list(said.values())) for stream, said in streams.items()]


def _unfit(report: Report, stream: str, event: Encoded) -> str:
    """Why this report cannot be kept, if it cannot."""
    if not EVENT_TYPES[event.type].belongs_into(stream):
        return f"{event.type} does not belong into the stream {stream}"
    if event.event_id != report_id(report):
        return "its id is not the one that follows from what it says"
    if holds_nul(event.body):
        return "a text in it holds a NUL, which no table can keep"
    return ""


def _without_snapshot(report: Report, event: Encoded) -> Encoded:
    """The event without a schema's snapshot, which teaches nothing: no log has any."""
    if not isinstance(report, DatabaseInspected) or not report.snapshot:
        return event
    rest = report.model_copy(update={"snapshot": ""})
    body = rest.model_dump_json().encode()
    return replace(event, schema_version=rest.SCHEMA_VERSION, body=body)


def _contradiction(one: Opened, why: str, *, effect: bool) -> Encoded:
    event, report = one.event, one.report
    contradiction = ReportContradicted(
        database=report.database,
        command=report.command,
        report_id=event.event_id,
        report_type=event.type,
        body=event.body.decode() if len(event.body) <= CONTRADICTION_MAX_BYTES else "",
        why=why,
        effect=effect,
    )
    digest = hashlib.sha256(event.body).hexdigest()
    event_id = uuid5(NAMESPACE, f"contradiction/{event.event_id}/{digest}")
    return encode(contradiction, event_id, Metadata())
