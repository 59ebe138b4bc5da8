"""One agent: what it is made of, how it starts, runs and ends.

```
start ─▶ run ────────────────── stop (asks) ──▶ draining ── grace over, or stop again ──▶ cancelling
          │ inbox, outbox, texts, heartbeat        │ what runs finishes                      │
          ▼                                        ▼                                         ▼
        takes commands                    last reports, last commit, leave the group: the end
```

Whoever makes the bus starts and closes it; the single-process mode of the ledger hands in its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata

from agents.allegiance import Allegiance
from agents.heartbeat import HeartbeatSender
from agents.inbox import Inbox
from agents.job import Job, JobPhase
from agents.outbox import Outbox
from agents.scheduler import Scheduler
from agents.settings import AgentSettings
from agents.texts import Library, Texts
from agents.trust import Trust, signer_of
from agents.worker import Worker
from ledger import instruments, telemetry
from ledger.bus.port import Bus, BusError, BusUnavailable, GroupMember, Reader
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.topics import (
    CANCELS,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    agents_group,
    commands_topic,
)
from migrations.backoff import Backoff
from migrations.chance import SYSTEM_CHANCE, Chance
from migrations.clock import SYSTEM_CLOCK, Clock, happens_within
from migrations.engine import Engine, PostgresEngine

logger = logging.getLogger(__name__)

PREFETCH = 8
"""Commands in hand per worker: the next ones are there when one ends."""
CANCEL_S = 10.0
"""How long cancelled work may take to roll back before the agent ends all the same."""
FLUSH_S = 10.0
"""How long the last reports may take; what is not reported is read from the journals later."""
TEXTS_POLL_S = 1.0
TEXTS_BATCH = 50
CANCELLATIONS_POLL_S = 1.0
CANCELLATIONS_BATCH = 500


class Agent:
    """Consumes the commands of one pool, on the databases of an `engine`.

    Raises `KeyUnusable` when its key cannot be used.
    """

    def __init__(
        self,
        bus: Bus,
        settings: AgentSettings,
        clock: Clock = SYSTEM_CLOCK,
        engine: Engine | None = None,
        chance: Chance = SYSTEM_CHANCE,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._bus = bus
        self._settings = settings
        self._texts = Texts(settings.content_cache_bytes, lambda: self._scheduler.look_again())
        signer = signer_of(settings.key_file)
        self._outbox = Outbox(bus, clock, chance, signer, settings.name)
        key = signer.key if signer else None
        engine = engine or PostgresEngine(clock, chance)
        self._worker = Worker(settings, self._outbox, clock, engine, bus.system, key)
        self._scheduler = Scheduler(
            settings.concurrency,
            settings.per_host,
            Library(self._texts),
            self._worker.work,
            self._ask_for_texts,
            lambda job: self._inbox.over(job),
            self._outbox.hurry,
            clock,
        )
        limit = settings.concurrency * (1 + PREFETCH)
        trust = Trust(settings.trust)
        allegiance = Allegiance(trust.ledger or settings.ledger)
        self._inbox = Inbox(
            self._scheduler,
            self._outbox,
            limit,
            clock,
            chance,
            allegiance,
            trust=trust,
            pool=settings.pool,
        )
        version = metadata.version("migration-ledger")
        self._pulse = HeartbeatSender(
            bus, settings, version, self._scheduler, clock, signer, self._inbox.refuses
        )
        self._member: GroupMember | None = None
        self._reader: Reader | None = None
        self._cancellations: Reader | None = None
        self._read_again = False
        self._asked = asyncio.Event()
        self._forced = asyncio.Event()

    @property
    def topic(self) -> str:
        """Where this agent's commands come from."""
        return commands_topic(self._settings.pool)

    async def start(self) -> None:
        """Join the pool. Raises `BusUnavailable` or `BusMisconfigured`."""
        await self._bus.ensure_topics([self.topic, REPORTS, CONTENT, CANCELS, HEARTBEATS, PARKED])
        if self._reader is None:
            self._reader = await self._bus.read(CONTENT, {})
        if self._cancellations is None:
            self._cancellations = await self._bus.read(CANCELS, {})
        self._member = await self._bus.join(self.topic, agents_group(self._settings.pool))

    async def run(self) -> None:
        """Work until `stop`. Waits for a broker that is not there yet.

        Raises `BusMisconfigured`. When cancelled, ends as after two calls of `stop`.
        """
        if not await self._started() or self._member is None:
            return
        if self._reader is None or self._cancellations is None:
            return
        names = ("outbox", "texts", "cancellations", "heartbeat", "inbox")
        loops = (
            self._outbox.run(),
            self._read_texts(self._reader),
            self._hear_cancellations(self._cancellations),
            self._pulse.run(),
            self._inbox.run(self._member),
        )
        tasks = {
            name: asyncio.create_task(loop, name=f"agent-{name}")
            for name, loop in zip(names, loops, strict=True)
        }
        try:
            await _first(self._asked, *tasks.values())
            await self._drain(tasks)
        finally:
            await self._end(self._member, tasks)

    def probes(self) -> Mapping[str, Callable[[], str]]:
        """What it needs, and why it is not there; for `ledger.monitoring.readiness`."""

        def pool() -> str:
            if self._asked.is_set():
                return "it is being stopped and takes nothing more"
            return "" if self._member else f"it has not joined pool {self._settings.pool} yet"

        def broker() -> str:
            return self._outbox.failing or self._pulse.failing

        return {"pool": pool, "broker": broker, "orders": self._inbox.refuses}

    def observe(self) -> None:
        """Have what it has in hand read by whoever takes measurements."""
        pool = {telemetry.POOL: self._settings.pool}

        def jobs() -> list[instruments.Value]:
            phases = Counter(job.phase for job in self._scheduler.jobs())
            return [(phases[one], {**pool, telemetry.STATE: one}) for one in JobPhase]

        def ages() -> list[instruments.Value]:
            now, oldest = self._clock.now(), dict.fromkeys(JobPhase, 0.0)
            for job in self._scheduler.jobs():
                since = job.waiting_since or job.since
                oldest[job.phase] = max(oldest[job.phase], (now - since).total_seconds())
            return [(age_s, {**pool, telemetry.STATE: one}) for one, age_s in oldest.items()]

        def statement_age() -> list[instruments.Value]:
            now = self._clock.now()
            ages = [
                (now - job.running_since).total_seconds()
                for job in self._scheduler.jobs()
                if job.phase is JobPhase.RUNNING and job.running_since is not None
            ]
            return [(max(ages, default=0.0), pool)]

        instruments.observe(instruments.JOBS, jobs)
        instruments.observe(instruments.JOBS_AGE, ages)
        instruments.observe(instruments.STATEMENT_AGE, statement_age)
        instruments.observe(instruments.CONCURRENCY, lambda: [(self._settings.concurrency, pool)])
        instruments.observe(instruments.REPORTS_WAITING, lambda: [(self._outbox.waiting, pool)])

    def stop(self) -> None:
        """The first call asks: what runs finishes within the grace period. The second forces."""
        if self._asked.is_set():
            self._forced.set()
        self._asked.set()

    async def _started(self) -> bool:
        """Whether the agent got into its pool before it was asked to stop."""
        backoff = Backoff(self._clock, self._chance)
        while not self._asked.is_set():
            try:
                if self._member is None:
                    await self.start()
                return True
            except BusUnavailable as error:
                if not backoff.tries:
                    logger.warning("waiting for the broker: %s", error)
                await happens_within(self._clock, self._asked, backoff.next_s())
        return False

    async def _drain(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        """Let what runs finish within the grace period; a loop that broke is raised."""
        for task in tasks.values():
            if task.done():
                task.result()
        self._inbox.drain()
        self._scheduler.drain()
        if self._scheduler.running:
            logger.info(
                "finishing %d databases within %.0f s; stop again to cancel them",
                self._scheduler.running,
                self._settings.grace_s,
            )
        idle = asyncio.create_task(self._scheduler.idle(), name="agent-idle")
        with suppress(TimeoutError):
            async with self._clock.timeout(self._settings.grace_s):
                await _first(self._forced, idle)
        idle.cancel()

    async def _end(self, member: GroupMember, tasks: dict[str, asyncio.Task[None]]) -> None:
        """Cancel what still runs, send the last reports, commit, leave."""
        self._scheduler.stop_all()
        with suppress(TimeoutError):
            async with self._clock.timeout(CANCEL_S):
                await self._scheduler.idle()
        with suppress(TimeoutError):
            async with self._clock.timeout(0.1 if self._outbox.failing else FLUSH_S):
                await self._outbox.flush()
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        with suppress(BusError):
            await self._inbox.commit(member)
        await member.close()
        for reader in (self._reader, self._cancellations):
            if reader is not None:
                await reader.close()

    async def _read_texts(self, reader: Reader) -> None:
        """Take every text that comes by. Raises `BusMisconfigured`."""
        backoff = Backoff(self._clock, self._chance)
        while True:
            try:
                if self._read_again:
                    logger.warning("texts that were asked for do not come; reading them all again")
                    stuck, reader = reader, await self._bus.read(CONTENT, {})
                    self._reader, self._read_again = reader, False
                    await stuck.close()
                for message in await reader.poll(TEXTS_POLL_S, TEXTS_BATCH):
                    self._texts.take(message)
                backoff.reset()
            except BusUnavailable as error:
                logger.warning("texts cannot be taken: %s", error)
                await backoff.wait()

    async def _hear_cancellations(self, reader: Reader) -> None:
        """Stop what is cancelled, whoever owns its partition. Raises `BusMisconfigured`."""
        backoff = Backoff(self._clock, self._chance)
        while True:
            try:
                for message in await reader.poll(CANCELLATIONS_POLL_S, CANCELLATIONS_BATCH):
                    self._inbox.hear(message, self._settings.pool)
                backoff.reset()
            except BusUnavailable as error:
                logger.warning("cancellations cannot be heard: %s", error)
                await backoff.wait()

    def _ask_for_texts(self, job: Job) -> None:
        if isinstance(job.command, ApplyCommand):
            self._worker.reporter(job).content_missing(job.command)
            # They were sent by now, so it may be the reader that hears nothing.
            self._read_again |= job.asked_for_texts > 1


async def _first(event: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Return when `event` is set or one of the tasks ends."""
    waiting = asyncio.create_task(event.wait(), name="agent-waiting")
    try:
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
