"""The event log in PostgreSQL: append to a stream, read a stream, tail from a position, verify.

Appending is one call of `ledger.append` (schema/0001_log.sql), committed by itself. When the
connection is lost before the answer, nobody knows whether it was committed: the same call is made
again, and the same event ids return the first result.

    append ──▶ answer
      │  └──▶ connection lost ──▶ again, on another connection ──▶ appended now, or the first result
      └──▶ refused (VersionConflict, Overtaken, DuplicateEventDiffers, StaleTerm, …): never again
"""

from __future__ import annotations

import json
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from ledger.contracts.envelope import StoredEvent
from ledger.domain.premises import Premise
from ledger.errors import LedgerUnreachable, NotPermitted, StoreError
from ledger.store.connections import CONNECTION_LOST, Connection, Pool
from ledger.store.log.calls import appended, columns_of, premise_of
from ledger.store.log.chain import Broken, Link, Walked, follow, genesis
from ledger.store.log.excerpts import Excerpts
from ledger.store.obstacles import unreachable
from ledger.store.port import Appended, Batch, ConsumerPosition, Head, RecordedEvent
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated
from migrations.backoff import Backoff
from migrations.chance import SYSTEM_CHANCE, Chance
from migrations.clock import SYSTEM_CLOCK, Clock

__all__ = ["EventLog", "RecordedEvent"]

T = TypeVar("T")

READ_BATCH = 1000
"""Events fetched at once when a stream is read: some hundred kilobytes."""
VERIFY_BATCH = 10_000
"""Events fetched at once by `verify`: several megabytes."""
BOUND_TURN = """
    SELECT set_config('lock_timeout', '45s', true),
        set_config('idle_in_transaction_session_timeout', '5min', true)
"""
AWAIT_TURN = "SELECT ledger.await_turn()"
APPEND, APPEND_ONE = QUERIES["append"], QUERIES["append_one"]
TRIES = 7
"""How often an append is tried on lost connections: for some eight seconds."""


