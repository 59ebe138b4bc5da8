"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FleetStatus
from ledger.domain.surroundings import LeadingProcess, Seen
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.store.port import Log
from ledger.store.views.port import Views

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.pending import DatabaseVersions


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events what is shown lacks, and the silent leader, if there is one at all."""

    events: int
    leader: LeadingProcess | None


@dataclass(frozen=True, slots=True)
class DatabaseOverview:
    """A database against the bundle registered last.

    `newest` and `missing` are versions; `unread` says that it was reinstated or repointed and its
    journal not read since; `rollout` is the oldest unfinished one that it is part of.
    """

    database: str
    pool: str
    status: FleetStatus
    newest: str | None
    missing: tuple[str, ...]
    unread: bool
    last_contact_at: datetime | None
    rollout: str | None


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """The leader, the bundle registered last, unfinished rollouts, and a page of databases."""

    leader: LeadingProcess | None
    bundle: str | None
    unfinished: tuple[str, ...]
    unreadable: tuple[int, ...]
    """Positions of events that cannot be read and that nobody set aside, the latest first."""
    set_aside: tuple[UnreadableEvent, ...]
    """The events that a person has set aside, the latest first."""
    databases: tuple[DatabaseOverview, ...]
    total: int = 0
    """How many databases were selected, those of other pages included."""
    unsigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Agents heard of lately, with what is not signed there."""


@dataclass(frozen=True, slots=True)
class AgentsOverview:
    """The agents of the last day by pool and name, and how many databases each pool has.

    `broker` says whether it answers, and is `None` where none is used.
    """

    leader: LeadingProcess | None
    broker: bool | None
    agents: tuple[Seen, ...]
    pools: Mapping[str, int]

    def lonely(self) -> dict[str, int]:
        """Pools without a living agent, with their number of databases."""
        alive = {one.heartbeat.pool for one in self.agents if one.is_alive}
        return {pool: number for pool, number in self.pools.items() if pool not in alive}


class StatusService:
    """Shows what is, from the read models."""

    def __init__(self, log: Log, reads: Views, fleet: FleetService, lookout: Liveness) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._lookout = lookout

    async def agents(self) -> AgentsOverview:
        """Who works, and for whom."""
        around = await self._lookout.agents()
        by_pool = sorted(around.agents, key=lambda one: (one.heartbeat.pool, one.heartbeat.agent))
        await as_near_as_may_be(self._reads, self._log)
        pools = await self._reads.pools()
        return AgentsOverview(around.leader, around.broker, tuple(by_pool), pools)

    async def lag(self) -> Lag | None:
        """What is missing in all that is shown, where nobody leads who would project it."""
        missing = (await self._log.head()).position - await self._reads.position()
        leader = await self._lookout.leader() if missing > 0 else None
        if missing > 0 and (leader is None or leader.is_silent):
            return Lag(missing, leader)
        return None

    async def overview(
        self, selection: str = "", *, after: str = "", limit: int | None = None
    ) -> FleetOverview:
        """The selected databases by id, or all that have not retired.

        A page of them has the `limit` next ones behind the id `after`. Raises the refusals of
        `ledger.domain.selection`.
        """
        await as_near_as_may_be(self._reads, self._log)
        page = await self._fleet.page(selection, retired=bool(selection), after=after, limit=limit)
        chosen = [one.database for one in page.databases]
        bundle = await self._reads.latest_bundle()
        migrations = bundle.migrations if bundle else ()
        from migrations.model.baselines import names_without_file

        versions = [*names_without_file(migrations), *(ref.version for ref in migrations)]
        seen = await self._reads.database_versions(versions, chosen)
        known = {one.database: one for one in seen}
        busy = await self._reads.busy(chosen)
        unread = await self._reads.unread(chosen)
        databases = []
        for row in await self._reads.fleet(chosen):
            record = row.record
            newest, missing = standing(known.get(record.database), migrations)
            databases.append(
                DatabaseOverview(
                    database=record.database,
                    pool=record.pool,
                    status=record.status,
                    newest=newest,
                    missing=missing,
                    unread=record.database in unread,
                    last_contact_at=row.last_contact_at,
                    rollout=busy.get(record.database),
                )
            )
        return FleetOverview(
            leader=await self._lookout.leader(),
            bundle=bundle.bundle if bundle else None,
            unfinished=tuple(await self._reads.unfinished_rollouts()),
            unreadable=tuple(row.position for row in await self._reads.unreadable(aside=False)),
            set_aside=tuple(await self._reads.unreadable(aside=True)),
            databases=tuple(databases),
            total=page.total,
            unsigned=await self._lookout.unsigned(),
        )


def standing(
    known: DatabaseVersions | None, migrations: Sequence[MigrationRef]
) -> tuple[str | None, tuple[str, ...]]:
    """The newest that a database has, and what it lacks; one that left the fleet lacks nothing.

    What an applied baseline stands for is not lacking.
    """
    from migrations.model.baselines import set_aside

    if known is None:
        return None, ()
    covered = set_aside(migrations, known.applied) if known.applied else {}
    own = {ref.version for ref in migrations}
    return known.latest, tuple(
        version for version in known.missing if version in own and version not in covered
    )
