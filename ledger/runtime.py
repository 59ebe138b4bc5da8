"""The composition root: the only file that knows every concrete class.

Three ways to run, made of the same parts:

- `open_ledger`: read, and record requests. Every command does this.
- `working`: also lead and work inside this process, for as long as a command waits (no broker).
- `serve`: lead until stopped; agents live here without a broker, elsewhere with one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.domain.surroundings import LeadingProcess as CurrentLeader
from ledger.errors import AnotherLeader, NotPermitted
from ledger.service.liveness import Liveness
from ledger.service.request_context import RequestEncoder
from ledger.settings import KafkaSettings, Settings, Transport
from ledger.stopper import Stopper
from ledger.store.leadership import Leadership, take, take_over
from ledger.store.stores import Stores, open_stores
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from ledger.bus.port import Bus
    from ledger.contracts.actor import Actor
    from ledger.leader.signatures import BusSigning
    from ledger.leader.supervisor import Supervisor
    from ledger.local_agents import LocalAgents
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
    from ledger.service.migration_texts import MigrationTexts
    from ledger.service.performance import PerformanceService
    from ledger.service.rollouts import RolloutService
    from ledger.service.traces import TraceService

logger = logging.getLogger(__name__)

NO_SIGNING_KEY = (
    "agents there follow signed orders alone; set LEDGER_SIGNING_KEY_FILE to a key that "
    "`ledger keys generate` made, and LEDGER_AGENT_TRUST at the agents"
)
"""What is to be done before a leader gives orders over a broker elsewhere."""


@dataclass(frozen=True)
class Ledger:
    """An open ledger: what can be asked of it. What it is made of is for `stores_of` alone.

    A service is imported when it is asked for the first time: a command needs two or three of
    them, and imports are most of what a short one costs.
    """

    id: UUID
    name: str
    lookout: Liveness
    _settings: Settings = field(repr=False)
    _stores: Stores = field(repr=False)
    _encoder: RequestEncoder = field(repr=False)

    async def leader(self) -> CurrentLeader | None:
        """The process that leads now, if one does."""
        return await self.lookout.leader()

    @cached_property
    def fleet(self) -> FleetService:
        """The databases: registered, described, listed."""
        from ledger.service.fleet import FleetService

        return FleetService(self._stores.log, self._stores.reads, self._encoder)

    @cached_property
    def bundles(self) -> BundleService:
        """Folders of migrations: read, registered, found again."""
        from ledger.service.bundles import BundleService

        log, texts, reads = self._stores.log, self._stores.texts, self._stores.reads
        declared, name = self._settings.declared, self._settings.bundle.name or ""
        return BundleService(log, texts, reads, self._encoder, declared, name)

    @cached_property
    def rollouts(self) -> RolloutService:
        """Rollouts: planned, started, steered, watched."""
        from ledger.service.rollouts import RolloutService

        log, reads = self._stores.log, self._stores.reads
        return RolloutService(log, reads, self.fleet, self.bundles, self.lookout, self._encoder)

    @cached_property
    def checks(self) -> CheckService:
        """Looks at databases, outside of rollouts."""
        from ledger.service.check_report import CheckService

        return CheckService(self._stores.reads, self._stores.log, self._stores.looks, SYSTEM_CLOCK)

    @cached_property
    def drift(self) -> DriftService:
        """How schemas differ that should not."""
        from ledger.service.drift import DriftService

        return DriftService(self.fleet, self.checks, self._stores.log, self._encoder)

    @cached_property
    def status(self) -> StatusService:
        """The whole fleet at one glance."""
        from ledger.service.fleet_status import StatusService

        stores = self._stores
        return StatusService(stores.log, stores.reads, stores.looks, self.fleet, self.lookout)

    @cached_property
    def databases(self) -> DatabaseReports:
        """One database: what it has, and what happened to it."""
        from ledger.service.database_report import DatabaseReports
        from ledger.store.log.history import Timelines

        stores, timelines = self._stores, Timelines(self._stores.pool)
        return DatabaseReports(stores.log, stores.reads, stores.looks, self.status, timelines)

    @cached_property
    def history(self) -> HistoryService:
        """What happened, by time."""
        from ledger.service.history import HistoryService
        from ledger.store.log.history import Timelines

        log, reads, timelines = self._stores.log, self._stores.reads, Timelines(self._stores.pool)
        return HistoryService(log, reads, timelines, self.rollouts, SYSTEM_CLOCK)

    @cached_property
    def texts(self) -> MigrationTexts:
        """The texts of migrations, as databases got them."""
        from ledger.service.migration_texts import MigrationTexts

        return MigrationTexts(self._stores.log, self._stores.texts, self._stores.reads)

    @cached_property
    def keys(self) -> KeyService:
        """The keys of agents."""
        from ledger.service.keys import KeyService

        return KeyService(self._stores.log, self._encoder)

    @cached_property
    def audit(self) -> AuditService:
        """Whether the log is what was written."""
        from ledger.service.audit import AuditService

        return AuditService(self._stores.log, self._stores.reads, self._encoder)

    @cached_property
    def performance(self) -> PerformanceService:
        """How long migrations take, and how often they fail."""
        from ledger.service.performance import PerformanceService
        from ledger.store.views.performance import PerformanceTable

        return PerformanceService(self._stores, PerformanceTable(self._stores.pool), SYSTEM_CLOCK)

    @cached_property
    def traces(self) -> TraceService:
        """Where time went."""
        from ledger.service.traces import TraceService
        from ledger.store.log.history import Timelines

        return TraceService(self.id, self.history, Timelines(self._stores.pool), SYSTEM_CLOCK)


async def install(settings: Settings, actor: Actor | None = None) -> Installation:
    """Make a ledger in the database that the settings name; again is harmless."""
    from ledger.service import installation

    return await installation.install(settings.ledger_url, SYSTEM_CLOCK, SYSTEM_CHANCE, actor)


async def upgrade(settings: Settings) -> Installation:
    """Bring the ledger's schema to this program's version; again is harmless."""
    from ledger.service import installation

    return await installation.upgrade(settings.ledger_url)


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger that the settings name, until the block ends.

    Raises `SettingsError`, `LedgerUnreachable`, `LedgerIsStandby`, `NotInstalled` or
    `SchemaVersionMismatch`.
    """
    async with open_stores(settings.ledger_url, SYSTEM_CLOCK) as stores:
        lookout = Liveness(stores.signs, uses_broker=settings.transport is Transport.KAFKA)
        encoder = RequestEncoder(SYSTEM_CLOCK, SYSTEM_CHANCE)
        yield Ledger(stores.id, settings.name, lookout, settings, stores, encoder)


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
    async with _led(ledger, settings, leadership, signing, name, host) as led:
        yield led.staff.cut_short if led.staff else lambda: None


