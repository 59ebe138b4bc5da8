"""The ledger in numbers, for whoever watches it: counted again and again, read at any time.

A scrape costs nothing by the size of the fleet: it reads what was counted last, and how long ago.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeAlias

from ledger import instruments, telemetry
from ledger.contracts.events import Budget
from ledger.domain import budget
from ledger.domain.fleet import FleetStatus
from ledger.domain.states import ENDED, Status
from ledger.domain.tally import tally
from ledger.errors import LedgerUnusable, StoreError
from ledger.instruments import Instrument, Value
from ledger.service.fleet_overview import DatabaseOverview
from ledger.service.fleet_status import StatusService
from ledger.service.known_drift import known_drift
from ledger.service.liveness import Liveness
from ledger.settings.sections import MOST_NAMED
from ledger.store.census import CensusTable
from ledger.store.connections import DATABASE_TROUBLE
from ledger.store.port import Log
from ledger.store.refusals import trouble_of
from ledger.store.views.port import Views
from ledger.store.views.rows import PoolRow, RolloutRow
from migrations.clock import Clock
from migrations.model.attempt import Verdict

logger = logging.getLogger(__name__)

Count: TypeAlias = tuple[Instrument, Value]

EVERY_S = 10.0
"""How often is counted, at most."""
REST = 20
"""So many times as long as counting took is waited, where that is more: a twentieth of the time."""
REST_MOST_S = 120.0
"""The longest rest, however long counting took: a machine that is busy for a moment makes it long,
and whoever waits for figures has an alert at five minutes.
"""
UNFINISHED = tuple(status for status in Status if status not in ENDED)
"""States of rollouts that have not ended."""
LACKING = ((0, "0"), (1, "1"), (2, "2"), (5, "3-5"), (10, "6-10"))
"""Databases that lack up to so many versions, and how they are called together; more are `11+`."""
MORE = "11+"

COUNTED = (
    instruments.ROLLOUTS, instruments.ROLLOUT_AGE, instruments.ROLLOUT_DATABASES,
    instruments.IN_FLIGHT, instruments.IN_FLIGHT_LIMIT, instruments.BUDGET,
    instruments.BUDGET_USED,
    instruments.DATABASES, instruments.BEHIND, instruments.TROUBLED, instruments.DRIFTED,
    instruments.UNREACHABLE, instruments.BACKUP_AGE, instruments.AGENTS, instruments.CLOCK_APART,
    instruments.EVENTS, instruments.LOG_SIZE, instruments.PROJECTION_LAG,
    instruments.PROJECTION_LAG_AGE, instruments.TERM, instruments.UNREADABLE,
    instruments.NAMED_STATE, instruments.NAMED_BEHIND, instruments.NAMED_RUN_AGE,
    instruments.NAMED_RUN, instruments.UNNAMED,
)  # fmt: skip
"""What is counted here."""


class Census:
    """Counts what the ledger says, and keeps what it counted last."""

    def __init__(
        self,
        log: Log,
        reads: Views,
        table: CensusTable,
        status: StatusService,
        lookout: Liveness,
        clock: Clock,
        named: int = 0,
    ) -> None:
        """Of the first `named` databases by id, how each is, is counted too."""
        self._log = log
        self._reads = reads
        self._table = table
        self._status = status
        self._lookout = lookout
        self._clock = clock
        self._named = named
        self._unnamed = 0
        self._counted: dict[Instrument, Sequence[Value]] = {}
        self._counted_at = clock.monotonic()
        self.trouble = ""
        """Why the last count came to nothing; empty when it did not."""

    def observe(self) -> None:
        """Have it all read by whoever takes measurements."""
        for one in COUNTED:
            instruments.observe(one, partial(self.values, one))
        instruments.observe(instruments.COUNTED_AGE, lambda: [(self.age_s, {})])

    def values(self, one: Instrument) -> Sequence[Value]:
        """What was counted last of this."""
        return self._counted.get(one, ())

    @property
    def age_s(self) -> float:
        """How long ago it was counted, in seconds."""
        return self._clock.monotonic() - self._counted_at

    async def run(self) -> None:
        """Count until cancelled. A ledger that does not answer is said once, and asked again."""
        while True:
            began = self._clock.monotonic()
            await self.try_to_count()
            await self._clock.sleep(rest_after(self._clock.monotonic() - began))

    async def try_to_count(self) -> None:
        """Count, or keep what was counted last and say why."""
        try:
            await self.count()
        except (LedgerUnusable, StoreError, *DATABASE_TROUBLE) as error:
            said = trouble_of(error)
            if not self.trouble:
                logger.warning("nothing is counted for the moment: %s", said)
            self.trouble = said

    async def count(self) -> None:
        """Count now. Raises `LedgerUnusable` or `StoreError`."""
        counted: dict[Instrument, list[Value]] = {one: [] for one in COUNTED}
        pools = await self._reads.fleet_pools()
        parts = (
            self._written(),
            self._under_way(),
            self._fleet(pools),
            self._living(pools),
            self._each(),
        )
        for part in parts:
            async for one, value in part:
                counted[one].append(value)
        self._counted = {one: tuple(values) for one, values in counted.items()}
        self._counted_at, self.trouble = self._clock.monotonic(), ""

    async def _written(self) -> AsyncIterator[Count]:
        head = await self._log.head()
        yield instruments.EVENTS, (head.position, {})
        yield instruments.TERM, (head.term, {})
        lag = head.position - await self._reads.position()
        yield instruments.PROJECTION_LAG, (max(lag, 0), {})
        written = await self._table.written()
        yield instruments.LOG_SIZE, (written.log_bytes, {})
        unshown_s = self._age_s(written.unshown_at) if written.unshown_at else 0.0
        yield instruments.PROJECTION_LAG_AGE, (unshown_s, {})
        yield instruments.UNREADABLE, (len(await self._reads.unreadable(aside=False)), {})

    async def _under_way(self) -> AsyncIterator[Count]:
        by_status = await self._table.rollouts()
        for status in Status:
            yield instruments.ROLLOUTS, (by_status.get(status, 0), {telemetry.STATE: status})
        rows: list[RolloutRow] = []
        before = None
        while page := await self._reads.rollouts(UNFINISHED, before):
            rows += page
            before = page[-1].planned_position
        for row in rows:
            named = {telemetry.ROLLOUT_ID: row.rollout}
            told = {**named, telemetry.STATE: row.status}
            yield instruments.ROLLOUT_AGE, (self._age_s(row.planned_at), told)
            counted = tally(row.counts)
            yield instruments.IN_FLIGHT, (counted.in_flight, named)
            for state, number in counted.counts.items():
                yield instruments.ROLLOUT_DATABASES, (number, {**named, telemetry.STATE: state})
            yield instruments.IN_FLIGHT_LIMIT, (row.in_flight, named)
            may_fail = Budget(count=row.budget_count, percent=row.budget_percent)
            yield instruments.BUDGET, (budget.allowed(row.databases, may_fail), named)
            toll = await self._reads.rollout_toll(row.rollout)
            yield instruments.BUDGET_USED, (toll.counted, named)

    def _age_s(self, at: datetime) -> float:
        return max((self._clock.now() - at).total_seconds(), 0.0)

    async def _fleet(self, pools: Sequence[PoolRow]) -> AsyncIterator[Count]:
        for row in pools:
            told = {telemetry.STATE: row.status, telemetry.POOL: row.pool}
            yield instruments.DATABASES, (row.databases, told)
        numbers = await self._status.numbers()
        behind = Counter({"0": numbers.current})
        for group in numbers.behind:
            behind[called(len(group.missing))] += group.databases
        for name in (*(one for _, one in LACKING), MORE):
            yield instruments.BEHIND, (behind[name], {telemetry.VERSIONS_BEHIND: name})
        yield instruments.TROUBLED, (sum(group.databases for group in numbers.troubles), {})
        yield instruments.DRIFTED, (len((await known_drift(self._log)).open), {})
        yield instruments.UNREACHABLE, (await self._table.unreachable(), {})
        for pool, at in (await self._table.backups()).items():
            yield instruments.BACKUP_AGE, (self._age_s(at), {telemetry.POOL: pool})

    async def _each(self) -> AsyncIterator[Count]:
        """How each database is, of so many as are named."""
        if not self._named:
            return
        page = await self._status.overview(limit=self._named)
        ids = [one.database for one in page.databases]
        problems = await self._status.problems(ids)
        for one in page.databases:
            named = {telemetry.DATABASE: one.database}
            state = _state(one, troubled=one.database in problems)
            yield instruments.NAMED_STATE, (1, {**named, telemetry.STATE: state})
            yield instruments.NAMED_BEHIND, (len(one.missing), named)
        for run in await self._table.last_runs(ids):
            named = {telemetry.DATABASE: run.database}
            result = Verdict.DONE if run.succeeded else Verdict.FAILED
            told = {**named, telemetry.TASK_RESULT: result.value}
            if run.error:
                told[telemetry.ERROR_TYPE] = run.error
            yield instruments.NAMED_RUN_AGE, (self._age_s(run.at), told)
            if run.duration_ms is not None:
                yield instruments.NAMED_RUN, (run.duration_ms / 1000, named)
        unnamed = page.total - len(ids)
        yield instruments.UNNAMED, (unnamed, {})
        if unnamed and not self._unnamed:
            logger.warning(
                "%d databases have no figures of their own, which the first %d have by id; raise "
                "monitoring.named_databases, which may be up to %d",
                unnamed, self._named, MOST_NAMED,
            )  # fmt: skip
        self._unnamed = unnamed

    async def _living(self, pools: Sequence[PoolRow]) -> AsyncIterator[Count]:
        around = await self._lookout.agents()
        alive: Counter[str] = Counter()
        apart: dict[str, float] = {}
        for row in pools:
            if row.status != FleetStatus.RETIRED:
                alive[row.pool] += 0
        for seen in around.alive():
            pool = seen.heartbeat.pool
            alive[pool] += 1
            apart[pool] = max(apart.get(pool, 0.0), abs(seen.ahead_s))
        for pool, number in alive.items():
            yield instruments.AGENTS, (number, {telemetry.POOL: pool})
        for pool, seconds in apart.items():
            yield instruments.CLOCK_APART, (seconds, {telemetry.POOL: pool})


def _state(one: DatabaseOverview, *, troubled: bool) -> str:
    if one.status is FleetStatus.SUSPENDED:
        return "suspended"
    if troubled or one.unread or one.half_done:
        return "troubled"
    return "behind" if one.missing else "current"


def rest_after(took_s: float) -> float:
    """How many seconds nothing is counted after a count that took so many."""
    return min(max(EVERY_S, REST * took_s), REST_MOST_S)


def called(versions: int) -> str:
    """What databases that lack so many versions are called together."""
    return next((name for upto, name in LACKING if versions <= upto), MORE)
