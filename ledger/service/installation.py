"""Makes a ledger in a database, and brings it to this program's version."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.contracts.actor import Actor
from ledger.contracts.envelope import Metadata
from ledger.store import install as schema
from migrations.chance import Chance
from migrations.clock import Clock


@dataclass(frozen=True, slots=True)
class Installation:
    """A ledger that is there: its id, its schema's version, and whether it is new."""

    ledger_id: UUID
    schema_version: int
    created: bool


async def install(
    url: str, clock: Clock, chance: Chance, actor: Actor | None = None
) -> Installation:
    """Make a ledger in this database; again is harmless and returns the one that is there.

    Raises `DatabaseUnsuitable`, `LedgerUnreachable`, `LedgerIsStandby` or `SchemaVersionMismatch`.
    """
    metadata = Metadata(actor=actor, occurred_at=clock.now())
    return _told(await schema.install(url, chance.ordered_uuid(), metadata))


async def upgrade(url: str) -> Installation:
    """Bring the ledger's schema to this program's version; again is harmless.

    Raises `NotInstalled`, `SchemaVersionMismatch`, `LedgerUnreachable` or `LedgerIsStandby`.
    """
    return _told(await schema.upgrade(url))


def _told(one: schema.Installed) -> Installation:
    return Installation(one.ledger_id, one.schema_version, one.created)
