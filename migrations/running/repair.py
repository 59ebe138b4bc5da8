"""A person's leave to take a changed text for the one that was applied, written into the journal.

The entry says that the migration is applied with the new text, or without a file; that it was
applied at all, and by which rollout, stays what the entries before it say.
"""

from __future__ import annotations

from dataclasses import replace

from migrations.model.migration import Migration
from migrations.model.work import Repair
from migrations.running.plan import applied_versions
from migrations.target import journal
from migrations.target.entries import GONE, REPAIR, Entry, NewEntry, State, entry_for
from migrations.target.target import Target


async def repair(target: Target) -> None:
    """Write the repairs of the work where the journal has a text that they accept."""
    if not target.work.repairs:
        return
    applied = applied_versions(target.entries)
    by_version = {one.version: one for one in target.work.migrations}
    entries = [
        entry
        for word in target.work.repairs
        if (known := applied.get(word.version)) is not None
        and (entry := _entry(word, known, by_version.get(word.version))) is not None
    ]
    if entries:
        await target.record_all(entries)
        record = await journal.read(target.connection, target.work.target)
        target.entries = record.entries if record else ()


def _entry(word: Repair, known: Entry, migration: Migration | None) -> NewEntry | None:
    """The entry to write; `None` when the journal has it already, or holds another text."""
    if word.gone:
        if known.direction == GONE:
            return None
        return NewEntry(
            known.migration,
            GONE,
            0,
            State.APPLIED,
            known.up_checksum,
            known.down_checksum,
            note="its file is gone",
            reason=word.reason,
        )
    old = known.up_checksum
    if migration is None or old is None or old == migration.up.checksum or old not in word.accepted:
        return None
    new = entry_for(migration, REPAIR, 0, State.APPLIED)
    return replace(new, note=f"accepted in place of {old[:12]}", reason=word.reason)