async def serve(
    settings: Settings, *, started: Callable[[str, int], None], replaces_silent: bool = False
) -> None:
    """Lead until the first SIGINT or SIGTERM, finish what runs, end; the second ends at once.

    With `replaces_silent`, also in the place of a leader that gives no sign of life. Raises
    `AnotherLeader` when another process leads, `LeadershipNotTaken` when it cannot be replaced,
    `WrongClock` when this host's clock is wrong, `KeyUnusable` or `BusMisconfigured` when orders
    cannot be signed that must be, and what `open_ledger` raises.
    """
    from ledger.measurement import exposition_of, monitored

    name, host = own_name()
    signing, exposition = _signing(settings), exposition_of(settings)
    async with open_ledger(settings) as ledger:
        leading = take_over if replaces_silent else take
        leadership = await leading(settings.ledger_url, name, host, SYSTEM_CLOCK)
        asked = asyncio.Event()
        with Stopper(asked.set):
            async with _led(ledger, settings, leadership, signing, name, host) as led:
                try:
                    async with monitored(
                        stores_of(ledger), ledger, settings, led.leader, exposition
                    ):
                        started(name, leadership.term)
                        await asked.wait()
                except asyncio.CancelledError:
                    # The second signal, which may come before anybody has seen the first.
                    if led.staff:
                        led.staff.cut_short()
                    raise


def own_name() -> tuple[str, str]:
    """How this process is called among leaders, and the host it runs on."""
    host = socket.gethostname()
    return f"{host}-{os.getpid()}", host


@dataclass(frozen=True, slots=True)
class Led:
    """Who leads in this process, and the agents that work in it, if there is no broker."""

    leader: Supervisor
    staff: LocalAgents | None


@asynccontextmanager
async def _led(
    ledger: Ledger,
    settings: Settings,
    leadership: Leadership,
    signing: BusSigning | None,
    name: str,
    host: str,
) -> AsyncIterator[Led]:
    """Lead in the background; what goes wrong there ends the block."""
    from ledger.bus.kafka import KafkaBus
    from ledger.bus.local import LocalBroker, LocalBus
    from ledger.leader import shutdown
    from ledger.leader.supervisor import Supervisor
    from ledger.local_agents import LocalAgents
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
            shutdown.only_the_first(),
            shutdown.bounded_end(stores.pool) as ending,
            asyncio.TaskGroup() as group,
        ):
            leading = group.create_task(leader.lead(name, host), name="leader")
            leading.add_done_callback(lambda _: ending(shutdown.END_S))
            leadership.when_lost(lambda: ending(shutdown.LOST_END_S))
            hiring = group.create_task(staff.start(leader), name="staff") if staff else None
            try:
                yield Led(leader, staff)
            finally:
                if staff and hiring and not leading.done():
                    if _is_asked_twice():
                        staff.cut_short()
                    await staff.stop()
                    hiring.cancel()
                    await shutdown.unless_over(leading, leader.settled())
                ending(shutdown.END_S)
                leading.cancel()
    finally:
        await bus.close()
        await leadership.release()


def _is_asked_twice() -> bool:
    """Whether this task was cancelled again before it could heed the first time."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 1


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
