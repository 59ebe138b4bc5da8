"""Migrations as the ledger registers them: in the words of events, without their texts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ledger.contracts.registry import ContentRef, MigrationRef

if TYPE_CHECKING:
    from migrations.model.migration import Migration


def migration_ref(migration: Migration) -> MigrationRef:
    """A migration in the wire's words, without its text."""
    from migrations.model.phases import Phase

    return MigrationRef(
        version=migration.version,
        name=migration.name,
        format=migration.format,
        up_checksum=migration.up.checksum,
        down_checksum=migration.down.checksum if migration.down else None,
        has_verify=migration.verify is not None,
        transactional=migration.up.transactional,
        files=tuple(
            ContentRef(
                name=file.name,
                sha256=hashlib.sha256(file.content).hexdigest(),
                size=len(file.content),
            )
            for file in migration.files
        ),
        kind=kind_of(migration),
        notes=migration.notes,
        variables=migration.variables,
        repeatable=migration.repeatable,
        replaces=migration.replaces,
        unit=migration.unit,
        phase=Phase(migration.phase).value if migration.phase else "",
        down_problem=migration.down.broken if migration.down else "",
    )


def kind_of(migration: Migration) -> str:
    """What an agent must be able to run, in the wire's words."""
    sections = (migration.up, migration.down, migration.verify)
    programs = {
        section.program.language.value for section in sections if section and section.program
    }
    return max(programs, default="data" if migration.up.batches else "sql")
