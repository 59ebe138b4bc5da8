"""Tells what happened from what was only told again: an answer from a journal is no second change.

An agent that finds in a journal what its order asks for says so, for it cannot know whether the one
before it could. Where the log has that already, of the same rollout, nothing happened twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ledger.contracts.envelope import Recorded
from ledger.contracts.reports import MigrationApplied, MigrationRolledBack, ReportRepeated
from ledger.store.log.decode import open_event
from ledger.store.port import Log

_Told = MigrationApplied | MigrationRolledBack


async def without_repeats(log: Log, found: Sequence[Recorded]) -> Sequence[Recorded]:
    """The same events, with `ReportRepeated` in the place of what the log was told before."""
    told: dict[str, set[str]] = {}
    for one in found:
        if one.metadata.recovered and isinstance(one.event, _Told):
            told.setdefault(one.stream, set()).add(one.event.database)
    if not told:
        return found
    repeated: set[int] = set()
    for stream, databases in told.items():
        asked = [(database, 0) for database in sorted(databases)]
        about = await log.about(stream.removesuffix("/reports"), asked)
        repeated |= _repeated([open_event(one) for one in about])
    return [_again(one) if one.position in repeated else one for one in found]


def _repeated(events: Sequence[Recorded]) -> set[int]:
    """The positions of the changes that were read from a journal and had been told."""
    last: dict[tuple[str, str], type[_Told]] = {}
    found = set()
    for one in events:
        event = one.event
        if not isinstance(event, _Told):
            continue
        place = (event.database, event.version)
        if one.metadata.recovered and last.get(place) is type(event):
            found.add(one.position)
        last[place] = type(event)
    return found


def _again(recorded: Recorded) -> Recorded:
    event = recorded.event
    if not isinstance(event, _Told):
        return recorded
    repeated = ReportRepeated(
        database=event.database,
        told=type(event).__name__,
        version=event.version,
        command=event.command,
    )
    return replace(recorded, event=repeated)
