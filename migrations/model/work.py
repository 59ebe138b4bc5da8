"""What one database is asked to do, and what came of it: the words of `migrations.runner`.

`Work` goes in, `Outcome` comes out, and an `Observer` hears what happens in between. All of it is
plain data without secrets, so that it can be reported, traced and tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from migrations.model.attempt import (
    AdoptedMigration,
    Adoption,
    Epoch,
    Expectation,
    Failure,
    HalfDone,
    Identity,
    Mode,
    Resolution,
    Verdict,
)
from migrations.model.clocks import ComparedClock
from migrations.model.folder_history import FolderHistory
from migrations.model.migration import Direction, Language, Migration, Statement
from migrations.model.preflight import PreflightResult

BASELINE = "baseline"
"""The source of an adoption that rests on a person's word and on no table."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an adoption has in the journal now, or what taking it back has taken out.

    `taken` are versions with the checksum of the up section that the folder has for them, empty
    where no file belongs to a row. `rows` and `digest` say how the other tool's table looked.
    """

    source: str
    table: str
    rows: int
    digest: str
    taken: tuple[AdoptedMigration, ...] = ()
    released: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """A person's leave to take a changed up section for the one that was applied.

    `accepted` are the checksums that the journal may hold for it. With `gone` it is the leave to
    do without the file of what is applied.
    """

    version: str
    accepted: tuple[str, ...]
    reason: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class OutsideChange:
    """What somebody did to the target outside of a ledger, as its journal has it."""

    version: str
    direction: Direction
    checksum: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """One command on one target: an ordered list of migrations and the way they run.

    The order of `migrations` is the order in which they run (for `DOWN` and `ROLLBACK`: newest
    first). `rollout` is empty for work outside a ledger, which then needs a `reason`.
    """

    command_id: UUID
    rollout: str
    epoch: Epoch
    mode: Mode
    migrations: tuple[Migration, ...]
    target: str = ""
    """Schema of the target inside the database; empty means the database's own default."""
    expectation: Expectation = field(default_factory=Expectation)
    undoes: str = ""
    """The rollout whose doings `ROLLBACK` takes back, beside what this one has begun."""
    owner: str = ""
    """Id of the ledger whose fleet the database belongs to; empty for `ledger db`."""
    reason: str = ""
    resolutions: tuple[Resolution, ...] = ()
    """Written before anything is planned."""
    programs: frozenset[Language] = frozenset()
    """Languages of programs that may run here, by the settings of whoever runs them."""
    psql_shell: bool = False
    """Whether psql scripts may start programs, read files and variables: a leave of its own."""
    may_cancel: bool = False
    """Whether sessions of others that block a statement may be cancelled: also a leave."""
    repairs: tuple[Repair, ...] = ()
    """Written after them, where the journal has one of the accepted checksums."""
    adoption: Adoption | None = None
    """What `ADOPT` rests on."""
    drops: frozenset[str] = frozenset()
    """Versions whose backups go, besides those whose declared period is over."""
    out_of_order: bool = False
    """Leave to apply what comes, in the order of `migrations`, before something applied."""
    folder: FolderHistory | None = None
    """The whole folder that `migrations` are from; where it is not known, nothing is compared."""
    clock: ComparedClock | None = None
    """What the server's clock is compared with; without one it is believed."""

    @property
    def taken_back(self) -> frozenset[str]:
        """The rollouts whose doings `ROLLBACK` takes back; what has no rollout is none of it."""
        return frozenset((self.rollout, self.undoes)) - {""}


class StepResult(StrEnum):
    """What came of one migration on one target."""

    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    SKIPPED = "skipped"
    """Nothing to do: applied by something else (up), or not applied (down)."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One migration's result. `recovered`: the journal had it already from the same command."""

    version: str
    direction: Direction
    result: StepResult
    checksum: str
    duration_ms: int
    statements: int
    recovered: bool = False
    note: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one command on one target."""

    verdict: Verdict
    steps: tuple[StepOutcome, ...]
    identity: Identity | None
    journal_head: str | None
    failure: Failure | None = None
    outside: tuple[OutsideChange, ...] = ()
    """Changes outside of a ledger that the expected head did not know of."""
    adopted: Adopted | None = None
    """What was taken over from another tool, or out of the journal again."""
    half_done: tuple[HalfDone, ...] | None = None
    """What the journal leaves so; `None` where it was not asked."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a data migration is, after a batch was committed; times in seconds.

    `rows` and `batches` count from the first attempt on, `total` is an estimate (`None` without
    one), `left_s` is what this run's pace makes of it.
    """

    rows: int
    total: int | None
    batches: int
    left_s: float | None

    @property
    def done(self) -> float | None:
        """The share that is done, 0 to 1; `None` without an estimate."""
        return min(self.rows / self.total, 1.0) if self.total else None


class Observer(Protocol):
    """Hears what happens while a command runs. Methods must return quickly and never raise."""

    def identified(self, identity: Identity, server_version: int, first_contact: bool) -> None:
        """The session is proven to be the target's."""

    def found_outside(self, changes: Sequence[OutsideChange]) -> None:
        """What was done outside of a ledger, oldest first; called before any step of this run."""

    def preflight_checked(self, results: Sequence[PreflightResult]) -> None:
        """The database was asked whether this is a good moment; nothing has been tried yet."""

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Something is waited for: a lock with its holder, or the next retry.

        For `since_s` seconds so far; it is looked at again in `retry_in_s`. Without one the
        statement itself waits.
        """

    def blocker_cancelled(self, by: str, waiting_s: float, said: str) -> None:
        """What stood in the way was cancelled by us, after so long; `said` is what came of it."""

    def given_up(self, waiting_s: float) -> None:
        """A statement that had waited for so long was cancelled by us, and fails."""

    def going_on(self) -> None:
        """What a statement has waited for is there, and it works."""

    def standing(self, said: str) -> None:
        """How far the server says that a statement is, and whom it keeps waiting; empty: nothing.

        Said of statements that take longer than a second.
        """

    def trying_again(self) -> None:
        """The pause is over and what was waited for is tried again; it may be there or not."""

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """A migration begins."""

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Statement `index` (from 1) of `total` has run."""

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        """A batch of a data migration is committed; called for each one."""

    def step_finished(self, outcome: StepOutcome) -> None:
        """A migration ended; called after its journal row is committed."""


class Silence:
    """The observer that hears nothing."""

    def identified(self, identity: Identity, server_version: int, first_contact: bool) -> None:
        """Ignore."""

    def found_outside(self, changes: Sequence[OutsideChange]) -> None:
        """Ignore."""

    def preflight_checked(self, results: Sequence[PreflightResult]) -> None:
        """Ignore."""

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Ignore."""

    def blocker_cancelled(self, by: str, waiting_s: float, said: str) -> None:
        """Ignore."""

    def given_up(self, waiting_s: float) -> None:
        """Ignore."""

    def going_on(self) -> None:
        """Ignore."""

    def standing(self, said: str) -> None:
        """Ignore."""

    def trying_again(self) -> None:
        """Ignore."""

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """Ignore."""

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Ignore."""

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        """Ignore."""

    def step_finished(self, outcome: StepOutcome) -> None:
        """Ignore."""
