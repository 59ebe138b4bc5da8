"""The composition root: the only file that knows every concrete class.

Three ways to run, made of the same parts:

- `open_ledger`: read, and record requests. Every command does this.
- `working`: also lead and work inside this process, for as long as a command waits (no broker).
- `serve`: lead until stopped; agents live here without a broker, elsewhere with one.

What only a leader needs is imported when one begins: a person who stops a rollout does not wait
for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.actor import Actor
from ledger.domain.surroundings import LeadingProcess as CurrentLeader
from ledger.errors import AnotherLeader, NotPermitted
from ledger.service import installation
from ledger.service.audit import AuditService
from ledger.service.bundles import BundleService
from ledger.service.check_report import CheckService
from ledger.service.database_report import DatabaseReports
from ledger.service.drift import DriftService
from ledger.service.fleet import FleetService
from ledger.service.fleet_status import StatusService
from ledger.service.history import HistoryService
from ledger.service.installation import Installation
from ledger.service.keys import KeyService
from ledger.service.liveness import Liveness
from ledger.service.migration_texts import MigrationTexts
from ledger.service.request_context import RequestEncoder
from ledger.service.rollouts import RolloutService
from ledger.settings import KafkaSettings, Settings, Transport
from ledger.stopper import Stopper
from ledger.store.leadership import Leadership, take, take_over
from ledger.store.log.history import Timelines
from ledger.store.stores import Stores, open_stores
from ledger.store.views.port import Views
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from agents.runtime import Agent
    from ledger.bus.port import Bus
    from ledger.leader.signatures import BusSigning
    from ledger.leader.supervisor import Supervisor

logger = logging.getLogger(__name__)

NO_SIGNING_KEY = (
    "agents there follow signed orders alone; set LEDGER_SIGNING_KEY_FILE to a key that "
    "`ledger keys generate` made, and LEDGER_AGENT_TRUST at the agents"
)
"""What is to be done before a leader gives orders over a broker elsewhere."""
HIRE_EVERY_S = 1.0
"""How soon a pool that is new in the fleet gets its agent in single-process mode."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger: what can be asked of it. What it is made of is for `stores_of` alone."""

    id: UUID
    name: str
    fleet: FleetService
    bundles: BundleService
    rollouts: RolloutService
    checks: CheckService
    drift: DriftService
    status: StatusService
    databases: DatabaseReports
    history: HistoryService
    texts: MigrationTexts
    keys: KeyService
    audit: AuditService
    lookout: Liveness
    _stores: Stores = field(repr=False)

    async def leader(self) -> CurrentLeader | None:
        """The process that leads now, if one does."""
        return await self.lookout.leader()


async def install(settings: Settings, actor: Actor | None = None) -> Installation:
    """Make a ledger in the database that the settings name; again is harmless."""
    return await installation.install(settings.ledger_url, SYSTEM_CLOCK, SYSTEM_CHANCE, actor)


async def upgrade(settings: Settings) -> Installation:
    """Bring the ledger's schema to this program's version; again is harmless."""
    return await installation.upgrade(settings.ledger_url)


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger that the settings name, until the block ends.

    Raises `SettingsError`, `LedgerUnreachable`, `LedgerIsStandby`, `NotInstalled` or
    `SchemaVersionMismatch`.
    """
    async with open_stores(settings.ledger_url, SYSTEM_CLOCK) as stores:
        log, reads = stores.log, stores.reads
        encoder = RequestEncoder(SYSTEM_CLOCK, SYSTEM_CHANCE)
        fleet = FleetService(log, reads, encoder)
        bundles = BundleService(
            log, stores.texts, reads, encoder, settings.declared, settings.bundle.name or ""
        )
        lookout = Liveness(stores.signs, uses_broker=settings.transport is Transport.KAFKA)
        rollouts = RolloutService(log, reads, fleet, bundles, lookout, encoder)
        status, timelines = StatusService(log, reads, fleet, lookout), Timelines(stores.pool)
        yield Ledger(
            id=stores.id,
            name=settings.name,
            fleet=fleet,
            bundles=bundles,
            rollouts=rollouts,
            checks=CheckService(fleet, reads, log, SYSTEM_CLOCK),
            drift=DriftService(fleet, log, encoder),
            status=status,
            databases=DatabaseReports(log, reads, status, timelines),
            history=HistoryService(log, reads, timelines, rollouts, SYSTEM_CLOCK),
            texts=MigrationTexts(log, stores.texts, reads),
            keys=KeyService(log, encoder),
            audit=AuditService(log, reads, encoder),
            lookout=lookout,
            _stores=stores,
        )


def stores_of(ledger: Ledger) -> Stores:
    """What stands under a ledger's services, for whoever leads or measures; nobody asks there."""
    return ledger._stores


