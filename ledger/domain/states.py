"""What a rollout and each of its databases are at one position of the log; frozen values.

The diagrams are in `ledger.domain.rollout`, which folds events into these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from ledger.contracts.events import RolloutPlanned
from ledger.contracts.reports import BatchProgressed
from migrations.model.attempt import Failure, Mode, Resolution


class Status(StrEnum):
    """What a rollout does now."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    COMPLETED = "completed"
    ABORTED = "aborted"


ENDED = frozenset({Status.COMPLETED, Status.ABORTED})
"""A rollout in one of these orders nothing more."""


class DatabaseStatus(StrEnum):
    """How far a rollout is on one database. In one that goes back, `applied` means: undone."""

    PENDING = "pending"
    """Never worked on: nothing of this rollout's is in its journal."""
    UNFINISHED = "unfinished"
    """Worked on and cut short, or perhaps: its journal knows what it has; an attempt follows."""
    ORDERED = "ordered"
    RUNNING = "running"
    APPLIED = "applied"
    FAILED = "failed"
    BLOCKED = "blocked"
    """In doubt: no probe could settle a step, a person has to (`ledger resolve`)."""
    SKIPPED = "skipped"
    """Nothing was to be done there, or the fleet left the database out."""
    UNKNOWN = "unknown"
    """An order went unanswered past its deadline; the journal is asked."""

    __hash__ = str.__hash__
    """A fold counts by status; an enum's own hash is a call, and not that of its text."""


# Looked up once: a member of an enum costs more than what it is compared with.
_UNKNOWN, _BLOCKED = DatabaseStatus.UNKNOWN, DatabaseStatus.BLOCKED
_FAILED, _PENDING = DatabaseStatus.FAILED, DatabaseStatus.PENDING

SETTLED = frozenset({DatabaseStatus.APPLIED, DatabaseStatus.FAILED, DatabaseStatus.SKIPPED})
"""A database in one of these is finished with, unless a person asks for more."""
WELL = frozenset({DatabaseStatus.APPLIED, DatabaseStatus.SKIPPED})
"""Settled without a failure, if it was not left out."""


TROUBLED = (
    DatabaseStatus.FAILED,
    DatabaseStatus.UNFINISHED,
    DatabaseStatus.ORDERED,
    DatabaseStatus.RUNNING,
    DatabaseStatus.UNKNOWN,
    DatabaseStatus.BLOCKED,
)
"""It failed, was cut short, or an outcome is owed: these are shown, and asked about, by name."""


