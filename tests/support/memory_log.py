"""The log in a list: `ledger.store.port.Log` without a database, with the same promises.

Whether it keeps them shows `tests/conformance/test_log.py`, which both pass; leaf and chain are
computed by `ledger.store.log.chain`, so the hashes are the database's, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from math import inf
from uuid import UUID

from ledger.contracts.envelope import StoredEvent
from ledger.contracts.events import EVENT_TYPES
from ledger.domain.premises import TURNS, Premise
from ledger.errors import (
    DuplicateEventDiffers,
    NotPermitted,
    Overtaken,
    PartlyKnown,
    RequestUnfit,
    StaleTerm,
    StoreError,
    VersionConflict,
)
from ledger.store.log import chain
from ledger.store.log.chain import Broken, ChainRow, Link, Walked
from ledger.store.port import Appended, Batch, ConsumerPosition, Head, Placed, RecordedEvent
from migrations.clock import Clock

OWNER = "postgres"
TURNING = frozenset(turn.__name__ for turn in TURNS)
REPORTS = "/reports"
TROUBLE = frozenset({"AttemptTimedOut", "DatabaseLeftOut"})
NAME = b'"database":"'
OF_WAVES = frozenset({"WaveOpened", "WaveCompleted"})
OF_THE_WHOLE = frozenset({"WavePlanned", "ReportContradicted"})


class MemoryLog:
    """Events in the order of their appends; `role` is who is said to have recorded them."""

    look_every_s = None

    def __init__(self, ledger_id: UUID, clock: Clock, role: str = OWNER) -> None:
        self.ledger_id = ledger_id
        self.role = role
        self.events: list[RecordedEvent] = []
        self.term = 0
        self.leader: tuple[str, str] | None = None
        self.announced: dict[Callable[[], None], None] = {}
        self._clock = clock
        self._led_since = clock.now()
        self._known: dict[UUID, RecordedEvent] = {}
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._positions: dict[str, int] = {}
        self._listeners: dict[Callable[[], None], None] = {}
        self._planners = asyncio.Lock()

    def begin_term(self, leader: str, host: str) -> int:
        """The next leadership term, of this leader."""
        self.term, self.leader, self._led_since = self.term + 1, (leader, host), self._clock.now()
        return self.term

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """As `Log.telling`."""
        self._listeners[listener] = None
        try:
            yield
        finally:
            self._listeners.pop(listener, None)

    async def append(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        *,
        expected_version: int | None = None,
        skip_known: bool = False,
        consumer: ConsumerPosition | None = None,
        term: int | None = None,
        premise: Premise | None = None,
    ) -> Appended:
        """As `Log.append`."""
        # A call to a database takes a moment, in which others come to speak.
        await asyncio.sleep(0)
        if consumer is not None:
            self._fence(consumer.term)
        if not events:
            self._move(consumer)
            return Appended(0, 0, 0, ())
        self._fence(term)
        self._hold(stream, events, premise)
        appended = self._append(stream, events, expected_version, skip_known)
        self._move(consumer)
        self._tell()
        return appended

    async def append_both(
        self, first: Batch, second: Batch, *, term: int | None = None
    ) -> tuple[Appended, Appended]:
        """As `Log.append_both`."""
        await asyncio.sleep(0)
        self._fence(term)
        before = len(self.events)
        try:
            both = self._append_batch(first), self._append_batch(second)
        except StoreError:
            self._take_back(before)
            raise
        self._tell()
        return both

    async def append_parts(self, parts: Callable[[], Iterable[Batch]]) -> None:
        """As `Log.append_parts`."""
        await asyncio.sleep(0)
        before = len(self.events)
        try:
            for part in parts():
                self._append_batch(part)
        except BaseException:
            self._take_back(before)
            raise
        self._tell()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """As `Log.exclusive`."""
        async with self._planners:
            yield

    async def read_stream(
        self, stream: str, from_version: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """As `Log.read_stream`."""
        await asyncio.sleep(0)
        for event in self._streams.get(stream, [])[from_version:]:
            if types is None or event.type in types:
                yield event

    async def turns(self, stream: str, upto: int) -> list[RecordedEvent]:
        """As `Log.turns`."""
        await asyncio.sleep(0)
        found = self._streams.get(stream, [])
        return [one for one in found if one.position <= upto and one.type in TURNING]

    async def frame(self, stream: str, upto: int, *, whole: bool) -> list[RecordedEvent]:
        """As `Log.frame`."""
        await asyncio.sleep(0)
        wanted = TURNING | OF_WAVES | (OF_THE_WHOLE if whole else frozenset())
        return [one for one in self._both(stream) if one.position <= upto and one.type in wanted]

    async def turned_since(self, position: int) -> list[str]:
        """As `Log.turned_since`."""
        await asyncio.sleep(0)
        turned: dict[str, None] = {}
        for one in self.events[position:]:
            if one.type in TURNING and one.stream.startswith("rollout-"):
                turned.pop(one.stream, None)
                turned[one.stream] = None
        return list(turned)

    async def concerned(
        self, stream: str, upto: int, databases: Sequence[str] | None
    ) -> list[RecordedEvent]:
        """As `Log.concerned`."""
        await asyncio.sleep(0)
        both = self._both(stream)
        if databases is None:
            names = {
                database_in(one.body)
                for one in both
                if one.type in TROUBLE or may_fail(one.type, one.body)
            } - {None}
        else:
            names = {name.encode() for name in databases}
        wanted = TURNING | {"WavePlanned"}
        return [
            one
            for one in both
            if one.position <= upto and (one.type in wanted or database_in(one.body) in names)
        ]

    async def news(self, stream: str, after: int, upto: int) -> list[RecordedEvent]:
        """As `Log.news`."""
        await asyncio.sleep(0)
        return [one for one in self._both(stream) if after < one.position <= upto]

    async def fleet_since(self, position: int) -> tuple[int, list[RecordedEvent]]:
        """As `Log.fleet_since`."""
        version = await self.version_at("fleet", position)
        return version, self._streams.get("fleet", [])[version:]

    async def version_at(self, stream: str, position: int) -> int:
        """As `Log.version_at`."""
        await asyncio.sleep(0)
        return sum(one.position <= position for one in self._streams.get(stream, []))

    async def about(self, stream: str, databases: Sequence[tuple[str, int]]) -> list[RecordedEvent]:
        """As `Log.about`."""
        await asyncio.sleep(0)
        since = dict(databases)
        return [
            one
            for one in self._both(stream)
            if any(one.position >= since.get(name, inf) for name in named_in(one.body))
        ]

    async def preflights(self, limit: int) -> list[RecordedEvent]:
        """As `Log.preflights`."""
        await asyncio.sleep(0)
        told = [one for one in reversed(self.events) if one.type == "PreflightChecked"]
        return told[:limit]

    async def tail(self, after_position: int, limit: int) -> list[RecordedEvent]:
        """As `Log.tail`."""
        await asyncio.sleep(0)
        return self.events[after_position : after_position + limit]

    async def by_id(self, ids: Sequence[UUID]) -> list[RecordedEvent]:
        """As `Log.by_id`."""
        await asyncio.sleep(0)
        return [self._known[one] for one in dict.fromkeys(ids) if one in self._known]

    async def positions(self, prefix: str = "") -> dict[str, int]:
        """As `Log.positions`."""
        await asyncio.sleep(0)
        return {name: at for name, at in self._positions.items() if name.startswith(prefix)}

    async def announce(self) -> None:
        """As `Log.announce`."""
        await asyncio.sleep(0)
        for listener in list(self.announced):
            listener()

    async def head(self) -> Head:
        """As `Log.head`."""
        await asyncio.sleep(0)
        leader, host = self.leader or (None, None)
        since = self._led_since if self.term else None
        return Head(len(self.events), self.ledger_id, 0, self.term, leader, host, since)

    async def verify(self) -> Link | Broken:
        """As `Log.verify`."""
        await asyncio.sleep(0)
        return chain.follow(map(_chain_row, self.events), chain.genesis(self.ledger_id))

    async def walk(self, places: Collection[int]) -> Walked:
        """As `Log.walk`."""
        await asyncio.sleep(0)
        rows = [_chain_row(one) for one in self.events]
        start = chain.genesis(self.ledger_id)
        ends = {place: chain.follow(rows[:place], start) for place in places if place <= len(rows)}
        values = {place: end.chain for place, end in ends.items() if isinstance(end, Link)}
        return Walked(chain.follow(rows, start), values)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    def _fence(self, term: int | None) -> None:
        if term is not None and term != self.term:
            raise StaleTerm(term, self.term)

    def _move(self, consumer: ConsumerPosition | None) -> None:
        if consumer is not None:
            self._positions[consumer.consumer] = consumer.position

    def _hold(self, stream: str, events: Sequence[StoredEvent], premise: Premise | None) -> None:
        """Refuse a decision that something has changed since; not a call that comes again."""
        if premise is None or any(event.event_id in self._known for event in events):
            return
        reports, names = stream + REPORTS, {name.encode() for name in premise.databases}
        failed = set()
        for one in self.events[premise.known :]:
            if one.stream not in (stream, reports):
                continue
            turns = one.stream == stream and one.type in premise.turns
            if turns or database_in(one.body) in names:
                raise Overtaken(stream, premise.known)
            if one.stream == reports and may_fail(one.type, one.body):
                failed.add(database_in(one.body))
        if premise.failures is not None and len(failed - {None}) > premise.failures:
            raise Overtaken(stream, premise.known)

    def _append_batch(self, batch: Batch) -> Appended:
        self._hold(batch.stream, batch.events, batch.premise)
        return self._append(batch.stream, batch.events, batch.expected_version, skip_known=False)

    def _append(
        self, stream: str, events: Sequence[StoredEvent], expected: int | None, skip_known: bool
    ) -> Appended:
        if not stream:
            raise StoreError("an append needs a stream; nothing was recorded")
        head = len(self.events)
        self._refuse_other_contents(stream, events)
        fresh = {event.event_id: event for event in events if event.event_id not in self._known}
        known = len({event.event_id for event in events} & self._known.keys())
        if not skip_known and known < len(events) and (known or len(fresh) < len(events)):
            raise PartlyKnown(known, len(events))
        version = len(self._streams.get(stream, []))
        if fresh and expected is not None and expected != version:
            raise VersionConflict(stream, expected, version)
        for event in fresh.values():
            self._refuse_kind(stream, event)
        for event in fresh.values():
            self._record(stream, event)
        places = [self._known[event.event_id] for event in events]
        recorded = tuple(
            Placed(one.event_id, one.position, one.stream_version, one.position <= head)
            for one in places
        )
        return Appended(
            first_position=min(one.position for one in places),
            last_position=max(one.position for one in places),
            stream_version=max(one.stream_version for one in places),
            recorded=recorded,
        )

    def _refuse_kind(self, stream: str, event: StoredEvent) -> None:
        known = EVENT_TYPES.get(event.type)
        if known is None:
            raise NotPermitted(self.role, event.type)
        if not 1 <= event.schema_version <= known.version:
            given = f"its version {event.schema_version} is not known here"
            raise RequestUnfit(event.type, f"{given}, the newest is {known.version}")
        if not known.belongs_into(stream):
            raise RequestUnfit(event.type, f"it does not belong into the stream {stream}")

    def _refuse_other_contents(self, stream: str, events: Iterable[StoredEvent]) -> None:
        given: dict[UUID, tuple[object, ...]] = {}
        for event in events:
            content = (stream, event.type, event.schema_version, event.body)
            known = self._known.get(event.event_id)
            position = None
            if known is not None:
                position = known.position
                recorded = (known.stream, known.type, known.schema_version, known.body)
                given[event.event_id] = recorded
            if given.setdefault(event.event_id, content) != content:
                raise DuplicateEventDiffers(str(event.event_id), position)

    def _record(self, stream: str, event: StoredEvent) -> None:
        before = self.events[-1].chain if self.events else chain.genesis(self.ledger_id).chain
        same = self._streams.setdefault(stream, [])
        recorded = RecordedEvent(
            position=len(self.events) + 1,
            stream=stream,
            stream_version=len(same) + 1,
            event_id=event.event_id,
            type=event.type,
            schema_version=event.schema_version,
            body=event.body,
            metadata=event.metadata,
            recorded_by=self.role,
            recorded_at=self._clock.now(),
            leaf=b"",
            chain=b"",
        )
        leaf = chain.leaf(_chain_row(recorded))
        recorded = recorded._replace(leaf=leaf, chain=chain.chain(before, leaf))
        self.events.append(recorded)
        same.append(recorded)
        self._known[event.event_id] = recorded

    def _take_back(self, upto: int) -> None:
        """Forget what a transaction wrote that failed."""
        while len(self.events) > upto:
            one = self.events.pop()
            self._streams[one.stream].pop()
            del self._known[one.event_id]

    def _both(self, stream: str) -> list[RecordedEvent]:
        found = [*self._streams.get(stream, []), *self._streams.get(stream + REPORTS, [])]
        return sorted(found, key=lambda one: one.position)


def database_in(body: bytes) -> bytes | None:
    """As the function of this name in schema/0001_log.sql."""
    _, found, rest = body.partition(NAME)
    name, ended, _ = rest.partition(b'"')
    return name if found and ended else None


def named_in(body: bytes) -> set[str]:
    """The databases that an event names: one, or a list of them."""
    said = json.loads(body)
    several = said.get("databases")
    return {said.get("database"), *(several if isinstance(several, list) else ())} - {None}


def may_fail(type_: str, body: bytes) -> bool:
    """As the function of this name in schema/0001_log.sql."""
    if type_ == "AttemptFinished":
        fine = ("done", "expired", "cancelled")
        return not any(f'"verdict":"{word}"'.encode() in body for word in fine)
    return type_ in ("MigrationFailed", "CommandRefused", "ReportContradicted")


def _chain_row(one: RecordedEvent) -> ChainRow:
    micros = round(one.recorded_at.timestamp() * 1_000_000)
    return ChainRow(
        position=one.position,
        stream=one.stream,
        stream_version=one.stream_version,
        event_id=one.event_id.bytes,
        type=one.type,
        schema_version=one.schema_version,
        recorded_at_us=micros,
        recorded_by=one.recorded_by,
        metadata=one.metadata,
        body=one.body,
        leaf=one.leaf,
        chain=one.chain,
    )
