"""Reads the log as a timeline: of one database, of some streams, or of what a filter names.

The log itself is read, so nothing that happened can be missing; `ledger.database_event` only says
where a database is named. What people asked for is found by an index of its own (`log_requests`), a
moment by halving the log, and everything else by its streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import REQUESTED_BY_OPERATORS
from ledger.domain.premises import TURNS
from ledger.store.connections import Pool
from ledger.store.log.decode import open_event
from ledger.store.port import RecordedEvent

PAGE = 1000
"""Events of one page."""
LAST = 2**63 - 1
"""Behind every position."""
REQUESTS = tuple(sorted(REQUESTED_BY_OPERATORS - {"WavePlanned"}))
"""Events that stand for a request; a plan's waves come along with the plan."""
TURNING = [turn.__name__ for turn in TURNS]

COLUMNS = """log.position, stream, stream_version, event_id, type, schema_version, body, metadata,
        recorded_by, recorded_at, leaf, chain"""
MATCHING = """
    log.position > $1 AND log.position < $2
    AND ($4::text IS NULL OR starts_with(stream, $4)) AND ($5::text[] IS NULL OR type = ANY ($5))
    AND ($6::text[] IS NULL OR stream = ANY ($6))
    AND ($7::bytea IS NULL OR type = ANY ($8::text[])
        OR (type <> 'MigrationOrdered' AND position($7 IN body) > 0))
    AND ($9::text IS NULL OR recorded_by = $9 OR position($10::bytea IN metadata) > 0)
    AND ($11::bytea IS NULL OR position($11 IN metadata) > 0)"""
