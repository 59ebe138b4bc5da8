"""Reads the fleet as the log says it is now: rows as they were projected, and what came since.

The rows are never behind by much, and what came since is folded upon them; so nothing here costs by
the fleet that does not return the fleet. An event may be in the rows already when it is folded
again: of each part of a record the latest event alone says what it is.

```
rows at a position ──┬─ the fleet's events behind it ──▶ FleetState
(all, some, a page)  └─ its stream's version
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from ledger.domain import fleet as rules
from ledger.domain.fleet import DatabaseRecord, FleetState
from ledger.domain.refusals import NAMED_AT_MOST, UnknownDatabase
from ledger.domain.selection import Term, parse
from ledger.domain.selection_words import (
    SelectedWord,
    Vocabulary,
    chosen,
    half_wrong,
    ids_in,
    without_values,
    words,
)
from ledger.store.log.decode import open_event
from ledger.store.port import Log, RecordedEvent
from ledger.store.views.columns import registered_in
from ledger.store.views.port import PAGE, Views
from ledger.store.views.rows import FleetRow
from migrations.likeness import nearest


@dataclass(frozen=True, slots=True)
class FleetPage:
    """Databases by id, and how many there are with those before and behind them."""

    databases: Sequence[DatabaseRecord]
    total: int


class FleetReader:
    """Reads all of the fleet, or a part of it; without read models, from its stream alone."""

    def __init__(self, log: Log, reads: Views | None = None) -> None:
        self._log = log
        self._reads = reads

    async def whole(self) -> FleetState:
        """The whole fleet."""
        version, news = await self._news()
        records: list[DatabaseRecord] = []
        after = ""
        while self._reads is not None and (page := await self._reads.fleet_entries(after)):
            records += map(registered_in, page)
            after = page[-1].database
        return _folded(version, news, records)

    async def some(self, databases: Collection[str], names: Collection[str] = ()) -> FleetState:
        """The fleet as if it had these databases only, and those of these names on their servers.

        Databases of which something was said since the rows were projected are in it, too.
        """
        version, news = await self._news()
        wanted: set[str] = set(databases)
        for one in news:
            database: str | None = getattr(open_event(one).event, "database", None)
            if database is not None:
                wanted.add(database)
        rows: Sequence[FleetRow] = ()
        if self._reads is not None:
            rows = await self._reads.fleet_named(list(wanted), list(names))
        return _folded(version, news, [row.registered for row in rows])

    async def existing(self, database: str, names: Collection[str] = ()) -> FleetState:
        """As `some`, of one that there is. Raises `UnknownDatabase`, with the nearest id."""
        fleet = await self.some([database], names)
        if database not in fleet.databases:
            raise UnknownDatabase(database, nearest(database, await self.words("id", database)))
        return fleet

    async def page(
        self, selection: str, *, retired: bool, after: str = "", limit: int | None = None
    ) -> FleetPage:
        """The next `limit` databases behind the id `after` that the selection means, or all.

        Raises `InvalidSelection` and `UnknownInSelection`.
        """
        terms = parse(selection)
        _, news = await self._news()
        if news or limit is None or self._reads is None:
            records = (await self.whole()).databases.values()
            held = chosen(records, selection, retired=retired)
            found = [one for one in held if one.database > after]
            return FleetPage(found[:limit], len(held))
        await self._refuse_half_wrong(self._reads, selection, terms, retired)
        rows = await self._reads.fleet_page(terms, retired=retired, after=after, limit=limit)
        if not after and len(rows) < limit:
            total = len(rows)
        else:
            total = await self._reads.fleet_count(terms, retired=retired)
        return FleetPage([row.registered for row in rows], total)

    async def words(self, key: str | None, near: str) -> list[str]:
        """Labels that databases have, or values of one `key` around `near` in their order."""
        word = SelectedWord("") if key is None else SelectedWord(key, near)
        _, news = await self._news()
        if news or self._reads is None:
            records = (await self.whole()).databases.values()
            return Vocabulary(records, retired=False).near(word)
        return await self._reads.near(word, retired=False)

    async def _refuse_half_wrong(
        self, reads: Views, selection: str, terms: Sequence[Term], retired: bool
    ) -> None:
        """As `chosen` does it, where the fleet is not held."""
        asked = words(terms)
        unheard = without_values(await reads.unheard(asked, retired=retired)) if asked else []
        if unheard:
            near = {
                word: await reads.near(word, retired=retired) for word in unheard[:NAMED_AT_MOST]
            }
            known = await reads.fleet(ids_in(unheard[:NAMED_AT_MOST]))
            by_id = {row.registered.database: row.registered for row in known}
            raise half_wrong(selection, unheard, near, by_id)

    async def pages(self, selection: str, *, retired: bool) -> AsyncIterator[Sequence[FleetRow]]:
        """All databases that the selection means, by id and page by page, as they were projected.

        Raises the refusals of `ledger.domain.selection`.
        """
        if self._reads is None:
            return
        terms, (_, news) = parse(selection), await self._news()
        if news:
            chosen = (await self.page(selection, retired=retired)).databases
            for start in range(0, len(chosen), PAGE):
                part = chosen[start : start + PAGE]
                yield await self._reads.fleet([one.database for one in part])
            return
        await self._refuse_half_wrong(self._reads, selection, terms, retired)
        after = ""
        while rows := await self._reads.fleet_page(terms, retired=retired, after=after):
            yield rows
            after = rows[-1].registered.database

    async def _news(self) -> tuple[int, list[RecordedEvent]]:
        """The version of the fleet's stream when the rows were projected, and what came since."""
        return await self._log.fleet_since(await self._reads.position() if self._reads else 0)


def _folded(
    version: int, news: Sequence[RecordedEvent], records: Sequence[DatabaseRecord]
) -> FleetState:
    databases = {one.database: one for one in records}
    addresses = {
        one.connection.target.canonical: one.database
        for one in databases.values()
        if not one.retired
    }
    state = FleetState(databases, version, addresses)
    return rules.fold(state, map(open_event, news)) if news else state
