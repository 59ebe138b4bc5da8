"""What a command's adoption came to, read from the journal's entries; pure.

The same command delivered again, or asked about after it was cancelled, says the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from migrations.adoption.marker import AdoptionMarker
from migrations.model.attempt import AdoptedMigration
from migrations.model.work import Adopted
from migrations.target.entries import ADOPT, GONE, REPAIR, Entry, State


def told(entries: Sequence[Entry], command: UUID, rollout: str) -> Adopted | None:
    """What `command` has adopted or let go of; `None` when it has done neither.

    An earlier attempt of the same rollout counts too: what holds through the rollout is told.
    """
    own = [entry for entry in entries if entry.command == command and entry.direction == ADOPT]
    end = next((entry for entry in own if entry.state is State.ADOPTED), None)
    if end is None:
        return None
    holding = adopted_in(entry for entry in entries if entry.seq <= end.seq)
    marker = AdoptionMarker(**json.loads(end.note))
    return Adopted(
        marker.source,
        marker.table,
        marker.rows,
        marker.digest,
        taken=tuple(
            AdoptedMigration(entry.migration, entry.up_checksum or "")
            for entry in holding.values()
            if entry.command == command or (rollout and entry.rollout == rollout)
        ),
        released=tuple(entry.migration for entry in own if entry.state is State.NOT_APPLIED),
    )


def adopted_in(entries: Iterable[Entry]) -> dict[str, Entry]:
    """What holds by an adoption, each with the adoption's entry; repairs since do not matter."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.direction == ADOPT and entry.state is State.APPLIED:
            found[entry.migration] = entry
        elif entry.settles and entry.direction not in (REPAIR, GONE):
            found.pop(entry.migration, None)
    return found
