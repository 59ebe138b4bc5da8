"""Rehearsals on record: which bundle was tried, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.contracts.events import RehearsalRecorded
from ledger.domain.rehearsals import TYPES, KnownRehearsal, rehearsals_of
from ledger.service.migration_refs import migration_ref
from ledger.store.bundles import STREAM
from ledger.store.log.decode import open_event
from ledger.store.port import Log

if TYPE_CHECKING:
    from ledger.contracts.registry import Variable
    from ledger.service.bundles import BundleService
    from ledger.service.request_context import RequestContext, RequestEncoder
    from migrations.model.migration import Migration
    from migrations.rehearsal.results import Rehearsal


DURATION_MOST_MS = 10**9
"""The log takes no larger number; eleven days."""


@dataclass(frozen=True, slots=True)
class RehearsedFolder:
    """A folder as it was rehearsed: where it is, how it was read, and what was in it."""

    path: Path
    format: str | None
    variables: Sequence[Variable]
    migrations: Sequence[Migration]
    schema_from: str


async def record_rehearsal(
    log: Log,
    bundles: BundleService,
    encoder: RequestEncoder,
    folder: RehearsedFolder,
    result: Rehearsal,
    asked: RequestContext,
) -> str | None:
    """Record how the folder's rehearsal went; the bundle's digest.

    `None`, and nothing is recorded, where the folder is by now not what was rehearsed. Raises what
    `BundleService.read` raises.
    """
    read = await bundles.read(folder.path, folder.format, folder.variables, psql=True)
    bundle = read.registration
    tried = [migration_ref(one) for one in folder.migrations]
    if [(one.version, one.files) for one in tried] != [
        (one.version, one.files) for one in bundle.migrations
    ]:
        return None
    event = RehearsalRecorded(
        bundle=bundle.bundle,
        succeeded=result.succeeded,
        versions=tuple(one.version for one in result.migrations if one.version),
        failed=tuple(one.version for one in result.failed if one.version),
        server_version=result.server_version,
        duration_ms=min(result.duration_ms, DURATION_MOST_MS),
        schema_from=folder.schema_from,
    )
    await log.append(STREAM, encoder.encode([event], asked))
    return bundle.bundle


async def known_rehearsals(log: Log, bundle: str) -> tuple[KnownRehearsal, ...]:
    """All rehearsals of a bundle that the log has, oldest first."""
    events = [open_event(raw) async for raw in log.read_stream(STREAM, types=TYPES)]
    return rehearsals_of(bundle, events)
