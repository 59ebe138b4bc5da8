"""Writing another tool's history, or a baseline, into our journal, and taking it back.

All entries of an adoption are one transaction under the target's guards, so a database is adopted
or is not. Applied by the journal's own word is left alone. Adopting again takes over what came
since, and lets go of what the other tool has undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from migrations import journal
from migrations.adoption.history import History
from migrations.adoption.marker import Marker, marker_entry, marker_in, marker_of
from migrations.adoption.matching import Match, match, up_to
from migrations.adoption.reading import histories, history_for
from migrations.entries import ADOPT, GONE, REPAIR, Entry, NewEntry, State, entry_for
from migrations.errors import AdoptionRefused
from migrations.migration import Migration
from migrations.plan import applied_versions
from migrations.target import Target
from migrations.work import BASELINE, Adopted, Adoption


async def adopt(target: Target) -> Adopted:
    """Take over what the work's adoption rests on. Raises AdoptionRefused, and as `commit`."""
    known = _recovered(target)
    if known is not None:
        return known
    adoption = target.work.adoption or Adoption()
    try:
        history = await history_to_adopt(target, adoption)
        found = matched(history, target.work.migrations, adoption)
        if found.problem:
            raise AdoptionRefused(found.problem)
        if history is None:
            refuse_beyond(found, target.work.migrations, target.entries)
    except AdoptionRefused:
        await target.keep_epoch()
        raise
    adopted = _difference(target, history, found, adoption)
    await _write(target, adopted, history)
    return adopted


async def release(target: Target) -> Adopted | None:
    """Take back what this rollout adopted here; `None` where it adopted nothing.

    The entries stay; later ones say that the migrations are not applied. Raises as `commit`.
    """
    known = _recovered(target)
    if known is not None:
        return known
    work = target.work
    versions = [
        version for version, entry in _adopted(target.entries).items()
        if work.rollout and entry.rollout == work.rollout
    ]  # fmt: skip
    if not versions:
        return None
    marker = marker_in(target.entries)
    entries = [_entry(target, version, State.NOT_APPLIED, _TAKEN_BACK) for version in versions]
    await target.record_all([*entries, marker_entry(Marker())])
    await _read_again(target)
    return Adopted(
        marker.source, marker.table, marker.rows, marker.digest, released=tuple(versions)
    )


async def history_to_adopt(target: Target, adoption: Adoption) -> History | None:
    """The other tool's history; `None` for a baseline, which no such history may contradict.

    Raises AdoptionRefused.
    """
    if adoption.source != BASELINE:
        return await history_for(target.connection, adoption)
    for history in await histories(target.connection):
        if history.rows:
            raise AdoptionRefused(
                f"{history.table} holds a history of {history.tool} here; take it over with "
                "`ledger adopt`, or drop the table if it means nothing any more"
            )
    return None


def matched(history: History | None, migrations: Sequence[Migration], adoption: Adoption) -> Match:
    """What the history, or the baseline, means for these migrations."""
    if history is None:
        return up_to(migrations, adoption.through)
    return match(
        history, migrations, through=adoption.through, accept_missing=adoption.accept_missing
    )


def refuse_beyond(found: Match, migrations: Sequence[Migration], entries: Sequence[Entry]) -> None:
    """Raise AdoptionRefused when the journal has applied more than the baseline says."""
    applied = applied_versions(entries)
    beyond = [one.label for one in found.pending if one.version in applied]
    if beyond and migrations:
        raise AdoptionRefused(
            f"{beyond[-1]} is applied here, beyond the baseline; name a later version with "
            "--through, or leave this database out"
        )


_TAKEN_BACK = "the adoption was taken back"


def _difference(
    target: Target, history: History | None, found: Match, adoption: Adoption
) -> Adopted:
    """What the journal does not say yet, and what it must not say any more."""
    applied = applied_versions(target.entries)
    ours = {
        version for version, entry in _adopted(target.entries).items()
        if target.work.rollout and entry.rollout == target.work.rollout
    }  # fmt: skip
    wanted = {one.version: one.up.checksum for one in found.taken}
    if adoption.accept_missing and not adoption.through:
        wanted |= {row.label: "" for row in found.unmatched}
    marker = marker_of(history) if history else Marker(BASELINE)
    same_table = history is not None and marker_in(target.entries).table == history.table
    gone = [version for version in _adopted(target.entries) if version not in wanted]
    return Adopted(
        marker.source,
        marker.table,
        marker.rows,
        marker.digest,
        taken=tuple(one for one in wanted.items() if one[0] not in applied or one[0] in ours),
        released=tuple(gone) if same_table and not adoption.through else (),
        notes=found.notes,
    )


async def _write(target: Target, adopted: Adopted, history: History | None) -> None:
    applied = applied_versions(target.entries)
    place = f"adopted from {history.table}" if history else "baseline"
    entries = [
        _entry(target, version, State.APPLIED, place if checksum else f"{place}; it has no file")
        for version, checksum in adopted.taken
        if version not in applied
    ]
    entries += [
        _entry(target, version, State.NOT_APPLIED, f"undone in {adopted.table}")
        for version in adopted.released
    ]
    labels = [row.label for row in history.rows] if history else []
    marker = Marker(adopted.source, adopted.table, adopted.rows, adopted.digest)
    await target.record_all([*entries, marker_entry(marker, labels)])
    await _read_again(target)


def _entry(target: Target, version: str, state: State, note: str) -> NewEntry:
    named = (one for one in target.work.migrations if one.version == version)
    migration = next(named, None)
    if migration is None:
        return NewEntry(version, ADOPT, 0, state, None, None, note=note)
    return replace(entry_for(migration, ADOPT, 0, state), note=note)


def _adopted(entries: Sequence[Entry]) -> dict[str, Entry]:
    """What holds by an adoption, each with the adoption's entry; repairs since do not matter."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.direction == ADOPT and entry.state is State.APPLIED:
            found[entry.migration] = entry
        elif entry.settles and entry.direction not in (REPAIR, GONE):
            found.pop(entry.migration, None)
    return found


def _recovered(target: Target) -> Adopted | None:
    """What this very command has written, when it is delivered again."""
    own = [
        entry for entry in target.entries
        if entry.command == target.work.command_id and entry.direction == ADOPT
    ]  # fmt: skip
    if not any(entry.state is State.ADOPTED for entry in own):
        return None
    marker = marker_in(own)
    taken = [entry for entry in own if entry.state is State.APPLIED]
    return Adopted(
        marker.source,
        marker.table,
        marker.rows,
        marker.digest,
        taken=tuple((entry.migration, entry.up_checksum or "") for entry in taken),
        released=tuple(entry.migration for entry in own if entry.state is State.NOT_APPLIED),
        recovered=True,
    )


async def _read_again(target: Target) -> None:
    record = await journal.read(target.connection, target.work.target)
    target.entries = record.entries if record else ()
