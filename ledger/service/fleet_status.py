"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FleetStatus
from ledger.domain.surroundings import LeadingProcess
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet import FleetService
from ledger.service.fleet_reader import FleetReader
from ledger.service.liveness import Liveness
from ledger.store.port import Log
from ledger.store.views.port import Views

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.pending import DatabaseVersions
    from ledger.store.views.rows import FleetRow


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


class StatusService:
    """Shows what is, from the read models."""

    def __init__(self, log: Log, reads: Views, fleet: FleetService, lookout: Liveness) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._lookout = lookout

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
        bundle = await self._reads.latest_bundle()
        migrations = bundle.migrations if bundle else ()
        databases: list[DatabaseOverview] = []
        if limit is None and not after:
            async for rows in FleetReader(self._log, self._reads).pages(
                selection, retired=bool(selection)
            ):
                databases += await self._seen(rows, migrations)
            total = len(databases)
        else:
            page = await self._fleet.page(
                selection, retired=bool(selection), after=after, limit=limit
            )
            chosen = [one.database for one in page.databases]
            databases += await self._seen(await self._reads.fleet(chosen), migrations)
            total = page.total
        return FleetOverview(
            leader=await self._lookout.leader(),
            bundle=bundle.bundle if bundle else None,
            unfinished=tuple(await self._reads.unfinished_rollouts()),
            unreadable=tuple(row.position for row in await self._reads.unreadable(aside=False)),
            set_aside=tuple(await self._reads.unreadable(aside=True)),
            databases=tuple(databases),
            total=total,
            unsigned=await self._lookout.unsigned(),
        )

    async def _seen(
        self, rows: Sequence[FleetRow], migrations: Sequence[MigrationRef]
    ) -> list[DatabaseOverview]:
        """What these databases have, lack and wait for."""
        from migrations.model.baselines import names_without_file

        chosen = [row.registered.database for row in rows]
        versions = [*names_without_file(migrations), *(ref.version for ref in migrations)]
        seen = await self._reads.database_versions(versions, chosen)
        known = {one.database: one for one in seen}
        busy = await self._reads.busy(chosen)
        unread = await self._reads.unread(chosen)
        found = []
        for row in rows:
            record = row.registered
            newest, missing = standing(known.get(record.database), migrations)
            found.append(
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
        return found


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