"""$1 behind this position, $2 before this one, $4 how the stream begins, $5 types, $6 streams,
$7 how a version is named and $8 what is wanted without it, $9 and $10 a role, or a name in the
metadata, $11 a text in the metadata."""
EVENTS = f"SELECT {COLUMNS} FROM ledger.log AS log WHERE {MATCHING}"  # noqa: S608  ours
EVENTS_OF_DATABASE = f"""
    SELECT {COLUMNS} FROM ledger.database_event AS named
    JOIN ledger.log AS log ON log.position = named.position
    WHERE named.database = $12 AND named.position > $1 AND named.position < $2 AND {MATCHING}
"""  # noqa: S608
FORWARD = " ORDER BY log.position LIMIT $3"
BACK = " ORDER BY log.position DESC LIMIT $3"
ASKED = """
    SELECT min(first) AS first, max(last) AS last, sum(events)::bigint AS events,
        array_agg(first ORDER BY first) AS firsts, array_agg(events ORDER BY first) AS numbers
    FROM (
        SELECT metadata, recorded_by, type, min(position) AS first, max(position) AS last,
            count(*) AS events,
            -- One request has one metadata, which say when it was made; without any, each is by
            -- itself.
            CASE WHEN metadata = '{{}}'::bytea THEN position END AS alone
        FROM ledger.log
        WHERE type IN ({types}) AND position > $1 AND position < $2
          AND ($4::text IS NULL OR recorded_by = $4 OR position($5::bytea IN metadata) > 0)
          AND ($6::bytea IS NULL OR position($6 IN metadata) > 0)
        GROUP BY metadata, recorded_by, alone, type
    ) AS kind
    GROUP BY metadata, recorded_by, alone
    ORDER BY last DESC LIMIT $3
""".format(types=", ".join(f"'{one}'" for one in REQUESTS))  # noqa: S608
AT = f"SELECT {COLUMNS} FROM ledger.log AS log WHERE position = ANY ($1::bigint[])"  # noqa: S608
BEGUN = f"""
    SELECT {COLUMNS} FROM ledger.log AS log WHERE stream = ANY ($1) AND stream_version = 1
"""  # noqa: S608
MOMENT = "SELECT recorded_at FROM ledger.log WHERE position = $1"
END = "SELECT coalesce(max(position), 0) FROM ledger.log"
CARRYING = """
    SELECT rollout FROM ledger.rollout
    WHERE steps @> jsonb_build_array(jsonb_build_object('version', $1::text))
    ORDER BY planned_position
"""
LATEST_OF_DATABASE = f"""
    SELECT DISTINCT ON (type) {COLUMNS} FROM ledger.database_event AS named
    JOIN ledger.log AS log ON log.position = named.position
    WHERE named.database = $1 AND type = ANY ($2)
    ORDER BY type, log.position DESC
"""  # noqa: S608
OF_BUNDLE = "SELECT rollout FROM ledger.rollout WHERE bundle = $1 ORDER BY planned_position"
REGISTERED = """
    SELECT DISTINCT ref ->> 'version' AS version
    FROM ledger.bundle, jsonb_array_elements(migrations) AS ref
    WHERE $1 IN (ref ->> 'version', ref ->> 'name', (ref ->> 'version') || '_' || (ref ->> 'name'))
"""
HELD = "SELECT DISTINCT version FROM ledger.applied WHERE version = $1"
BUNDLES = "SELECT bundle FROM ledger.bundle WHERE starts_with(bundle, $1) LIMIT 2"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is `None` does not matter.

    With a `version`, those that name this migration, and what turned the rollouts of `streams`.
    `by` is a role, or whoever asked by name; `ticket` is that of a request.
    """

    stream_prefix: str | None = None
    types: tuple[str, ...] | None = None
    database: str | None = None
    streams: tuple[str, ...] | None = None
    version: str | None = None
    by: str | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class RequestFound:
    """One request: its first event, where its last one stands, and how many there are.

    `kinds` are the first event of each type, in the order of the log, with how many are like it.
    """

    first: Recorded
    last: int
    events: int
    kinds: tuple[tuple[Recorded, int], ...]


class Timelines:
    """Timelines from the log, page by page: `after` and `before` are positions.

    An event that this version cannot read stands there as `Unreadable`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def database(self, database: str, after: int = 0, limit: int = PAGE) -> list[Recorded]:
        """Everything that names a database: registration, orders, reports, looks."""
        return await self.events(EventFilter(database=database), after, limit)

    async def rollout(self, rollout: str, after: int = 0, limit: int = PAGE) -> list[Recorded]:
        """A rollout's decisions and its reports, in the order of the log."""
        return await self.events(EventFilter(streams=streams_of([rollout])), after, limit)

    async def latest_of(self, database: str, types: Sequence[str]) -> list[Recorded]:
        """The latest event of each of these types that names a database."""
        return await self._opened(LATEST_OF_DATABASE, database, list(types))

    async def events(
        self, wanted: EventFilter, after: int = 0, limit: int = PAGE, *, before: int = LAST
    ) -> list[Recorded]:
        """The first events behind `after` that the filter lets through, oldest first."""
        return await self._fetch(wanted, FORWARD, after, before, limit)

    async def newest(
        self, wanted: EventFilter, before: int = LAST, limit: int = PAGE, *, after: int = 0
    ) -> list[Recorded]:
        """The last events before `before` that the filter lets through, newest first."""
        return await self._fetch(wanted, BACK, after, before, limit)

    async def asked(
        self, wanted: EventFilter, before: int = LAST, limit: int = PAGE, *, after: int = 0
    ) -> list[RequestFound]:
        """The last requests before `before`, newest first; each is one, whatever it changed."""
        by, ticket = _quoted(wanted.by), _quoted(wanted.ticket)
        rows = await self._pool.fetch(ASKED, after, before, limit, wanted.by, by, ticket)
        places = [place for row in rows for place in row["firsts"]]
        at = {one.position: one for one in await self._opened(AT, places)}
        found = []
        for row in rows:
            kinds = zip((at[place] for place in row["firsts"]), row["numbers"], strict=True)
            one = RequestFound(at[row["first"]], row["last"], row["events"], tuple(kinds))
            if _is_meant(wanted, one.first):
                found.append(one)
        return found

    async def begun(self, streams: Sequence[str]) -> list[Recorded]:
        """The first events of these streams: what asked for all that followed there."""
        return await self._opened(BEGUN, list(streams)) if streams else []

    async def place_of(self, moment: datetime) -> int:
        """The last position that was recorded before a moment."""
        low, high = 0, int(await self._pool.fetchval(END))
        while low < high:
            middle = (low + high + 1) // 2
            at: datetime | None = await self._pool.fetchval(MOMENT, middle)
            # Where a row is missing somebody cut it out: what is behind it is to be seen.
            if at is not None and at < moment:
                low = middle
            else:
                high = middle - 1
        return low

    async def migrations_called(self, name: str) -> list[str]:
        """The versions that are called so: by version, by name, or by both."""
        found = {row["version"] for row in await self._pool.fetch(REGISTERED, name)}
        found |= {row["version"] for row in await self._pool.fetch(HELD, name)}
        return sorted(found)

    async def bundles_called(self, beginning: str) -> list[str]:
        """Up to two bundles whose digest begins so."""
        return [row["bundle"] for row in await self._pool.fetch(BUNDLES, beginning)]

    async def rollouts_carrying(self, version: str) -> list[str]:
        """The rollouts that were to bring a migration, or to take it back."""
        return [row["rollout"] for row in await self._pool.fetch(CARRYING, version)]

    async def rollouts_of(self, bundle: str) -> list[str]:
        """The rollouts of a bundle."""
        return [row["rollout"] for row in await self._pool.fetch(OF_BUNDLE, bundle)]

    async def _fetch(
        self, wanted: EventFilter, order: str, after: int, before: int, limit: int
    ) -> list[Recorded]:
        types = list(wanted.types) if wanted.types is not None else None
        streams = list(wanted.streams) if wanted.streams is not None else None
        named = b'"version":' + to_json(wanted.version) if wanted.version is not None else None
        arguments: list[Any] = [after, before, limit, wanted.stream_prefix, types, streams, named]
        arguments += [TURNING, wanted.by, _quoted(wanted.by), _quoted(wanted.ticket)]
        if wanted.database is None:
            found = await self._opened(EVENTS + order, *arguments)
        else:
            found = await self._opened(EVENTS_OF_DATABASE + order, *arguments, wanted.database)
        return [one for one in found if _is_meant(wanted, one)]

    async def _opened(self, sql: str, *arguments: Any) -> list[Recorded]:
        rows = await self._pool.fetch(sql, *arguments)
        return [open_event(RecordedEvent(*row)) for row in rows]


def streams_of(rollouts: Sequence[str]) -> tuple[str, ...]:
    """The streams of these rollouts."""
    return tuple(f"rollout-{one}{end}" for one in rollouts for end in ("", "/reports"))


def _quoted(text: str | None) -> bytes | None:
    """A text as JSON writes it."""
    return to_json(text) if text is not None else None


def _is_meant(wanted: EventFilter, recorded: Recorded) -> bool:
    """Whether what was found by its bytes is meant: a name may stand in another place, too."""
    said = recorded.metadata
    name = said.actor.name if said.actor is not None else None
    by = wanted.by is None or wanted.by in (recorded.recorded_by, name)
    return by and (wanted.ticket is None or said.ticket == wanted.ticket)
