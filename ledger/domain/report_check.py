"""Which reports are believed: those that answer an order of their own stream. Pure.

Whoever may write to the topic of reports can say anything; so a report counts only if the ledger
asked for it; the answer of a look outside of rollouts, if a check's request did
(`ledger.domain.checks`). The order says for which database, as which attempt, in which direction
and which migrations; a report that says something else of it answers nothing.

```
report ─▶ its command ordered in this stream? ─▶ this database, attempt, direction, version? ─▶ fact
              │ no                                     │ no
              └────────────────────────────────────────┴─▶ counted, and believed by nobody
```

What a superseded order did is a fact too, and so is the answer that comes long after its deadline:
neither is asked about here.

A command may be delivered again at any time, to any agent, and each delivery says under the same
ids what it found. What was said first stands, and only who takes something of it back contradicts
it (`contradicts`): not a delivery that could not ask the journal, nor one that did what the first
one had not begun, nor another look at another time. `claims_another_effect` tells apart whether a
contradiction is about the words or about the database. The latter need not be a lie: a database
that was restored from an older copy in between has another journal, and `difference` says so.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ledger.contracts.envelope import consequence_id
from ledger.contracts.events import InspectionOrdered, MigrationOrdered
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    BatchProgressed,
    DatabaseIdentified,
    DatabaseInspected,
    Event,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    MigrationSkipped,
    OutsideChangeFound,
    Report,
)
from ledger.domain.wording import number_of
from migrations.model.attempt import Mode, Verdict

ORDERS: tuple[type[Event], ...] = (MigrationOrdered, InspectionOrdered)
"""The events that ask something of an agent."""
ANSWERS = (AttemptFinished, DatabaseInspected)
"""The last words on them."""
UP, DOWN = "up", "down"
HEAD_SHOWN = 12
"""Characters of a journal's head by which people tell two of them apart."""
GIVEN_BACK = (Verdict.REFUSED, Verdict.EXPIRED, Verdict.CANCELLED)
"""Verdicts of a delivery that did not go on with its command."""


class Asked(NamedTuple):
    """What an order asked: small, because a leader remembers many. A look has no `mode`."""

    command: UUID
    database: str
    attempt: int
    mode: Mode | None = None
    versions: tuple[str, ...] = ()
    adopts: bool = False
    identified: bool = False
    """Whether the order says who the database is, so that no answer has to."""
    pool: str = ""
    """Whose agents were asked."""

    @property
    def direction(self) -> str:
        """The direction in which its migrations run."""
        return UP if self.mode is Mode.UP else DOWN


def asked_by(event: Event) -> Asked | None:
    """What this event asks of an agent; `None` if it is no order."""
    match event:
        case MigrationOrdered() as order:
            return Asked(
                order.command,
                order.database,
                order.attempt,
                order.mode,
                tuple(step.version for step in order.steps),
                order.adoption is not None,
                order.expected.identity is not None,
                order.pool,
            )
        case InspectionOrdered() as look:
            return Asked(look.command, look.database, look.attempt, pool=look.pool)
        case _:
            return None


def decided_in(reports: str) -> str:
    """The stream whose orders the reports in this one answer."""
    return reports.removesuffix("/reports")


def ids_of_orders(stream: str, command: UUID) -> tuple[UUID, ...]:
    """The ids that an order of `command` in `stream` can have: whoever asks needs no index.

    None in a check's, whose looks stand in no log.
    """
    if not stream.startswith("rollout-"):
        return ()
    owner = stream.removeprefix("rollout-")
    # An id depends on the kind of event alone, none of whose fields are needed.
    return tuple(consequence_id(owner, kind.model_construct(), str(command)) for kind in ORDERS)


def why_unbelieved(report: Report, asked: Asked | None) -> str:
    """Why this answers nothing that was asked; empty if it does."""
    if asked is None:
        return "its command was never ordered in this stream"
    if report.database != asked.database:
        return "its command was ordered of another database"
    looked = isinstance(report, DatabaseInspected)
    if looked or asked.mode is None:
        return "" if looked and asked.mode is None else "its command asked for something else"
    return _of_another_attempt(report, asked) or _of_another_direction(report, asked)


