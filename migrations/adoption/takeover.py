"""Writing another tool's history, or a baseline, into our journal, and taking it back.

All entries of an adoption are one transaction under the target's guards, so a database is adopted
or is not. What the journal holds for applied already is left alone. Adopting again takes over what
came since, and lets go of what the other tool has undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from migrations.adoption.history_tables import histories, history_for
from migrations.adoption.marker import AdoptionMarker, marker_entry, marker_in, marker_of
from migrations.adoption.match import Match, match, up_to
from migrations.adoption.outcome import adopted_in, told
from migrations.errors import AdoptionRefused
from migrations.model.attempt import Adoption
from migrations.model.foreign_history import ForeignHistory
from migrations.model.migration import Migration
from migrations.model.work import BASELINE, Adopted
from migrations.running.plan import applied_versions
from migrations.target import journal
from migrations.target.entries import ADOPT, Entry, NewEntry, State, entry_for
from migrations.target.look import looking
from migrations.target.target import Target

_TAKEN_BACK = "the adoption was taken back"


async def adopt(target: Target) -> Adopted:
    """Take over what the work's adoption rests on. Raises AdoptionRefused, and as `commit`."""
    work = target.work
    known = told(target.entries, work.command_id, work.rollout)
    if known is not None:
        return replace(known, recovered=True)
    adoption = work.adoption or Adoption()
    try:
        history = await _history(target, adoption)
        found = _matched(history, work.migrations, adoption)
        if found.problem:
            raise AdoptionRefused(found.problem)
        if history is None:
            _refuse_beyond(found, target.entries)
    except AdoptionRefused:
        await target.keep_epoch()
        raise
    labels = [row.label for row in history.rows] if history else []
    marker = marker_of(history) if history else AdoptionMarker(BASELINE)
    entries = _changes(target, history, found, adoption)
    return await _written(target, [*entries, marker_entry(marker, labels)], found.notes)


async def release(target: Target) -> Adopted | None:
    """Take back what was adopted here by the rollout that is undone; `None` where nothing was.

    The entries stay; later ones say that the migrations are not applied. Raises as `commit`.
    """
    work = target.work
    known = told(target.entries, work.command_id, work.rollout)
    if known is not None:
        return replace(known, recovered=True)
    entries = [
        _entry(target, version, State.NOT_APPLIED, _TAKEN_BACK)
        for version, entry in adopted_in(target.entries).items()
        if entry.rollout in work.taken_back
    ]
    if not entries:
        return None
    return await _written(target, [*entries, marker_entry(AdoptionMarker())])


async def _history(target: Target, adoption: Adoption) -> ForeignHistory | None:
    """The other tool's history; `None` for a baseline, which no such history may contradict.

    Raises AdoptionRefused.
    """
    connection = target.connection
    async with looking(connection, as_the_script=True):
        if adoption.source != BASELINE:
            return await history_for(connection, adoption)
        found = await histories(connection)
    for history in found:
        if history.rows:
            raise AdoptionRefused(
                f"{history.table} holds a history of {history.tool} here; take it over with "
                "`ledger adopt`, or drop the table if it means nothing any more"
            )
    return None


def _matched(
    history: ForeignHistory | None, migrations: Sequence[Migration], adoption: Adoption
) -> Match:
    """What the history, or the baseline, means for these migrations."""
    if history is None:
        return up_to(migrations, adoption.through)
    return match(
        history, migrations, through=adoption.through, accept_missing=adoption.accept_missing
    )


def _refuse_beyond(found: Match, entries: Sequence[Entry]) -> None:
    """Raise AdoptionRefused when the journal has applied more than the baseline says."""
    applied = applied_versions(entries)
    beyond = [one.label for one in found.pending if one.version in applied and not one.repeatable]
    if beyond:
        raise AdoptionRefused(
            f"{beyond[-1]} is applied here, beyond the baseline; name a later version with "
            "--through, or leave this database out"
        )


def _changes(
    target: Target, history: ForeignHistory | None, found: Match, adoption: Adoption
) -> list[NewEntry]:
    """What the journal does not say yet, and what it must not say any more."""
    place = f"adopted from {history.table}" if history else "baseline"
    wanted = {one.version: place for one in found.taken}
    if adoption.accept_missing and not adoption.through:
        wanted |= {row.label: f"{place}; no file belongs to it" for row in found.unmatched}
    applied = applied_versions(target.entries)
    entries = [
        _entry(target, version, State.APPLIED, note)
        for version, note in wanted.items()
        if version not in applied
    ]
    if history is None or adoption.through or marker_in(target.entries).table != history.table:
        return entries
    undone = [version for version in adopted_in(target.entries) if version not in wanted]
    note = f"undone in {history.table}"
    return entries + [_entry(target, version, State.NOT_APPLIED, note) for version in undone]


async def _written(
    target: Target, entries: Sequence[NewEntry], notes: Iterable[str] = ()
) -> Adopted:
    """Write the entries, and tell from the journal what came of it."""
    await target.record_all(entries)
    record = await journal.read(target.connection, target.work.target)
    target.entries = record.entries if record else ()
    adopted = told(target.entries, target.work.command_id, target.work.rollout)
    if adopted is None:
        raise AssertionError("what was committed is not in the journal")
    return replace(adopted, notes=tuple(notes))


def _entry(target: Target, version: str, state: State, note: str) -> NewEntry:
    named = (one for one in target.work.migrations if one.version == version)
    migration = next(named, None)
    if migration is None:
        return NewEntry(version, ADOPT, 0, state, None, None, note=note)
    return replace(entry_for(migration, ADOPT, 0, state), note=note)
