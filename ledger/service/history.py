"""What was recorded, found by what people know: database, rollout, migration, bundle, ticket,
person, time; and the log itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import (
    CheckFinished,
    CheckRequested,
    InspectionOrdered,
    RetryRequested,
    RolloutPlanned,
)
from ledger.contracts.reports import DatabaseInspected, Event
from ledger.domain.refusals import UnknownDatabase
from ledger.domain.selection_words import SelectedWord
from ledger.errors import NoSuchRollout, NothingOfThatName, UnknownBundle
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.repeats import without_repeats
from ledger.service.rollouts import RolloutService
from ledger.store.log.history import LAST, PAGE, EventFilter, RequestFound, Timelines, streams_of
from ledger.store.port import Log
from ledger.store.views.port import Views
from migrations.clock import Clock
from migrations.likeness import nearest

FOLLOW_EVERY_S = 0.5
"""How often is looked for what is new, when the log is followed."""
LIBRARY = ("bundles", "fleet")
"""Streams that speak of migrations beside those of rollouts."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; what is `None` does not matter.

    `by` is a database role, or whoever asked by name. Without a database, a rollout, a migration
    and a bundle, requests are looked for, each as one, whatever it changed.
    """

    database: str | None = None
    rollout: str | None = None
    migration: str | None = None
    bundle: str | None = None
    ticket: str | None = None
    by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    before: int | None = None

    @property
    def is_for_requests(self) -> bool:
        """Whether nothing is named of which there are events."""
        return (self.database, self.rollout, self.migration, self.bundle) == (None,) * 4


@dataclass(frozen=True, slots=True)
class Line:
    """An event, or a request's first of `events`, the last of which stands at `last`.

    `asked` says who wanted it, why, and for which ticket: of a rollout's reports, the rollout's
    plan does. `databases` counts those of a request, where it names any, each in one event.
    `kinds` are a request's first event of each type, and how many of that type it has.
    """

    recorded: Recorded
    asked: Metadata
    asked_by: str
    last: int
    events: int = 1
    databases: int | None = None
    kinds: tuple[tuple[Recorded, int], ...] = ()


class HistoryService:
    """Timelines, newest first unless it is said otherwise; pages go by position.

    An event that this version cannot read stands there as `Unreadable`, and what was told twice the
    second time as `ReportRepeated`; the log itself, `events`, has it as it was recorded.
    """

    def __init__(
        self,
        log: Log,
        reads: Views,
        timelines: Timelines,
        rollouts: RolloutService,
        clock: Clock,
    ) -> None:
        self._log = log
        self._reads = reads
        self._timelines = timelines
        self._rollouts = rollouts
        self._clock = clock

    async def meant(self, what: str, search: Search) -> Search:
        """The search for whatever is called so, in this order: a database, a rollout by a beginning
        of its id, a migration, a bundle by a beginning of its digest, a ticket, a person or a role.

        Raises `NothingOfThatName` or `SeveralRollouts`.
        """
        await as_near_as_may_be(self._reads, self._log)
        if await self._reads.fleet([what]):
            return replace(search, database=what)
        try:
            return replace(search, rollout=await self._rollouts.find(what))
        except NoSuchRollout:
            pass
        if await self._timelines.migrations_called(what):
            return replace(search, migration=what)
        if _is_digest(what) and await self._timelines.bundles_called(what):
            return replace(search, bundle=what)
        for found in (EventFilter(ticket=what), EventFilter(by=what)):
            if await self._timelines.asked(found, limit=1):
                return replace(search, ticket=found.ticket, by=found.by or search.by)
        rollouts = await self._reads.beginning("")
        raise NothingOfThatName(what, nearest(what, [*await self._ids_near(what), *rollouts]))

    async def lines(
        self, search: Search, limit: int = PAGE, *, oldest_first: bool = False
    ) -> Sequence[Line]:
        """What was found, newest first; with `oldest_first`, what came first, in its order.

        Of a database, newest first, looks that found what the one before had found are one line,
        and that they were asked for is none: what is looked at often must not bury what changed.

        Raises `UnknownDatabase`, `NoSuchRollout`, `SeveralRollouts`, `UnknownBundle` or
        `NothingOfThatName` for what is named and is not there.
        """
        await as_near_as_may_be(self._reads, self._log)
        wanted = await self._filter(search)
        after, before = await self._bounds(search)
        if search.is_for_requests:
            # Requests are few; the oldest are the end of the list.
            most = PAGE * PAGE if oldest_first else limit
            asked = await self._timelines.asked(wanted, before, most, after=after)
            lines = [_line_of(one) for one in asked]
            return lines[::-1][:limit] if oldest_first else lines
        if oldest_first:
            found = await self._timelines.events(wanted, after, limit, before=before)
            return await self._explained(await without_repeats(self._log, found))
        shown: list[Line] = []
        while len(shown) <= limit:
            found = await self._timelines.newest(wanted, before, limit, after=after)
            shown += await self._explained(await without_repeats(self._log, found))
            if search.database is not None:
                shown = _without_repeated_looks(shown)
            if len(found) < limit:
                break
            before = found[-1].position
        return shown[:limit]

    async def events(
        self,
        search: Search,
        limit: int = PAGE,
        *,
        stream_prefix: str | None = None,
        types: Sequence[str] | None = None,
        forward: bool = False,
    ) -> Sequence[Recorded]:
        """Events of the log in its order: the last ones, or with `forward` those behind `after`."""
        if search.database is not None:
            await as_near_as_may_be(self._reads, self._log)
        wanted = replace(
            await self._filter(search),
            stream_prefix=stream_prefix,
            types=tuple(types) if types else None,
        )
        after, before = await self._bounds(search)
        if forward:
            return await self._timelines.events(wanted, after, limit, before=before)
        return (await self._timelines.newest(wanted, before, limit, after=after))[::-1]

    async def follow(
        self,
        search: Search,
        *,
        stream_prefix: str | None = None,
        types: Sequence[str] | None = None,
    ) -> AsyncIterator[Recorded]:
        """What comes behind `search.after`, for ever."""
        while True:
            found = await self.events(
                search, stream_prefix=stream_prefix, types=types, forward=True
            )
            for one in found:
                search = replace(search, after=one.position)
                yield one
            if not found:
                await self._clock.sleep(FOLLOW_EVERY_S)

    async def askers(self, rollouts: Sequence[str]) -> Mapping[str, str]:
        """Whom programs told who asks, by rollout; only the role is known of the others."""
        begun = await self._timelines.begun([f"rollout-{one}" for one in rollouts])
        return {
            one.stream.removeprefix("rollout-"): one.metadata.actor.name
            for one in begun
            if one.metadata.actor is not None and one.metadata.actor.name
        }

    async def end(self) -> int:
        """Where the log ends."""
        return (await self._log.head()).position

    async def _filter(self, search: Search) -> EventFilter:
        if search.database is not None and not await self._reads.fleet([search.database]):
            near = nearest(search.database, await self._ids_near(search.database))
            raise UnknownDatabase(search.database, near)
        wanted = EventFilter(database=search.database, by=search.by, ticket=search.ticket)
        if search.rollout is not None:
            rollout = await self._rollouts.find(search.rollout)
            wanted = replace(wanted, streams=streams_of([rollout]))
        if search.bundle is not None:
            wanted = replace(wanted, streams=await self._streams_of_bundle(search.bundle))
        if search.migration is not None:
            versions = await self._timelines.migrations_called(search.migration)
            if not versions:
                raise NothingOfThatName(search.migration)
            carrying = await self._timelines.rollouts_carrying(versions[0])
            streams = wanted.streams or (*LIBRARY, *streams_of(carrying))
            wanted = replace(wanted, version=versions[0], streams=streams)
        return wanted

    async def _ids_near(self, database: str) -> Sequence[str]:
        return await self._reads.near(SelectedWord("id", database), retired=True)

    async def _streams_of_bundle(self, beginning: str) -> tuple[str, ...]:
        found = await self._timelines.bundles_called(beginning)
        if len(found) != 1:
            raise UnknownBundle(beginning)
        return streams_of(await self._timelines.rollouts_of(found[0]))

    async def _bounds(self, search: Search) -> tuple[int, int]:
        """Between which positions is looked; a moment's own events are behind `since`."""
        after, before = search.after, search.before or LAST
        if search.since is not None:
            after = max(after, await self._timelines.place_of(search.since))
        if search.until is not None:
            before = min(before, await self._timelines.place_of(search.until) + 1)
        return after, before

    async def _explained(self, found: Sequence[Recorded]) -> list[Line]:
        """The lines of these events, with what the plan of their rollout says of why they are."""
        unexplained = {
            one.stream.removesuffix("/reports") for one in found if one.metadata.actor is None
        }
        plans = {
            one.stream: one
            for one in await self._timelines.begun(sorted(unexplained))
            if isinstance(one.event, RolloutPlanned | CheckRequested)
        }
        return [_explained(one, plans.get(one.stream.removesuffix("/reports"))) for one in found]