def contradicts(recorded: Event, said: Report) -> bool:
    """Whether `said` takes something of `recorded` back, which was said first under the same id.

    Only these reports say what is in a database. Of a migration that was skipped or failed, of
    progress and of looks each delivery has its own words; the last one says what became of it.
    """
    match recorded, said:
        case AttemptFinished() as first, AttemptFinished() as second:
            return _takes_back(first, second)
        case DatabaseIdentified(), DatabaseIdentified():
            return recorded.identity != said.identity
        case (MigrationApplied() | MigrationRolledBack() | HistoryAdopted()) as first, _:
            return first != said
        case _:
            return False


def claims_another_effect(recorded: Event, said: Report) -> bool:
    """Whether what contradicts `recorded` leaves the database in another state."""
    match recorded, said:
        case MigrationApplied() as first, MigrationApplied() as second:
            return first.checksum != second.checksum
        case MigrationRolledBack() as first, MigrationRolledBack() as second:
            return first.checksum != second.checksum
        case HistoryAdopted(), HistoryAdopted():
            return (recorded.taken, recorded.released) != (said.taken, said.released)
        case _:
            return contradicts(recorded, said)


def difference(recorded: Event, said: Report) -> str:
    """What was said first and what is said now, for people."""
    match recorded, said:
        case AttemptFinished() as first, AttemptFinished() as second:
            return (
                f"first {_ending(first)}, now {_ending(second)}: the database was restored from an "
                "older copy in between, or one of the two is false"
            )
        case _:
            return f"another {type(recorded).__name__} of its command was recorded before"


def _ending(report: AttemptFinished) -> str:
    head = report.journal_head
    journal = f"its journal at {head[:HEAD_SHOWN]}" if head else "its journal unread"
    return f"{report.verdict} with {number_of(report.changed, 'change')}, {journal}"


def _of_another_attempt(report: Report, asked: Asked) -> str:
    match report:
        case AttemptStarted() | AttemptFinished() if (
            report.attempt != asked.attempt or report.mode is not asked.mode
        ):
            return "its command was ordered as another attempt"
        case AttemptFinished() if not asked.adopts and report.changed > len(asked.versions):
            return "it changed more migrations than were ordered"
        case HistoryAdopted() if not asked.adopts:
            return "its command adopts nothing"
        case DatabaseIdentified() if asked.identified:
            return "its command knew which database it is for"
        case _:
            return ""


def _of_another_direction(report: Report, asked: Asked) -> str:
    match report:
        case OutsideChangeFound():
            # Of any migration: it is not of the order's doing.
            return "" if report.direction in (UP, DOWN) else "its direction is none"
        case MigrationApplied():
            direction = UP
        case MigrationRolledBack():
            direction = DOWN
        case MigrationSkipped() | MigrationFailed() | BatchProgressed():
            direction = report.direction
        case _:
            return ""
    if asked.mode is Mode.ADOPT or direction != asked.direction:
        return "its command was ordered in another direction"
    return "" if report.version in asked.versions else "its migration was not ordered"


def _takes_back(first: AttemptFinished, second: AttemptFinished) -> bool:
    """Whether both know what became of the database, and not the same.

    An attempt that ended as `GIVEN_BACK` may be delivered again, and go on: as long as nothing that
    was changed is missing, that is work that the first word could not know of, and no lie.
    """
    if not _knows(first) or not _knows(second) or _effect(first) == _effect(second):
        return False
    return first.verdict not in GIVEN_BACK or second.changed < first.changed


def _knows(report: AttemptFinished) -> bool:
    """Whether it says what became of the database, and not only why nobody could tell.

    Who has read the journal says where it ends. Who failed without that says at least why.
    """
    failed = report.verdict is Verdict.FAILED and report.failure is None
    return failed or report.verdict is Verdict.DONE or report.journal_head is not None


def _effect(report: AttemptFinished) -> tuple[bool, int, str | None]:
    return report.verdict is Verdict.DONE, report.changed, report.journal_head
