"""Where time went, from the log: a rollout, or one database, without any collector."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.domain.stretches import Stretch, Weaver
from ledger.errors import NothingOfThatName, WrongArgument
from ledger.service.history import HistoryService, Search
from ledger.store.log.history import EventFilter, Timelines, streams_of
from migrations.clock import Clock

PAGE = 1000
"""Events that are read at once."""


@dataclass(slots=True)
class TimeDrawing:
    """A rollout or a database as it is drawn: the frame, and some of its orders.

    Of many, those that failed come first, then those that took the longest; `orders` counts all,
    `failed` those that ended with an error, `seconds` is what the rest took together.
    """

    what: str
    now: datetime
    frame: Stretch | None = None
    chosen: list[Stretch] = field(default_factory=list)
    orders: int = 0
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class TraceService:
    """Weaves traces out of the log."""

    def __init__(
        self, ledger: UUID, history: HistoryService, timelines: Timelines, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._timelines = timelines
        self._clock = clock

    async def show(self, what: str, limit: int, *, failed_only: bool = False) -> TimeDrawing:
        """At most `limit` orders of the rollout or database that is called so.

        Raises `NothingOfThatName` or `SeveralRollouts`.
        """
        search = await self._meant(what)
        shown = TimeDrawing(search.rollout or search.database or what, self._clock.now())
        ranked: list[tuple[bool, float, int, Stretch]] = []
        weaver = Weaver()
        async for order in self._orders(search, weaver):
            shown.orders += 1
            if order.error:
                shown.failed += 1
                shown.errors[order.error] += 1
            if failed_only and not order.error:
                continue
            entry = (bool(order.error), order.seconds(shown.now), shown.orders, order)
            if len(ranked) < limit:
                heapq.heappush(ranked, entry)
            else:
                heapq.heappushpop(ranked, entry)
        shown.frame = weaver.frame()
        shown.chosen = [
            entry[-1] for entry in sorted(ranked, key=lambda one: one[:3], reverse=True)
        ]
        return shown

    async def emit(self, rollout: str) -> int:
        """Send the spans of a rollout once more; how many there were.

        Raises as `show`, `WrongArgument` where no collector is named, and `CollectorRefused`.
        """
        from ledger import exporters
        from ledger.service.emission import Emitter

        search = await self._meant(rollout)
        if search.rollout is None:
            raise NothingOfThatName(rollout)
        exporter = exporters.span_exporter()
        if exporter is None:
            raise WrongArgument(
                "no collector is named; set OTEL_EXPORTER_OTLP_ENDPOINT to where spans go, or "
                "OTEL_TRACES_EXPORTER to otlp_json_file"
            )
        try:
            return await Emitter(self._ledger, exporter).emit(self._stretches(search))
        finally:
            exporter.shutdown()

    async def _stretches(self, search: Search) -> AsyncIterator[Stretch]:
        """Every order of a rollout as it ended, and at last its frame."""
        weaver = Weaver()
        async for order in self._orders(search, weaver):
            yield order
        if (frame := weaver.frame()) is not None:
            yield frame

    async def _meant(self, what: str) -> Search:
        search = await self._history.meant(what, Search())
        if search.rollout is None and search.database is None:
            raise NothingOfThatName(what)
        return search

    async def _orders(self, search: Search, weaver: Weaver) -> AsyncIterator[Stretch]:
        if search.rollout is not None:
            wanted = EventFilter(streams=streams_of([search.rollout]))
        else:
            wanted = EventFilter(database=search.database)
        after = 0
        while page := await self._timelines.events(wanted, after, PAGE):
            for order in _woven(page, weaver):
                yield order
            after = page[-1].position
        for order in weaver.unfinished():
            yield order


def _woven(page: list[Recorded], weaver: Weaver) -> Iterator[Stretch]:
    for one in page:
        if (order := weaver.hear(one)) is not None:
            yield order
