"""The queries of status, lists and orders, over the tables that `advance` writes.

They read what has been projected; whoever needs his own append in the answer calls `caught_up`
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from ledger.contracts.registry import MigrationRef, Step
from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.pending import DatabaseVersions
from ledger.errors import ReadModelsBehind
from ledger.store.connections import Pool
from ledger.store.port import PAGE
from ledger.store.views import advance
from ledger.store.views.columns import to_fleet
from ledger.store.views.rows import AppliedRow, BundleRow, FleetRow, RolloutRow
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.attempt import Expectation, Mode
from migrations.sql.named_statements import named_statements

QUERIES = named_statements("ledger.store.views", "queries.sql", commented=True)
PATIENCE_S = 5.0
"""How long a reader waits for the leader to project; it does so several times per second."""
LOOK_EVERY_S = 0.1

_MIGRATIONS = TypeAdapter(tuple[MigrationRef, ...])
_STEPS = TypeAdapter(tuple[Step, ...])


class ReadModels:
    """Answers from the projected tables."""

    def __init__(self, pool: Pool, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = pool
        self._clock = clock

    async def caught_up(self) -> int:
        """Project everything that is in the log now; the position. Needs the service role."""
        async with self._pool.acquire() as connection:
            return await advance.catch_up(connection)

    async def position(self) -> int:
        """Up to which position of the log the answers go."""
        position: int = await self._pool.fetchval(QUERIES["position"])
        return position

    async def reached(self, position: int) -> int:
        """As `Views.reached`."""
        until = self._clock.monotonic() + PATIENCE_S
        while (reached := await self.position()) < position:
            if self._clock.monotonic() >= until:
                raise ReadModelsBehind(reached, position)
            await self._clock.sleep(LOOK_EVERY_S)
        return reached

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """These databases, or the whole fleet with its retired ones."""
        return [to_fleet(row) for row in await self._fetch("fleet", databases)]

    async def records(self, databases: Sequence[str] | None = None) -> list[DatabaseRecord]:
        """The same in the words of the domain, with what the next order expects."""
        return [row.record for row in await self.fleet(databases)]

    async def expected(self, databases: Sequence[str]) -> dict[str, Expectation]:
        """What the next order of each of these registered databases expects to find."""
        return {record.database: record.expected for record in await self.records(databases)}

    async def latest_bundle(self) -> BundleRow | None:
        """The bundle registered last."""
        rows = await self._fetch("latest_bundle")
        return _bundle_row(rows[0]) if rows else None

    async def rollout(self, rollout: str) -> RolloutRow | None:
        """One rollout with its databases counted."""
        rows = await self._rollouts([rollout], None, None, 1)
        return rows[0] if rows else None

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

    async def recent_checks(self) -> list[str]:
        """Checks that a leader must know: recent ones, and those that must not stay unanswered."""
        rows = await self._fetch("recent_checks")
        return [row["stream"].removeprefix("check-") for row in rows]

    async def unread(self, databases: Sequence[str]) -> frozenset[str]:
        """Which of these were reinstated or repointed, their journal not being read since."""
        return frozenset(row["database"] for row in await self._fetch("unread", databases))

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

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """Each database against these versions: what is in force there and what is missing."""
        rows = await self._fetch("database_versions", databases, versions)
        return [
            DatabaseVersions(
                row["database"], tuple(row["applied"] or ()), tuple(row["missing"] or ())
            )
            for row in rows
        ]

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], *arguments)


def _bundle_row(row: asyncpg.Record) -> BundleRow:
    return BundleRow(**dict(row) | {"migrations": _MIGRATIONS.validate_json(row["migrations"])})


def _rollout_row(row: asyncpg.Record, counts: Mapping[tuple[int, str], int]) -> RolloutRow:
    read = {"mode": Mode(row["mode"]), "steps": _STEPS.validate_json(row["steps"])}
    return RolloutRow(**dict(row) | read, counts=counts)