@asynccontextmanager
async def working(ledger: Ledger, settings: Settings) -> AsyncIterator[Callable[[], None]]:
    """Lead and work in this process until the block ends.

    If another process leads, or this role may not, only watch. What is yielded has whatever runs
    here cancelled, and taken back, instead of letting it finish.
    """
    name, host = own_name()
    signing = _signing(settings)
    try:
        leadership = await take(settings.ledger_url, name, host, SYSTEM_CLOCK)
    except (AnotherLeader, NotPermitted):
        yield lambda: None
        return
    async with _led(ledger, settings, leadership, signing, name, host) as staff:
        yield staff.cut_short if staff else lambda: None


async def serve(
    settings: Settings, *, started: Callable[[str, int], None], replaces_silent: bool = False
) -> None:
    """Lead until the first SIGINT or SIGTERM, finish what runs, end; the second ends at once.

    With `replaces_silent`, also in the place of a leader that gives no sign of life. Raises
    `AnotherLeader` when another process leads, `LeadershipNotTaken` when it cannot be replaced,
    `WrongClock` when this host's clock is wrong, `KeyUnusable` or `BusMisconfigured` when orders
    cannot be signed that must be, and what `open_ledger` raises.
    """
    name, host = own_name()
    signing = _signing(settings)
    async with open_ledger(settings) as ledger:
        leading = take_over if replaces_silent else take
        leadership = await leading(settings.ledger_url, name, host, SYSTEM_CLOCK)
        asked = asyncio.Event()
        with Stopper(asked.set):
            async with _led(ledger, settings, leadership, signing, name, host):
                started(name, leadership.term)
                await asked.wait()


def own_name() -> tuple[str, str]:
    """How this process is called among leaders, and the host it runs on."""
    host = socket.gethostname()
    return f"{host}-{os.getpid()}", host


@asynccontextmanager
async def _led(
    ledger: Ledger,
    settings: Settings,
    leadership: Leadership,
    signing: BusSigning | None,
    name: str,
    host: str,
) -> AsyncIterator[LocalAgents | None]:
    """Lead in the background; what goes wrong there ends the block. Yields who works here."""
    from ledger.bus.kafka import KafkaBus
    from ledger.leader.shutdown import END_S, LOST_END_S, bounded_end, only_the_first
    from ledger.leader.supervisor import Supervisor
    from migrations.gc_tuning import settle_memory

    broker = _broker(settings)
    local = LocalBroker(SYSTEM_CLOCK)
    bus: Bus = KafkaBus(broker, f"ledger-{name}", SYSTEM_CLOCK) if broker else LocalBus(local)
    stores = stores_of(ledger)
    leader = Supervisor(
        stores,
        bus,
        leadership,
        resend_s=settings.resend_s,
        keeps_positions=broker is not None,
        clock=SYSTEM_CLOCK,
        chance=SYSTEM_CHANCE,
        signing=signing,
    )
    staff = None if broker else LocalAgents(local, settings, ledger.id)
    settle_memory()
    try:
        async with (
            only_the_first(),
            bounded_end(stores.pool) as ending,
            asyncio.TaskGroup() as group,
        ):
            leading = group.create_task(leader.lead(name, host), name="leader")
            leading.add_done_callback(lambda _: ending(END_S))
            leadership.when_lost(lambda: ending(LOST_END_S))
            hiring = group.create_task(staff.start(leader), name="staff") if staff else None
            try:
                yield staff
            finally:
                if staff and hiring and not leading.done():
                    await staff.stop()
                    hiring.cancel()
                    await _drained(stores.reads, leader, leading)
                ending(END_S)
                leading.cancel()
    finally:
        await bus.close()
        await leadership.release()


