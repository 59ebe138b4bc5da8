"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FleetStatus
from ledger.domain.histories import Histories, bound_to, history_of
from ledger.domain.surroundings import LeadingProcess
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.store.port import Log
from ledger.store.views.port import Views
from migrations.model.attempt import HalfDone

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.fleet import DatabaseRecord
    from ledger.domain.pending import DatabaseVersions
    from ledger.store.views.rows import BundleRow


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events what is shown lacks, and the silent leader, if there is one at all."""

    events: int
    leader: LeadingProcess | None


@dataclass(frozen=True, slots=True)
class DatabaseOverview:
    """A database against the bundle of its own history that was registered last.

    `newest` and `missing` are versions; `unread` says that it was reinstated or repointed and its
    journal not read since; `rollout` is the oldest unfinished one that it is part of. `half_done`
    is what its journal leaves half done or in doubt.
    """

    database: str
    pool: str
    status: FleetStatus
    newest: str | None
    missing: tuple[str, ...]
    unread: bool
    last_contact_at: datetime | None
    rollout: str | None
    half_done: tuple[HalfDone, ...] = ()
    history: str | None = None
    """What the history is called that it belongs to; newest and missing are of that one."""


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
    histories: tuple[str, ...] = ()
    """What the registered histories are called, the one of the latest bundle first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What people call the bundle's migrations, by version."""
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
        page = await self._fleet.page(selection, retired=bool(selection), after=after, limit=limit)
        chosen = [one.database for one in page.databases]
        bundles = await self._reads.latest_bundles()
        owners = await self._owners(page.databases, bundles)
        known = await self._versions(bundles, owners)
        busy = await self._reads.busy(chosen)
        unread = await self._reads.unread(chosen)
        databases = []
        for row in await self._reads.fleet(chosen):
            record = row.record
            owner = owners.get(record.database)
            newest, missing = standing(
                known.get(record.database), owner.migrations if owner is not None else ()
            )
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
                    half_done=row.belief.half_done,
                    history=owner.name or owner.history if owner is not None else None,
                )
            )
        return FleetOverview(
            leader=await self._lookout.leader(),
            bundle=bundles[0].bundle if bundles else None,
            histories=tuple(one.name or one.history for one in bundles),
            unfinished=tuple(await self._reads.unfinished_rollouts()),
            unreadable=tuple(row.position for row in await self._reads.unreadable(aside=False)),
            set_aside=tuple(await self._reads.unreadable(aside=True)),
            databases=tuple(databases),
            total=page.total,
            labels={ref.version: ref.label for one in bundles[::-1] for ref in one.migrations},
            unsigned=await self._lookout.unsigned(),
        )

    async def _owners(
        self, records: Sequence[DatabaseRecord], bundles: Sequence[BundleRow]
    ) -> dict[str, BundleRow]:
        """The latest bundle of the history that each database belongs to, if it belongs to any."""
        if not any(map(bound_to, records)) and len(bundles) == 1:
            return {one.database: bundles[0] for one in records}
        known = Histories()
        for bundle in reversed(bundles):
            known.note(bundle.history, bundle.name)
        learned = await self._reads.histories([one.database for one in records])
        by_key = {bundle.history: bundle for bundle in bundles}
        found = {}
        for one in records:
            key = history_of(one, known, learned)
            owner = by_key.get(key) if key is not None else None
            if key is None and len(bundles) == 1:
                owner = bundles[0]
            if owner is not None:
                found[one.database] = owner
        return found

    async def _versions(
        self, bundles: Sequence[BundleRow], owners: Mapping[str, BundleRow]
    ) -> dict[str, DatabaseVersions]:
        """What each database has of its own history."""
        from migrations.model.baselines import names_without_file

        found: dict[str, DatabaseVersions] = {}
        for bundle in bundles:
            own = [database for database, owner in owners.items() if owner is bundle]
            refs = bundle.migrations
            versions = [*names_without_file(refs), *(ref.version for ref in refs)]
            seen = await self._reads.database_versions(versions, own) if own else []
            found.update({one.database: one for one in seen})
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
