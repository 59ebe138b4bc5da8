"""What the ledger knows of drift, for plans and for whoever looks at schemas."""

from __future__ import annotations

from ledger.domain.drift import TYPES, KnownDrift, evolve
from ledger.domain.fleet import FLEET
from ledger.store.log.decode import open_event
from ledger.store.port import Log


async def known_drift(log: Log) -> KnownDrift:
    """What the log says of drift."""
    events = [open_event(raw) async for raw in log.read_stream(FLEET, types=TYPES)]
    return evolve(KnownDrift(), events)