class _DatabaseFields(NamedTuple):
    """One database of a rollout. A named tuple: cheap to copy, which a fold does per event.

    `ordered_position` is the log position of its latest order, `settled_position` that of what
    settled it. `changed` are the versions that this rollout has in force there, oldest first, or,
    going back, those that it has undone.
    `open` says that its latest order is unanswered, `again` that it waits for a new attempt,
    `answered` that the latest attempt has its last word. `head` is the journal's head in that word.
    `fruitless` counts the attempts in a row that came to nothing (`ledger.domain.patience`): the
    next one is due at `again_at`, and was put off at `waits_since`.
    `told` is how many changes that last word counts, of which single reports may be missing.
    `begun` says that an attempt may have left something in its journal, done or half done.
    `inspections` counts all looks at it, `looks` those since it became unknown.
    """

    database: str
    wave: int
    status: DatabaseStatus = DatabaseStatus.PENDING
    pool: str = ""
    attempt: int = 0
    mode: Mode | None = None
    command: UUID | None = None
    open: bool = False
    again: bool = False
    again_at: datetime | None = None
    waits_since: datetime | None = None
    fruitless: int = 0
    last_try: bool = False
    started: bool = False
    answered: bool = False
    told: int = 0
    begun: bool = False
    ordered_position: int = 0
    ordered_at: datetime | None = None
    expires_at: datetime | None = None
    deadline_at: datetime | None = None
    changed: tuple[str, ...] = ()
    head: str | None = None
    failure: Failure | None = None
    settled_position: int = 0
    forgiven: bool = False
    """Whether this failure was known when a person resumed the halted rollout."""
    resolutions: tuple[Resolution, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    """What it has for itself of the variables, as planned."""
    progress: BatchProgressed | None = None
    """How far a data migration was, by whichever attempt said so last."""
    cancelled: tuple[str, ...] = ()
    """Who stood in its way and was cancelled, by whichever attempt; the last few."""
    committed: tuple[int, int] = (0, 0)
    """Rows and batches of a data migration that the latest attempt has not brought to its end."""
    inspection: UUID | None = None
    inspections: int = 0
    looks: int = 0
    look_at: datetime | None = None
    inspected_at: datetime | None = None


class DatabaseState(_DatabaseFields):
    """One database of a rollout at one position of the log; what its fields say is told there."""

    __slots__ = ()

    def _replace(self, /, **changes: Any) -> DatabaseState:
        """The same with other values, in half the time of what a named tuple brings along."""
        values = [*self]
        for name, value in changes.items():
            values[_INDEX[name]] = value
        return tuple.__new__(DatabaseState, values)

    def in_doubt(self, now: datetime) -> DatabaseState:
        """The same database, whose journal is to be asked from `now` on what became of it."""
        return self._replace(
            status=_UNKNOWN,
            open=False,
            again=False,
            again_at=None,
            waits_since=None,
            inspection=None,
            looks=0,
            look_at=now,
        )

    @property
    def active(self) -> bool:
        """Whether nobody can say yet how its latest attempt ended."""
        return self.open or self.status is _UNKNOWN or self.status is _BLOCKED

    def put_off(self, now: datetime) -> bool:
        """Whether its next attempt is not due yet, because the ones before came to nothing."""
        return self.again and self.again_at is not None and self.again_at > now

    @property
    def fresh(self) -> bool:
        """Whether it is as it was planned: never ordered, left out, or asked for again."""
        return self.status is _PENDING and not self.attempt and not self.again

    @property
    def done(self) -> bool:
        """Whether it went well and nothing is owed any more, not even a single report.

        Then its number is all that a rollout's decisions need of it.
        """
        return (
            self.status in WELL
            and self.answered
            and self.failure is None
            and len(self.changed) >= self.told
            and not (self.open or self.again)
        )

    @property
    def counts(self) -> bool:
        """Whether it is a failure that the budget pays for."""
        return self.status is _FAILED and not self.forgiven

    @property
    def failing(self) -> bool:
        """Whether a failure was reported of an attempt that has not had its last word."""
        return self.open and self.failure is not None


_INDEX = {name: index for index, name in enumerate(DatabaseState._fields)}


class Wave(NamedTuple):
    """One wave: its databases in chunks of at most 1,000, and how far it is."""

    chunks: tuple[tuple[str, ...], ...] = ()
    opened: bool = False
    completed: bool = False

    @property
    def size(self) -> int:
        """How many databases it holds."""
        return sum(len(chunk) for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout at one position of the log.

    `version` is the decisions stream's version, to append at; `position` the last one folded.
    `undone_by` are the rollouts that took it back, or take it back now, the latest last. Databases
    are kept per chunk, and what `progress` needs is kept beside them, so that it never walks the
    fleet: `counts` per wave and status, `active` (an outcome is owed), `again` (a new attempt is
    owed), `failures`, `counted` (failures that the budget pays for), `failing` (databases whose
    attempt has reported a failure and not ended), `ordered` (databases ever ordered).
    `cursor` is the place in the open wave before which nothing is pending for the first time.
    `doubted` are the databases of which two reports claim two effects, with the position of the
    second, since a person last let the rollout go on. `retried` are those that a person has had
    tried again since it last halted, `retried_at` is where that ended the halt.

    One that decides and does not show may let go of databases that are `done`: they are counted,
    and part of it, and no chunk has them (`ledger.domain.rollout.fold`).
    """

    plan: RolloutPlanned
    status: Status
    version: int
    position: int
    planned_at: datetime
    undone_by: tuple[str, ...] = ()
    cancel: bool = False
    why: str = ""
    wave: int = -1
    waves: tuple[Wave, ...] = ()
    chunks: tuple[Mapping[str, DatabaseState], ...] = ()
    where: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[tuple[int, DatabaseStatus], int] = field(default_factory=dict)
    active: Mapping[str, None] = field(default_factory=dict)
    again: Mapping[str, None] = field(default_factory=dict)
    failures: Mapping[str, None] = field(default_factory=dict)
    counted: int = 0
    failing: int = 0
    ordered: int = 0
    cursor: tuple[int, int] = (0, 0)
    doubted: Mapping[str, int] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()
    retried_at: int = 0

    @property
    def rollout(self) -> str:
        """The rollout's id."""
        return self.plan.rollout

    @property
    def goes_back(self) -> bool:
        """Whether it takes back what another rollout applied."""
        return self.plan.undoes is not None

    @property
    def stream(self) -> str:
        """The stream of its decisions."""
        return f"rollout-{self.plan.rollout}"

    @property
    def total(self) -> int:
        """How many databases its waves hold."""
        return self.plan.databases

    def __contains__(self, database: str) -> bool:
        return database in self.where

    def database(self, database: str) -> DatabaseState:
        """The state of one database; `KeyError` when it is no part of the rollout."""
        return self.chunks[self.where[database]][database]

    def get(self, database: str) -> DatabaseState | None:
        """The same; `None` when it is no part of the rollout, or was let go of."""
        number = self.where.get(database)
        return None if number is None else self.chunks[number].get(database)

    def databases(self) -> Iterator[DatabaseState]:
        """All databases, wave by wave."""
        for chunk in self.chunks:
            yield from chunk.values()

    def count(self, status: DatabaseStatus, wave: int | None = None) -> int:
        """How many databases, of one wave or of all, have this status."""
        if wave is not None:
            return self.counts.get((wave, status), 0)
        return sum(self.counts.get((number, status), 0) for number in range(len(self.waves)))

    def unsettled(self, wave: int) -> int:
        """How many databases of a wave have no outcome yet."""
        return self.waves[wave].size - sum(self.count(status, wave) for status in SETTLED)
