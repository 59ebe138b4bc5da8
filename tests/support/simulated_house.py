"""A whole ledger in memory: services, a leader, agents and databases, on a clock that moves itself.

The same code as in production, put together with the adapters in memory of each port: nothing waits
for anything real, so hours of a rollout pass in milliseconds, and the same seed gives the same run.
It is run inside `tests.support.manual_clock.simulate`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from agents.runtime import Agent
from agents.settings import AgentSettings
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.envelope import Recorded
from ledger.contracts.events import Budget, BundleRegistered, PlanOptions, WhenSpent
from ledger.contracts.manifest import encode_manifest, name_of
from ledger.contracts.registry import Connection
from ledger.contracts.reports import Event
from ledger.leader.supervisor import Supervisor
from ledger.service.bundles import BundleService, Folder
from ledger.service.check_report import CheckService
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.service.migration_refs import migration_ref
from ledger.service.plans import PlanRequest
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.service.rollouts import RolloutService
from ledger.service.status import RolloutStatus
from ledger.store.log.decode import open_event
from migrations.clock import happens_within
from migrations.model.attempt import Limits
from migrations.model.migration import Migration
from tests.support.manual_clock import ManualClock, SeededChance
from tests.support.memory_engine import MemoryDatabase, MemoryEngine
from tests.support.memory_stores import MemoryLeadership, MemoryStores

POOL = "main"
HOST = "db.internal"
WHY = RequestContext("because")
PATIENCE_S = 14_400.0
"""Of the clock: a log in which nothing happens for so long has come to rest."""

OPTIONS = PlanOptions(
    wave_spec="rest",
    in_flight=100,
    budget=Budget(count=0),
    when_spent=WhenSpent.HALT,
    limits=Limits(),
    expiry_s=600.0,
    deadline_s=3600.0,
)


class Leisurely:
    """A clock by which nobody gives up a poll before so many seconds.

    A message ends a poll in this process at once, so a longer one changes nothing but the number of
    polls that find nothing, of which there are millions in a day.
    """

    def __init__(self, clock: ManualClock, least_s: float = 10.0) -> None:
        self._clock = clock
        self._least_s = least_s
        self.now, self.monotonic, self.sleep = clock.now, clock.monotonic, clock.sleep

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Bound a block; 0 stays what it is."""
        return self._clock.timeout(max(seconds, self._least_s) if seconds else seconds)


@dataclass
class SimulatedLeader:
    """A leader at work."""

    leadership: MemoryLeadership
    supervisor: Supervisor
    task: asyncio.Task[None]

    async def dies(self) -> None:
        """It is gone, from one moment to the next; another may lead."""
        self.task.cancel()
        await asyncio.wait([self.task])
        self.leadership.lose()


@dataclass
class SimulatedAgent:
    """An agent at work."""

    agent: Agent
    task: asyncio.Task[None]

    async def dies(self) -> None:
        """It is gone, with whatever it had in hand."""
        self.task.cancel()
        await asyncio.wait([self.task])


