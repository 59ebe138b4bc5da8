"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ledger.domain.fleet import FleetStatus
from ledger.domain.histories import Histories, bound_to, history_of
from ledger.domain.pending import DatabaseVersions
from ledger.domain.wording import failure_text
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet import FleetService
from ledger.service.fleet_overview import (
    AgentsOverview,
    DatabaseOverview,
    FleetGroup,
    FleetNumbers,
    FleetOverview,
    Lag,
    PoolNumbers,
)
from ledger.service.fleet_reader import FleetReader
from ledger.service.liveness import Liveness
from ledger.store.port import Log, LookStore
from ledger.store.views.port import PAGE, Views
from ledger.store.views.rows import TroubleRow

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.fleet import DatabaseRecord
    from ledger.store.views.rows import BundleRow, FleetRow

UNREAD = (
    "its journal was not read since it was reinstated, so what it lost is not known; "
    "`ledger fleet check -s SELECTION` has it read now"
)
TROUBLES = frozenset({"failed", "rollback_failed", "unknown", "regressed"})
"""States of a migration in a database that need somebody."""
NAMED = 5
"""How many databases are named of those that are counted together."""


PageOf = Callable[[str], Awaitable[tuple[list[str], Sequence[str]]]]
"""The next page behind an id, and what of it is meant."""


