"""The measurements and pages of a process that leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

from ledger import telemetry
from ledger.settings import Settings
from ledger.store.stores import Stores
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from ledger.leader.supervisor import Supervisor
    from ledger.monitoring.exposition import Exposition
    from ledger.service.fleet_status import StatusService
    from ledger.service.liveness import Liveness


class Counted(Protocol):
    """What a census asks of an open ledger."""

    @property
    def status(self) -> StatusService:
        """How the fleet is."""

    @property
    def lookout(self) -> Liveness:
        """Who lives."""


def exposition_of(settings: Settings) -> Exposition | None:
    """What writes measurements down for a scrape; asked before anybody measures."""
    if settings.monitoring.port is None:
        return None
    from ledger.monitoring.exposition import expose

    return expose(telemetry.SERVICE, metadata.version("migration-ledger"))


@asynccontextmanager
async def monitored(
    stores: Stores,
    ledger: Counted,
    settings: Settings,
    leader: Supervisor,
    exposition: Exposition | None,
) -> AsyncIterator[None]:
    """Say how this leader is, and how its ledger, to whoever takes measurements or asks."""
    if not telemetry.measured():
        yield
        return
    from ledger.monitoring.process import observe_connections, observe_memory
    from ledger.service.census import Census
    from ledger.store.census import CensusTable

    table = CensusTable(stores.pool)
    named = settings.monitoring.named_databases
    census = Census(
        stores.log, stores.reads, table, ledger.status, ledger.lookout, SYSTEM_CLOCK, named
    )
    census.observe()
    leader.observe()
    pool = stores.pool
    observe_connections("ledger", pool.get_size, pool.get_idle_size, pool.get_max_size())
    observe_memory()
    counting = asyncio.create_task(census.run(), name="census")
    try:
        async with AsyncExitStack() as stack:
            if exposition is not None:
                from ledger.monitoring.readiness import Readiness
                from ledger.monitoring.server import monitored as pages

                readiness = Readiness(leader.probes(), SYSTEM_CLOCK)
                await stack.enter_async_context(pages(settings.monitoring, readiness, exposition))
            yield
    finally:
        counting.cancel()
        await asyncio.wait([counting])