def _without_repeated_looks(lines: Sequence[Line]) -> list[Line]:
    """The lines, newest first, with each run of looks that found the same as one: the first of it.

    A look is a line of its own where something else happened to the database in between. Who asked
    for it stands beside what it found; what was asked in vain stays, once for a run.
    """
    kept: list[Line] = []
    answered = {
        line.recorded.stream.removesuffix("/reports")
        for line in lines
        if isinstance(line.recorded.event, DatabaseInspected)
    }
    for line in lines:
        event = line.recorded.event
        if isinstance(event, InspectionOrdered) and line.recorded.stream in answered:
            continue
        newer = kept[-1] if kept else None
        if newer is not None and _found_the_same(newer.recorded.event, event):
            line = replace(line, last=newer.last, events=line.events + newer.events)
            kept.pop()
        kept.append(line)
    return kept


def _found_the_same(newer: Event, older: Event) -> bool:
    if isinstance(newer, CheckFinished) and isinstance(older, CheckFinished):
        # Each stands in a database's history because it was silent.
        return True
    if not isinstance(newer, DatabaseInspected) or not isinstance(older, DatabaseInspected):
        return False
    return newer.model_copy(update={"command": older.command}) == older


def _explained(recorded: Recorded, plan: Recorded | None) -> Line:
    if plan is None or recorded.metadata.actor is not None:
        plan = recorded
    return Line(recorded, plan.metadata, plan.recorded_by, recorded.position)


def _line_of(asked: RequestFound) -> Line:
    first = asked.first
    event = first.event
    databases: int | None = None
    match event:
        case RolloutPlanned():
            databases = event.databases
        case RetryRequested() | CheckRequested():
            databases = len(event.databases)
        case _ if hasattr(event, "database") and len(asked.kinds) == 1:
            # Of several types, one database may have an event of each.
            databases = asked.events
    return Line(
        first, first.metadata, first.recorded_by, asked.last, asked.events, databases, asked.kinds
    )


def _is_digest(text: str) -> bool:
    return len(text) >= 4 and set(text) <= set("0123456789abcdef")