def _broker(settings: Settings) -> KafkaSettings | None:
    """How to reach the broker: one elsewhere only with orders that are signed."""
    return settings.broker_for("" if settings.signing.key_file else NO_SIGNING_KEY)


def _signing(settings: Settings) -> BusSigning | None:
    """What is signed and what must be; `None` without a broker.

    Asked before anybody leads. Raises `KeyUnusable` or `BusMisconfigured`.
    """
    from ledger.bus.security import check
    from ledger.leader.signatures import BusSigning
    from ledger.signing.key_files import read
    from ledger.signing.seal import Signer

    broker = _broker(settings)
    if broker is None:
        return None
    check(broker)
    file = settings.signing.key_file
    if file is None:
        logger.warning(
            "INSECURE: orders are not signed, so whoever can write to the broker can give some; "
            "set LEDGER_SIGNING_KEY_FILE"
        )
        return BusSigning(None)
    return BusSigning(Signer(read(file, "LEDGER_SIGNING_KEY_FILE")))


async def _drained(reads: Views, leader: Supervisor, leading: asyncio.Task[None]) -> None:
    """Return when the last reports are in the log, and shown, or nobody is left to take them."""

    async def drain() -> None:
        await leader.drain()
        # Whoever may only read finds what was done here, though nobody projects afterwards.
        await reads.caught_up()

    draining = asyncio.create_task(drain(), name="leader-drain")
    try:
        await asyncio.wait({draining, leading}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        draining.cancel()


class LocalAgents:
    """The agents of single-process mode: one for each pool, also for pools that come later."""

    def __init__(self, broker: LocalBroker, settings: Settings, ledger: UUID) -> None:
        self._broker = broker
        self._ledger = ledger
        self._settings = settings
        self._agents: dict[str, Agent] = {}
        self._working: list[asyncio.Task[None]] = []

    async def start(self, leader: Supervisor) -> None:
        """Start an agent for every pool that has none, until cancelled; raises what breaks one.

        When cancelled because the leader failed, the agents finish what they have in hand: the
        journals keep what cannot be reported now.
        """
        async with asyncio.TaskGroup() as group:
            try:
                await leader.loaded()
                while True:
                    wanted = leader.pools() | {self._settings.pool}
                    for pool in sorted(wanted - self._agents.keys()):
                        agent = self._agents[pool] = self._agent(pool)
                        self._working.append(group.create_task(agent.run(), name=f"agent-{pool}"))
                    await SYSTEM_CLOCK.sleep(HIRE_EVERY_S)
            except asyncio.CancelledError:
                await self.stop()
                raise

    def cut_short(self) -> None:
        """Have every agent cancel what it has in hand."""
        for agent in self._agents.values():
            agent.stop()
            agent.stop()

    async def stop(self) -> None:
        """Let every agent finish what it has in hand, within its grace period; again forces."""
        for agent in self._agents.values():
            agent.stop()
        if self._working:
            await asyncio.wait(self._working)

    def _agent(self, pool: str) -> Agent:
        from agents.runtime import Agent
        from agents.settings import agent_settings, default_name
        from migrations.engine import PostgresEngine

        # Nobody else is on this bus, whatever the settings say of agents elsewhere.
        alone = {"ledger": self._ledger, "trust": (), "key_file": None}
        section = self._settings.agent.model_copy(update=alone)
        name = f"{section.name or default_name()}-{pool}"
        settings = agent_settings(section, pool, name=name)
        engine = PostgresEngine(SYSTEM_CLOCK, SYSTEM_CHANCE)
        return Agent(LocalBus(self._broker), settings, SYSTEM_CLOCK, engine)
