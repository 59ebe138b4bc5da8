"""How long migrations take and how often they fail, and what follows for a rollout under way.

All from the log's own history, as the read models have it. A report costs by the migrations that it
shows; the outlook of a rollout by the last runs of its migrations, however large the fleet is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.domain.performance import (
    MigrationSummary,
    Running,
    SizeClass,
    SlowRun,
    Usual,
    class_of,
)
from ledger.domain.refusals import RequestRefusal
from ledger.domain.selection import parse
from ledger.domain.tally import AT_WORK
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.status import RolloutStatus
from ledger.store.port import LedgerStores
from ledger.store.views.performance import PerformanceTable, RunScope
from migrations.clock import Clock

SAMPLE = 500
"""The last runs of a migration that say how long it usually takes."""
PACE_FROM = 10
"""So many databases of a rollout say how fast it goes; before, history does."""
PACE_OF = 200
"""The last ones of a rollout that say how fast it goes now: first waves are small and slow."""
MOVED = frozenset({"RolloutStarted", "RolloutResumed"})
SLOW_FROM_S = 1.0
"""What takes no longer is not slow, whatever is usual."""
SLOW_FACTOR = 2.0
"""Slower than usual is beyond what 95 of 100 took, and so many times the middle."""
USUAL_FROM = 5
"""So often it ran, where tables are about as large, before anything is slower than usual."""
SLOWER_SHOWN = 5
RUNNING_MOST = 5000
"""Databases at work that are looked at; far more than agents have connections."""
MOVING = "running"
UP_MODES = {"up": "up", "down": "down", "rollback": "down"}
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class NeverRan(RequestRefusal):
    """No database of this ledger has had a migration of this version."""

    def __init__(self, version: str) -> None:
        said = f"no migration {version!r} ran; `ledger report migrations` lists those that did"
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class ReportSubject:
    """What a report is about: versions (all that ran, if none), from when, until when, where."""

    versions: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    select: str = ""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """A migration in one direction: how often it ran, how that ended, how long it took."""

    summary: MigrationSummary
    failures: Mapping[str, int]

    @property
    def failed(self) -> int:
        """How often it failed."""
        return self.summary.executions - self.summary.successes

    @property
    def success_rate(self) -> float:
        """How often it succeeded, in percent."""
        return round(100 * self.summary.successes / self.summary.executions, 2)


@dataclass(frozen=True, slots=True)
class DurationReport:
    """How long migrations took, by the size of the largest table, and where the longest."""

    sizes: tuple[SizeClass, ...]
    slowest: tuple[SlowRun, ...]


@dataclass(frozen=True, slots=True)
class SlowDatabase:
    """A database on which a rollout runs for longer than is usual where tables are as large.

    `usual` is how long that is: the middle, and what 95 of 100 stayed below, in milliseconds.
    """

    database: str
    for_s: float
    usual: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of a rollout: `left_s` seconds, by its `pace`, `history` or `data`.

    The last is what data migrations under way say themselves, where they need longer than the rest.
    `slower` are those that run for longer than is usual, the first ones; `left_s` is without them,
    unless they say how long they need.
    `usual` is how long its migrations together take on one database: the middle, and what 95 of
    100 stayed below, in milliseconds.
    """

    left_s: float | None = None
    basis: str = ""
    usual: tuple[int, int] | None = None
    slower: tuple[SlowDatabase, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The outlook for the JSON forms."""
        return {
            "left_s": None if self.left_s is None else round(self.left_s),
            "basis": self.basis or None,
            "usual_ms": None
            if self.usual is None
            else {"p50": self.usual[0], "p95": self.usual[1]},
            "slower": [
                {
                    "database": one.database,
                    "for_s": round(one.for_s),
                    "usual_ms": {"p50": one.usual[0], "p95": one.usual[1]},
                }
                for one in self.slower
            ],
        }


class PerformanceService:
    """Reports of what ran."""

    def __init__(self, stores: LedgerStores, table: PerformanceTable, clock: Clock) -> None:
        self._table = table
        self._reads = stores.reads
        self._log = stores.log
        self._clock = clock

    async def migrations(self, asked: ReportSubject, limit: int) -> list[MigrationReport]:
        """How often each migration ran, and how that ended; the last ones by version first.

        Raises `NeverRan` for a version of which nothing ran, `InvalidSelection`.
        """
        scope = await self._scope(asked, limit)
        failures = await self._table.failures(scope)
        found = sorted(await self._table.summaries(scope), key=lambda one: one.direction != "up")
        found.sort(key=lambda one: one.version, reverse=True)
        return [
            MigrationReport(one, failures.get((one.version, one.direction), {})) for one in found
        ]

    async def durations(self, asked: ReportSubject, limit: int, slowest: int) -> DurationReport:
        """How long migrations took, by size and where.

        Raises `NeverRan` for a version of which nothing ran, `InvalidSelection`.
        """
        scope = await self._scope(asked, limit)
        sizes = await self._table.sizes(scope)
        return DurationReport(tuple(sizes), tuple(await self._table.slowest(scope, slowest)))

    async def outlook(self, status: RolloutStatus) -> Outlook:
        """What is to be expected of a rollout, as far as history says it."""
        direction = UP_MODES.get(status.mode)
        if status.status != MOVING or direction is None or not status.versions:
            return Outlook()
        known = await self._table.usual(status.versions, direction, SAMPLE)
        usual = _together(known, status.versions)
        now = self._clock.now()
        before = now - timedelta(seconds=SLOW_FROM_S)
        running = await self._table.running(status.rollout, before, RUNNING_MOST)
        slower = await self._slower(status, direction, running, now)
        silent = {one.database for one in slower} - {
            one.database for one in running if one.needs_s(now) is not None
        }
        if status.stands_still:
            return Outlook(usual=usual, slower=tuple(slower[:SLOWER_SHOWN]))
        left = status.tally.of("pending", *AT_WORK) - len(silent)
        left_s, basis = await self._left(status, direction, usual, left)
        by_data_s = _by_data(running, now, left, None if left_s else status.in_flight)
        if by_data_s is not None and by_data_s > (left_s or 0.0):
            left_s, basis = by_data_s, "data"
        return Outlook(left_s, basis, usual, tuple(slower[:SLOWER_SHOWN]))

    async def _left(
        self, status: RolloutStatus, direction: str, usual: tuple[int, int] | None, left: int
    ) -> tuple[float | None, str]:
        """Seconds until these are done, and what says so.

        What is slower than usual is none of them, unless it says itself how long it needs: nobody
        knows when that ends. Nor is what waits for a person.
        """
        if left <= 0:
            return None, ""
        last = status.versions[-1 if direction == "up" else 0]
        began = await self._moving_since(status.rollout)
        done, since = await self._table.pace(status.rollout, last, direction, began, PACE_OF)
        if since is not None and done >= PACE_FROM:
            return left * (self._clock.now() - since).total_seconds() / (done - 1), "pace"
        if usual is not None and status.in_flight:
            rounds = -(-left // min(status.in_flight, left))
            return rounds * usual[0] / 1000, "history"
        return None, ""

    async def _moving_since(self, rollout: str) -> datetime:
        """When it was started, or went on last: while it was paused it had no pace."""
        stream, upto = f"rollout-{rollout}", (await self._log.head()).position
        turns = await self._log.turns(stream, upto)
        moved = (one.recorded_at for one in turns if one.type in MOVED)
        return max(moved, default=BEGINNING)

    async def _slower(
        self, status: RolloutStatus, direction: str, running: Sequence[Running], now: datetime
    ) -> list[SlowDatabase]:
        """The databases that run for longer than is usual where tables are about as large."""
        found, by_class = [], {}
        for one in running:
            size = None if one.table_mb is None else class_of(one.table_mb)
            if size not in by_class:
                known = await self._table.usual(status.versions, direction, SAMPLE, size)
                enough = [each for each in known if each.number >= USUAL_FROM]
                by_class[size] = _together(enough, status.versions)
            usual = by_class[size]
            for_s = (now - one.since).total_seconds()
            if usual and 1000 * for_s > max(usual[1], SLOW_FACTOR * usual[0]):
                found.append(SlowDatabase(one.database, for_s, usual))
        return found

    async def _scope(self, asked: ReportSubject, limit: int) -> RunScope:
        await as_near_as_may_be(self._reads, self._log)
        terms = parse(asked.select) if asked.select else None
        versions: Sequence[str] = asked.versions or await self._table.versions(limit)
        scope = RunScope(
            versions,
            asked.since or BEGINNING,
            asked.until or datetime.max.replace(tzinfo=UTC),
            terms,
            await self._table.few(terms),
        )
        if asked.versions:
            known = set(await self._table.versions(1_000_000))
            for version in asked.versions:
                if version not in known:
                    raise NeverRan(version)
        return scope


def _by_data(
    running: Sequence[Running], now: datetime, left: int, in_flight: int | None
) -> float | None:
    """Seconds until data migrations under way are done, by what they say themselves.

    With `in_flight` nothing else tells how long the others of `left` need: they are taken to need
    as long as these do from their beginning.
    """
    needs = [(one, needed) for one in running if (needed := one.needs_s(now)) is not None]
    if not needs:
        return None
    longest = max(needed for _, needed in needs)
    others = left - len(needs)
    if not in_flight or others <= 0:
        return longest
    whole = sum((now - one.since).total_seconds() + needed for one, needed in needs) / len(needs)
    return longest + -(-others // in_flight) * whole


def _together(known: Sequence[Usual], versions: Sequence[str]) -> tuple[int, int] | None:
    """How long all of these take, one after the other; `None` if one of them is not known."""
    by_version = {one.version: one for one in known}
    if not all(version in by_version for version in versions):
        return None
    return (
        sum(by_version[version].p50 for version in versions),
        sum(by_version[version].p95 for version in versions),
    )
