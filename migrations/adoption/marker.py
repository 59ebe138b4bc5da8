"""What the journal remembers of an adoption: whose table it was, and how it looked; pure.

It is the note of an entry about the target. The last one counts; one without a table ends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from migrations.model.foreign_history import ForeignHistory
from migrations.target.entries import ADOPT, Entry, NewEntry, State, entry_about_target


@dataclass(frozen=True, slots=True)
class AdoptionMarker:
    """How the table looked. Empty for a baseline, and after an adoption was taken back."""

    source: str = ""
    table: str = ""
    rows: int = 0
    digest: str = ""


def marker_of(history: ForeignHistory) -> AdoptionMarker:
    """How the table looks now."""
    return AdoptionMarker(history.tool.value, history.table, history.count, history.digest)


def marker_in(entries: Iterable[Entry]) -> AdoptionMarker:
    """What was adopted last, if that still stands."""
    notes = [entry.note for entry in entries if entry.state is State.ADOPTED]
    return AdoptionMarker(**json.loads(notes[-1])) if notes else AdoptionMarker()


def marker_entry(marker: AdoptionMarker, labels: Iterable[str] = ()) -> NewEntry:
    """The entry that remembers it; `labels` are the rows, read only when they differ later."""
    entry = entry_about_target(State.ADOPTED)
    return replace(
        entry,
        direction=ADOPT,
        note=json.dumps(asdict(marker)),
        statement=json.dumps(sorted(labels)),
    )
