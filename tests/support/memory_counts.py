"""What is counted in a fleet and its rollouts: the queries of the views that group, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.domain.pending import DatabaseVersions
from ledger.domain.rollout import RolloutState
from ledger.domain.states import DatabaseState, DatabaseStatus
from ledger.store.views.counts import EXAMPLES
from ledger.store.views.port import PAGE
from ledger.store.views.projection import Projection
from ledger.store.views.rows import (
    AppliedRow,
    CauseRow,
    FleetRow,
    PoolRow,
    QueueRow,
    StandingRow,
    TollRow,
    TroubleRow,
)

TROUBLES = ("failed", "rollback_failed", "unknown", "regressed")
IN_TROUBLE = frozenset({DatabaseStatus.FAILED, DatabaseStatus.BLOCKED, DatabaseStatus.UNKNOWN})
QUEUED = frozenset(
    {
        DatabaseStatus.PENDING,
        DatabaseStatus.UNFINISHED,
        DatabaseStatus.ORDERED,
        DatabaseStatus.RUNNING,
    }
)


class MemoryCounts:
    """The part of `tests.support.memory_stores.MemoryViews` that counts."""

    _projection: Projection
    _states: dict[str, RolloutState]

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """As `Views.fleet`."""
        raise NotImplementedError

    async def applied(
        self, databases: Sequence[str] | None = None, versions: Sequence[str] | None = None
    ) -> list[AppliedRow]:
        """As `Views.applied`."""
        raise NotImplementedError

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """As `Views.database_versions`."""
        raise NotImplementedError

    def _databases(self, rollout: str) -> list[DatabaseState]:
        raise NotImplementedError

    async def fleet_pools(self) -> list[PoolRow]:
        """As `Views.fleet_pools`."""
        held: dict[tuple[str, str], list[str]] = {}
        for row in await self.fleet():
            known = row.registered
            held.setdefault((known.status.value, known.pool), []).append(known.database)
        return [
            PoolRow(*key, len(names), tuple(names[:EXAMPLES]))
            for key, names in sorted(held.items())
        ]

    async def fleet_standings(self, versions: Sequence[str]) -> list[StandingRow]:
        """As `Views.fleet_standings`."""
        held: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for known in await self.database_versions(versions) if versions else await self._lacking():
            row = self._projection.fleet.rows[known.database]
            key = (row.registered.status.value, known.applied)
            held.setdefault(key, []).append(known.database)
        rows = [StandingRow(*key, len(held[key]), tuple(held[key][:EXAMPLES])) for key in held]
        return sorted(rows, key=lambda row: (-row.databases, row.examples[0]))

    async def fleet_gaps(self, versions: Sequence[str]) -> list[str]:
        """As `Views.fleet_gaps`."""
        known = await self.database_versions(versions)
        return [version for version in versions if any(version in one.missing for one in known)]

    async def _lacking(self) -> list[DatabaseVersions]:
        rows = [row.registered for row in await self.fleet() if not row.registered.retired]
        return [DatabaseVersions(one.database, (), ()) for one in rows]

    async def fleet_lacking(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """As `Views.fleet_lacking`."""
        known = await self.database_versions(versions)
        return [one.database for one in known if one.missing and one.database > after][:limit]

    async def fleet_troubles(self, versions: Sequence[str]) -> list[TroubleRow]:
        """As `Views.fleet_troubles`."""
        held: dict[Any, list[str]] = {}
        for row in await self._troubled(versions):
            state = self._states.get(row.rollout or "")
            known = state.database(row.database) if state and row.database in state else None
            why = known.failure if known is not None else None
            cause = [getattr(why, name, None) for name in TroubleRow._fields[2:6]]
            held.setdefault((row.version, row.state, *cause), []).append(row.database)
        rows = [
            TroubleRow._make((*key, len(names), tuple(sorted(names)[:EXAMPLES])))
            for key, names in held.items()
        ]
        return sorted(rows, key=lambda row: (-row.databases, row.version, row.examples[0]))

    async def troubled_by(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """As `Views.troubled_by`."""
        names = {row.database for row in await self._troubled(versions)}
        return sorted(name for name in names if name > after)[:limit]

    async def _troubled(self, versions: Sequence[str]) -> list[AppliedRow]:
        fleet = self._projection.fleet.rows
        return [
            row
            for row in await self.applied(versions=versions)
            if row.state in TROUBLES
            and row.database in fleet
            and not fleet[row.database].registered.retired
        ]

    async def rollout_toll(self, rollout: str) -> TollRow:
        """As `Views.rollout_toll`."""
        found = self._databases(rollout)
        return TollRow(
            ordered=sum(one.attempt > 0 for one in found),
            counted=sum(one.counts for one in found),
            failing=sum(one.failing for one in found),
            cancelled=sum(bool(one.cancelled) for one in found),
        )

    async def rollout_causes(
        self,
        rollout: str,
        *,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = PAGE,
    ) -> list[CauseRow]:
        """As `Views.rollout_causes`."""
        groups: dict[Any, list[tuple[int, str]]] = {}
        committed: dict[Any, list[tuple[int, int]]] = {}
        for one in self._databases(rollout):
            why = one.failure
            if (why is None and one.status not in IN_TROUBLE) or one.database in without:
                continue
            if only is None or one.database in only:
                cause = [getattr(why, name, None) for name in CauseRow._fields[2:7]]
                key = (one.status.value, one.forgiven, *cause)
                groups.setdefault(key, []).append((one.wave, one.database))
                committed.setdefault(key, []).append(one.committed)
        rows = []
        for key, held in groups.items():
            names = tuple(name for _, name in sorted(held)[:EXAMPLES])
            said = [min(sum(numbers), 2**63 - 1) for numbers in zip(*committed[key], strict=True)]
            rows.append(CauseRow._make((*key, len(held), names, *said)))
        firsts = {key: min(name for _, name in held) for key, held in groups.items()}
        return sorted(rows, key=lambda row: (-row.databases, firsts[row[:7]]))[:limit]

    async def rollout_queues(self, rollout: str, limit: int = PAGE) -> list[QueueRow]:
        """As `Views.rollout_queues`."""
        groups: dict[tuple[str, int, str | None], list[str]] = {}
        for one in self._databases(rollout):
            if one.failure is None and one.status in QUEUED:
                row = self._projection.fleet.rows.get(one.database)
                pool = row.registered.pool if row else None
                groups.setdefault((one.status.value, one.wave, pool), []).append(one.database)
        found = sorted(groups.items(), key=lambda one: (*one[0][:2], one[0][2] or ""))
        return [QueueRow(*key, len(held), min(held)) for key, held in found][:limit]
