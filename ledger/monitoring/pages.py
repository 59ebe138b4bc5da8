"""The pages and measurements of a program, put together: one way for all that only have probes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import metadata

from ledger import telemetry
from ledger.monitoring.readiness import Probe
from ledger.settings import MonitoringSection
from migrations.clock import SYSTEM_CLOCK


@asynccontextmanager
async def watched(
    section: MonitoringSection,
    service: str,
    observe: Callable[[], None],
    probes: Mapping[str, Probe],
) -> AsyncIterator[None]:
    """Say how a program is to whoever takes measurements, and at its port, until the block ends.

    `observe` has everything read that it measures; it is called where anybody does. Raises
    `SettingsError` for a port that is taken.
    """
    if section.port is None:
        if telemetry.measured():
            observe()
        yield
        return
    from ledger.monitoring.exposition import expose
    from ledger.monitoring.readiness import Readiness
    from ledger.monitoring.server import monitored

    exposition = expose(service, metadata.version("migration-ledger"))
    observe()
    async with monitored(section, Readiness(probes, SYSTEM_CLOCK), exposition):
        yield
