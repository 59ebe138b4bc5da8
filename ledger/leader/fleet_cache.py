"""The fleet in the leader's memory: every database with what the ledger believes of it.

Loaded from the read models at start-up and kept current by the events that pass, because an order
carries what is expected of its target (`Expected`) and the conductor may not wait for a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ledger.contracts.envelope import Recorded
from ledger.domain.belief import learn
from ledger.domain.fleet import DatabaseRecord


class Roster(Mapping[str, DatabaseRecord]):
    """Databases by id, as they are now."""

    def __init__(self, records: Iterable[DatabaseRecord]) -> None:
        self._records = {record.database: record for record in records}

    def __getitem__(self, database: str) -> DatabaseRecord:
        return self._records[database]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def load(self, records: Iterable[DatabaseRecord]) -> None:
        """Start from these."""
        self._records = {record.database: record for record in records}

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take over what these events say of the fleet, and what they taught."""
        for one in recorded:
            database: str | None = getattr(one.event, "database", None)
            if database is None:
                continue
            record = learn(self._records.get(database), one)
            if record is not None:
                self._records[database] = record
