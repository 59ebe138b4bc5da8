"""What the queries of the read models return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from ledger.contracts.registry import (
    DatabaseIdentity,
    FailureDetail,
    MigrationRef,
    Mode,
    Step,
)
from ledger.contracts.reports import JournalEntry, Rights
from ledger.domain.fleet import DatabaseRecord


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A registered database and what was last seen of it."""

    record: DatabaseRecord
    server_version: int | None
    last_contact_at: datetime | None
    registered_at: datetime
    registered_by: str


class LatestOrder(NamedTuple):
    """The latest order of a database since it last moved, if there was one.

    `unanswered` says that an order given since the journal's head was last told has no answer, or
    one that did not know it.
    """

    database: str
    command: UUID | None
    unanswered: bool


@dataclass(frozen=True, slots=True)
class BundleRow:
    """A registered bundle; its migrations in order."""

    bundle: str
    migrations: tuple[MigrationRef, ...]
    source: str
    git_commit: str | None
    git_dirty: bool | None
    registered_position: int
    registered_at: datetime
    registered_by: str


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A rollout; `counts` are its databases by (wave, state)."""

    rollout: str
    status: str
    mode: Mode
    bundle: str
    steps: tuple[Step, ...]
    selection: str
    fleet_position: int
    databases: int
    waves: int
    wave_spec: str
    current_wave: int | None
    in_flight: int
    budget_count: int | None
    budget_percent: float | None
    when_spent: str
    expiry_s: float
    deadline_s: float
    planned_position: int
    planned_at: datetime
    planned_by: str
    reason: str | None
    ticket: str | None
    started_at: datetime | None
    ended_at: datetime | None
    why: str | None
    counts: Mapping[tuple[int, str], int]

    def count(self, *states: str) -> int:
        """How many databases are in one of these states."""
        return sum(number for (_, state), number in self.counts.items() if state in states)


@dataclass(frozen=True, slots=True)
class RolloutDatabaseRow:
    """One database of a rollout; everything from `command` on is its latest order's."""

    rollout: str
    database: str
    wave: int
    state: str
    command: UUID | None
    pool: str | None
    mode: Mode | None
    attempt: int | None
    ordered_position: int | None
    ordered_at: datetime | None
    expires_at: datetime | None
    deadline_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    verdict: str | None
    changed: int | None
    failure: FailureDetail | None

    @property
    def duration_s(self) -> float | None:
        """From the report that it was begun to the last word, by the ledger's clock."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One order and what came of it."""

    command: UUID
    rollout: str
    database: str
    pool: str
    mode: Mode
    attempt: int
    ordered_position: int
    ordered_at: datetime
    ordered_by: str
    started_at: datetime | None
    finished_at: datetime | None
    timed_out: bool
    verdict: str | None
    changed: int | None
    failure_kind: str | None
    failure_message: str | None


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """The latest that is known of one migration on one database; `ordered_by` is a role."""

    database: str
    version: str
    state: str
    checksum: str | None
    rollout: str | None
    command: UUID | None
    position: int
    at: datetime
    duration_ms: int | None
    outside: bool
    ordered_by: str | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One migration across the fleet: databases by state; `missing` have no word of it."""

    version: str
    states: Mapping[str, int]
    missing: int


@dataclass(frozen=True, slots=True)
class InspectionRow:
    """The latest look at a database; without `inspected_at` it was asked for only."""

    stream: str
    database: str
    purpose: str
    requested_at: datetime
    command: UUID | None
    inspected_at: datetime | None
    reachable: bool | None
    tls: bool | None
    server_version: int | None
    in_recovery: bool | None
    identity: DatabaseIdentity | None
    journal_head: str | None
    owner: str | None
    rights: Rights | None
    entries: tuple[JournalEntry, ...]
    failure_kind: str | None
    failure_message: str | None
