"""What happens to the fleet and to bundles: the streams `fleet` and `bundles`.

Who writes and who reads each: `ops/manual/reference/events.md`.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from ledger.contracts.registry import Count, KeptConnection, MigrationRef, Moment, Name, Sha256
from ledger.contracts.reports import Event
from ledger.contracts.streams import Author, Stream
from migrations.model.attempt import Epoch


class DatabaseRegistered(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database joined the fleet."""

    database: Name
    pool: Name
    connection: KeptConnection
    labels: dict[str, str] = Field(default_factory=dict)


class DatabaseRelabelled(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database's labels were replaced by these."""

    database: Name
    labels: dict[str, str]


class DatabaseRepointed(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database moved: it is reached here now, and its identity is to be learned again."""

    database: Name
    pool: Name
    connection: KeptConnection


class DatabaseSuspended(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database is left out of new orders until it is reinstated."""

    database: Name


class DatabaseReinstated(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database takes part again as it is now; identity and journal are to be learned again."""

    database: Name


class DatabaseFenceReset(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database's journal ended in the epoch of an order that this ledger never gave.

    A person has taken the journal as it was then, but for that epoch: as long as it ends in this
    entry, the epoch keeps no order out.
    """

    database: Name
    epoch: Epoch
    journal_head: Sha256


class DatabaseRetired(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A database left the fleet for good; its history stays."""

    database: Name


class MigrationRegressed(Event, streams=(Stream.FLEET,), author=Author.LEDGER):
    """A database's journal no longer holds what the log says was applied (restore, failover)."""

    database: Name
    version: Name
    command: UUID


class DriftDetected(Event, streams=(Stream.FLEET,), author=Author.LEDGER):
    """A database's schema is not that of most others with the same migrations.

    Said when it was looked at, or when a rollout whose agents take fingerprints is over; `check` is
    the id of either. `schema_count` of the `cohort` of databases have the expected one.
    """

    database: Name
    check: Name
    fingerprint: Sha256
    expected: Sha256
    cohort: Count
    schema_count: Count


class DriftEnded(Event, streams=(Stream.FLEET,), author=Author.LEDGER):
    """A database that had drifted has the schema of most others again."""

    database: Name
    check: Name
    fingerprint: Sha256


class DriftAccepted(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """A person takes the schema of a database for right as it is; another one is drift again."""

    database: Name
    fingerprint: Sha256


class FactRecorded(Event, streams=(Stream.FLEET,), author=Author.PERSON):
    """Somebody who knows says when something was done to a database: a job that backs it up."""

    database: Name
    fact: str
    at: Moment


class ChangeAccepted(Event, streams=(Stream.BUNDLES,), author=Author.PERSON):
    """A person took this text of a migration for the one that databases had applied."""

    version: Name
    known: Sha256
    given: Sha256
    history: Name = ""
    """Key of the history that the version belongs to."""


class FileGone(Event, streams=(Stream.BUNDLES,), author=Author.PERSON):
    """A person accepted that no folder has this migration any more, though databases have it."""

    version: Name
    history: Name = ""
    """Key of the history that the version belongs to."""


class BundleRegistered(Event, streams=(Stream.BUNDLES,), author=Author.PERSON):
    """A folder of migrations was stored by its content; the texts are in the content table."""

    bundle: Sha256
    migrations: tuple[MigrationRef, ...]
    source: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    history: Name = ""
    """Key of the history that its versions belong to."""
    name: str = ""
    """What its project calls that history; empty where it does not."""


class RehearsalRecorded(Event, streams=(Stream.BUNDLES,), author=Author.PERSON):
    """A bundle's migrations went up, down and up again on a database that nobody needs.

    `versions` are those that were to, `failed` those of them that did not as they should. The
    bundle need not be registered. `schema_from` is what they were tried on.
    """

    bundle: Sha256
    succeeded: bool
    versions: tuple[Name, ...]
    failed: tuple[Name, ...]
    server_version: Count
    duration_ms: Count
    schema_from: str = "folder"
