"""What is decided about a rollout: the streams `rollout-<id>`.

Who writes and who reads each: `ops/manual/reference/events.md`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.contracts.registry import (
    BigCount,
    Count,
    DatabaseValues,
    KeptConnection,
    LongSeconds,
    Name,
    Percentage,
    Sha256,
    Step,
    Variable,
    WaveCount,
    WireValue,
)
from ledger.contracts.reports import Event
from ledger.contracts.streams import Author, Stream
from migrations.model.attempt import Adoption, Expectation, Limits, Mode, Resolution


class WhenSpent(StrEnum):
    """What a rollout does when its failure budget is spent."""

    HALT = "halt"
    ROLLBACK = "rollback"


class Budget(WireValue):
    """How many databases may fail: a count, or a share of the rollout's databases in percent."""

    count: Count | None = None
    percent: Percentage | None = None


class PlanOptions(WireValue):
    """How a rollout goes, as people choose it: how fast, how far it may fail, how patient it is.

    The one spelling of these: asked for, planned and recorded. A field with the name of a setting
    or of a flag takes its value from there. `expiry_s` limits starting an order, `deadline_s`
    answering it.
    """

    wave_spec: str
    in_flight: Count
    budget: Budget
    when_spent: WhenSpent
    limits: Limits
    expiry_s: LongSeconds
    deadline_s: LongSeconds
    out_of_order: bool = False
    """Leave to apply what comes before something that a database has already."""


class RolloutPlanned(Event, PlanOptions, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """A set of migrations is to travel across these databases, in waves, within these limits.

    `mode` is `up`, `down` or `adopt`, or `rollback` of the rollout that it `undoes`.
    `fleet_position` is the log position at which the selection was pinned. `databases` and `waves`
    count what the WavePlanned events that follow will name.
    """

    rollout: Name
    mode: Mode
    bundle: Sha256
    steps: tuple[Step, ...]
    selection: str
    fleet_position: BigCount
    databases: Count
    waves: WaveCount
    adoption: Adoption | None = None
    """What `adopt` rests on."""
    variables: tuple[Variable, ...] = ()
    """What the migrations' placeholders stand for, by name, sorted; only those that they use."""
    digest: Sha256 | None = None
    """Of this plan and its waves: what was shown, and what an approval binds."""
    undoes: Name | None = None
    """The rollout whose doings it takes back, exactly where that one ran."""
    history: Name = ""
    """What the history is called that its migrations belong to."""


class WavePlanned(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """These databases (at most 1,000) belong to this wave; a large wave has several of these.

    `values` are those that a database has for itself: of its labels when the rollout was planned,
    or those that its migrations were once applied with.
    """

    rollout: Name
    wave: WaveCount
    chunk: Count
    databases: tuple[Name, ...]
    values: tuple[DatabaseValues, ...] = ()


class RolloutStarted(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """The rollout may order from now on."""

    rollout: Name


class WaveOpened(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """The databases of this wave may be ordered from now on."""

    rollout: Name
    wave: WaveCount


class MigrationOrdered(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """A database was ordered to run the rollout's migrations: one attempt, all that it needs.

    The order's epoch is (`term`, the log position of this event). `expires_at` limits starting;
    a command unanswered at `deadline_at` becomes unknown. `steps` run in the order given. If the
    `last_try` comes to nothing (expired, refused for a clock, taken back), the database has failed.
    With the mode `rollback`, what the rollout `undoes` applied there is taken back.
    """

    rollout: Name
    database: Name
    pool: Name
    wave: WaveCount
    attempt: Count
    command: UUID
    term: BigCount
    bundle: Sha256
    mode: Mode
    steps: tuple[Step, ...]
    connection: KeptConnection
    expected: Expectation
    limits: Limits
    expires_at: datetime
    deadline_at: datetime
    resolutions: tuple[Resolution, ...] = ()
    adoption: Adoption | None = None
    out_of_order: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    """What the migrations' placeholders stand for in this database, by name, sorted."""
    last_try: bool = False
    undoes: Name | None = None
    history: Name = ""
    """What the history is called that the migrations belong to."""


class DatabaseLeftOut(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """A database of the rollout gets no order now, because the fleet suspended or retired it."""

    rollout: Name
    database: Name
    why: str


class WaveCompleted(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """Every database of this wave has an outcome."""

    rollout: Name
    wave: WaveCount


class RolloutPaused(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """No new orders; what runs finishes."""

    rollout: Name


class RolloutResumed(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """A paused or halted rollout orders again; the failures behind a halt are accepted."""

    rollout: Name


class RolloutHalted(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """The rollout stopped itself; `evidence` are the positions of the events that made it."""

    rollout: Name
    why: str
    evidence: tuple[int, ...] = ()


class RetryRequested(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """A person asked for a new attempt on these databases of the rollout.

    That ends a halt and forgives nobody: what failed besides counts as before.
    """

    rollout: Name
    databases: tuple[Name, ...]


class UndoStarted(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """Another rollout takes back what this one applied; this one, if it had not, ends by that.

    `by` is that rollout, planned and started in the same append; `why` names the policy or the
    person.
    """

    rollout: Name
    by: Name
    why: str


class RolloutCompleted(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """Every wave is completed and the failures are within the budget.

    Going back, `applied` counts the databases where something was undone, and `skipped` those where
    nothing was to be.
    """

    rollout: Name
    applied: Count
    skipped: Count
    failed: Count


class RolloutAborted(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """The rollout ended where it stands; with `cancel`, what ran was asked to stop."""

    rollout: Name
    cancel: bool


class AttemptTimedOut(Event, streams=(Stream.ROLLOUT,), author=Author.LEDGER):
    """An order's deadline passed without an answer: the database's state is unknown."""

    rollout: Name
    database: Name
    attempt: Count
    command: UUID


class OutcomeResolved(Event, streams=(Stream.ROLLOUT,), author=Author.PERSON):
    """A person settled what no probe could: this migration is, or is not, applied there."""

    rollout: Name
    database: Name
    version: Name
    applied: bool
