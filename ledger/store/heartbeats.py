"""What agents say of themselves, outside the log: the latest word of each, lost in a crash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.store.connections import Pool
from ledger.store.queries import QUERIES


class Beat(NamedTuple):
    """An agent's latest word. `body` is JSON as text; it came at `seen_at`, `age_s` ago."""

    agent: str
    pool: str
    body: str
    age_s: float = 0.0
    seen_at: datetime | None = None


async def put_heartbeats(pool: Pool, beats: Sequence[Beat]) -> None:
    """Keep the latest word of each agent; a later beat in `beats` replaces an earlier one."""
    latest = {beat.agent: beat for beat in beats}.values()
    await pool.execute(
        QUERIES["put_heartbeats"],
        [beat.agent for beat in latest],
        [beat.pool for beat in latest],
        [beat.body for beat in latest],
    )


async def trim_heartbeats(pool: Pool, kept: int) -> None:
    """Keep the latest word of so many agents, those that were heard last, and of the leader."""
    await pool.execute(QUERIES["trim_heartbeats"], kept)


async def recent_heartbeats(pool: Pool, within_s: float) -> list[Beat]:
    """The agents heard of within the last `within_s` seconds, by name."""
    rows = await pool.fetch(QUERIES["recent_heartbeats"], within_s)
    return [
        Beat(one["agent"], one["pool"], one["body"], one["age_s"], one["seen_at"]) for one in rows
    ]
