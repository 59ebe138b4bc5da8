"""The event log in PostgreSQL: append to a stream, read a stream, tail from a position, verify.

Appending is one call of `ledger.append` (schema/0001_log.sql), committed by itself. When the
connection is lost before the answer, nobody knows whether it was committed: the same call is made
again, and the same event ids return the first result.

    append ──▶ answer
      │  └──▶ connection lost ──▶ again, on another connection ──▶ appended now, or the first result
      └──▶ refused (VersionConflict, Overtaken, DuplicateEventDiffers, StaleTerm, …): never again
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any, cast
from uuid import UUID

import asyncpg

from ledger.contracts.envelope import StoredEvent
from ledger.domain.premises import Premise
from ledger.errors import LedgerUnreachable, NotPermitted
from ledger.store.connections import CONNECTION_LOST, Connection, Pool
from ledger.store.log.chain import Broken, Link, follow, genesis
from ledger.store.port import (
    Appended,
    Head,
    Part,
    Placed,
)
from ledger.store.port import ConsumerPosition as ConsumerPosition
from ledger.store.port import NewEvent as NewEvent
from ledger.store.port import RecordedEvent as RecordedEvent
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated
from migrations.clock import SYSTEM_CLOCK, Clock

READ_BATCH = 1000
"""Events fetched at once when a stream is read: some hundred kilobytes."""
VERIFY_BATCH = 10_000
"""Events fetched at once by `verify`: several megabytes."""
LOCK_PLANNERS = "SELECT pg_advisory_lock(1818584167, 3)"
UNLOCK_PLANNERS = "SELECT pg_advisory_unlock(1818584167, 3)"
APPEND, APPEND_ONE = QUERIES["append"], QUERIES["append_one"]
RETRY_WAITS_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before an append is tried again on a lost connection: a failover takes seconds."""


