"""The queries of status, lists and orders, over the tables that `advance` writes.

They read what has been projected; whoever needs his own append in the answer calls `caught_up`
first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from ledger.contracts.registry import MigrationRef, Step
from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.pending import DatabaseVersions
from ledger.domain.selection import Term, is_glob
from ledger.domain.states import DatabaseState, DatabaseStatus
from ledger.errors import ReadModelsBehind
from ledger.store.connections import Connection, Pool
from ledger.store.leadership import current_leader
from ledger.store.views import advance
from ledger.store.views.columns import to_fleet, to_state
from ledger.store.views.counts import EXAMPLES, FleetCounts, pattern_of
from ledger.store.views.port import PAGE
from ledger.store.views.rows import (
    AppliedRow,
    BundleRow,
    CauseRow,
    DurationRow,
    FleetEntry,
    FleetRow,
    HeldText,
    QueueRow,
    RolloutRow,
    TollRow,
)
from ledger.store.views.tables import FLEET_DATABASE
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.attempt import Expectation, HalfDone, Mode
from migrations.sql.named_statements import named_statements

_COLUMNS = {
    "{fleet_row}": FLEET_DATABASE.read(),
    "{fleet_entry}": FLEET_DATABASE.read(len(FleetEntry._fields)),
}
"""What queries call the columns of a row that `ledger.store.views.columns` reads by its order."""


def _with_columns(query: str) -> str:
    for called, columns in _COLUMNS.items():
        query = query.replace(called, columns)
    return query


QUERIES = {
    name: _with_columns(query)
    for name, query in named_statements("ledger.store.views", "queries.sql", commented=True).items()
}
PATIENCE_S = 5.0
"""How long a reader waits for the leader to project; it does so several times per second."""
ALONE_S = 1.0
"""How long where nobody leads: a leader that is being replaced is back within that."""
LOOK_EVERY_S = 0.1
VALUES_AT_ONCE = 20_000
"""Versions of databases that are read at once: a megabyte or two."""

_MIGRATIONS = TypeAdapter(tuple[MigrationRef, ...])
_STEPS = TypeAdapter(tuple[Step, ...])
_HALF_DONE = TypeAdapter(tuple[HalfDone, ...])


class ReadModels(FleetCounts):
    """Answers from the projected tables."""

    def __init__(self, pool: Pool | Connection, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = pool
        self._clock = clock

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadModels]:
        """The same as it is now, until the block ends: all answers are of one position."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield ReadModels(connection, self._clock)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if isinstance(self._pool, asyncpg.Pool):
            async with self._pool.acquire() as connection:
                yield connection
        else:
            yield self._pool

    async def caught_up(self) -> int:
        """Project everything that is in the log now; the position. Needs the service role."""
        async with self._connection() as connection:
            return await advance.catch_up(connection)

    async def position(self) -> int:
        """Up to which position of the log the answers go."""
        position: int = await self._pool.fetchval(QUERIES["position"])
        return position

    async def reached(self, position: int) -> int:
        """As `Views.reached`."""
        began = self._clock.monotonic()
        while (reached := await self.position()) < position:
            leader = await current_leader(self._pool)
            # Who leads projects; where nobody does, waiting changes nothing.
            alone = leader is None or leader.is_silent
            patience_s = min(ALONE_S, PATIENCE_S) if alone else PATIENCE_S
            if self._clock.monotonic() - began >= patience_s:
                raise ReadModelsBehind(reached, position)
            await self._clock.sleep(LOOK_EVERY_S)
        return reached

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """These databases, or the whole fleet with its retired ones."""
        if databases is not None:
            return [to_fleet(row) for row in await self._fetch("fleet", databases)]
        found: list[FleetRow] = []
        after = ""
        while page := await self.fleet_page((), retired=True, after=after):
            found += page
            after = page[-1].registered.database
        return found

    async def fleet_entries(self, after: str = "", limit: int = PAGE) -> list[FleetEntry]:
        """The next databases behind the id `after`, retired ones too, in plain values."""
        return [FleetEntry(*row) for row in await self._fetch("fleet_entries", after, limit)]

    async def fleet_named(self, databases: Sequence[str], names: Sequence[str]) -> list[FleetRow]:
        """Databases of these ids, or whose name on their server is one of those."""
        return [to_fleet(row) for row in await self._fetch("fleet_named", databases, names)]

    async def records_at(
        self, databases: Sequence[str], places: Collection[tuple[str, int]]
    ) -> list[DatabaseRecord]:
        """Databases of these ids, or last known to be one of these: server's and object's id."""
        servers, oids = [server for server, _ in places], [oid for _, oid in places]
        rows = await self._fetch("fleet_at", databases, servers, oids)
        return [to_fleet(row).record for row in rows]

    async def fleet_page(
        self, terms: Sequence[Term], *, retired: bool, after: str = "", limit: int = PAGE
    ) -> list[FleetRow]:
        """The next databases behind the id `after` for which all terms of a selection hold."""
        rows = await self._fetch("fleet_page", terms_json(terms), retired, after, limit)
        return [to_fleet(row) for row in rows]

    async def fleet_count(self, terms: Sequence[Term], *, retired: bool) -> int:
        """For how many databases all terms of a selection hold."""
        number: int = await self._pool.fetchval(QUERIES["fleet_count"], terms_json(terms), retired)
        return number

    async def records(self, databases: Sequence[str] | None = None) -> list[DatabaseRecord]:
        """The same in the words of the domain, with what the next order expects."""
        return [row.record for row in await self.fleet(databases)]

    async def expected(self, databases: Sequence[str]) -> dict[str, Expectation]:
        """What the next order of each of these registered databases expects to find."""
        return {record.database: record.expected for record in await self.records(databases)}

    async def unmet(self, databases: Sequence[str]) -> frozenset[str]:
        """As `Views.unmet`."""
        return frozenset(row["database"] for row in await self._fetch("unmet", databases))

    async def latest_bundles(self) -> list[BundleRow]:
        """The bundle registered last of each history, the latest first."""
        return [_bundle_row(row) for row in await self._fetch("latest_bundles")]

    async def bound(self) -> bool:
        """As `Views.bound`."""
        return bool((await self._fetch("bound"))[0]["bound"])

    async def histories(self, databases: Sequence[str]) -> dict[str, frozenset[str]]:
        """The histories, by key, that what rollouts have applied in these databases comes from."""
        rows = await self._fetch("histories", databases)
        return {row["database"]: frozenset(row["histories"]) for row in rows}

    async def rollout(self, rollout: str) -> RolloutRow | None:
        """One rollout with its databases counted."""
        rows = await self._rollouts([rollout], None, None, 1)
        return rows[0] if rows else None

    async def rollout_counts(self, rollout: str) -> dict[tuple[int, str], int]:
        """How many databases of a rollout are in each (wave, state)."""
        rows = await self._fetch("rollout_counts", [rollout])
        return {(row["wave"], row["state"]): row["databases"] for row in rows}

    async def rollout_databases(
        self,
        rollout: str,
        states: Sequence[str] | None = None,
        *,
        troubled: bool = False,
        after: tuple[int, str] = (-1, ""),
        limit: int = PAGE,
    ) -> list[DatabaseState]:
        """A page of a rollout's databases by wave and id, behind the place `after`.

        Of those in these states and, with `troubled`, those that failed or wait for another
        attempt; or of all.
        """
        rows = await self._fetch("rollout_databases", rollout, states, troubled, *after, limit)
        return [to_state(row) for row in rows]

    async def rollout_databases_named(
        self, rollout: str, databases: Sequence[str]
    ) -> list[DatabaseState]:
        """These databases of a rollout, as far as they are part of it."""
        rows = await self._fetch("rollout_databases_named", rollout, databases)
        return [to_state(row) for row in rows]

    async def rollout_done(self, rollout: str) -> dict[str, DatabaseStatus]:
        """The databases of a rollout that are done, and how they went."""
        rows = await self._fetch("rollout_done", rollout)
        return {row["database"]: DatabaseStatus(row["state"]) for row in rows}

    async def rollout_undone(
        self, rollout: str, *, after: tuple[int, str] = (-1, ""), limit: int = PAGE
    ) -> list[DatabaseState]:
        """A page of those that are neither done nor as they were planned, behind `after`."""
        rows = await self._fetch("rollout_undone", rollout, *after, limit)
        return [to_state(row) for row in rows]

    async def count_troubled(self, rollout: str, states: Sequence[str]) -> int:
        """How many databases of a rollout are in these states, failed, or wait for an attempt."""
        number: int = await self._pool.fetchval(QUERIES["troubled"], rollout, states)
        return number

    async def rollout_toll(self, rollout: str) -> TollRow:
        """What its failures have cost a rollout so far."""
        (row,) = await self._fetch("rollout_toll", rollout)
        return TollRow(*row)

    async def rollout_causes(
        self,
        rollout: str,
        *,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = PAGE,
    ) -> list[CauseRow]:
        """What went wrong in a rollout, by state and cause, the largest group first."""
        rows = await self._fetch("rollout_causes", rollout, only, without, EXAMPLES, limit)
        return [CauseRow(**dict(row) | {"examples": tuple(row["examples"])}) for row in rows]

    async def rollout_queues(self, rollout: str, limit: int = PAGE) -> list[QueueRow]:
        """Its unfinished databases with which nothing is wrong, by state, wave and pool."""
        return [QueueRow(*row) for row in await self._fetch("rollout_queues", rollout, limit)]

    async def rollouts(
        self,
        statuses: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[RolloutRow]:
        """Rollouts, newest first; `before` is the `planned_position` to go on from."""
        return await self._rollouts(None, statuses, before, limit)

    async def _rollouts(
        self,
        ids: Sequence[str] | None,
        statuses: Sequence[str] | None,
        before: int | None,
        limit: int,
    ) -> list[RolloutRow]:
        rows = await self._fetch("rollouts", statuses, before, limit, ids)
        counts: dict[str, dict[tuple[int, str], int]] = {row["rollout"]: {} for row in rows}
        for count in await self._fetch("rollout_counts", list(counts)):
            counts[count["rollout"]][(count["wave"], count["state"])] = count["databases"]
        return [_rollout_row(row, counts[row["rollout"]]) for row in rows]

    async def unfinished_rollouts(self) -> list[str]:
        """Rollouts that have not ended, oldest first."""
        return [row["rollout"] for row in await self._fetch("unfinished")]

    async def unsettled_rollouts(self) -> list[str]:
        """Rollouts that a leader must know: those unfinished, at work, or undone now."""
        return [row["rollout"] for row in await self._fetch("unsettled")]

    async def open_checks(self) -> list[str]:
        """Looks that were asked for and are not over, the oldest first."""
        rows = await self._fetch("open_checks")
        return [row["stream"].removeprefix("check-") for row in rows]

    async def unread(self, databases: Sequence[str] | None) -> frozenset[str]:
        """As `Views.unread`."""
        return frozenset(row["database"] for row in await self._fetch("unread", databases))

    async def half_done(self, databases: Sequence[str]) -> dict[str, tuple[HalfDone, ...]]:
        """What is half done, or in doubt, in those of these databases where anything is."""
        rows = await self._fetch("half_done", databases)
        return {row["database"]: _HALF_DONE.validate_json(row["half_done"]) for row in rows}

    async def unreadable(
        self, *, aside: bool | None = None, positions: Sequence[int] | None = None
    ) -> list[UnreadableEvent]:
        """The latest events that could not be read, or those at these positions.

        With `aside` only those that a person has set aside, or those that nobody has.
        """
        rows = await self._fetch("unreadable", aside, positions, PAGE)
        return [UnreadableEvent(*row) for row in rows]

    async def busy(self, databases: Sequence[str]) -> dict[str, str]:
        """Which of these databases are part of an unfinished rollout, and of which (the oldest)."""
        found: dict[str, str] = {}
        for row in await self._fetch("busy", databases):
            found.setdefault(row["database"], row["rollout"])
        return found

    async def beginning(self, beginning: str) -> list[str]:
        """The rollouts whose id begins so, newest first."""
        return [row["rollout"] for row in await self._fetch("beginning", beginning)]

    async def applied(
        self, databases: Sequence[str] | None = None, versions: Sequence[str] | None = None
    ) -> list[AppliedRow]:
        """What is known of these migrations on these databases."""
        return [AppliedRow(*row) for row in await self._fetch("applied", databases, versions)]

    async def durations(self, versions: Sequence[str]) -> list[DurationRow]:
        """How long these migrations took where they are applied."""
        return [DurationRow(*row) for row in await self._fetch("durations", versions)]

    async def held_texts(self, versions: Sequence[str]) -> list[HeldText]:
        """Who has these migrations, or may have them, with which texts."""
        return [HeldText(*row) for row in await self._fetch("held_texts", versions)]

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """Each database against these versions: what is in force there and what is missing.

        Many databases have the same: that is there once.
        """
        found: list[DatabaseVersions] = []
        same: dict[tuple[str, ...], tuple[str, ...]] = {}
        size = max(VALUES_AT_ONCE // max(len(versions), 1), 1)
        parts = (
            [databases]
            if databases is None
            else [databases[at : at + size] for at in range(0, len(databases), size)]
        )
        for part in parts:
            for row in await self._fetch("database_versions", part, versions):
                applied, missing = tuple(row["applied"] or ()), tuple(row["missing"] or ())
                applied, missing = (
                    same.setdefault(applied, applied),
                    same.setdefault(missing, missing),
                )
                found.append(DatabaseVersions(row["database"], applied, missing))
        return found

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], *arguments)


def terms_json(terms: Sequence[Term]) -> str:
    """The terms of a selection, as statements take them."""
    return json.dumps(
        [
            {
                "key": one.key,
                "values": sorted(one.values),
                "globs": [pattern_of(value) for value in sorted(one.values) if is_glob(value)],
                "negated": one.negated,
            }
            for one in terms
        ]
    )


def _bundle_row(row: asyncpg.Record) -> BundleRow:
    return BundleRow(**dict(row) | {"migrations": _MIGRATIONS.validate_json(row["migrations"])})


def _rollout_row(row: asyncpg.Record, counts: Mapping[tuple[int, str], int]) -> RolloutRow:
    read = {"mode": Mode(row["mode"]), "steps": _STEPS.validate_json(row["steps"])}
    return RolloutRow(**dict(row) | read, counts=counts)
