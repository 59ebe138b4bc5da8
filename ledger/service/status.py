"""Where a rollout is, in the words of the command line and of its JSON forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    RolloutAborted,
    RolloutCompleted,
    RolloutStarted,
    UndoStarted,
)
from ledger.domain import budget
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.remedies import another_attempt
from ledger.domain.rollout import DatabaseState, DatabaseStatus, RolloutState
from ledger.domain.surroundings import Surroundings
from ledger.domain.tally import Tally, tally
from ledger.domain.waiting import FOR_ALL, Reason, WaitReason, waiting
from ledger.domain.wording import failure_text
from ledger.store.views.rows import RolloutRow
from migrations.backfill.progress import committed_text, progress_text

_DONE = (DatabaseStatus.APPLIED, DatabaseStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class WaveStatus:
    """One wave, numbered from 0; `counts` are its databases by status."""

    wave: int
    size: int
    opened: bool
    completed: bool
    counts: Mapping[str, int]

    @property
    def tally(self) -> Tally:
        """Its databases, counted."""
        return Tally(self.counts)


@dataclass(frozen=True, slots=True)
class DatabaseLine:
    """One database; `problem` is its latest failure, `helps` a command for what it waits for.

    `progress` is how far a data migration is, while one runs. It waits `since` then, and `until`
    then nothing changes by itself, where that is known.
    """

    database: str
    wave: int
    status: str
    attempt: int
    problem: str = ""
    waits_for: str = ""
    helps: str = ""
    progress: str = ""
    cancelled: tuple[str, ...] = ()
    """Who stood in its way and was cancelled by its agent."""
    reason: Reason | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def wait(self) -> str:
        """Tells a wait from another one; of what holds it up, the next try changes all the time."""
        if self.reason is Reason.HELD_UP and self.since is not None:
            return f"{self.reason} since {self.since.isoformat()}"
        return self.waits_for


@dataclass(frozen=True, slots=True)
class DatabaseGroup:
    """Databases of a rollout in one state for one reason; some are named.

    `problem`, `waits_for` and `helps` are as in `DatabaseLine`, of the first one.
    """

    status: str
    databases: int
    examples: tuple[str, ...] = ()
    problem: str = ""
    waits_for: str = ""
    helps: str = ""
    accepted: bool = False
    """Whether a person let these failures pass."""
    progress: str = ""
    """What is committed of data migrations that did not end there, in all."""
    reason: Reason | None = None
    """What the first one waits for."""

    def document(self) -> dict[str, Any]:
        """The group for the JSON forms."""
        return {
            "status": self.status,
            "databases": self.databases,
            "examples": list(self.examples),
            "accepted": self.accepted,
            "problem": self.problem,
            "progress": self.progress,
            "waits_for": self.waits_for,
            "try": self.helps,
        }


@dataclass(frozen=True, slots=True)
class RolloutOrigin:
    """Who asked for a rollout and why, and when it was what; `name` is whom a program told."""

    by: str
    name: str | None
    reason: str | None
    ticket: str | None
    planned_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout with its databases, wave by wave: all of them, or those that were wanted."""

    rollout: str
    status: str
    mode: str
    why: str
    waves: tuple[WaveStatus, ...]
    counts: Mapping[str, int]
    databases: tuple[DatabaseLine, ...]
    digest: str | None = None
    """Of its plan."""
    more: int = 0
    """Further databases that need attention, or wait; where only some are wanted."""
    undoes: str | None = None
    undone_by: str | None = None
    """The latest rollout that took it back, or takes it back now."""
    versions: tuple[str, ...] = ()
    """Its migrations, in the order in which they run."""
    in_flight: int = 0
    """How many databases may be at work at once."""
    allowed: int = 0
    """How many failures its budget bears."""
    cancelled: int = 0
    """In how many databases agents have cancelled what others ran."""
    used: int | None = None
    """How many failures the budget has paid for, where that was counted."""
    origin: RolloutOrigin | None = None
    groups: tuple[DatabaseGroup, ...] | None = None
    """All databases that are not settled well, by state and reason; where that was wanted."""

    @property
    def tally(self) -> Tally:
        """Its databases, counted."""
        return Tally(self.counts)

    @property
    def stands_still(self) -> bool:
        """Whether nobody moves any of its databases now, so that no pace of before goes on."""
        reasons = {one.reason for one in self.databases}
        reasons |= {one.reason for one in self.groups or ()}
        return not reasons.isdisjoint(FOR_ALL)

    def document(self) -> dict[str, Any]:
        """The rollout without its databases, for the JSON forms."""
        groups = {"groups": [group.document() for group in self.groups or ()]}
        return {
            "rollout": self.rollout,
            "status": self.status,
            "mode": self.mode,
            "digest": self.digest,
            "undoes": self.undoes,
            "undone_by": self.undone_by,
            "why": self.why,
            "migrations": list(self.versions),
            **self._told_of_origin(),
            "budget": {"allowed": self.allowed, "used": self.used},
            "in_flight": {"limit": self.in_flight, "now": self.tally.in_flight},
            "counts": dict(self.counts),
            "waves": [
                {
                    "wave": wave.wave + 1,
                    "size": wave.size,
                    "opened": wave.opened,
                    "completed": wave.completed,
                    "counts": dict(wave.counts),
                }
                for wave in self.waves
            ],
            **(groups if self.groups is not None else {}),
        }

    def _told_of_origin(self) -> dict[str, Any]:
        origin = self.origin
        return {
            "by": origin.by if origin else None,
            "who": origin.name if origin else None,
            "reason": origin.reason if origin else None,
            "ticket": origin.ticket if origin else None,
            "planned_at": origin.planned_at if origin else None,
            "started_at": origin.started_at if origin else None,
            "ended_at": origin.ended_at if origin else None,
        }


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """One line of the list of rollouts; `counts` are its databases by status.

    `planned_position` is where the list goes on from.
    """

    rollout: str
    status: str
    mode: str
    bundle: str
    versions: tuple[str, ...]
    selection: str
    databases: int
    waves: int
    counts: Mapping[str, int]
    planned_position: int
    planned_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    planned_by: str
    reason: str | None
    ticket: str | None
    why: str | None
    undoes: str | None = None
    undone_by: str | None = None

    @property
    def tally(self) -> Tally:
        """Its databases, counted."""
        return Tally(self.counts)


