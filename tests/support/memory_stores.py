"""All stores in memory: `ledger.store.port.LedgerStores` without a database.

The views are the projection that PostgreSQL's tables are written from, kept whole, and their
queries said again in Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

from ledger.contracts.envelope import NAMESPACE, Metadata, Recorded, encode
from ledger.contracts.events import LedgerInitialised
from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.histories import bound_to
from ledger.domain.pending import DatabaseVersions
from ledger.domain.rollout import BrokenStream, RolloutState, fold
from ledger.domain.selection import Term
from ledger.domain.selection_words import SelectedWord, Vocabulary
from ledger.domain.states import ENDED, DatabaseState, DatabaseStatus, Status
from ledger.domain.surroundings import LeadingProcess
from ledger.errors import AnotherLeader, ContentNotFound, LeadershipLost, StoreError
from ledger.leader.conductor import rollout_of
from ledger.store.log.decode import open_event
from ledger.store.port import Beat
from ledger.store.views.columns import to_entry
from ledger.store.views.port import PAGE
from ledger.store.views.projection import Projection, Shelf
from ledger.store.views.rows import (
    AppliedRow,
    BundleRow,
    DurationRow,
    FleetEntry,
    FleetRow,
    HeldText,
    RolloutRow,
)
from migrations.clock import Clock
from migrations.model.attempt import Expectation, HalfDone, Mode
from tests.support.memory_counts import MemoryCounts
from tests.support.memory_log import MemoryLog
from tests.support.memory_looks import MemoryLooks

LEDGER = UUID("0b7f3a52-6a0e-4a55-9f0f-3d5a7c1e2b40")
IN_FORCE = ("applied", "rollback_failed")
MAY_BE_THERE = (*IN_FORCE, "unknown", "regressed")
AT_WORK = frozenset(
    {
        DatabaseStatus.ORDERED,
        DatabaseStatus.RUNNING,
        DatabaseStatus.UNKNOWN,
        DatabaseStatus.BLOCKED,
    }
)


class MemoryTexts:
    """Texts by their hash."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    async def put_many(self, texts: Iterable[bytes]) -> None:
        """As `TextStore.put_many`."""
        await asyncio.sleep(0)
        self._texts.update({sha256(text).hexdigest(): text for text in texts})

    async def get(self, sha256: str) -> bytes:
        """As `TextStore.get`."""
        await asyncio.sleep(0)
        if sha256 not in self._texts:
            raise ContentNotFound(sha256)
        return self._texts[sha256]


