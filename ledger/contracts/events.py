"""Every event the log can hold, and the registry that all lists of them derive from.

Events are past tense, one sentence each. What began is said as an event and never inferred from its
first consequence. Streams: `fleet`, `bundles`, `keys`, `rollout-<id>` (decisions) with
`rollout-<id>/reports`, `check-<id>` with `check-<id>/reports`, and `ledger`.

```
fleet, bundles          fleet_events.py      what the fleet is, which migrations there are
keys                    key_events.py        whose signatures under reports count
rollout-<id>            rollout_events.py    what is decided: plans, orders, halts, ends
rollout-<id>/reports    reports.py           what agents report, word for word
check-<id>, ledger      this file            looks at databases, the ledger itself, the intake's own
```

Who may write each, which code makes it and which reads it: `ops/manual/reference/events.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from ledger.contracts import fleet_events, key_events, reports, rollout_events
from ledger.contracts.fleet_events import (
    BundleRegistered,
    ChangeAccepted,
    DatabaseFenceReset,
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
    DatabaseSuspended,
    DriftAccepted,
    DriftDetected,
    DriftEnded,
    FactRecorded,
    FileGone,
    MigrationRegressed,
    RehearsalRecorded,
)
from ledger.contracts.key_events import KeyRegistered, KeyRevoked
from ledger.contracts.public_keys import PublicKeyText
from ledger.contracts.registry import BigCount, Count, KeptConnection, Moment, Name, Sha256
from ledger.contracts.reports import Event
from ledger.contracts.rollout_events import (
    AttemptTimedOut,
    Budget,
    DatabaseLeftOut,
    MigrationOrdered,
    OutcomeResolved,
    PlanOptions,
    RetryRequested,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    RolloutStarted,
    UndoStarted,
    WaveCompleted,
    WaveOpened,
    WavePlanned,
    WhenSpent,
)
from ledger.contracts.streams import REPORT_STREAMS, Author, Stream
from migrations.model.attempt import Adoption
from migrations.model.preflight import PreflightRequest

__all__ = [
    "EVENTS",
    "EVENT_TYPES",
    "REQUESTED_BY_OPERATORS",
    "SAID_BY_AUDITORS",
    "SAID_BY_NOTIFIERS",
    "AttemptTimedOut",
    "Audited",
    "Budget",
    "BundleRegistered",
    "ChangeAccepted",
    "CheckFinished",
    "CheckRequested",
    "DatabaseFenceReset",
    "DatabaseLeftOut",
    "DatabaseRegistered",
    "DatabaseReinstated",
    "DatabaseRelabelled",
    "DatabaseRepointed",
    "DatabaseRetired",
    "DatabaseSuspended",
    "DifferenceFound",
    "DriftAccepted",
    "DriftDetected",
    "DriftEnded",
    "EventSetAside",
    "EventType",
    "FactRecorded",
    "FileGone",
    "InspectionOrdered",
    "KeyRegistered",
    "KeyRevoked",
    "LeadershipTaken",
    "LedgerInitialised",
    "MessageParked",
    "MigrationOrdered",
    "MigrationRegressed",
    "NotificationFailed",
    "OutcomeResolved",
    "PlanOptions",
    "Purpose",
    "RehearsalRecorded",
    "ReportContradicted",
    "RetryRequested",
    "RolloutAborted",
    "RolloutCompleted",
    "RolloutHalted",
    "RolloutPaused",
    "RolloutPlanned",
    "RolloutResumed",
    "RolloutStarted",
    "UndoStarted",
    "WaveCompleted",
    "WaveOpened",
    "WavePlanned",
    "WhenSpent",
    "types_in",
]

# --- looks: a rollout's are orders; those of a check are one event, and one more ends it --------


class Purpose(StrEnum):
    """Why a database is looked at."""

    CHECK = "check"
    OUTCOME = "outcome"
    REINSTATE = "reinstate"
    ADOPT = "adopt"
    DRIFT = "drift"
    SNAPSHOT = "snapshot"


class CheckRequested(Event, streams=(Stream.CHECK,), author=Author.PERSON):
    """A person asked the agents to look at these databases, read-only.

    It orders all these looks at once: each goes to an agent as an InspectionOrdered that is made of
    it and stands in no log. Answers that change what is believed are DatabaseInspected.
    """

    check: Name
    purpose: Purpose
    databases: tuple[Name, ...]
    adoption: Adoption | None = None
    """Of a look before adopting: whose history is looked for, and in which table."""
    preflight: PreflightRequest | None = None
    """Of a look that asks whether this is a good moment."""


class CheckFinished(Event, streams=(Stream.CHECK,), author=Author.LEDGER):
    """The looks that were asked for are over: how many databases were read, and how many not.

    `unread` answered that they could not be looked at; the `silent` were asked in vain. `changed`
    answers said something new and are in the log, `lost` migrations are in journals no more.
    """

    check: Name
    asked_by: str
    """The role under which the looks were asked for."""
    databases: Count
    read: Count
    unread: Count
    silent: tuple[str, ...]
    changed: Count
    lost: Count
    duration_ms: Count


class InspectionOrdered(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """A database of a rollout is to be looked at, read-only; the answer is a DatabaseInspected.

    In the same form a look that people asked for goes to an agent; there `stream` is the check's.
    """

    stream: str
    database: Name
    pool: Name
    command: UUID
    attempt: Count
    term: BigCount
    purpose: Purpose
    connection: KeptConnection
    expires_at: datetime
    adoption: Adoption | None = None
    preflight: PreflightRequest | None = None


# --- reports stream, written by the intake ------------------------------------------------------


class ReportContradicted(Event, streams=REPORT_STREAMS, author=Author.LEDGER):
    """A report takes back what the log already holds; both are kept.

    With `effect`, it leaves the database in another state: the rollout halts, and its journal is
    asked. A `body` that is too long to be kept is empty.
    """

    database: Name
    command: UUID
    report_id: UUID
    report_type: str
    body: str
    why: str
    effect: bool = False


class MessageParked(Event, streams=(Stream.LEDGER,), author=Author.LEDGER):
    """A message on the reports topic was not believed, or could not be read; its hash is kept.

    When there are many, one event stands for `count` of them, the last one at `last_offset`. Its
    hash then is a chain, SHA-256(chain so far + a message's hash); `why` is that of the first.
    """

    topic: str
    partition: Count
    offset: BigCount
    sha256: Sha256
    why: str
    count: Count = 1
    last_offset: BigCount | None = None


# --- ledger --------------------------------------------------------------------------------------


class LedgerInitialised(Event, streams=(Stream.LEDGER,), author=Author.LEDGER):
    """The log was created; its chain starts from this ledger's id."""

    ledger: UUID


class EventSetAside(Event, streams=(Stream.LEDGER,), author=Author.PERSON):
    """A person looked at an event that nobody can read, and set it aside.

    It stays in the chain, and what shows the log goes on showing it; nobody complains of it any
    more. `leaf` is its own hash. An event that can be read is none that this speaks of.
    """

    position: int = Field(ge=1, le=2**63 - 1)
    leaf: Sha256


class LeadershipTaken(Event, streams=(Stream.LEDGER,), author=Author.LEDGER):
    """A process leads from now on, under this term.

    Its orders are signed with the key of this public part; without one they are not signed.
    """

    term: BigCount
    leader: str
    host: str
    public_key: PublicKeyText | None = None


class NotificationFailed(Event, streams=(Stream.LEDGER,), author=Author.NOTIFIER):
    """A target takes no notifications since then; so many wait, and go on being tried.

    Said when a target begins to fail and at growing distances from there, never for each try.
    `given_up` were waiting for longer than they are kept. `why` is a class of failure of ours.
    """

    target: str = Field(max_length=63)
    why: str = Field(max_length=200)
    failing_since: Moment
    tries: int = Field(ge=0, le=2**31 - 1)
    waiting: int = Field(ge=0, le=2**31 - 1)
    given_up: int = Field(0, ge=0, le=2**31 - 1)


class Audited(StrEnum):
    """What an audit compares."""

    CHAIN = "chain"
    """Every event with its hash."""
    KEPT_END = "kept end"
    """The end of the chain that was kept from an audit before."""
    ROWS = "rows"
    """What is shown with what the log says."""


class DifferenceFound(Event, streams=(Stream.LEDGER,), author=Author.AUDITOR):
    """An audit found that the record is not what was recorded, or not what is shown.

    `place` is where: a position of the log, or the tables of the rows. The same is said at most
    once in a day, however often it is found.
    """

    audited: Audited
    place: str = Field(min_length=1, max_length=200)
    differences: int = Field(ge=1, le=10**9)


@dataclass(frozen=True, slots=True)
class EventType:
    """All that is known of a type of event, as its class says it; `roles` may append it."""

    name: str
    version: int
    streams: tuple[Stream, ...]
    author: Author
    event: type[Event]

    @property
    def roles(self) -> tuple[str, ...]:
        """The database roles that may append it."""
        return self.author.roles

    @property
    def sense(self) -> str:
        """One sentence: what it means that this happened."""
        return (self.event.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")

    def belongs_into(self, stream: str) -> bool:
        """Whether it may stand in the stream of this name."""
        return any(kind.is_kind_of(stream) for kind in self.streams)


def _types(*modules: Mapping[str, object]) -> Iterator[EventType]:
    """The types that these modules define, in the order in which they do."""
    for module in modules:
        for one in module.values():
            if not isinstance(one, type) or not issubclass(one, Event):
                continue
            if one.AUTHOR is not None and one.__module__ == module["__name__"]:
                yield EventType(one.__name__, one.SCHEMA_VERSION, one.STREAMS, one.AUTHOR, one)


EVENT_TYPES: dict[str, EventType] = {
    one.name: one
    for one in _types(
        vars(fleet_events), vars(key_events), vars(rollout_events), vars(reports), globals()
    )
}
"""Everything that the log can hold, by the name that it stores as the type."""

EVENTS: dict[str, type[Event]] = {name: one.event for name, one in EVENT_TYPES.items()}
"""The class of each type of event."""

SAID_BY_NOTIFIERS: frozenset[str] = frozenset(
    name for name, one in EVENT_TYPES.items() if one.author is Author.NOTIFIER
)
"""The event types that the notifier's role may append."""

SAID_BY_AUDITORS: frozenset[str] = frozenset(
    name for name, one in EVENT_TYPES.items() if one.author is Author.AUDITOR
)
"""The event types that the auditor's role may append."""

REQUESTED_BY_OPERATORS: frozenset[str] = frozenset(
    name for name, one in EVENT_TYPES.items() if one.author is Author.PERSON
)
"""The event types that the operator role may append; the service role may append every type."""


def types_in(*streams: Stream) -> frozenset[type[Event]]:
    """The classes of the events that may stand in any of these streams."""
    return frozenset(
        one.event for one in EVENT_TYPES.values() if not set(streams).isdisjoint(one.streams)
    )
