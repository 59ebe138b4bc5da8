"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FleetStatus
from ledger.domain.pending import DatabaseVersions
from ledger.domain.surroundings import LeadingProcess
from ledger.domain.wording import failure_text
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.store.port import Log
from ledger.store.views.port import PAGE, Views
from ledger.store.views.rows import TroubleRow

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef

UNREAD = "its journal was not read since it was reinstated, so what it lost is not known"
NAMED = 5
"""How many databases are named of those that are counted together."""


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
class FleetGroup:
    """Databases of which the same can be said; some of them are named.

    `missing` are versions that they lack; `problem` is why a migration failed there, if one did.
    """

    status: FleetStatus
    databases: int
    examples: tuple[str, ...]
    missing: tuple[str, ...] = ()
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """The group for the JSON forms."""
        return {
            "status": self.status,
            "databases": self.databases,
            "examples": list(self.examples),
            "missing": list(self.missing),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """The databases of a pool with one status; some as `examples`."""

    status: str
    pool: str
    databases: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetNumbers:
    """A fleet against the bundle registered last: how many have all of it, and what the rest lack.

    Retired databases are none of these. `behind` lack something, whatever their status; `troubles`
    are failures, and what was lost or is unknown, by cause.
    """

    total: int
    current: int
    suspended: int
    behind: tuple[FleetGroup, ...]
    troubles: tuple[FleetGroup, ...]

    @property
    def lagging(self) -> int:
        """How many lack something."""
        return sum(group.databases for group in self.behind)


PageOf = Callable[[str], Awaitable[tuple[list[str], Sequence[str]]]]
"""The next page behind an id, and what of it is meant."""


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

    async def pools(self) -> Sequence[PoolNumbers]:
        """How many databases there are, by status and pool; retired ones, too."""
        await as_near_as_may_be(self._reads, self._log)
        return [PoolNumbers(*row) for row in await self._reads.fleet_pools()]

    async def numbers(self) -> FleetNumbers:
        """The whole fleet, counted; costs by how much there is to tell apart."""
        await as_near_as_may_be(self._reads, self._log)
        migrations = await self._migrations()
        versions = _versions(migrations)
        behind: dict[tuple[FleetStatus, tuple[str, ...]], FleetGroup] = {}
        total = suspended = 0
        gaps = await self._reads.fleet_gaps(versions)
        for row in await self._reads.fleet_standings(gaps):
            total += row.databases
            status = FleetStatus(row.status)
            suspended += row.databases if status is FleetStatus.SUSPENDED else 0
            lacking = tuple(one for one in gaps if one not in row.applied)
            there = tuple(one for one in versions if one not in lacking)
            known = DatabaseVersions(row.examples[0], there, lacking)
            _, missing = standing(known, migrations)
            if missing:
                before = behind.get((status, missing))
                examples = (*(before.examples if before else ()), *row.examples)[:NAMED]
                number = row.databases + (before.databases if before else 0)
                behind[status, missing] = FleetGroup(status, number, examples, missing)
        lagging = sum(group.databases for group in behind.values())
        return FleetNumbers(
            total=total,
            current=total - lagging,
            suspended=suspended,
            behind=tuple(sorted(behind.values(), key=lambda group: -group.databases)),
            troubles=await self._troubles(versions),
        )

    async def _troubles(self, versions: Sequence[str]) -> tuple[FleetGroup, ...]:
        found = list(map(_trouble, await self._reads.fleet_troubles(versions)))
        if unread := sorted(await self._reads.unread(None)):
            shown = tuple(unread[:NAMED])
            found.append(FleetGroup(FleetStatus.ACTIVE, len(unread), shown, problem=UNREAD))
        return tuple(found)

    async def behind(self, selection: str = "", limit: int | None = None) -> list[str]:
        """Databases that lack something, of those selected, at most `limit`, by id."""
        migrations = await self._migrations()
        versions = _versions(migrations)

        gaps = await self._reads.fleet_gaps(versions)

        async def lacking(after: str) -> tuple[list[str], Sequence[str]]:
            page = await self._reads.fleet_lacking(gaps, after)
            known = await self._reads.database_versions(versions, page)
            return page, [one.database for one in known if standing(one, migrations)[1]]

        return await self._found(lacking, selection, limit)

    async def troubled(self, selection: str = "", limit: int | None = None) -> list[str]:
        """Those where something failed, was lost or is unknown, at most `limit`, by id."""
        versions = _versions(await self._migrations())
        unread = sorted(await self._reads.unread(None))

        async def troubled(after: str) -> tuple[list[str], Sequence[str]]:
            page = await self._reads.troubled_by(versions, after)
            upto = page[-1] if len(page) == PAGE else None
            more = [one for one in unread if after < one and (upto is None or one <= upto)]
            return page, sorted({*page, *more})

        return await self._found(troubled, selection, limit)

    async def _found(self, asked: PageOf, selection: str, limit: int | None) -> list[str]:
        """What is found page by page, as far as it is wanted."""
        wanted: set[str] | None = None
        if selection:
            page_ = await self._fleet.page(selection, retired=False)
            wanted = {one.database for one in page_.databases}
        found: list[str] = []
        after = ""
        while limit is None or len(found) < limit:
            page, held = await asked(after)
            found += [one for one in held if wanted is None or one in wanted]
            if len(page) < PAGE:
                break
            after = page[-1]
        return found[:limit]

    async def _migrations(self) -> Sequence[MigrationRef]:
        bundle = await self._reads.latest_bundle()
        return bundle.migrations if bundle else ()

    async def overview(
        self,
        selection: str = "",
        *,
        after: str = "",
        limit: int | None = None,
        among: Sequence[str] | None = None,
    ) -> FleetOverview:
        """The selected databases by id, or all that have not retired, or those `among` them.

        A page of them has the `limit` next ones behind the id `after`. Raises the refusals of
        `ledger.domain.selection`.
        """
        await as_near_as_may_be(self._reads, self._log)
        if among is None:
            page = await self._fleet.page(
                selection, retired=bool(selection), after=after, limit=limit
            )
            chosen, total = [one.database for one in page.databases], page.total
        else:
            chosen, total = list(among), len(among)
        bundle = await self._reads.latest_bundle()
        migrations = bundle.migrations if bundle else ()
        versions = _versions(migrations)
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
            total=total,
            unsigned=await self._lookout.unsigned(),
        )


def _versions(migrations: Sequence[MigrationRef]) -> list[str]:
    """What databases may have of a bundle, in its order."""
    from migrations.model.baselines import names_without_file

    return [*names_without_file(migrations), *(ref.version for ref in migrations)]


def _trouble(row: TroubleRow) -> FleetGroup:
    why = failure_text(row) if row.message else row.state.replace("_", " ")
    return FleetGroup(
        FleetStatus.ACTIVE, row.databases, row.examples, problem=f"{row.version}: {why}"
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
