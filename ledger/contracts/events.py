"""Every event the log can hold, grouped by stream.

Events are past tense, one sentence each. What began is said as an event and never inferred from its
first consequence. Streams: `fleet`, `bundles`, `rollout-<id>` (decisions) with
`rollout-<id>/reports`, `check-<id>` with `check-<id>/reports`, and `ledger`.

```
fleet, bundles          fleet_events.py      what the fleet is, which migrations there are
rollout-<id>            rollout_events.py    what is decided: plans, orders, halts, ends
rollout-<id>/reports    reports.py           what agents report, word for word
check-<id>, ledger      this file            looks at databases, the ledger itself, the intake's own
```
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.contracts.fleet_events import (
    BundleRegistered,
    ChangeAccepted,
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
    DatabaseSuspended,
    FileGone,
    MigrationRegressed,
)
from ledger.contracts.registry import Adoption, Connection, Sha256
from ledger.contracts.reports import REPORTS, Event
from ledger.contracts.rollout_events import (
    AttemptTimedOut,
    Budget,
    DatabaseLeftOut,
    MigrationOrdered,
    Ordered,
    OutcomeResolved,
    RetryRequested,
    RollbackOrdered,
    RollbackStarted,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    RolloutRolledBack,
    RolloutStarted,
    WaveCompleted,
    WaveOpened,
    WavePlanned,
    WhenSpent,
)

__all__ = [
    "BUNDLE",
    "DECISIONS",
    "EVENTS",
    "FLEET",
    "INTAKE",
    "LEDGER",
    "REQUESTED_BY_OPERATORS",
    "AttemptTimedOut",
    "Budget",
    "BundleRegistered",
    "ChangeAccepted",
    "CheckRequested",
    "DatabaseLeftOut",
    "DatabaseRegistered",
    "DatabaseReinstated",
    "DatabaseRelabelled",
    "DatabaseRepointed",
    "DatabaseRetired",
    "DatabaseSuspended",
    "FileGone",
    "InspectionOrdered",
    "LeadershipTaken",
    "LedgerInitialised",
    "MessageParked",
    "MigrationOrdered",
    "MigrationRegressed",
    "Ordered",
    "OutcomeResolved",
    "Purpose",
    "ReportContradicted",
    "RetryRequested",
    "RollbackOrdered",
    "RollbackStarted",
    "RolloutAborted",
    "RolloutCompleted",
    "RolloutHalted",
    "RolloutPaused",
    "RolloutPlanned",
    "RolloutResumed",
    "RolloutRolledBack",
    "RolloutStarted",
    "WaveCompleted",
    "WaveOpened",
    "WavePlanned",
    "WhenSpent",
]

# --- inspections: in a rollout's stream, or in a check's ----------------------------------------


class Purpose(StrEnum):
    """Why a database is looked at."""

    CHECK = "check"
    OUTCOME = "outcome"
    REINSTATE = "reinstate"
    ADOPT = "adopt"


class CheckRequested(Event):
    """A person asked the agents to look at these databases, read-only."""

    check: str
    purpose: Purpose
    databases: tuple[str, ...]
    adoption: Adoption | None = None
    """Of a look before adopting: whose history is looked for, and in which table."""


class InspectionOrdered(Event):
    """A database is to be looked at, read-only; the answer is a DatabaseInspected."""

    stream: str
    database: str
    pool: str
    command: UUID
    attempt: int
    term: int
    purpose: Purpose
    connection: Connection
    expires_at: datetime
    adoption: Adoption | None = None


# --- reports stream, written by the intake ------------------------------------------------------


class ReportContradicted(Event):
    """A report says something else than the log already holds; both are kept.

    With `effect`, it leaves the database in another state: the rollout halts, and its journal is
    asked. A `body` that is too long to be kept is empty.
    """

    database: str
    command: UUID
    report_id: UUID
    report_type: str
    body: str
    why: str
    effect: bool = False


class MessageParked(Event):
    """A message on the reports topic was not believed, or could not be read; its hash is kept.

    When there are many, one event stands for `count` of them, the last one at `last_offset`. Its
    hash then is a chain, SHA-256(chain so far + a message's hash); `why` is that of the first.
    """

    topic: str
    partition: int
    offset: int
    sha256: Sha256
    why: str
    count: int = 1
    last_offset: int | None = None


# --- ledger --------------------------------------------------------------------------------------


class LedgerInitialised(Event):
    """The log was created; its chain starts from this ledger's id."""

    ledger: UUID


class LeadershipTaken(Event):
    """A process leads from now on, under this term."""

    term: int
    leader: str
    host: str


FLEET: tuple[type[Event], ...] = (
    DatabaseRegistered,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseSuspended,
    DatabaseReinstated,
    DatabaseRetired,
    MigrationRegressed,
)
BUNDLE: tuple[type[Event], ...] = (BundleRegistered, ChangeAccepted, FileGone)
DECISIONS: tuple[type[Event], ...] = (
    RolloutPlanned,
    WavePlanned,
    RolloutStarted,
    WaveOpened,
    MigrationOrdered,
    RollbackOrdered,
    DatabaseLeftOut,
    WaveCompleted,
    RolloutPaused,
    RolloutResumed,
    RolloutHalted,
    RetryRequested,
    RollbackStarted,
    RolloutCompleted,
    RolloutRolledBack,
    RolloutAborted,
    AttemptTimedOut,
    OutcomeResolved,
    CheckRequested,
    InspectionOrdered,
)
INTAKE: tuple[type[Event], ...] = (ReportContradicted, MessageParked)
LEDGER: tuple[type[Event], ...] = (LedgerInitialised, LeadershipTaken)

EVENTS: dict[str, type[Event]] = {
    event.__name__: event for event in (*FLEET, *BUNDLE, *DECISIONS, *REPORTS, *INTAKE, *LEDGER)
}
"""Every event by the name the log stores as its type."""

REQUESTED_BY_OPERATORS: frozenset[str] = frozenset(
    {
        "DatabaseRegistered",
        "DatabaseRelabelled",
        "DatabaseRepointed",
        "DatabaseSuspended",
        "DatabaseReinstated",
        "DatabaseRetired",
        "BundleRegistered",
        "ChangeAccepted",
        "FileGone",
        "RolloutPlanned",
        "WavePlanned",
        "RolloutStarted",
        "RolloutPaused",
        "RolloutResumed",
        "RetryRequested",
        "RollbackStarted",
        "RolloutAborted",
        "OutcomeResolved",
        "CheckRequested",
    }
)
"""The event types that the operator role may append; the service role may append every type."""
