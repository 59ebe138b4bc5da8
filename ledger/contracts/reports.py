"""What agents report about a command. Each report is an event of the log, word for word.

A report's id is derived from its command (`ledger.contracts.envelope.report_id`), and its body
holds nothing that differs when the same report is sent again: who sent it, when, and whether it
was recovered from the journal are metadata.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from ledger.contracts.registry import (
    DatabaseIdentity,
    DatabasePlace,
    FailureDetail,
    HistoryFound,
    Mode,
    WireValue,
)

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""What fits into a column of the read models: a report that no table can hold is no report."""


BigCount = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Of rows, which may be more."""


class Event(WireValue):
    """What happened; never refused, never changed."""

    SCHEMA_VERSION: ClassVar[int] = 1


class Unreadable(Event):
    """Stands where an event cannot be read: what is written there, and why it cannot.

    It is never written, only read; nothing follows from it.
    """

    type: str
    schema_version: int
    why: str


class Report(Event):
    """An event that an agent writes about a command on one database."""

    database: str
    command: UUID


class AttemptStarted(Report):
    """An agent took the command and is about to connect."""

    attempt: Count
    mode: Mode


class DatabaseIdentified(Report):
    """The session was proven to be the target's, and this is who the target is."""

    identity: DatabaseIdentity
    server_version: Count
    first_contact: bool


class MigrationApplied(Report):
    """A migration's up section holds in the database, with its journal row."""

    version: str
    checksum: str
    duration_ms: Count
    statements: Count


class MigrationSkipped(Report):
    """A step had nothing to do: applied by something else, or not there to be undone."""

    version: str
    direction: str
    checksum: str
    note: str = ""


class MigrationRolledBack(Report):
    """A migration's down section holds in the database, with its journal row."""

    version: str
    checksum: str
    duration_ms: Count
    statements: Count


class AdoptedMigration(WireValue):
    """A version that is in the journal now; `checksum` is empty where no file belongs to it."""

    version: str
    checksum: str


class HistoryAdopted(Report):
    """What another tool, or a person, says is applied is in the journal now; nothing ran.

    `released` are versions that the journal holds for applied no more: the other tool has undone
    them, or the adoption was taken back. `rows` counts those of the other tool's table.
    """

    source: str
    table: str
    rows: Count
    taken: tuple[AdoptedMigration, ...]
    released: tuple[str, ...] = ()


class MigrationFailed(Report):
    """A step failed and was undone as far as its kind allows; the journal says how far."""

    version: str
    direction: str
    checksum: str
    failure: FailureDetail


class BatchProgressed(Report):
    """A data migration has got so far: batches and rows done, about how many rows there are.

    Said at most once a second and once per hundredth, so most batches go unmentioned. `left_s` is
    what the agent's pace so far makes of the rest.
    """

    version: str
    direction: str
    batches: Count
    rows: BigCount
    total: BigCount | None
    left_s: Count | None


class CommandRefused(Report):
    """The agent did not try: expired, stale, not the database that was meant, text missing."""

    failure: FailureDetail


class ContentMissing(Report):
    """The agent lacks texts of this command and waits for them."""

    sha256: tuple[str, ...]


class OutsideChangeFound(Report):
    """Somebody changed the database with `ledger db … --outside-ledger` since the last contact."""

    version: str
    direction: str
    checksum: str
    reason: str
    by: str
    at: datetime


class Verdict(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class AttemptFinished(Report):
    """The last word on a command: its verdict, and the journal's head after it.

    `changed` counts the steps that this rollout has in force there: applied, or undone.
    """

    attempt: Count
    mode: Mode
    verdict: Verdict
    changed: Count
    journal_head: str | None
    failure: FailureDetail | None = None


class JournalEntry(WireValue):
    """The latest state of one migration in a database's journal."""

    version: str
    state: str
    direction: str
    rollout: str
    command: UUID
    checksum: str
    finished_at: datetime | None


class Rights(WireValue):
    """What the configured user may do in a database."""

    create_schema: bool
    create_in_target: bool
    superuser: bool


class BackupFound(WireValue):
    """What a data migration has saved in a database; without `keep_until` it stays for good."""

    version: str
    table: str
    source: str
    columns: tuple[str, ...]
    made_at: datetime
    keep_until: datetime | None = None
    bytes: BigCount


class DatabaseInspected(Report):
    """What a read-only look at a database found; `failure` when it could not be had."""

    reachable: bool
    tls: bool | None = None
    server_version: Count | None = None
    in_recovery: bool | None = None
    identity: DatabaseIdentity | None = None
    place: DatabasePlace | None = None
    """Known also where there is no journal yet, and so no identity."""
    journal_head: str | None = None
    owner: str = ""
    rights: Rights | None = None
    entries: tuple[JournalEntry, ...] = ()
    failure: FailureDetail | None = None
    backups: tuple[BackupFound, ...] = ()
    """What data migrations have saved there."""
    histories: tuple[HistoryFound, ...] = ()
    """What other tools left there; only looked for before an adoption."""


REPORTS: tuple[type[Report], ...] = (
    AttemptStarted,
    DatabaseIdentified,
    MigrationApplied,
    MigrationSkipped,
    MigrationRolledBack,
    HistoryAdopted,
    MigrationFailed,
    BatchProgressed,
    CommandRefused,
    ContentMissing,
    OutsideChangeFound,
    AttemptFinished,
    DatabaseInspected,
)