class EventLog:
    """The log behind a pool made by `ledger.store.connections.open_pool`."""

    look_every_s = 0.2
    """One indexed read of the head per look."""

    def __init__(self, pool: Pool, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = pool
        self._clock = clock
        self._listeners: set[Callable[[], None]] = set()
        self._only_asks = False
        """Whether this session's role may not append, and asks for it instead."""

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` after every append of this object, until the block ends."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the log's pool, for what must stay on one."""
        async with self._pool.acquire() as connection:
            yield connection

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
        if not events:
            return await self._append_nothing(consumer)
        if term is not None or consumer is not None:
            return await self._append(
                stream, events, expected_version, skip_known, consumer, term, premise
            )
        if not self._only_asks:
            try:
                return await self._append(
                    stream, events, expected_version, skip_known, None, None, premise
                )
            except NotPermitted as refused:
                if refused.event_type is not None:
                    raise
                # A person may not append, and need not be told so again.
                self._only_asks = True
        return await self._ask(stream, events, expected_version, skip_known, premise)

    async def append_both(self, first: Part, second: Part) -> None:
        """As `Log.append_both`: two requests in one transaction, as only people make them."""
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                async with self.connection() as connection, connection.transaction():
                    await connection.fetchval(QUERIES["request"], *_request(first))
                    await connection.fetchval(QUERIES["request"], *_request(second))
                return
            except CONNECTION_LOST as lost:
                if wait_s is None:
                    raise LedgerUnreachable(type(lost).__name__) from lost
                await self._clock.sleep(wait_s)
            except asyncpg.PostgresError as error:
                raise translated(error) from error

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """As `Log.exclusive`, by an advisory lock."""
        async with self.connection() as connection:
            await connection.execute(LOCK_PLANNERS)
            try:
                yield
            finally:
                await connection.execute(UNLOCK_PLANNERS)

    async def positions(self, prefix: str = "") -> dict[str, int]:
        """As `Log.positions`."""
        rows = await self._fetch(QUERIES["positions"], prefix)
        return {row["consumer"]: row["position"] for row in rows}

    async def _append(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        expected_version: int | None,
        skip_known: bool,
        consumer: ConsumerPosition | None,
        term: int | None,
        premise: Premise | None,
    ) -> Appended:
        if premise is not None:
            return await self._append_on_premise(stream, events, expected_version, term, premise)
        if len(events) == 1 and consumer is None:
            return await self._append_one(stream, events[0], expected_version, term)
        ids = [event.event_id for event in events]
        answer = await self._call(
            APPEND,
            stream,
            expected_version,
            ids,
            [event.type for event in events],
            [event.schema_version for event in events],
            [event.body for event in events],
            [event.metadata for event in events],
            skip_known,
            consumer.term if consumer else term,
            consumer.consumer if consumer else None,
            consumer.position if consumer else None,
        )
        return _appended(ids, answer)

    async def read_stream(
        self, stream: str, from_version: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The stream's events behind `from_version`, in order, of these types or of all."""
        while True:
            rows = await self._fetch(
                QUERIES["read_stream"], stream, from_version, types, READ_BATCH
            )
            for row in rows:
                yield RecordedEvent(*row)
            if len(rows) < READ_BATCH:
                return
            from_version = rows[-1]["stream_version"]

    async def turns(self, stream: str, upto: int) -> list[RecordedEvent]:
        """What turned a rollout, up to a position; costs nothing by its size."""
        rows = await self._fetch(QUERIES["read_turns"], stream, upto)
        return [RecordedEvent(*row) for row in rows]

    async def turned_since(self, position: int) -> list[str]:
        """The streams of rollouts that were turned behind a position, the latest turn last."""
        return [row["stream"] for row in await self._fetch(QUERIES["turned_since"], position)]

    async def concerned(
        self, stream: str, upto: int, databases: Sequence[str] | None
    ) -> list[RecordedEvent]:
        """The same, its plan, and all about these databases or, of `None`, those in trouble."""
        rows = await self._fetch(QUERIES["read_concerned"], stream, upto, databases)
        return [RecordedEvent(*row) for row in rows]

    async def records(self, databases: Sequence[str]) -> list[RecordedEvent]:
        """What the fleet's stream says of these databases."""
        rows = await self._fetch(QUERIES["read_records"], databases)
        return [RecordedEvent(*row) for row in rows]

    async def tail(self, after_position: int, limit: int) -> list[RecordedEvent]:
        """At most `limit` events behind `after_position`, in order; nothing is ever missed."""
        rows = await self._fetch(QUERIES["tail"], after_position, limit)
        return [RecordedEvent(*row) for row in rows]

    async def by_id(self, ids: Sequence[UUID]) -> list[RecordedEvent]:
        """Those of these events that are in the log, in no order."""
        rows = await self._fetch(QUERIES["read_by_id"], ids)
        return [RecordedEvent(*row) for row in rows]

    async def announce(self) -> None:
        """Wake the leader now, for a request; without a connection, its next look finds it."""
        with suppress(LedgerUnreachable):
            await self._fetch(QUERIES["announce"])

    async def head(self) -> Head:
        """Where the log ends, and who leads."""
        (row,) = await self._fetch(QUERIES["head"])
        return Head(*row)

    async def verify(self) -> Link | Broken:
        """Walk the whole chain: its last link, or the first position where it breaks.

        A tail that was cut off shows against the head row. Who can change that row as well can cut
        or re-hash unseen by this; only a copy kept elsewhere shows it.
        """
        (end,) = await self._fetch(QUERIES["chain_end"])
        reached: Link | Broken = genesis(end["ledger_id"])
        while isinstance(reached, Link) and reached.position < end["position"]:
            upto = min(reached.position + VERIFY_BATCH, end["position"])
            rows = await self._fetch(QUERIES["chain_rows"], reached.position, upto)
            reached = follow(rows, reached)  # type: ignore[arg-type]
            if isinstance(reached, Link) and reached.position < upto:
                reached = Broken(reached.position + 1, "no event is here, nor behind it")
        if isinstance(reached, Link) and (end["last"] or 0) > end["position"]:
            return Broken(end["position"] + 1, "the log goes on behind its head")
        return reached

    async def _append_one(
        self, stream: str, event: StoredEvent, expected_version: int | None, term: int | None
    ) -> Appended:
        answer = await self._call(
            APPEND_ONE,
            stream,
            expected_version,
            event.event_id,
            event.type,
            event.schema_version,
            event.body,
            event.metadata,
            term,
        )
        return _appended((event.event_id,), answer)

    async def _append_on_premise(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        expected_version: int | None,
        term: int | None,
        premise: Premise,
    ) -> Appended:
        ids = [event.event_id for event in events]
        answer = await self._call(
            QUERIES["append_on_premise"],
            premise.known,
            premise.turns,
            premise.failures,
            premise.databases,
            stream,
            expected_version,
            ids,
            [event.type for event in events],
            [event.schema_version for event in events],
            [event.body for event in events],
            [event.metadata for event in events],
            term,
        )
        return _appended(ids, answer)

    async def _ask(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        expected_version: int | None,
        skip_known: bool,
        premise: Premise | None,
    ) -> Appended:
        """Have these recorded as requests: what a person may do."""
        part = Part(stream, events, expected_version)
        answer = await self._call(QUERIES["request"], *_request(part, skip_known, premise))
        return _appended([event.event_id for event in events], answer)

    async def _append_nothing(self, consumer: ConsumerPosition | None) -> Appended:
        if consumer is not None:
            await self._call(
                QUERIES["move_position"], consumer.consumer, consumer.position, consumer.term
            )
        return Appended(0, 0, 0, ())

    async def _call(self, query: str, *arguments: object) -> Sequence[Any]:
        """Call a function of the log; again, when the connection is lost before the answer."""
        waits_s = iter(RETRY_WAITS_S)
        while True:
            try:
                answer = await self._pool.fetchval(query, *arguments)
                for listener in self._listeners:
                    listener()
                return cast(Sequence[Any], answer)
            except CONNECTION_LOST as lost:
                wait_s = next(waits_s, None)
                if wait_s is None:
                    raise LedgerUnreachable(type(lost).__name__) from lost
                await self._clock.sleep(wait_s)
            except asyncpg.PostgresError as error:
                raise translated(error) from error

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(query, *arguments)
        except CONNECTION_LOST as lost:
            raise LedgerUnreachable(type(lost).__name__) from lost
        except asyncpg.PostgresError as error:
            raise translated(error) from error


def _request(
    part: Part, skip_known: bool = False, premise: Premise | None = None
) -> tuple[object, ...]:
    """The arguments of the statement `request`."""
    return (
        premise.known if premise else None,
        premise.turns if premise else None,
        premise.failures if premise else None,
        premise.databases if premise else None,
        part.stream,
        part.expected_version,
        [event.event_id for event in part.events],
        [event.type for event in part.events],
        [event.schema_version for event in part.events],
        [event.body for event in part.events],
        [event.metadata for event in part.events],
        skip_known,
    )


def _appended(ids: Sequence[UUID], answer: Sequence[Any]) -> Appended:
    """What `ledger.append` answered: the first place when all events were new, else every place."""
    if isinstance(answer[0], int):
        position, version = answer
        return Appended(
            first_position=position,
            last_position=position + len(ids) - 1,
            stream_version=version + len(ids) - 1,
            recorded=tuple(map(Placed, ids, count(position), count(version))),
        )
    recorded = tuple(
        Placed(event_id, position, version, bool(known))
        for event_id, (position, version, known) in zip(ids, answer, strict=True)
    )
    return Appended(
        first_position=min(place.position for place in recorded),
        last_position=max(place.position for place in recorded),
        stream_version=max(place.stream_version for place in recorded),
        recorded=recorded,
    )
