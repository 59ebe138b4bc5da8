"""The fleet in the leader's memory: every database with what the ledger believes of it.

Loaded from the read models at start-up and kept current by the events that pass, because an order
carries what is expected of its target (`Expected`) and the conductor may not wait for a query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import DatabaseRegistered
from ledger.domain.belief import Belief, learn
from ledger.domain.fleet import FLEET, DatabaseRecord, evolve_record
from ledger.store.views.rows import FleetRow, believed


class Roster(Mapping[str, DatabaseRecord]):
    """Databases by id, as they are now."""

    def __init__(self, records: Iterable[DatabaseRecord]) -> None:
        self._records = {record.database: record for record in records}
        self._beliefs: dict[str, Belief] = {}
        self._pools = Counter(record.pool for record in self._records.values())

    @property
    def pools(self) -> set[str]:
        """The pools that its databases are in; costs nothing by their number."""
        return set(self._pools)

    def __getitem__(self, database: str) -> DatabaseRecord:
        return self._records[database]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def load(self, rows: Iterable[FleetRow]) -> None:
        """Start from these."""
        rows = tuple(rows)
        self._beliefs = {row.registered.database: row.belief for row in rows}
        self._records = {row.registered.database: row.record for row in rows}
        self._pools = Counter(record.pool for record in self._records.values())

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take over what these events say of the fleet, and what they taught."""
        for one in recorded:
            event = one.event
            database: str | None = getattr(event, "database", None)
            if database is None:
                continue
            record = known = self._records.get(database)
            if one.stream == FLEET:
                record = evolve_record(record, event)
            if record is None or (known is not None and isinstance(event, DatabaseRegistered)):
                # Nothing is said of an unknown one, and nobody joins twice.
                continue
            belief = self._belief(record)
            learned = learn(belief, event)
            if learned is not belief:
                self._beliefs[database] = learned
                record = believed(record, learned)
            if record is not known:
                self._records[database] = record
                if known is None or known.pool != record.pool:
                    self._moved(known, record)

    def _moved(self, known: DatabaseRecord | None, record: DatabaseRecord) -> None:
        self._pools[record.pool] += 1
        if known is not None:
            self._pools[known.pool] -= 1
            if not self._pools[known.pool]:
                del self._pools[known.pool]

    def _belief(self, record: DatabaseRecord) -> Belief:
        """What is believed; at first, what the record itself says."""
        known = self._beliefs.get(record.database)
        if known is not None:
            return known
        expected = record.expected
        return Belief(
            expected.identity,
            expected.journal_head,
            unanswered=record.unanswered,
            forged=expected.forged,
        )