class MemoryViews(MemoryCounts):
    """Rows folded from a log."""

    def __init__(self, log: MemoryLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._projection = Projection()
        self._states: dict[str, RolloutState] = {}
        self._position = 0

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MemoryViews]:
        """As `Views.snapshot`: rows are never changed, so what holds them is copied."""
        await asyncio.sleep(0)
        still = MemoryViews(self._log, self._clock)
        still._position, still._states = self._position, dict(self._states)
        for name, shelf in vars(still._projection).items():
            if isinstance(shelf, Shelf):
                shelf.rows.update(getattr(self._projection, name).rows)
        rollouts = self._projection.rollouts.items()
        still._projection.rollouts = {rollout: copy(rows) for rollout, rows in rollouts}
        yield still

    async def caught_up(self) -> int:
        """As `Views.caught_up`."""
        await asyncio.sleep(0)
        for raw in self._log.events[self._position :]:
            self._take(open_event(raw))
            self._position = raw.position
        return self._position

    async def position(self) -> int:
        """As `Views.position`."""
        return self._position

    async def reached(self, position: int) -> int:
        """As `Views.reached`: whoever asks may project here."""
        return await self.caught_up()

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """As `Views.fleet`."""
        rows = sorted(self._projection.fleet.rows.items())
        return [row for name, row in rows if databases is None or name in databases]

    async def fleet_entries(self, after: str = "", limit: int = PAGE) -> list[FleetEntry]:
        """As `Views.fleet_entries`."""
        rows = [row for row in await self.fleet() if row.registered.database > after]
        return [to_entry(row.registered, row.belief) for row in rows[:limit]]

    async def fleet_named(self, databases: Sequence[str], names: Sequence[str]) -> list[FleetRow]:
        """As `Views.fleet_named`."""
        return [
            row
            for row in await self.fleet()
            if row.registered.database in databases
            or row.registered.connection.target.database in names
        ]

    async def fleet_page(
        self, terms: Sequence[Term], *, retired: bool, after: str = "", limit: int = PAGE
    ) -> list[FleetRow]:
        """As `Views.fleet_page`."""
        held = self._meant(await self.fleet(), terms, retired)
        return [row for row in held if row.registered.database > after][:limit]

    async def fleet_count(self, terms: Sequence[Term], *, retired: bool) -> int:
        """As `Views.fleet_count`."""
        return len(self._meant(await self.fleet(), terms, retired))

    async def unheard(self, words: Sequence[SelectedWord], *, retired: bool) -> list[SelectedWord]:
        """As `Views.unheard`."""
        return self._vocabulary(retired).unheard(words)

    async def near(self, word: SelectedWord, *, retired: bool) -> list[str]:
        """As `Views.near`."""
        return self._vocabulary(retired).near(word)

    def _vocabulary(self, retired: bool) -> Vocabulary:
        rows = self._projection.fleet.rows.values()
        return Vocabulary((row.registered for row in rows), retired=retired)

    def _meant(
        self, rows: Iterable[FleetRow], terms: Sequence[Term], retired: bool
    ) -> list[FleetRow]:
        return [
            row
            for row in rows
            if (retired or not row.registered.retired)
            and all(term.holds(row.registered) for term in terms)
        ]

    async def records_at(
        self, databases: Sequence[str], places: Collection[tuple[str, int]]
    ) -> list[DatabaseRecord]:
        """As `Views.records_at`."""
        found = []
        for row in await self.fleet():
            known = row.belief.identity
            place = (known.system_identifier, known.database_oid) if known else None
            if row.registered.database in databases or place in places:
                found.append(row.record)
        return found

    async def records(self, databases: Sequence[str] | None = None) -> list[DatabaseRecord]:
        """As `Views.records`."""
        return [row.record for row in await self.fleet(databases)]

    async def expected(self, databases: Sequence[str]) -> dict[str, Expectation]:
        """As `Views.expected`."""
        return {record.database: record.expected for record in await self.records(databases)}

    async def unmet(self, databases: Sequence[str]) -> frozenset[str]:
        """As `Views.unmet`."""
        rows = await self.fleet(databases)
        unknown = {row.registered.database for row in rows if row.belief.journal_head is None}
        readings = self._projection.readings.rows
        untold = {one for stream, one in readings if self._is_open(stream)}
        return frozenset(unknown | untold.intersection(databases))

    async def latest_bundles(self) -> list[BundleRow]:
        """As `Views.latest_bundles`."""
        found: dict[str, BundleRow] = {}
        known = [row for row in self._projection.bundles.rows.values() if row is not None]
        for event, at in sorted(known, key=lambda row: row[1].position):
            said = (event.bundle, event.migrations, event.source, event.git_commit, event.git_dirty)
            where = (at.position, at.recorded_at, at.recorded_by)
            found[event.history] = BundleRow(*said, event.history, event.name, *where)
        return sorted(found.values(), key=lambda row: -row.registered_position)

    async def bound(self) -> bool:
        """As `Views.bound`."""
        rows = self._projection.fleet.rows.values()
        return any(bound_to(row.registered) for row in rows if not row.registered.retired)

    async def histories(self, databases: Sequence[str]) -> dict[str, frozenset[str]]:
        """As `Views.histories`."""
        found: dict[str, set[str]] = {}
        for row in await self.applied(databases):
            state = self._states.get(row.rollout or "")
            bundle = self._projection.bundles.rows.get(state.plan.bundle) if state else None
            if bundle is not None and row.state in MAY_BE_THERE:
                found.setdefault(row.database, set()).add(bundle[0].history)
        return {database: frozenset(keys) for database, keys in sorted(found.items())}

    async def rollout(self, rollout: str) -> RolloutRow | None:
        """As `Views.rollout`."""
        return self._row(rollout) if rollout in self._states else None

    async def rollout_counts(self, rollout: str) -> dict[tuple[int, str], int]:
        """As `Views.rollout_counts`."""
        counts: dict[tuple[int, str], int] = {}
        for one in self._databases(rollout):
            key = (one.wave, one.status.value)
            counts[key] = counts.get(key, 0) + 1
        return counts

    async def rollout_databases(
        self,
        rollout: str,
        states: Sequence[str] | None = None,
        *,
        troubled: bool = False,
        after: tuple[int, str] = (-1, ""),
        limit: int = PAGE,
    ) -> list[DatabaseState]:
        """As `Views.rollout_databases`."""
        found = [
            one
            for one in self._databases(rollout)
            if (one.wave, one.database) > after
            and (states is None or one.status in states or (troubled and _is_troubled(one)))
        ]
        return sorted(found, key=lambda one: (one.wave, one.database))[:limit]

    async def rollout_databases_named(
        self, rollout: str, databases: Sequence[str]
    ) -> list[DatabaseState]:
        """As `Views.rollout_databases_named`."""
        return [one for one in self._databases(rollout) if one.database in databases]

    async def rollout_done(self, rollout: str) -> dict[str, DatabaseStatus]:
        """As `Views.rollout_done`."""
        return {one.database: one.status for one in self._databases(rollout) if one.done}

    async def rollout_undone(
        self, rollout: str, *, after: tuple[int, str] = (-1, ""), limit: int = PAGE
    ) -> list[DatabaseState]:
        """As `Views.rollout_undone`."""
        page = await self.rollout_databases(rollout, after=after, limit=10**9)
        return [one for one in page if not (one.done or one.fresh)][:limit]

    async def count_troubled(self, rollout: str, states: Sequence[str]) -> int:
        """As `Views.count_troubled`."""
        found = self._databases(rollout)
        return sum(one.status in states or _is_troubled(one) for one in found)

    def _databases(self, rollout: str) -> list[DatabaseState]:
        state = self._states.get(rollout)
        return list(state.databases()) if state is not None else []

    async def rollouts(
        self,
        statuses: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[RolloutRow]:
        """As `Views.rollouts`."""
        rows = [self._row(one) for one in self._newest_first()]
        return [
            row
            for row in rows
            if (statuses is None or row.status in statuses)
            and (before is None or row.planned_position < before)
        ][:limit]

    async def unfinished_rollouts(self) -> list[str]:
        """As `Views.unfinished_rollouts`."""
        return [one for one in self._oldest_first() if self._states[one].status not in ENDED]

    async def unsettled_rollouts(self) -> list[str]:
        """As `Views.unsettled_rollouts`."""
        return [one for one in self._oldest_first() if self._is_unsettled(self._states[one])]

    async def open_checks(self) -> list[str]:
        """As `Views.open_checks`."""
        rows = self._projection.checks.rows.items()
        found = [(row.requested_position, one) for one, row in rows if not row.finished_position]
        return [stream.removeprefix("check-") for _, stream in sorted(found)]

    def _is_open(self, stream: str) -> bool:
        return not self._projection.checks.rows[stream].finished_position

    async def unread(self, databases: Sequence[str] | None) -> frozenset[str]:
        """As `Views.unread`."""
        fleet = self._projection.fleet.rows
        return frozenset(
            database
            for (stream, database), row in self._projection.readings.rows.items()
            if (row.read_at is None or self._is_open(stream))
            and (databases is None or database in databases)
            and database in fleet
            and not fleet[database].record.retired
        )

    async def half_done(self, databases: Sequence[str]) -> dict[str, tuple[HalfDone, ...]]:
        """As `Views.half_done`."""
        return {
            row.registered.database: row.belief.half_done
            for row in await self.fleet(databases)
            if row.belief.half_done and not row.registered.retired
        }

    async def unreadable(
        self, *, aside: bool | None = None, positions: Sequence[int] | None = None
    ) -> list[UnreadableEvent]:
        """As `Views.unreadable`."""
        rows = sorted(self._projection.unreadable.rows.items(), reverse=True)
        return [
            row
            for position, row in rows
            if (aside is None or row.aside == aside)
            and (positions is None or position in positions)
        ][:PAGE]

    async def busy(self, databases: Sequence[str]) -> dict[str, str]:
        """As `Views.busy`."""
        found: dict[str, str] = {}
        for rollout in await self.unfinished_rollouts():
            for known in self._states[rollout].databases():
                if known.database in databases:
                    found.setdefault(known.database, rollout)
        return dict(sorted(found.items()))

    async def beginning(self, beginning: str) -> list[str]:
        """As `Views.beginning`."""
        return [one for one in self._newest_first() if one.startswith(beginning)]

    async def applied(
        self, databases: Sequence[str] | None = None, versions: Sequence[str] | None = None
    ) -> list[AppliedRow]:
        """As `Views.applied`."""
        return [
            row
            for (database, version), row in sorted(self._projection.applied.rows.items())
            if (databases is None or database in databases)
            and (versions is None or version in versions)
        ]

    async def durations(self, versions: Sequence[str]) -> list[DurationRow]:
        """As `Views.durations`."""
        took: dict[tuple[str, str], list[int]] = {}
        for row in await self.applied(versions=versions):
            if row.state == "applied" and row.checksum and row.duration_ms is not None:
                took.setdefault((row.version, row.checksum), []).append(row.duration_ms)
        return [
            DurationRow(*key, len(found), sorted(found)[(len(found) - 1) // 2], max(found))
            for key, found in sorted(took.items())
        ]

    async def held_texts(self, versions: Sequence[str]) -> list[HeldText]:
        """As `Views.held_texts`."""
        fleet = self._projection.fleet.rows
        held = {
            HeldText(row.version, row.checksum, row.database)
            for row in await self.applied(versions=versions)
            if row.state in MAY_BE_THERE
            and row.database in fleet
            and not fleet[row.database].registered.retired
        }
        for rollout, state in self._states.items():
            goes_on = state.status not in ENDED or any(
                one.status in AT_WORK for one in state.databases()
            )
            if state.plan.mode == Mode.UP and goes_on:
                steps = [step for step in state.plan.steps if step.version in versions]
                held |= {HeldText(one.version, one.checksum, f"rollout {rollout}") for one in steps}
        return sorted(held, key=lambda one: (one.version, one.holder))

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """As `Views.database_versions`."""
        if not versions:
            return []
        applied = self._projection.applied.rows
        found = []
        for row in await self.fleet(databases):
            name = row.record.database
            if row.record.retired:
                continue
            there = [
                version
                for version in versions
                if (name, version) in applied and applied[name, version].state in IN_FORCE
            ]
            missing = [version for version in versions if version not in there]
            found.append(DatabaseVersions(name, tuple(there), tuple(missing)))
        return found

    def _take(self, recorded: Recorded) -> None:
        self._projection.take(recorded)
        rollout = rollout_of(recorded.stream)
        if rollout is None:
            return
        try:
            state = fold(self._states.get(rollout), [recorded])
        except BrokenStream:
            return
        if state is not None:
            self._states[rollout] = state

    def _is_unsettled(self, state: RolloutState) -> bool:
        if state.status not in ENDED or any(
            other.plan.undoes == state.rollout and other.status not in ENDED
            for other in self._states.values()
        ):
            return True
        at_work = any(known.status in AT_WORK for known in state.databases())
        return state.status is Status.ABORTED and at_work

    def _oldest_first(self) -> list[str]:
        rows = self._projection.rollouts
        return sorted(self._states, key=lambda rollout: rows[rollout].planned_position)

    def _newest_first(self) -> list[str]:
        return self._oldest_first()[::-1]

    def _row(self, rollout: str) -> RolloutRow:
        state, rows = self._states[rollout], self._projection.rollouts[rollout]
        plan = state.plan
        counts: dict[tuple[int, str], int] = {}
        for known in state.databases():
            key = (known.wave, known.status.value)
            counts[key] = counts.get(key, 0) + 1
        return RolloutRow(
            rollout=rollout,
            status=state.status.value,
            mode=plan.mode,
            bundle=plan.bundle,
            steps=plan.steps,
            selection=plan.selection,
            fleet_position=plan.fleet_position,
            databases=plan.databases,
            waves=plan.waves,
            wave_spec=plan.wave_spec,
            current_wave=state.wave if state.wave >= 0 else None,
            in_flight=plan.in_flight,
            budget_count=plan.budget.count,
            budget_percent=plan.budget.percent,
            when_spent=plan.when_spent.value,
            expiry_s=plan.expiry_s,
            deadline_s=plan.deadline_s,
            planned_position=rows.planned_position,
            planned_at=rows.planned_at,
            planned_by=rows.planned_by,
            reason=rows.reason,
            ticket=rows.ticket,
            started_at=rows.started_at,
            ended_at=rows.ended_at,
            why=state.why or None,
            undoes=plan.undoes,
            undone_by=state.undone_by[-1] if state.undone_by else None,
            counts=counts,
        )


def _is_troubled(state: DatabaseState) -> bool:
    return state.again or state.failure is not None


class MemorySigns:
    """Signs of life, and the leader's."""

    def __init__(self, log: MemoryLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._beats: dict[str, tuple[Beat, datetime]] = {}

    async def put(self, beats: Sequence[Beat]) -> None:
        """As `Signs.put`."""
        now = self._clock.now()
        self._beats.update({beat.agent: (beat, now) for beat in beats})

    async def trim(self, kept: int) -> None:
        """As `Signs.trim`."""
        agents = [name for name in self._beats if name]
        agents.sort(key=lambda name: self._beats[name][1], reverse=True)
        for name in agents[kept:]:
            del self._beats[name]

    async def recent(self, within_s: float) -> list[Beat]:
        """As `Signs.recent`."""
        now = self._clock.now()
        aged = [
            beat._replace(age_s=(now - at).total_seconds(), seen_at=at)
            for _, (beat, at) in sorted(self._beats.items())
        ]
        return [beat for beat in aged if beat.age_s < within_s]

    async def leader(self) -> LeadingProcess | None:
        """As `Signs.leader`."""
        head = await self._log.head()
        if self._log.leader is None or head.leader_since is None:
            return None
        led_s = (self._clock.now() - head.leader_since).total_seconds()
        return LeadingProcess(*self._log.leader, head.leader_since, self._clock.now(), 0.0, led_s)


class MemoryLeadership:
    """Leadership of a log in memory, until it is lost or given back."""

    def __init__(self, log: MemoryLog, term: int) -> None:
        self.term = term
        self.why: StoreError = LeadershipLost()
        self._log = log
        self._lost = asyncio.Event()
        self._announced: list[Callable[[], None]] = []

    def silence(self) -> str:
        """As `LeadingTerm.silence`."""
        return str(self.why) if self._lost.is_set() else ""

    async def wait_lost(self) -> None:
        """As `LeadingTerm.wait_lost`."""
        await self._lost.wait()

    async def listen(self, announced: Callable[[], None]) -> None:
        """As `LeadingTerm.listen`."""
        self._announced.append(announced)
        self._log.announced[announced] = None

    def lose(self) -> None:
        """The connection is gone, for whatever reason: another may lead."""
        for announced in self._announced:
            self._log.announced.pop(announced, None)
        if self._log.term == self.term:
            self._log.leader = None
        self._lost.set()


class MemoryStores:
    """A ledger that was just made: its log holds LedgerInitialised, as every one does."""

    def __init__(self, clock: Clock, ledger_id: UUID = LEDGER) -> None:
        self.id = ledger_id
        self.log = MemoryLog(ledger_id, clock)
        self.texts = MemoryTexts()
        self.reads = MemoryViews(self.log, clock)
        self.signs = MemorySigns(self.log, clock)
        self.looks = MemoryLooks(self.log, clock)

    async def initialise(self) -> None:
        """Record the first event."""
        event_id = uuid5(NAMESPACE, f"initialised/{self.id}")
        first = encode(LedgerInitialised(ledger=self.id), event_id, Metadata())
        await self.log.append("ledger", [first])

    def lead(self, name: str = "first", host: str = "here") -> MemoryLeadership:
        """Lead from now on, under the next term. Raises AnotherLeader."""
        if self.log.leader is not None:
            raise AnotherLeader(*self.log.leader, "just now")
        return MemoryLeadership(self.log, self.log.begin_term(name, host))