def summary_of(row: RolloutRow) -> RolloutSummary:
    """What the list has of a rollout."""
    return RolloutSummary(
        rollout=row.rollout,
        status=row.status,
        mode=row.mode,
        bundle=row.bundle,
        versions=tuple(step.version for step in row.steps),
        selection=row.selection,
        databases=row.databases,
        waves=row.waves,
        counts=tally(row.counts).counts,
        planned_position=row.planned_position,
        planned_at=row.planned_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        planned_by=row.planned_by,
        reason=row.reason,
        ticket=row.ticket,
        why=row.why,
        undoes=row.undoes,
        undone_by=row.undone_by,
    )


def status_of(state: RolloutState, surroundings: Surroundings) -> RolloutStatus:
    """The rollout's state with what each unfinished database waits for."""
    counts = {(wave, status.value): number for (wave, status), number in state.counts.items()}
    return replace(headed(state, counts), databases=lines_of(state, surroundings))


def headed(state: RolloutState, counts: Mapping[tuple[int, str], int]) -> RolloutStatus:
    """The rollout and its waves, by the numbers of databases per (wave, status); no databases."""
    waves = []
    for number, wave in enumerate(state.waves):
        found = tally(counts, number)
        waves.append(WaveStatus(number, found.total, wave.opened, wave.completed, found.counts))
    return RolloutStatus(
        rollout=state.rollout,
        status=state.status.value,
        mode=state.plan.mode.value,
        why=state.why,
        waves=tuple(waves),
        counts=tally(counts).counts,
        databases=(),
        digest=state.plan.digest,
        undoes=state.plan.undoes,
        undone_by=state.undone_by[-1] if state.undone_by else None,
        versions=tuple(step.version for step in state.plan.steps),
        in_flight=state.plan.in_flight,
        allowed=budget.allowed(state.total, state.plan.budget),
    )


def origin_of(events: Sequence[Recorded]) -> RolloutOrigin:
    """Where a rollout comes from, by its plan and its turns."""
    planned, said = events[0], events[0].metadata
    started: datetime | None = None
    ended: datetime | None = None
    for one in events:
        if isinstance(one.event, RolloutStarted):
            started = one.recorded_at
        elif isinstance(one.event, RolloutCompleted | RolloutAborted | UndoStarted):
            ended = ended or one.recorded_at
    return RolloutOrigin(
        by=planned.recorded_by,
        name=said.actor.name if said.actor else None,
        reason=said.reason,
        ticket=said.ticket,
        planned_at=planned.recorded_at,
        started_at=started,
        ended_at=ended,
    )


def lines_of(state: RolloutState, surroundings: Surroundings) -> tuple[DatabaseLine, ...]:
    """Every database that `state` holds, and what it waits for if it is unfinished."""
    waits = {one.database: one for one in waiting(state, surroundings)}
    return tuple(
        _line(state, one, waits.get(one.database), surroundings.records)
        for one in state.databases()
    )


def _line(
    state: RolloutState,
    database: DatabaseState,
    waits: WaitReason | None,
    records: Mapping[str, DatabaseRecord],
) -> DatabaseLine:
    failure = database.failure
    helps = (waits.command if waits else None) or another_attempt(state, database, records)
    return DatabaseLine(
        database=database.database,
        wave=database.wave,
        status=database.status.value,
        attempt=database.attempt,
        problem=failure_text(failure) if failure else "",
        waits_for=waits.text if waits else "",
        helps=helps or "",
        progress=_progress(state, database),
        cancelled=database.cancelled,
        reason=waits.reason if waits else None,
        since=waits.since if waits else None,
        until=waits.until if waits else None,
    )


def _progress(state: RolloutState, database: DatabaseState) -> str:
    """`41 % · 410,000 of ~1,000,000 · 2 min left` of a data migration that runs.

    Of one that did not end, what of it is committed; nothing of one that was taken back since.
    """
    said = database.progress
    rows, batches = database.committed
    if said is not None and database.open and said.command == database.command:
        return progress_text(said.rows, said.total, said.left_s)
    total = None
    if said is not None and said.version not in database.changed:
        # An attempt that was killed has said how far it was, and no last word.
        rows, batches = max((rows, batches), (said.rows, said.batches))
        total = said.total
    if not batches or state.undone_by or database.status in _DONE:
        return ""
    return committed_text(rows, batches, total)
