"""What the rows of the read models say: what queries return, and what is folded into rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from ledger.contracts.registry import MigrationRef, Step
from ledger.domain.belief import Belief
from ledger.domain.fleet import DatabaseRecord
from migrations.model.attempt import Mode


class FleetEntry(NamedTuple):
    """A registered database and what is believed of it, in the plain values of its columns.

    It costs next to nothing to read and to keep: `ledger.store.views.columns` says what it means.
    """

    database: str
    status: str
    pool: str
    target_host: str
    target_port: int
    target_database: str
    target_schema: str
    target_history: str
    further_schemas: str | None
    username: str
    password_reference: str | None
    sslmode: str | None
    role: str | None
    labels: str
    backed_up_at: str | None
    identity_uuid: UUID | None
    system_identifier: str | None
    database_oid: int | None
    journal_head: str | None
    command: UUID | None
    unanswered: bool
    doubted: bool
    forged: str | None
    half_done: str | None
    seen: str | None


class FleetRow(NamedTuple):
    """A registered database, what is believed of it, and what was last seen of it."""

    registered: DatabaseRecord
    belief: Belief
    server_version: int | None
    last_contact_position: int | None
    last_contact_at: datetime | None
    registered_position: int
    registered_at: datetime
    registered_by: str

    @property
    def record(self) -> DatabaseRecord:
        """The database with what is believed of it."""
        return believed(self.registered, self.belief)


@dataclass(frozen=True, slots=True)
class BundleRow:
    """A registered bundle; its migrations in order."""

    bundle: str
    migrations: tuple[MigrationRef, ...]
    source: str
    git_commit: str | None
    git_dirty: bool | None
    history: str
    name: str
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
    undoes: str | None
    undone_by: str | None
    counts: Mapping[tuple[int, str], int]


class CauseRow(NamedTuple):
    """One cause, and the databases of a rollout that are in one state by it; some as `examples`.

    The fields of its failure are `None` where nobody knows one. `accepted` are failures that a
    person has let pass. Of data migrations that did not end, `rows` in `batches` are committed.
    """

    state: str
    accepted: bool
    kind: str | None
    sqlstate: str | None
    message: str | None
    file: str | None
    line: int | None
    databases: int
    examples: tuple[str, ...]
    rows: int
    batches: int

    @property
    def blocker(self) -> None:
        """Who held a lock differs from database to database."""

    @property
    def batch(self) -> None:
        """So does which batch it was."""


class TollRow(NamedTuple):
    """How many databases of a rollout were ever ordered, have failed at its budget's cost, and
    have reported a failure without having ended.
    """

    ordered: int
    counted: int
    failing: int
    cancelled: int = 0
    """Where its agents cancelled what others ran."""


class QueueRow(NamedTuple):
    """Databases of a rollout that are in one state, of one wave and pool; the first by id."""

    state: str
    wave: int
    pool: str | None
    databases: int
    example: str


class StandingRow(NamedTuple):
    """Databases with one status that have the same of some versions; some as `examples`."""

    status: str
    applied: tuple[str, ...]
    databases: int
    examples: tuple[str, ...]


class TroubleRow(NamedTuple):
    """Databases on which a migration ended in one state for one reason, as far as it is known."""

    version: str
    state: str
    sqlstate: str | None
    message: str | None
    file: str | None
    line: int | None
    databases: int
    examples: tuple[str, ...]

    @property
    def blocker(self) -> None:
        """Who held a lock differs from database to database."""

    @property
    def batch(self) -> None:
        """So does which batch it was."""


class PoolRow(NamedTuple):
    """The databases of a pool with one status; some as `examples`."""

    status: str
    pool: str
    databases: int
    examples: tuple[str, ...]


class OrderRow(NamedTuple):
    """An order that was given, by its command: what is said of a migration later rests on it."""

    rollout: str
    database: str
    attempt: int
    ordered_position: int
    ordered_by: str
    table_mb: float | None = None
    """Size of the largest table that it was to touch, where that was asked before."""


class ExecutionRow(NamedTuple):
    """A migration that ran on a database, in either direction, and what came of it."""

    position: int
    database: str
    rollout: str | None
    version: str
    direction: str
    succeeded: bool
    error: str | None
    duration_ms: int | None
    table_mb: float | None
    at: datetime


class HeldText(NamedTuple):
    """That a database, or a rollout for its databases, has a migration's text or may have it."""

    version: str
    checksum: str | None
    holder: str


class AppliedRow(NamedTuple):
    """The latest that is known of one migration on one database.

    `ordered_position` is where the command behind it was ordered, and `ordered_by` the role that
    ordered it: what an earlier command says late does not replace what a later one said. `outside`
    says that no rollout did it.
    """

    database: str
    version: str
    state: str
    checksum: str | None
    rollout: str | None
    command: UUID | None
    ordered_position: int
    ordered_by: str | None
    position: int
    at: datetime
    duration_ms: int | None
    outside: bool


class DurationRow(NamedTuple):
    """How long a migration with this text took: in how many databases, half of them, at most."""

    version: str
    checksum: str
    databases: int
    usual_ms: int
    longest_ms: int


class RequestedCheck(NamedTuple):
    """Looks that were asked for, as long as they are not over: where and when that was."""

    purpose: str
    databases: int
    requested_position: int
    requested_at: datetime
    finished_position: int | None = None
    finished_at: datetime | None = None


class ReadingRow(NamedTuple):
    """That a journal is to be read, and when an answer that did was recorded."""

    read_position: int | None = None
    read_at: datetime | None = None


def believed(record: DatabaseRecord, belief: Belief) -> DatabaseRecord:
    """The database, as the next order takes it to be."""
    return replace(
        record,
        expected=belief.expected,
        unanswered=belief.unanswered,
        command=belief.command,
    )
