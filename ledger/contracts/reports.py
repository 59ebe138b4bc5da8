"""What agents report about a command. Each report is an event of the log, word for word.

A report's id is derived from its command (`ledger.contracts.envelope.report_id`), and its body
holds nothing that differs when the same report is sent again: who sent it, when, and whether it
was recovered from the journal are metadata. Who reads each: `ops/manual/reference/events.md`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator

from ledger.contracts.registry import NAME_MOST, BigCount, Count, Moment, Name, Sha256, WireValue
from ledger.contracts.streams import REPORT_STREAMS, Author, Stream
from migrations.model.attempt import (
    AdoptedMigration,
    Backup,
    DatabasePlace,
    Epoch,
    Failure,
    HalfDone,
    Identity,
    Mode,
    Rights,
    Verdict,
)
from migrations.model.foreign_history import ForeignHistory
from migrations.model.preflight import PreflightResult


def _named(taken: tuple[AdoptedMigration, ...]) -> tuple[AdoptedMigration, ...]:
    """Raises `ValueError` for a version that no index can hold."""
    if any(len(one.version) > NAME_MOST for one in taken):
        raise ValueError(f"a version in it is too long, {NAME_MOST} is the most")
    return taken


class Event(WireValue):
    """What happened; never refused, never changed.

    A class that the log can hold says so in its first line: `streams` are those that it may stand
    in, `author` is who may say it, `version` is that of its body's form. Everything that has to be
    known of a type derives from these (`ledger.contracts.events`): grants of the database, what
    reads it, the reference. A class without an author is none of the log's.
    """

    STREAMS: ClassVar[tuple[Stream, ...]] = ()
    AUTHOR: ClassVar[Author | None] = None
    SCHEMA_VERSION: ClassVar[int] = 1

    def __init_subclass__(
        cls,
        *,
        streams: tuple[Stream, ...] = (),
        author: Author | None = None,
        version: int = 1,
        **options: Any,
    ) -> None:
        """Keep what the class says of itself."""
        super().__init_subclass__(**options)
        cls.STREAMS, cls.AUTHOR, cls.SCHEMA_VERSION = streams, author, version


class Unreadable(Event):
    """Stands where an event cannot be read: what is written there, and why it cannot.

    It is never written, only read; nothing follows from it.
    """

    type: str
    schema_version: int
    why: str


class ReportRepeated(Event):
    """Stands where an agent told again, from a journal, what the log had already been told.

    It is never written, only read; nothing happened a second time.
    """

    database: Name
    told: str
    version: Name
    command: UUID


class Report(Event):
    """An event that an agent writes about a command on one database."""

    database: Name
    command: UUID


class AttemptStarted(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """An agent took the command and is about to connect."""

    attempt: Count
    mode: Mode


class DatabaseIdentified(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """The session was proven to be the target's, and this is who the target is."""

    identity: Identity
    server_version: Count
    first_contact: bool


