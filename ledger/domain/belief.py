"""What the ledger believes of a database: what the fleet says, and what orders and reports teach.

```
registered ─▶ nothing is known ─ a first contact, a look ─▶ identity, journal's head
    ▲                                                          │ the answer to the latest order
    └────────── repointed, reinstated: all is forgotten ◀──────┘ moves the head
```

What is known is never overwritten by what merely was seen: a difference must show. The journal's
head is an exception: it moves with every attempt that was let in. Answers to what was ordered
before a database was repointed or reinstated speak of another journal.

The leader keeps these beliefs in memory, because an order carries them and may not wait for a
query; the views keep them in rows. Both fold with this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import MigrationOrdered, RollbackOrdered
from ledger.contracts.registry import Expected
from ledger.contracts.reports import (
    AttemptFinished,
    DatabaseIdentified,
    DatabaseInspected,
    Event,
    Verdict,
)
from ledger.domain.fleet import FLEET, DatabaseRecord, evolve_record

REFUSED = Verdict.REFUSED
"""Looked up once. Every other verdict is of an attempt that believed the journal that it read."""


def learn(record: DatabaseRecord | None, recorded: Recorded) -> DatabaseRecord | None:
    """What is believed of a database after an event that names it; `None`: it is not registered."""
    if recorded.stream == FLEET:
        return evolve_record(record, recorded.event)
    rule = TAUGHT.get(type(recorded.event))
    return record if rule is None or record is None else rule(record, recorded.event)


def tells_the_head(report: AttemptFinished) -> bool:
    """Whether an attempt's last word says where the journal is."""
    return report.journal_head is not None and report.verdict is not REFUSED


def _ordered(record: DatabaseRecord, order: MigrationOrdered | RollbackOrdered) -> DatabaseRecord:
    """The answers of the orders before it, if they are missing, count no more."""
    return _believed(record, record.expected, order.command, True, record.unanswered)


def _finished(record: DatabaseRecord, report: AttemptFinished) -> DatabaseRecord:
    """The last word on the latest order: only one that tells the head ends older doubts."""
    if record.command != report.command:
        return record
    if not tells_the_head(report):
        return replace(record, unanswered=record.doubted)
    expected = Expected(identity=record.expected.identity, journal_head=report.journal_head)
    return _believed(record, expected, record.command, False, False)


def _identified(record: DatabaseRecord, report: DatabaseIdentified) -> DatabaseRecord:
    return _fill(record, "identity", report.identity)


def _inspected(record: DatabaseRecord, report: DatabaseInspected) -> DatabaseRecord:
    if not report.reachable:
        return record
    return _fill(_fill(record, "identity", report.identity), "journal_head", report.journal_head)


def _fill(record: DatabaseRecord, name: str, value: object) -> DatabaseRecord:
    if value is None or getattr(record.expected, name) is not None:
        return record
    return replace(record, expected=record.expected.model_copy(update={name: value}))


def _believed(
    record: DatabaseRecord,
    expected: Expected,
    command: UUID | None,
    unanswered: bool,
    doubted: bool,
) -> DatabaseRecord:
    """The same database, believed to be so; `replace` takes twice as long, and logs are folded."""
    return DatabaseRecord(
        record.database,
        record.pool,
        record.connection,
        record.labels,
        record.status,
        expected,
        unanswered,
        command,
        doubted,
    )


TAUGHT: dict[type[Event], Callable[[DatabaseRecord, Any], DatabaseRecord]] = {
    MigrationOrdered: _ordered,
    RollbackOrdered: _ordered,
    AttemptFinished: _finished,
    DatabaseIdentified: _identified,
    DatabaseInspected: _inspected,
}
"""Outside the fleet's stream, only these teach something."""
