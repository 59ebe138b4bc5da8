"""What the ledger knows of databases, as the rule for what is pending wants to know it."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.contracts.registry import MigrationRef
from ledger.domain.pending import KnownVersions
from ledger.store.views.port import Views
from migrations.model.attempt import Mode
from migrations.model.baselines import names_without_file


async def known_versions(
    reads: Views, migrations: Sequence[MigrationRef], selected: Sequence[str], mode: Mode
) -> KnownVersions:
    """What the ledger knows of these databases; texts and journals matter going up."""
    versions = await reads.database_versions(
        [*names_without_file(migrations), *(ref.version for ref in migrations)], selected
    )
    half_done = await reads.half_done(selected)
    if mode is not Mode.UP:
        return KnownVersions(versions, half_done=half_done)
    repeatable = [ref.version for ref in migrations if ref.repeatable]
    rows = await reads.applied(selected, repeatable) if repeatable else []
    return KnownVersions(
        versions,
        checksums={(row.database, row.version): row.checksum for row in rows},
        unread=await reads.unmet(selected),
        half_done=half_done,
    )