class EventLog(Excerpts):
    """The log behind a pool made by `ledger.store.connections.open_pool`."""

    look_every_s = 0.2
    """One indexed read of the head per look."""

    def __init__(
        self, pool: Pool, clock: Clock = SYSTEM_CLOCK, chance: Chance = SYSTEM_CHANCE
    ) -> None:
        super().__init__(pool)
        self._clock = clock
        self._chance = chance
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

    async def may_request(self, event_type: str) -> bool:
        """Whether this session's role may have an event of this type recorded."""
        return bool((await self._fetch(QUERIES["may_request"], event_type))[0][0])

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """As `Log.exclusive`, by a row that only who may start rollouts can lock.

        Raises StoreError when somebody else has held it for as long as a turn is waited for.
        """
        async with self.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(BOUND_TURN)
                await connection.execute(AWAIT_TURN)
                yield
            except asyncpg.LockNotAvailableError:
                raise StoreError(
                    "others have been starting rollouts for 45 s, and nothing was started here; "
                    "try again, and see whether one of them hangs: a process that is frozen in it "
                    "gives way after five minutes"
                ) from None
            finally:
                # A turn that took too long is over already, and what it was for may be done.
                with suppress(*CONNECTION_LOST, asyncpg.InterfaceError):
                    await transaction.rollback()

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
        columns = columns_of(events)
        answer = await self._call(
            APPEND,
            stream,
            expected_version,
            *columns,
            skip_known,
            consumer.term if consumer else term,
            consumer.consumer if consumer else None,
            consumer.position if consumer else None,
        )
        return appended(columns[0], answer)

    async def append_both(
        self, first: Batch, second: Batch, *, term: int | None = None
    ) -> tuple[Appended, Appended]:
        """As `Log.append_both`: one call, one commit."""
        arguments: list[object] = []
        for batch in (first, second):
            arguments += premise_of(batch.premise)
            arguments += [batch.stream, batch.expected_version, *columns_of(batch.events)]
            arguments.append(False if term is None else term)
        query = QUERIES["request_both" if term is None else "append_both"]
        answers = json.loads(await self._call(query, *arguments))
        one, other = (
            appended([event.event_id for event in batch.events], answer)
            for batch, answer in zip((first, second), answers, strict=True)
        )
        return one, other

    async def append_parts(self, parts: Callable[[], Iterable[Batch]]) -> None:
        """As `Log.append_parts`: as many calls in one transaction, and made again together."""

        async def append() -> None:
            async with self.connection() as connection, connection.transaction():
                for part in parts():
                    await connection.fetchval(
                        QUERIES["request"],
                        *premise_of(part.premise),
                        part.stream,
                        part.expected_version,
                        *columns_of(part.events),
                        False,
                    )

        await self._answered(append)

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
        return (await self.walk(())).end

    async def walk(
        self, places: Collection[int], progress: Callable[[int, int], None] | None = None
    ) -> Walked:
        """As `Log.walk`; what was read for a place is what was hashed on the way to the end.

        `progress` hears the position reached and the position to reach.
        """
        (end,) = await self._fetch(QUERIES["chain_end"])
        reached: Link | Broken = genesis(end["ledger_id"])
        values: dict[int, bytes] = {}
        stops = sorted({place for place in places if place <= end["position"]})
        while isinstance(reached, Link):
            if stops and stops[0] == reached.position:
                values[stops.pop(0)] = reached.chain
                continue
            if reached.position == end["position"]:
                break
            upto = min(reached.position + VERIFY_BATCH, *stops[:1], end["position"])
            rows = await self._fetch(QUERIES["chain_rows"], reached.position, upto)
            reached = follow(rows, reached)  # type: ignore[arg-type]
            if progress is not None:
                progress(upto, end["position"])
            if isinstance(reached, Link) and reached.position < upto:
                reached = Broken(reached.position + 1, "no event is here, nor behind it")
        if isinstance(reached, Link) and (end["last"] or 0) > end["position"]:
            reached = Broken(end["position"] + 1, "the log goes on behind its head")
        return Walked(reached, values)

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
        return appended((event.event_id,), answer)

    async def _append_on_premise(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        expected_version: int | None,
        term: int | None,
        premise: Premise,
    ) -> Appended:
        columns = columns_of(events)
        answer = await self._call(
            QUERIES["append_on_premise"],
            *premise_of(premise),
            stream,
            expected_version,
            *columns,
            term,
        )
        return appended(columns[0], answer)

    async def _ask(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        expected_version: int | None,
        skip_known: bool,
        premise: Premise | None,
    ) -> Appended:
        """Have these recorded as requests: what a person may do."""
        columns = columns_of(events)
        answer = await self._call(
            QUERIES["request"],
            *premise_of(premise),
            stream,
            expected_version,
            *columns,
            skip_known,
        )
        return appended(columns[0], answer)

    async def _append_nothing(self, consumer: ConsumerPosition | None) -> Appended:
        if consumer is not None:
            await self._call(
                QUERIES["move_position"], consumer.consumer, consumer.position, consumer.term
            )
        return Appended(0, 0, 0, ())

    async def _call(self, query: str, *arguments: object) -> Any:
        """Call a function of the log."""
        return await self._answered(lambda: self._pool.fetchval(query, *arguments))

    async def _answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` returns; it is made again, when the connection is lost before the answer."""
        backoff = Backoff(self._clock, self._chance, first_s=0.05, most_s=5.0, growth=2.5)
        while True:
            try:
                answer = await call()
                break
            except CONNECTION_LOST as lost:
                if backoff.tries + 1 == TRIES:
                    raise unreachable(lost) from lost
                await backoff.wait()
            except asyncpg.PostgresError as error:
                raise translated(error) from error
        for listener in self._listeners:
            listener()
        return answer
