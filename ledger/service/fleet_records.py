"""Records changes of the fleet as they were shown, in parts, all or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from ledger.contracts.events import CheckRequested, Purpose
from ledger.contracts.reports import Event
from ledger.domain.fleet import FLEET
from ledger.domain.fleet_changes import FleetChanges, refuse_moved
from ledger.errors import VersionConflict
from ledger.service.registrations import PART
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.port import Batch, Log

TRIES = 5
"""How often changes are drawn again because somebody else changed something else meanwhile."""


async def record_changes(
    log: Log,
    encoder: RequestEncoder,
    shown: FleetChanges,
    redraw: Callable[[], Awaitable[FleetChanges]],
    asked: RequestContext,
) -> None:
    """Record what was shown, and have the journals of databases that moved read again.

    Nothing is recorded when nothing changes. Raises `FleetMoved` when `redraw` says something else
    by now.
    """
    if not shown.changes:
        return
    events: list[Event] = shown.events
    ids = [encoder.chance.ordered_uuid() for _ in events]
    looks = _looks(encoder.new_id(), shown.moved)
    now, at = shown, encoder.clock.now()
    for attempt in range(TRIES):
        try:
            parts = partial(_parts, encoder, asked, events, ids, now.version, looks, at)
            await log.append_parts(parts)
            break
        except VersionConflict:
            if attempt == TRIES - 1:
                raise
        now = await redraw()
        refuse_moved(shown, now)
    if looks:
        await log.announce()


def _looks(check: str, moved: Sequence[str]) -> list[CheckRequested]:
    if not moved:
        return []
    databases = tuple(moved)
    return [CheckRequested(check=check, purpose=Purpose.REINSTATE, databases=databases)]


def _parts(
    encoder: RequestEncoder,
    asked: RequestContext,
    events: Sequence[Event],
    ids: Sequence[UUID],
    version: int,
    looks: Sequence[CheckRequested],
    at: datetime,
) -> Iterator[Batch]:
    """The changes part by part, each made when it is asked for, and then the looks.

    All of it is one request, made `at` one moment.
    """
    for start in range(0, len(events), PART):
        some = events[start : start + PART]
        encoded = encoder.encode(some, asked, ids=ids[start : start + PART], at=at)
        yield Batch(FLEET, encoded, version + start)
    for look in looks:
        yield Batch(f"check-{look.check}", encoder.encode([look], asked, at=at), 0)
