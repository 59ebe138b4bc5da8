"""The fleet in the leader's memory: every database with what the ledger believes of it.

Loaded from the read models at start-up and kept current by the events that pass, because an order
carries what is expected of its target (`Expected`) and the conductor may not wait for a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    DatabaseReinstated,
    DatabaseRepointed,
    MigrationOrdered,
    RollbackOrdered,
)
from ledger.contracts.reports import AttemptFinished, DatabaseIdentified, DatabaseInspected
from ledger.domain.fleet import FLEET, DatabaseRecord, FleetState, fold
from ledger.store.views.rows import LatestOrder
from migrations.model.attempt import FailureClass, Verdict

MOVES_THE_HEAD = frozenset(Verdict) - {Verdict.REFUSED}
"""Verdicts of attempts that believed the journal they read; a refused one did not."""


def leaves_in_doubt(report: AttemptFinished) -> bool:
    """Whether the journal may have moved without this last word knowing how far.

    Mirrored by the query `latest_orders`.
    """
    unread = report.failure is not None and report.failure.kind is FailureClass.UNREACHABLE
    return report.journal_head is None and (report.verdict is Verdict.FAILED or unread)


class Roster(Mapping[str, DatabaseRecord]):
    """Databases by id, as they are now."""

    def __init__(self, records: Iterable[DatabaseRecord]) -> None:
        self._records = {record.database: record for record in records}
        self._latest: dict[str, UUID | None] = {}
        self._doubted: dict[str, bool] = {}

    def __getitem__(self, database: str) -> DatabaseRecord:
        return self._records[database]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def load(self, records: Iterable[DatabaseRecord], orders: Iterable[LatestOrder] = ()) -> None:
        """Start from these, and from what was last ordered of them."""
        self._records = {record.database: record for record in records}
        for order in orders:
            self._latest[order.database] = order.command
            self._doubted[order.database] = order.unanswered
            self._mark(order.database, order.unanswered)

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take over what these events say of the fleet, and what they taught."""
        # In the order of the log: what was seen before a database moved is forgotten with the move.
        for of_fleet, run in groupby(recorded, lambda one: one.stream == FLEET):
            events = tuple(run)
            if of_fleet:
                self._records = dict(fold(FleetState(self._records), events).databases)
            for one in events:
                self._learn(one)

    def _learn(self, recorded: Recorded) -> None:
        """What is known is never overwritten by what merely was seen: a difference must show.

        The journal's head is an exception: it moves with every attempt that was let in. Answers to
        what was ordered before a database was repointed or reinstated speak of another journal.
        """
        match recorded.event:
            case MigrationOrdered() | RollbackOrdered() as order:
                # The answers of the orders before it, if they are missing, count no more.
                record = self._records.get(order.database)
                self._doubted[order.database] = record is not None and record.unanswered
                self._latest[order.database] = order.command
                self._mark(order.database, True)
            case DatabaseRepointed() | DatabaseReinstated() as moved:
                self._latest[moved.database] = None
                self._doubted[moved.database] = False
            case DatabaseIdentified() as report:
                self._fill(report.database, "identity", report.identity)
            case AttemptFinished() as report:
                if self._latest.get(report.database, report.command) == report.command:
                    self._hear(report)
            case DatabaseInspected(reachable=True) as report:
                self._fill(report.database, "identity", report.identity)
                self._fill(report.database, "journal_head", report.journal_head)
            case _:
                pass

    def _hear(self, report: AttemptFinished) -> None:
        """The last word on the latest order: only one that tells the head ends older doubts.

        One that worked, or may have, and does not tell the head raises a new one.
        """
        if report.journal_head is not None and report.verdict in MOVES_THE_HEAD:
            self._doubted[report.database] = False
            self._expect(report.database, {"journal_head": report.journal_head})
        elif leaves_in_doubt(report):
            self._doubted[report.database] = True
        self._mark(report.database, self._doubted.get(report.database, False))

    def _mark(self, database: str, unanswered: bool) -> None:
        record = self._records.get(database)
        if record is not None and record.unanswered is not unanswered:
            self._records[database] = replace(record, unanswered=unanswered)

    def _fill(self, database: str, name: str, value: object) -> None:
        record = self._records.get(database)
        if record is not None and getattr(record.expected, name) is None:
            self._expect(database, {name: value})

    def _expect(self, database: str, learned: Mapping[str, Any]) -> None:
        record = self._records.get(database)
        if record is not None:
            expected = replace(record.expected, **learned)
            self._records[database] = replace(record, expected=expected)