class MigrationApplied(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A migration's up section holds in the database, with its journal row."""

    version: Name
    checksum: str
    duration_ms: Count
    statements: Count


class MigrationSkipped(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A step had nothing to do: applied by something else, or not there to be undone."""

    version: Name
    direction: Name
    checksum: str
    note: str = ""


class MigrationRolledBack(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A migration's down section holds in the database, with its journal row."""

    version: Name
    checksum: str
    duration_ms: Count
    statements: Count


class HistoryAdopted(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """What another tool, or a person, says is applied is in the journal now; nothing ran.

    `released` are versions that the journal holds for applied no more: the other tool has undone
    them, or the adoption was taken back. `rows` counts those of the other tool's table.
    """

    source: str
    table: str
    rows: Count
    taken: Annotated[tuple[AdoptedMigration, ...], AfterValidator(_named)]
    released: tuple[Name, ...] = ()


class MigrationFailed(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A step failed and was undone as far as its kind allows; the journal says how far."""

    version: Name
    direction: Name
    checksum: str
    failure: Failure


class BatchProgressed(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A data migration has got so far: batches and rows done, about how many rows there are.

    Said at most once a second and once per hundredth, so most batches go unmentioned. `left_s` is
    what the agent's pace so far makes of the rest.
    """

    version: Name
    direction: Name
    batches: Count
    rows: BigCount
    total: BigCount | None
    left_s: Count | None


class CommandRefused(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """The agent did not try: expired, stale, not the database that was meant, text missing."""

    failure: Failure


class ContentMissing(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """The agent lacks texts that this command leads to by its bundle, and waits for them."""

    bundle: Sha256


class OutsideChangeFound(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """Somebody changed the database with `ledger db … --outside-ledger` since the last contact."""

    version: Name
    direction: Name
    checksum: str
    reason: str
    by: Name
    at: Moment


class PreflightChecked(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """A database was asked whether this is a good moment, before anything was applied there.

    Each check in turn: what it found, and what that comes to. Of those that do not pass, `said` has
    the evidence. An attempt that begins anew asks anew.
    """

    checked_at: Moment
    results: tuple[PreflightResult, ...]


class BlockerCancelled(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """An agent has cancelled what other sessions ran, because a migration waited for them.

    Its own settings let it. `blocker` is who held what was waited for, without query text, `said`
    what came of it.
    """

    cancelled_at: Moment
    migration: str
    blocker: str
    waited_ms: Count
    said: str


class AttemptFinished(Report, streams=(Stream.ROLLOUT_REPORTS,), author=Author.AGENT):
    """The last word on a command: its verdict, and the journal's head after it.

    `changed` counts the steps that this rollout has in force there: applied, or undone.
    `half_done` is all that the journal leaves so at that head, whoever began it; `None` where it
    was not asked. Of a data migration that has not ended, `rows` in `batches` are committed, by
    this attempt or before.
    """

    attempt: Count
    mode: Mode
    verdict: Verdict
    changed: Count
    journal_head: str | None
    failure: Failure | None = None
    half_done: tuple[HalfDone, ...] | None = None
    rows: BigCount = 0
    batches: Count = 0
    fingerprint: Sha256 | None = None
    """Of the schema after it, where something changed and the agent's settings ask for it."""


class JournalEntry(WireValue):
    """The latest state of one migration in a database's journal."""

    version: Name
    state: str
    direction: Name
    rollout: Name
    command: UUID
    checksum: str
    finished_at: Moment | None


class DatabaseInspected(Report, streams=REPORT_STREAMS, author=Author.AGENT):
    """What a read-only look at a database found; `failure` when it could not be had."""

    reachable: bool
    tls: bool | None = None
    server_version: Count | None = None
    in_recovery: bool | None = None
    identity: Identity | None = None
    place: DatabasePlace | None = None
    """Known also where there is no journal yet, and so no identity."""
    journal_head: str | None = None
    owner: str = ""
    rights: Rights | None = None
    entries: tuple[JournalEntry, ...] = ()
    failure: Failure | None = None
    backups: tuple[Backup, ...] = ()
    """What data migrations have saved there."""
    histories: tuple[ForeignHistory, ...] = ()
    """What other tools left there; only looked for before an adoption."""
    epoch: Epoch | None = None
    """Of the order that wrote the journal's last entry, as the journal says it."""
    unfinished: tuple[str, ...] = ()
    """Rollouts of which a migration was begun there, and neither finished nor taken back."""
    half_done: tuple[HalfDone, ...] | None = None
    """What the journal leaves half done, or in doubt; `None` where it could not be read."""
    warnings: tuple[str, ...] = ()
    """What there reaches our tables and what we do, and stops nothing; each with what to do."""
    preflight: tuple[PreflightResult, ...] = ()
    """What was asked beside, of a look that asks whether this is a good moment."""
    fingerprint: Sha256 | None = None
    """Of its schema; only looked for when drift is."""
    no_fingerprint: Failure | None = None
    """Why there is none, where one was looked for."""
    snapshot: str = ""
    """What the fingerprint is of, compressed, in base64; where it was asked for, and in no log."""