class SimulatedHouse:
    """Everything there is, in one process."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.chance = SeededChance(seed)
        self.stores = MemoryStores(self.clock)
        self.broker = LocalBroker(Leisurely(self.clock))
        self.engine = MemoryEngine(self.clock, self.chance)
        encoder = RequestEncoder(self.clock, self.chance)
        log, reads = self.stores.log, self.stores.reads
        self.fleet = FleetService(log, reads, encoder)
        self.bundles = BundleService(log, self.stores.texts, reads, encoder)
        lookout = Liveness(self.stores.signs, uses_broker=False)
        self.rollouts = RolloutService(log, reads, self.fleet, self.bundles, lookout, encoder)
        self.checks = CheckService(reads, log, self.stores.looks, self.clock)
        self._names = 0

    # --- what people do ---

    async def register(self, *databases: str, pool: str = POOL) -> None:
        """Let these databases join, each with a database that answers."""
        for database in databases:
            connection = Connection.at(HOST, database, user="app")
            await self.fleet.add(database, pool, connection, {}, WHY)
            made = MemoryDatabase(database, 16_384 + len(self.engine.databases))
            self.engine.databases[HOST, 5432, database] = made

    async def bundle(self, *migrations: Migration) -> str:
        """Register these migrations; the bundle's name."""
        refs = tuple(migration_ref(one) for one in migrations)
        registration = BundleRegistered(
            bundle=name_of(encode_manifest(refs)), migrations=refs, source="migrations"
        )
        texts = tuple(file.content for one in migrations for file in one.files)
        registered = await self.bundles.record(Folder(registration, texts, ()), WHY)
        return registered.digest

    async def start(
        self, *migrations: Migration, direction: str = "up", select: str = "", **options: object
    ) -> str:
        """Plan a rollout of these migrations and start it; its id."""
        request = PlanRequest(
            direction=direction,
            folder=None,
            bundle=await self.bundle(*migrations),
            options=OPTIONS.model_copy(update=options),
            select=select,
            asked=WHY,
        )
        return await self.rollouts.start(await self.rollouts.plan(request))

    async def undo(self, rollout: str) -> str:
        """Start the rollout that takes this one back; its id."""
        return await self.rollouts.start(await self.rollouts.plan_rollback(rollout, WHY))

    # --- what comes of it ---

    async def becomes(self, rollout: str, *statuses: str) -> RolloutStatus:
        """The rollout's status, once it is one of these."""
        return await self.until(rollout, lambda status: status.status in statuses)

    async def until(self, rollout: str, holds: Callable[[RolloutStatus], bool]) -> RolloutStatus:
        """The rollout's status, once this holds for it."""
        moved = asyncio.Event()
        with self.stores.log.telling(moved.set):
            while True:
                moved.clear()
                status = await self.rollouts.status(rollout)
                if holds(status):
                    return status
                if not await happens_within(self.clock, moved, PATIENCE_S):
                    raise AssertionError(f"nothing has happened for hours, and it is {status}")

    def events(self, *types: type[Event]) -> list[Recorded]:
        """What is in the log, or what of it is of these types."""
        names = {one.__name__ for one in types}
        return [open_event(one) for one in self.stores.log.events if one.type in names or not names]

    def ordered(self, type_: type[Event]) -> list[str]:
        """The databases that events of this type name, in their order."""
        return [one.event.model_dump()["database"] for one in self.events(type_)]

    def tables(self, databases: Sequence[str]) -> dict[str, set[str]]:
        """What is committed in each of these databases."""
        return {one: self.engine.named(one).tables for one in databases}

    # --- who leads and who works ---

    def lead(self, *, resend_s: float = 60.0, keeps_positions: bool = True) -> SimulatedLeader:
        """Begin to lead."""
        self._names += 1
        leadership = self.stores.lead(f"leader-{self._names}")
        leader = Supervisor(
            self.stores,
            LocalBus(self.broker),
            leadership,
            resend_s=resend_s,
            keeps_positions=keeps_positions,
            clock=self.clock,
            chance=self.chance,
        )
        task = asyncio.create_task(leader.lead(f"leader-{self._names}", "here"), name="leader")
        return SimulatedLeader(leadership, leader, task)

    def work(self, pool: str = POOL, *, concurrency: int = 4) -> SimulatedAgent:
        """Begin to work for a pool."""
        self._names += 1
        settings = AgentSettings(
            pool=pool,
            name=f"agent-{self._names}",
            ledger=self.stores.id,
            concurrency=concurrency,
            per_host=concurrency,
            insecure_postgres=True,
        )
        agent = Agent(LocalBus(self.broker), settings, self.clock, self.engine, self.chance)
        task = asyncio.create_task(agent.run(), name=f"agent-{self._names}")
        return SimulatedAgent(agent, task)

    @asynccontextmanager
    async def at_work(self, *, agents: int = 1, concurrency: int = 4) -> AsyncIterator[None]:
        """Lead, with agents, until the block ends; nobody may have broken then."""
        leader = self.lead()
        working = [self.work(concurrency=concurrency) for _ in range(agents)]
        try:
            yield
            assert not leader.task.done(), leader.task.exception()
            assert not [one for one in working if one.task.done()]
        finally:
            for one in working:
                await one.dies()
            await leader.dies()
