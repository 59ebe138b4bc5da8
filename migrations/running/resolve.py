"""A person's word on what no probe could settle, written into the journal as its own entry."""

from __future__ import annotations

from migrations.model.attempt import Resolution
from migrations.model.work import Work
from migrations.target import journal
from migrations.target.entries import RESOLVE, NewEntry, State
from migrations.target.target import Target


async def resolve(target: Target) -> None:
    """Write the resolutions of the work that this command has not written yet."""
    known = {
        entry.migration
        for entry in target.entries
        if entry.command == target.work.command_id and entry.direction == RESOLVE
    }
    missing = [item for item in target.work.resolutions if item.version not in known]
    for resolution in missing:
        await target.record(_entry(target.work, resolution))
    if missing:
        record = await journal.read(target.connection, target.work.target)
        target.entries = record.entries if record else ()


def _entry(work: Work, resolution: Resolution) -> NewEntry:
    state = State.APPLIED if resolution.applied else State.NOT_APPLIED
    named = (item for item in work.migrations if item.version == resolution.version)
    migration = next(named, None)
    return NewEntry(
        migration=resolution.version,
        direction=RESOLVE,
        step=0,
        state=state,
        up_checksum=migration.up.checksum if migration else None,
        down_checksum=migration.down.checksum if migration and migration.down else None,
        reason=resolution.reason,
    )