class StatusService:
    """Shows what is, from the read models."""

    def __init__(
        self, log: Log, reads: Views, looks: LookStore, fleet: FleetService, lookout: Liveness
    ) -> None:
        self._log = log
        self._reads = reads
        self._looks = looks
        self._fleet = fleet
        self._lookout = lookout

    async def agents(self) -> AgentsOverview:
        """Who works, and for whom."""
        around = await self._lookout.agents()
        by_pool = sorted(around.agents, key=lambda one: (one.heartbeat.pool, one.heartbeat.agent))
        pools: Counter[str] = Counter()
        for row in await self.pools():
            if row.status != FleetStatus.RETIRED:
                pools[row.pool] += row.databases
        return AgentsOverview(around.leader, around.broker, tuple(by_pool), pools)

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
        """The whole fleet, counted; costs by how much there is to tell apart.

        By the number of databases, where they belong to several histories.
        """
        await as_near_as_may_be(self._reads, self._log)
        bundles = await self._reads.latest_bundles()
        standings = self._alike(bundles) if await self._one_history(bundles) else self._each()
        behind: dict[tuple[FleetStatus, tuple[str, ...]], FleetGroup] = {}
        total = suspended = 0
        async for group in standings:
            total += group.databases
            suspended += group.databases if group.status is FleetStatus.SUSPENDED else 0
            if group.missing:
                before = behind.get((group.status, group.missing), replace(group, databases=0))
                behind[group.status, group.missing] = replace(
                    before,
                    databases=before.databases + group.databases,
                    examples=tuple(dict.fromkeys((*before.examples, *group.examples)))[:NAMED],
                )
        lagging = sum(group.databases for group in behind.values())
        return FleetNumbers(
            total=total,
            current=total - lagging,
            suspended=suspended,
            behind=tuple(sorted(behind.values(), key=lambda group: -group.databases)),
            troubles=await self._troubles(_versions(bundles)),
        )

    async def _one_history(self, bundles: Sequence[BundleRow]) -> bool:
        return len(bundles) <= 1 and not await self._reads.bound()

    async def _alike(self, bundles: Sequence[BundleRow]) -> AsyncIterator[FleetGroup]:
        """Databases that have the same of the one history that there is."""
        migrations = bundles[0].migrations if bundles else ()
        versions = _versions(bundles)
        gaps = await self._reads.fleet_gaps(versions)
        for row in await self._reads.fleet_standings(gaps):
            lacking = tuple(one for one in gaps if one not in row.applied)
            there = tuple(one for one in versions if one not in lacking)
            known = DatabaseVersions(row.examples[0], there, lacking)
            _, missing = standing(known, migrations)
            yield FleetGroup(FleetStatus(row.status), row.databases, row.examples, missing)

    async def _each(self) -> AsyncIterator[FleetGroup]:
        """Every database by itself, against its own history."""
        after = ""
        while page := (await self.overview(after=after, limit=PAGE)).databases:
            for one in page:
                yield FleetGroup(one.status, 1, (one.database,), one.missing)
            after = page[-1].database

    async def _troubles(self, versions: Sequence[str]) -> tuple[FleetGroup, ...]:
        found = list(map(_trouble, await self._reads.fleet_troubles(versions)))
        if unread := sorted(await self._reads.unread(None)):
            shown = tuple(unread[:NAMED])
            found.append(FleetGroup(FleetStatus.ACTIVE, len(unread), shown, problem=UNREAD))
        return tuple(found)

    async def behind(self, selection: str = "", limit: int | None = None) -> list[str]:
        """Databases that lack something, of those selected, at most `limit`, by id."""
        bundles = await self._reads.latest_bundles()
        versions = _versions(bundles)
        one_history = await self._one_history(bundles)
        migrations = bundles[0].migrations if bundles else ()
        gaps = await self._reads.fleet_gaps(versions)

        async def lacking(after: str) -> tuple[list[str], Sequence[str]]:
            if not one_history:
                seen = (await self.overview(after=after, limit=PAGE)).databases
                return [one.database for one in seen], [one.database for one in seen if one.missing]
            page = await self._reads.fleet_lacking(gaps, after)
            known = await self._reads.database_versions(versions, page)
            return page, [one.database for one in known if standing(one, migrations)[1]]

        return await self._found(lacking, selection, limit)

    async def troubled(self, selection: str = "", limit: int | None = None) -> list[str]:
        """Those where something failed, was lost or is unknown, at most `limit`, by id."""
        versions = _versions(await self._reads.latest_bundles())
        unread = sorted(await self._reads.unread(None))

        async def troubled(after: str) -> tuple[list[str], Sequence[str]]:
            page = await self._reads.troubled_by(versions, after)
            upto = page[-1] if len(page) == PAGE else None
            more = [one for one in unread if after < one and (upto is None or one <= upto)]
            return page, sorted({*page, *more})

        return await self._found(troubled, selection, limit)

    async def problems(self, databases: Sequence[str]) -> dict[str, str]:
        """What is wrong with each of these where something failed, was lost or is unknown."""
        versions = set(_versions(await self._reads.latest_bundles()))
        rows = [
            row
            for row in await self._reads.applied(databases)
            if row.state in TROUBLES and row.version in versions
        ]
        failures = {}
        for rollout in {row.rollout for row in rows if row.rollout}:
            there = [row.database for row in rows if row.rollout == rollout]
            for one in await self._reads.rollout_databases_named(rollout, there):
                failures[rollout, one.database] = one.failure
        found: dict[str, list[str]] = {}
        for row in rows:
            failure = failures.get((row.rollout or "", row.database))
            why = failure_text(failure) if failure else row.state.replace("_", " ")
            found.setdefault(row.database, []).append(f"{row.version}: {why}")
        for database in await self._reads.unread(databases):
            found.setdefault(database, []).append(UNREAD)
        return {database: "; ".join(said) for database, said in found.items()}

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
        bundles = await self._reads.latest_bundles()
        databases: list[DatabaseOverview] = []
        if among is None and limit is None and not after:
            async for rows in FleetReader(self._log, self._reads).pages(
                selection, retired=bool(selection)
            ):
                databases += await self._seen(rows, bundles)
            total = len(databases)
        else:
            if among is None:
                page = await self._fleet.page(
                    selection, retired=bool(selection), after=after, limit=limit
                )
                chosen, total = [one.database for one in page.databases], page.total
            else:
                chosen, total = list(among), len(among)
            databases += await self._seen(await self._reads.fleet(chosen), bundles)
        return FleetOverview(
            leader=await self._lookout.leader(),
            bundle=bundles[0].bundle if bundles else None,
            histories=tuple(one.name or one.history for one in bundles),
            unfinished=tuple(await self._reads.unfinished_rollouts()),
            unreadable=tuple(row.position for row in await self._reads.unreadable(aside=False)),
            set_aside=tuple(await self._reads.unreadable(aside=True)),
            databases=tuple(databases),
            total=total,
            labels={ref.version: ref.label for one in bundles[::-1] for ref in one.migrations},
            unsigned=await self._lookout.unsigned(),
        )

    async def _seen(
        self, rows: Sequence[FleetRow], bundles: Sequence[BundleRow]
    ) -> list[DatabaseOverview]:
        """What these databases have, lack and wait for."""
        chosen = [row.registered.database for row in rows]
        owners = await self._owners([row.registered for row in rows], bundles)
        known = await self._of_their_own(bundles, owners)
        busy = await self._reads.busy(chosen)
        unread = await self._reads.unread(chosen)
        looked = await self._looks.read_at(chosen)
        found = []
        for row in rows:
            record = row.registered
            met = (row.last_contact_at, looked.get(record.database))
            owner = owners.get(record.database)
            newest, missing = standing(
                known.get(record.database), owner.migrations if owner is not None else ()
            )
            found.append(
                DatabaseOverview(
                    database=record.database,
                    pool=record.pool,
                    status=record.status,
                    newest=newest,
                    missing=missing,
                    unread=record.database in unread,
                    last_contact_at=max((at for at in met if at is not None), default=None),
                    rollout=busy.get(record.database),
                    half_done=row.belief.half_done,
                    history=owner.name or owner.history if owner is not None else None,
                )
            )
        return found

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

    async def _of_their_own(
        self, bundles: Sequence[BundleRow], owners: Mapping[str, BundleRow]
    ) -> dict[str, DatabaseVersions]:
        """What each database has of its own history."""
        found: dict[str, DatabaseVersions] = {}
        for bundle in bundles:
            own = [database for database, owner in owners.items() if owner is bundle]
            seen = await self._reads.database_versions(_versions([bundle]), own) if own else []
            found.update({one.database: one for one in seen})
        return found


def _versions(bundles: Sequence[BundleRow]) -> list[str]:
    """What databases may have of these bundles, in their order."""
    from migrations.model.baselines import names_without_file

    found = [
        version
        for bundle in bundles
        for version in (
            *names_without_file(bundle.migrations),
            *(ref.version for ref in bundle.migrations),
        )
    ]
    return list(dict.fromkeys(found))


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
