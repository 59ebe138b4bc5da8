"""Reads the log as a timeline: of one database, of one rollout, or of what a filter names.

The log itself is read, so nothing that happened can be missing; `ledger.database_event` only says
where a database is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from ledger.contracts.envelope import Recorded
from ledger.store.connections import Pool
from ledger.store.log.decode import read, read_metadata

PAGE = 1000
"""Events of one page."""

EVENTS = """
    SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
        recorded_by, recorded_at
    FROM ledger.log
    WHERE position > $1 AND ($3::text IS NULL OR starts_with(stream, $3))
      AND ($4::text[] IS NULL OR type = ANY ($4))
    ORDER BY position LIMIT $2
"""
"""$1 after this position, $2 how many, $3 how the stream begins, $4 types."""
EVENTS_OF_DATABASE = """
    SELECT log.position, stream, stream_version, event_id, type, schema_version, body, metadata,
        recorded_by, recorded_at
    FROM ledger.database_event AS named JOIN ledger.log AS log ON log.position = named.position
    WHERE named.database = $5 AND named.position > $1
      AND ($3::text IS NULL OR starts_with(stream, $3)) AND ($4::text[] IS NULL OR type = ANY ($4))
    ORDER BY named.position LIMIT $2
"""
LATEST_OF_DATABASE = """
    SELECT DISTINCT ON (type) log.position, stream, stream_version, event_id, type, schema_version,
        body, metadata, recorded_by, recorded_at
    FROM ledger.database_event AS named JOIN ledger.log AS log ON log.position = named.position
    WHERE named.database = $1 AND type = ANY ($2)
    ORDER BY type, log.position DESC
"""
EVENTS_OF_STREAMS = """
    SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
        recorded_by, recorded_at
    FROM ledger.log WHERE stream = ANY ($3) AND position > $1 ORDER BY position LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is `None` does not matter."""

    stream_prefix: str | None = None
    types: tuple[str, ...] | None = None
    database: str | None = None


class Timelines:
    """Timelines from the log, oldest first, page by page: `after` is a position.

    An event that this version cannot read stands there as `Unreadable`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def database(self, database: str, after: int = 0, limit: int = PAGE) -> list[Recorded]:
        """Everything that names a database: registration, orders, reports, looks."""
        return await self.events(EventFilter(database=database), after, limit)

    async def rollout(self, rollout: str, after: int = 0, limit: int = PAGE) -> list[Recorded]:
        """A rollout's decisions and its reports, in the order of the log."""
        streams = [f"rollout-{rollout}", f"rollout-{rollout}/reports"]
        return await self._fetch(EVENTS_OF_STREAMS, after, limit, streams)

    async def latest(self, database: str, types: Sequence[str]) -> list[Recorded]:
        """The latest event of each of these types that names a database."""
        return await self._fetch(LATEST_OF_DATABASE, database, list(types))

    async def events(
        self, wanted: EventFilter, after: int = 0, limit: int = PAGE
    ) -> list[Recorded]:
        """Every event that the filter lets through."""
        types = list(wanted.types) if wanted.types is not None else None
        arguments = [after, limit, wanted.stream_prefix, types]
        if wanted.database is None:
            return await self._fetch(EVENTS, *arguments)
        return await self._fetch(EVENTS_OF_DATABASE, *arguments, wanted.database)

    async def _fetch(self, sql: str, *arguments: Any) -> list[Recorded]:
        return [_open(row) for row in await self._pool.fetch(sql, *arguments)]


def _open(row: asyncpg.Record) -> Recorded:
    return Recorded(
        position=row["position"],
        stream=row["stream"],
        stream_version=row["stream_version"],
        event_id=row["event_id"],
        event=read(row["type"], row["schema_version"], row["body"]),
        metadata=read_metadata(row["metadata"]),
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )
