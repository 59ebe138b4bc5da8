"""What waits to be told, and how far the log was looked at for it: one process at a time.

```
hold ──▶ news ──▶ put, with the position, in one transaction ──▶ due ──▶ delivered
  ▲                                                               └────▶ failed, due later
  └── again and again, or another takes over
```

Whoever does not hold it any more moves no position and puts nothing: `NotHeld`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from ledger.domain.routes import Draft
from ledger.store.connections import Connection, Pool
from ledger.store.port import RecordedEvent
from migrations.sql.named_statements import named_statements

QUERIES = named_statements("ledger.store", "notifications.sql", commented=True)


class NotHeld(Exception):
    """Another process notifies by now."""


class Holder(NamedTuple):
    """Who notifies, until when at least, and up to where in the log."""

    name: str | None
    until: datetime | None
    position: int | None


class Waiting(NamedTuple):
    """A message that is due, and how often it was tried."""

    draft: Draft
    tries: int


class TargetTrouble(NamedTuple):
    """A target that takes nothing: failures in a row, since when, why, when that was said last."""

    why: str
    failures: int
    failing_since: datetime
    said: int
    said_at: datetime | None


class TargetState(NamedTuple):
    """How a target does."""

    target: str
    failures: int
    failing_since: datetime | None
    why: str
    next_try_at: datetime | None
    delivered: int
    delivered_at: datetime | None
    given_up: int
    waiting: int
    oldest: datetime | None


class NotificationTable:
    """The tables of `schema/0004_notifications.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def hold(self, name: str, now: datetime, until: datetime) -> int | None:
        """Notify as `name` until then; the position to go on from, `None` if another does it."""
        position: int | None = await self._pool.fetchval(QUERIES["hold"], name, now, until)
        return position

    async def holder(self) -> Holder:
        """Who notifies."""
        row = await self._pool.fetchrow(QUERIES["holder"])
        return Holder(*row) if row else Holder(None, None, None)

    async def release(self, name: str) -> None:
        """Let another notify at once."""
        await self._pool.execute(QUERIES["release"], name)

    async def ends(self) -> tuple[int, int]:
        """Where the log ends, and up to where labels follow it."""
        row = await self._pool.fetchrow(QUERIES["ends"])
        return (row["position"], row["projected"]) if row else (0, 0)

    async def news(self, after: int, upto: int, types: Sequence[str]) -> list[RecordedEvent]:
        """The events of these types behind a position up to another, in order."""
        rows = await self._pool.fetch(QUERIES["news"], after, upto, types)
        return [RecordedEvent(*row) for row in rows]

    async def labels(self, databases: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """The labels of those of these databases that are projected."""
        rows = await self._pool.fetch(QUERIES["labels"], list(databases))
        return {row["database"]: json.loads(row["labels"]) for row in rows}

    async def rollout_has(self, rollout: str, labels: Mapping[str, str]) -> bool:
        """Whether any database of a rollout has these labels."""
        wanted = json.dumps(dict(labels))
        found: bool = await self._pool.fetchval(QUERIES["rollout_has"], rollout, wanted)
        return found

    async def open_digests(self, drafts: Iterable[Draft], now: datetime) -> list[Draft]:
        """What waits already where some of these would be collected."""
        places = {(one.target, one.topic) for one in drafts if one.topic}
        targets, topics = [one for one, _ in places], [one for _, one in places]
        rows = await self._pool.fetch(QUERIES["open_digests"], targets, topics, now)
        return [_draft(row) for row in rows]

    async def put(self, holder: str, position: int, drafts: Sequence[Draft]) -> None:
        """Keep these, and that the log was looked at up to `position`. Raises `NotHeld`."""
        async with self._pool.acquire() as connection, connection.transaction():
            moved = await connection.execute(QUERIES["move"], holder, position)
            if moved != "UPDATE 1":
                raise NotHeld
            if drafts:
                await self._put(connection, drafts)

    async def _put(self, connection: Connection, drafts: Sequence[Draft]) -> None:
        columns = zip(
            *(
                (
                    one.target, one.key, one.topic, one.position, one.made_at, one.due_at,
                    json.dumps(one.document),
                )
                for one in drafts
            ),
            strict=True,
        )  # fmt: skip
        await connection.execute(QUERIES["put"], *columns)

    async def due(self, target: str, now: datetime, limit: int) -> list[Waiting]:
        """What a target is to be told now, the oldest first."""
        rows = await self._pool.fetch(QUERIES["due"], target, now, limit)
        return [Waiting(_draft(row), row["tries"]) for row in rows]

    async def next_due(self, target: str) -> datetime | None:
        """When the next message for a target is due, or was."""
        moment: datetime | None = await self._pool.fetchval(QUERIES["next_due"], target)
        return moment

    async def delivered(self, target: str, key: str, now: datetime) -> None:
        """A target took a message: it is forgotten, and what had waited for it is due."""
        await self._pool.execute(QUERIES["delivered"], target, key, now)

    async def failed(
        self, target: str, key: str, now: datetime, why: str, again_at: datetime
    ) -> TargetTrouble:
        """A target did not take a message, which is due again at `again_at`."""
        row = await self._pool.fetchrow(QUERIES["failed"], target, key, now, why, again_at)
        assert row is not None  # noqa: S101  # What inserts or updates returns its row.
        return TargetTrouble(*row)

    async def said(self, target: str, now: datetime) -> None:
        """It stands in the log that a target takes nothing."""
        await self._pool.execute(QUERIES["said"], target, now)

    async def give_up(self, target: str, before: datetime) -> int:
        """Forget what has waited for a target since before a moment; how many these were."""
        number: int = await self._pool.fetchval(QUERIES["give_up"], target, before)
        return int(number)

    async def waiting(self, target: str) -> int:
        """How many messages wait for a target."""
        number: int = await self._pool.fetchval(QUERIES["waiting"], target)
        return number

    async def targets(self) -> list[TargetState]:
        """How every target does that anything was ever for."""
        return [TargetState(*row) for row in await self._pool.fetch(QUERIES["targets"])]


def _draft(row: asyncpg.Record) -> Draft:
    return Draft(
        row["target"], row["key"], row["topic"], row["position"], row["made_at"], row["due_at"],
        json.loads(row["document"]),
    )  # fmt: skip
