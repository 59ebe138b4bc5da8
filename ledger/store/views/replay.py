"""Folds the whole log beside the live read models and says what differs. Changes nothing.

The live tables, their position and the log are read in one snapshot, and the shadow tables live in
that transaction: the ledger keeps working, and nothing is left behind.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import eq, itemgetter
from typing import Any

import asyncpg
from asyncpg.cursor import Cursor

from ledger.domain.differences import Difference, DifferenceKind, Replayed
from ledger.store.connections import Connection
from ledger.store.views.advance import HEAD, NO_END, POSITION, Named, RebuildProgress, fold
from ledger.store.views.tables import DATABASE_EVENT, FOLDED, SHADOW, Table

SETTINGS = "SET LOCAL jit = off; SET LOCAL work_mem = '128MB'"
"""Compiling these few statements costs more than it saves; sorting in files costs twice."""
LIVE_NAMES = "SELECT database, position FROM ledger.database_event ORDER BY position"
MAY_WRITE = """
    SELECT has_table_privilege('ledger.fleet_database', 'DELETE')
        AND has_table_privilege('ledger.read_model_position', 'UPDATE')
"""
NAMES_AT_ONCE = 50_000
"""Live rows fetched at once: some megabytes."""
SLICE = 1000
"""Rows whose order is compared at once; only where it differs are they sorted out."""
SHOWN_AT_MOST = 100
"""Differences returned per table; the rest is known to exist, not listed."""


async def replay(connection: Connection, progress: RebuildProgress | None = None) -> Replayed:
    """Rebuild every read model beside the live ones, at their position, and compare.

    Raises `UnknownMessage` for an event that this version cannot read.
    """
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute(f"{SETTINGS}; {NO_END}")
        position: int = await connection.fetchval(POSITION)
        head: int = await connection.fetchval(HEAD) or 0
        names = ComparedNames(connection)
        for table in FOLDED:
            await connection.execute(table.make_shadow())
        reached = await fold(connection, SHADOW, names, position, progress)
        await names.finish()
        found = [] if reached == position else [_beyond_the_log(position)]
        rows, more = {DATABASE_EVENT.name: names.rows}, False
        listed = [names.differences]
        for table in FOLDED:
            rows[table.name] = await connection.fetchval(table.count())
            listed.append(await _differences(connection, table))
        for differences in listed:
            more = more or len(differences) > SHOWN_AT_MOST
            found += differences[:SHOWN_AT_MOST]
        return Replayed(position, head, rows, tuple(found), more)


async def may_repair(connection: Connection) -> bool:
    """Whether this session's role may write the read models."""
    return bool(await connection.fetchval(MAY_WRITE))


class ComparedNames:
    """The rows of `database_event`, compared with the live ones as the log goes by.

    They follow the log and never change, so there is nothing to keep: three quarters of all rows
    are compared without being written.
    """

    def __init__(self, connection: Connection) -> None:
        self.rows = 0
        self.differences: list[Difference] = []
        """In the order of the log; at most one more than will be shown."""
        self._connection = connection
        self._live: Cursor | None = None
        self._ahead: list[asyncpg.Record] = []

    async def take(self, named: Named, reached: int) -> None:
        """Compare these with the live rows up to the position `reached`."""
        self._compare(named, await self._live_rows(reached))

    async def finish(self) -> None:
        """Whatever live rows are left are too many."""
        self._compare((), await self._live_rows(None))

    def _compare(self, named: Named, live: Sequence[asyncpg.Record]) -> None:
        self.rows += len(named)
        replayed, found = set[Any](), set[Any]()
        for start in range(0, max(len(named), len(live)), SLICE):
            ours, theirs = named[start : start + SLICE], live[start : start + SLICE]
            # A record equals the tuple of its values, and has its hash.
            if not all(map(eq, ours, theirs)) or len(ours) != len(theirs):
                replayed.update(ours)
                found.update(theirs)
        for row in sorted(replayed ^ found, key=itemgetter(1, 0)):
            if len(self.differences) <= SHOWN_AT_MOST:
                kind = DifferenceKind.MISSING if row in replayed else DifferenceKind.SURPLUS
                key = {"database": row[0], "position": str(row[1])}
                self.differences.append(Difference(DATABASE_EVENT.name, key, kind))

    async def _live_rows(self, upto: int | None) -> list[asyncpg.Record]:
        """The next live rows, up to this position or to the end."""
        if self._live is None:
            self._live = await self._connection.cursor(LIVE_NAMES)
        rows = self._ahead
        while upto is None or not rows or rows[-1]["position"] <= upto:
            following = await self._live.fetch(NAMES_AT_ONCE)
            if not following:
                break
            rows += following
        end = len(rows) if upto is None else bisect_right(rows, upto, key=itemgetter(1))
        self._ahead = rows[end:]
        return rows[:end]


async def _differences(connection: Connection, table: Table) -> list[Difference]:
    rows = await connection.fetch(table.differences(), SHOWN_AT_MOST + 1)
    return [
        _difference(table, {name: row[name] for name in table.key}, row["live"], row["replayed"])
        for row in rows
    ]


def _difference(
    table: Table, key: Mapping[str, str], live: str | None, replayed: str | None
) -> Difference:
    if live is None:
        return Difference(table.name, key, DifferenceKind.MISSING)
    if replayed is None:
        return Difference(table.name, key, DifferenceKind.SURPLUS)
    left, right = json.loads(live), json.loads(replayed)
    columns = tuple(name for name in table.columns if left[name] != right[name])
    return Difference(table.name, key, DifferenceKind.CHANGED, columns)


def _beyond_the_log(position: int) -> Difference:
    return Difference(
        "read_model_position", {"position": str(position)}, DifferenceKind.CHANGED, ("position",)
    )
