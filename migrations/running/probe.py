"""Concurrent indexes: is it there, is it valid, is somebody at it; and taking a broken one away.

A failed CREATE INDEX CONCURRENTLY leaves an invalid index, which slows down writes, serves no
reader, and lets IF NOT EXISTS report success. It is dropped only when the journal holds the intent
to build it, which is only written when it was not there before, and when no session is building it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from migrations.errors import LockUnavailable
from migrations.model.migration import ConcurrentIndex
from migrations.sql.literals import quote_ident
from migrations.target.journal import statement as sql
from migrations.target.target import Target

BUILDER_POLL_S = 1.0
"""A build that outlived its client ends within the connection check interval, or takes minutes."""


class IndexState(Enum):
    """What a probe finds."""

    ABSENT = auto()
    VALID = auto()
    INVALID = auto()
    BUILDING = auto()
    """Invalid, and a session is at it."""
    OTHER = auto()
    """The name belongs to something that is not an index."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The answer of a probe; `name` is quoted and qualified."""

    state: IndexState
    name: str = ""


async def probe(target: Target, index: ConcurrentIndex) -> ProbeAnswer:
    """Look for the index where its statement makes or drops it."""
    if index.table:
        query = sql("index_by_table", index=index.name, table=index.table)
    else:
        parts = [part for part in (index.schema, index.name) if part]
        query = sql("index_by_name", name=".".join(quote_ident(part) for part in parts))
    row = await target.connection.fetchrow(query)
    if row is None:
        return ProbeAnswer(IndexState.ABSENT)
    if row["valid"] is None:
        return ProbeAnswer(IndexState.OTHER, row["name"])
    if row["valid"]:
        return ProbeAnswer(IndexState.VALID, row["name"])
    state = IndexState.BUILDING if row["building"] else IndexState.INVALID
    return ProbeAnswer(state, row["name"])


async def probe_at_rest(target: Target, index: ConcurrentIndex) -> ProbeAnswer:
    """Probe, and wait for a builder that outlived its client.

    Raises LockUnavailable when it goes on for longer than we wait.
    """
    started = target.clock.monotonic()
    while (found := await probe(target, index)).state is IndexState.BUILDING:
        waited = target.clock.monotonic() - started
        if waited >= target.limits.advisory_wait_s:
            raise LockUnavailable(
                f"another session is still building the index {found.name}; let it end, "
                "then order the migration again"
            )
        target.observer.waiting(f"another session that builds {found.name}", waited, BUILDER_POLL_S)
        await target.clock.sleep(BUILDER_POLL_S)
    return found


async def drop_invalid(target: Target, found: ProbeAnswer) -> None:
    """Take a broken index away; the caller has checked that the journal allows it."""
    await target.connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {found.name}")
