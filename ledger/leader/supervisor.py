"""The leading process: everything that follows the log and the bus, under one leadership term.

```
             ┌─▶ conductor, inspector ─ append ─┐
 log ─▶ follower ─▶ relay ─▶ bus ─▶ agents      │
  ▲          └─▶ roster, projector, meter       │
  └─────────────── intake ◀─ bus ◀──────────────┘ (reports)
```

It starts by saying LeadershipTaken, loads what is unsettled from the log, and hands all of it to
the same objects that will hear what comes next, so start-up and running are the same code. When
leadership or the ledger's database is lost, everything stops: whoever leads next begins with the
same log. Nothing here is shielded from cancellation, for nothing can be lost by it: what a leader
appends has derived ids and follows from the log, and a report moves its position in the same call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

import asyncpg

from ledger import instruments, telemetry
from ledger.bus.port import Bus, BusUnavailable
from ledger.contracts.envelope import Metadata, Recorded, encode, leadership_id
from ledger.contracts.events import LeadershipTaken
from ledger.domain.keys import KEYS
from ledger.errors import LeadershipLost, StaleTerm, WrongClock
from ledger.leader.broker_watch import BrokerWatch
from ledger.leader.conductor import Conductor
from ledger.leader.fleet_cache import Roster
from ledger.leader.heartbeats import HeartbeatIntake
from ledger.leader.inspector import Inspector
from ledger.leader.intake import Intake
from ledger.leader.look_desk import LookDesk
from ledger.leader.metrics import Meter
from ledger.leader.order_book import OrderBook
from ledger.leader.projector import Projector
from ledger.leader.relay import Relay
from ledger.leader.restoration import restore
from ledger.leader.schema_comparison import SchemaComparison
from ledger.leader.signatures import BusSigning, Speakers
from ledger.leader.span_writer import SpanWriter
from ledger.leader.subscription import Follower
from ledger.store.bundles import BundleTexts
from ledger.store.connections import CONNECTION_LOST
from ledger.store.log.decode import open_event
from ledger.store.obstacles import unreachable
from ledger.store.port import LeadingTerm, LedgerStores
from ledger.store.views.port import Views
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock

logger = logging.getLogger(__name__)

STREAM = "ledger"


class Supervisor:
    """Leads one ledger over one bus."""

    def __init__(
        self,
        stores: LedgerStores,
        bus: Bus,
        leadership: LeadingTerm,
        *,
        resend_s: float,
        keeps_positions: bool,
        clock: Clock,
        chance: Chance,
        signing: BusSigning | None = None,
    ) -> None:
        self._log = log = stores.log
        self._signing = signing
        self._bus = bus
        self._leadership = leadership
        self._ledger = ledger = stores.id
        self._reads = stores.reads
        self._clock = clock
        self._chance = chance
        bundles = BundleTexts(log, stores.texts)
        term = leadership.term
        self._roster = Roster()
        self._conductor = Conductor(log, self._reads, self._roster, bundles, term, clock)
        signer = signing.signer if signing else None
        self._speakers = Speakers(every_pool=signer is not None) if signing else None
        self._relay = Relay(bus, bundles, ledger, resend_s, clock, chance, signer)
        self._projector = Projector(self._reads, clock)
        self._meter, self._spans = Meter(), SpanWriter(ledger)
        self._orders = OrderBook(log)
        desk = LookDesk(log, self._roster, stores.looks, clock)
        self._inspector = Inspector(
            log, self._roster, self._reads, stores.looks, desk, term, clock,
            (self._orders, self._relay),
        )  # fmt: skip
        self._schemas = SchemaComparison(log, self._reads, term, clock)
        self._intake = Intake(
            bus,
            log,
            term,
            ledger=ledger,
            keeps_positions=keeps_positions,
            missing=self._relay.missing,
            orders=self._orders,
            looks=desk,
            clock=clock,
            chance=chance,
            speakers=self._speakers,
        )
        self._pulse = HeartbeatIntake(
            bus, stores.signs, self._broker_answers, clock, chance, self._speakers,
            self._conductor.left_alone,
        )  # fmt: skip
        self._watch = BrokerWatch(bus, clock)
        self._loaded = asyncio.Event()
        self._follower: Follower | None = None

    def _broker_answers(self) -> tuple[bool, float]:
        """Whether the broker answers, as whoever sends and whoever asks it know, and since when."""
        lost = self._relay.unreachable_since
        if lost is not None:
            return False, (self._clock.now() - lost).total_seconds()
        return self._watch.answers, self._watch.for_s

    def probes(self) -> Mapping[str, Callable[[], str]]:
        """What it needs, and why it is not there; for `ledger.monitoring.readiness`."""

        def fleet() -> str:
            return "" if self._loaded.is_set() else "the fleet is being loaded from the log"

        def broker() -> str:
            answers, for_s = self._broker_answers()
            return "" if answers else f"the broker has not answered for {for_s:.0f} s"

        return {"leadership": self._leadership.silence, "fleet": fleet, "broker": broker}

    def observe(self) -> None:
        """Have what it waits for read by whoever takes measurements."""
        relay, nobody = self._relay, (0, 0.0)

        def by_pool(which: int) -> list[instruments.Value]:
            told = relay.unanswered()
            return [
                (told.get(pool, nobody)[which], {telemetry.POOL: pool})
                for pool in sorted(self._roster.pools | told.keys())
            ]

        instruments.observe(instruments.UNANSWERED, partial(by_pool, 0))
        instruments.observe(instruments.UNANSWERED_AGE, partial(by_pool, 1))
        instruments.observe(instruments.UNSENT, lambda: [(relay.unsent, {})])
        instruments.observe(instruments.UNSENT_AGE, lambda: [(relay.unsent_s, {})])
        instruments.observe(instruments.UNTAKEN, lambda: [(self._intake.queue.untaken, {})])
        instruments.observe(instruments.UNTAKEN_AGE, lambda: [(self._intake.queue.untaken_s, {})])
        instruments.observe(
            instruments.LEADING, lambda: [(int(not self._leadership.silence()), {})]
        )
        self._meter.observe()

    async def lead(self, name: str, host: str) -> None:
        """Lead until cancelled.

        Raises `LeadershipLost`, `StaleTerm`, `WrongClock`, `LedgerUnreachable`, `BusMisconfigured`,
        or what made leading impossible.
        """
        try:
            await self._lead(name, host)
        except BaseExceptionGroup as group:
            raise _cause(group) from None
        except Exception as error:
            raise _told(error) from None

    async def _lead(self, name: str, host: str) -> None:
        async with asyncio.TaskGroup() as group:
            # Before everything else: loading may wait for a database that does not answer.
            group.create_task(self._watch_leadership(), name="leader-leadership")
            taken = await self._say_taken(name, host)
            self._follower = follower = await self._load()
            await self._leadership.listen(follower.poke)
            group.create_task(follower.run(), name="leader-follower")
            # What was not projected yet is heard first, or what it answers would be sent again.
            await follower.reach(taken)
            loops: dict[str, Coroutine[Any, Any, None]] = {
                "conductor": self._conductor.run(follower),
                "inspector": self._inspector.run(follower),
                "projector": self._projector.run(),
                "schemas": self._schemas.run(),
                "bus": self._work_the_bus(follower),
            }
            for loop, coroutine in loops.items():
                group.create_task(coroutine, name=f"leader-{loop}")

    async def loaded(self) -> None:
        """Return when the fleet is known."""
        await self._loaded.wait()

    def pools(self) -> set[str]:
        """The pools of the fleet as it is now; none before it is `loaded`."""
        return self._roster.pools

    async def drain(self) -> None:
        """Return when all reports that are on the bus now are in the log, and rollouts compared."""
        await self._intake.queue.drained()
        if self._follower is not None:
            await self._follower.reach((await self._log.head()).position)
        await self._schemas.settled()

    async def settled(self) -> None:
        """Return when the last reports are in the log, and shown."""
        await self.drain()
        # Whoever may only read finds what was done here, though nobody projects afterwards.
        await self._reads.caught_up()

    async def _load(self) -> Follower:
        """Load what is unsettled as if it were heard now, as far as it was projected.

        Projecting the rest takes many times as long as hearing it, and nobody leads meanwhile.
        """
        async with self._reads.snapshot() as reads:
            position = await reads.position()
            await self._load_fleet(reads)
            self._loaded.set()
            for rollout in await reads.unsettled_rollouts():
                await self._load_rollout(reads, rollout)
            for check in await reads.open_checks():
                # What came since, the follower tells.
                await self._inspector.take_up(check)
        speakers = (self._speakers,) if self._speakers else ()
        for keys in speakers:
            keys.saw([one async for one in self._keys(position)])
        subscribers = (
            *speakers, self._roster, self._conductor, self._inspector, self._orders, self._relay,
            self._projector, self._meter, self._spans, self._schemas,
        )  # fmt: skip
        return Follower(self._log, position, subscribers, self._clock)

    async def _load_fleet(self, reads: Views) -> None:
        after = ""
        while page := await reads.fleet_entries(after):
            self._roster.load(page)
            after = page[-1].database

    async def _load_rollout(self, reads: Views, rollout: str) -> None:
        restored = await restore(self._log, reads, rollout)
        if restored is None:
            logger.error("rollout %s is left alone: its stream makes no rollout", rollout)
            return
        self._conductor.take_up(restored)
        for subscriber in (self._orders, self._relay):
            subscriber.saw(restored.events)
        self._meter.remember(restored.events)
        self._spans.remember(restored.events)

    async def _keys(self, upto: int) -> AsyncIterator[Recorded]:
        """What was said of keys; what came since, the follower tells."""
        async for raw in self._log.read_stream(KEYS):
            if raw.position <= upto:
                yield open_event(raw)

    async def _say_taken(self, name: str, host: str) -> int:
        """Say who leads; the position at which that stands."""
        term = self._leadership.term
        signer = self._signing.signer if self._signing else None
        public_key = signer.public_key if signer else None
        event = LeadershipTaken(term=term, leader=name, host=host, public_key=public_key)
        event_id = leadership_id(self._ledger, term)
        encoded = encode(event, event_id, Metadata(occurred_at=self._clock.now()))
        return (await self._log.append(STREAM, [encoded], term=term)).last_position

    async def _work_the_bus(self, follower: Follower) -> None:
        """Wait for the broker, then send, take in and listen; ask all the while if it answers."""
        async with asyncio.TaskGroup() as group:
            if self._bus.system:
                watching = self._watch.run(partial(self._pulse.keep, ()))
                group.create_task(watching, name="leader-broker-watch")
            await self._bus_started()
            group.create_task(self._relay.run(), name="leader-relay")
            group.create_task(self._intake.run(follower), name="leader-intake")
            group.create_task(self._pulse.run(), name="leader-pulse")

    async def _bus_started(self) -> None:
        backoff = Backoff(self._clock, self._chance)
        while True:
            try:
                return await self._bus.start()
            except BusUnavailable as error:
                self._relay.broken(error)
                await self._pulse.keep(())
                await backoff.wait()

    async def _watch_leadership(self) -> None:
        await self._leadership.wait_lost()
        raise self._leadership.why


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of several that says what happened; the others are its consequences."""
    errors = list(_leaves(group))
    for error in errors:
        if isinstance(error, LeadershipLost | StaleTerm | WrongClock):
            return error
    return _told(errors[0])


def _told(error: BaseException) -> BaseException:
    """In our own words, when it says that a connection was lost.

    A lost one may show first where a driver ends a transaction or hands a connection back: that is
    an InterfaceError, as are wrong arguments, which are ValueErrors besides.
    """
    used = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    if used or isinstance(error, CONNECTION_LOST):
        return unreachable(error)
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
