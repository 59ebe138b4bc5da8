"""The fleet in the leader's memory: every database with what the ledger believes of it.

Loaded from the read models at start-up and kept current by the events that pass, because an order
carries what is expected of its target (`Expected`) and the conductor may not wait for a query. Of
all that is asked about one database at a time, so each is kept folded up in a few hundred bytes.
"""

from __future__ import annotations

import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import DatabaseRegistered
from ledger.contracts.reports import Event
from ledger.domain.belief import TAUGHT, Belief, learn
from ledger.domain.fleet import FLEET, DatabaseRecord, evolve_record
from ledger.store.views.columns import belief_in, registered_in, taught, to_entry
from ledger.store.views.rows import FleetEntry, believed

_UUIDS = tuple(map(FleetEntry._fields.index, ("identity_uuid", "command")))


class Roster(Mapping[str, DatabaseRecord]):
    """Databases by id, as they are now."""

    def __init__(self) -> None:
        self._folded: dict[str, bytes] = {}
        self._pools: Counter[str] = Counter()

    @property
    def pools(self) -> set[str]:
        """The pools that its databases are in; costs nothing by their number."""
        return set(self._pools)

    def __getitem__(self, database: str) -> DatabaseRecord:
        entry = _unfolded(self._folded[database])
        return believed(registered_in(entry), belief_in(entry))

    def __iter__(self) -> Iterator[str]:
        return iter(self._folded)

    def __len__(self) -> int:
        return len(self._folded)

    def load(self, entries: Iterable[FleetEntry]) -> None:
        """Take in these as well."""
        for entry in entries:
            self._folded[entry.database] = _folded(entry)
            self._pools[entry.pool] += 1

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take over what these events say of the fleet, and what they taught."""
        for one in recorded:
            if one.stream == FLEET:
                self._change(one.event)
            elif type(one.event) in TAUGHT:
                self._learn(one.event)

    def learns_from(self, event: Event) -> bool:
        """Whether another belief of its database would follow from this; the roster stays."""
        known = self._folded.get(event.database)  # type: ignore[attr-defined]
        if known is None:
            return False
        belief = belief_in(_unfolded(known))
        return learn(belief, event) != belief

    def _change(self, event: Event) -> None:
        """What a person says of a database; nothing of an unknown one, and nobody joins twice."""
        database: str | None = getattr(event, "database", None)
        if database is None:
            return
        known = self._folded.get(database)
        if known is None:
            record, belief = evolve_record(None, event), Belief()
        elif isinstance(event, DatabaseRegistered):
            return
        else:
            entry = _unfolded(known)
            record, belief = evolve_record(registered_in(entry), event), belief_in(entry)
            self._leave(entry.pool)
        if record is not None:
            self._pools[record.pool] += 1
            self._folded[database] = _folded(to_entry(record, learn(belief, event)))

    def _learn(self, event: Event) -> None:
        """What an order, or an answer, tells of a database."""
        database: str = event.database  # type: ignore[attr-defined]
        known = self._folded.get(database)
        if known is None:
            return
        entry = _unfolded(known)
        belief = belief_in(entry)
        learned = learn(belief, event)
        if learned is not belief:
            self._folded[database] = _folded(taught(entry, learned))

    def _leave(self, pool: str) -> None:
        self._pools[pool] -= 1
        if not self._pools[pool]:
            del self._pools[pool]


def _folded(entry: FleetEntry) -> bytes:
    values: list[Any] = [*entry]
    for at in _UUIDS:
        values[at] = None if values[at] is None else values[at].bytes
    return marshal.dumps(tuple(values))


def _unfolded(folded: bytes) -> FleetEntry:
    values: list[Any] = [*marshal.loads(folded)]  # noqa: S302  what this process has folded itself
    for at in _UUIDS:
        values[at] = None if values[at] is None else UUID(bytes=values[at])
    return FleetEntry(*values)
