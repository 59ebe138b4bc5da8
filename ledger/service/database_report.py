"""Everything that the ledger knows of one database, for whoever asks about that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    DatabaseFenceReset,
    DatabaseReinstated,
    DatabaseRepointed,
    MigrationOrdered,
    OutcomeResolved,
    Purpose,
)
from ledger.contracts.reports import AttemptFinished, DatabaseIdentified, DatabaseInspected
from ledger.domain.check_results import ACCEPTED, SHARED_LOGIN, lost, problem, unseen
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.refusals import UnknownDatabase
from ledger.domain.selection_words import SelectedWord
from ledger.domain.wording import failure_text, reads_journal
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.fleet_overview import DatabaseOverview
from ledger.service.fleet_status import StatusService
from ledger.store.log.decode import read
from ledger.store.log.history import Timelines
from ledger.store.port import Log, LookStore
from ledger.store.views.port import Views
from ledger.store.views.rows import AppliedRow, FleetRow
from migrations.likeness import nearest

IN_FORCE = frozenset({"applied", "rollback_failed"})
"""States of a migration that is in a database."""
SETTLED = frozenset({"applied", "rolled_back", "not_applied"})
"""States that need nobody."""
STATES = {
    "failed": "failed, and was undone as far as its kind allows",
    "rollback_failed": "could not be taken back, and is in force",
    "unknown": "has an outcome that is not known yet",
    "regressed": "was applied, and the journal has lost it",
}
"""What the other states mean, behind the migration's version."""
CHANGING = (
    DatabaseFenceReset,
    DatabaseReinstated,
    DatabaseRepointed,
    MigrationOrdered,
    DatabaseIdentified,
    AttemptFinished,
    OutcomeResolved,
)
"""What changes a database, or what is known of it, and so what a look would find or mean. Labels
are no part of that: the one that counts for what a look means is held against it as it is now."""


class FoundAnswer(NamedTuple):
    """What a look found, when, and where the log was then."""

    answer: DatabaseInspected
    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """How the latest attempt in a database ended; `failure` without tenant data."""

    rollout: str
    mode: str
    verdict: str
    changed: int
    at: datetime
    failure: str | None


@dataclass(frozen=True, slots=True)
class LastLook:
    """What was found when somebody looked; `problem` says what is wrong, with what to do.

    A look that is `overtaken` is older than the last change of the database, or of what is known
    of it. It cannot be judged by what is known today: its problem only says if nothing was seen.
    """

    at: datetime
    reachable: bool
    tls: bool | None
    journal_head: str | None
    problem: str | None
    overtaken: bool


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """One database: as it is registered, what it has, what happened last, what needs somebody."""

    record: DatabaseRecord
    server_version: int | None
    registered_at: datetime
    registered_by: str
    overview: DatabaseOverview
    applied: tuple[str, ...]
    attempt: LastAttempt | None
    look: LastLook | None
    notes: tuple[str, ...]


class DatabaseReports:
    """Reports on single databases, from the read models and the log."""

    def __init__(
        self,
        log: Log,
        reads: Views,
        looks: LookStore,
        status: StatusService,
        timelines: Timelines,
    ) -> None:
        self._log = log
        self._reads = reads
        self._looks = looks
        self._status = status
        self._timelines = timelines

    async def report(self, database: str) -> DatabaseReport:
        """What is known of a database, also of one that left. Raises `UnknownDatabase`."""
        await as_near_as_may_be(self._reads, self._log)
        rows = await self._reads.fleet([database])
        if not rows:
            near = await self._reads.near(SelectedWord("id", database), retired=True)
            raise UnknownDatabase(database, nearest(database, near))
        (overview,) = (await self._status.overview(f"id={database}")).databases
        applied = await self._reads.applied([database])
        types = [one.__name__ for one in (DatabaseInspected, *CHANGING)]
        latest = await self._timelines.latest_of(database, types)
        changed = max(
            (one.position for one in latest if isinstance(one.event, CHANGING)), default=0
        )
        attempt, look, answer = None, None, None
        found = await self._latest_look(database, latest)
        if found is not None:
            answer = found.answer
            look = _look(rows[0], found, applied, changed)
        for recorded in latest:
            if isinstance(recorded.event, AttemptFinished):
                attempt = _attempt(recorded, recorded.event)
        in_force = tuple(one.version for one in applied if one.state in IN_FORCE)
        if overview.newest is None and in_force:
            # Of one that left the fleet nothing is held against its folder any more.
            overview = replace(overview, newest=in_force[-1])
        return DatabaseReport(
            record=rows[0].record,
            server_version=rows[0].server_version,
            registered_at=rows[0].registered_at,
            registered_by=rows[0].registered_by,
            overview=overview,
            applied=in_force,
            attempt=attempt,
            look=look,
            notes=_notes(rows[0], overview, applied, answer, look),
        )

    async def _latest_look(self, database: str, latest: Sequence[Recorded]) -> FoundAnswer | None:
        """What the last look found: of a rollout's the log tells, of a check's what was kept."""
        told = [
            FoundAnswer(one.event, one.position, one.recorded_at)
            for one in latest
            if isinstance(one.event, DatabaseInspected)
        ]
        kept = (await self._looks.latest([database])).get(database)
        if kept is not None:
            answer = read(DatabaseInspected.__name__, kept.schema_version, kept.body)
            if isinstance(answer, DatabaseInspected):
                told.append(FoundAnswer(answer, kept.position, kept.answered_at))
        return max(told, key=lambda one: one.position, default=None)


def _attempt(recorded: Recorded, end: AttemptFinished) -> LastAttempt:
    return LastAttempt(
        rollout=recorded.stream.removeprefix("rollout-").removesuffix("/reports"),
        mode=end.mode.value,
        verdict=end.verdict.value,
        changed=end.changed,
        at=recorded.recorded_at,
        failure=failure_text(end.failure) if end.failure else None,
    )


def _look(
    row: FleetRow, found: FoundAnswer, applied: Sequence[AppliedRow], changed: int
) -> LastLook:
    """The look as it can be judged now, when the last change came into the log at `changed`."""
    overtaken, answer = found.position < changed, found.answer
    return LastLook(
        at=found.at,
        reachable=answer.reachable,
        tls=answer.tls,
        journal_head=answer.journal_head,
        problem=unseen(answer) if overtaken else _problem(row, answer, applied, found.position),
        overtaken=overtaken,
    )


def _problem(
    row: FleetRow, answer: DatabaseInspected, applied: Sequence[AppliedRow], looked: int
) -> str | None:
    """What was wrong there, by what was in force when somebody looked."""
    record = row.record
    before = [one.version for one in applied if one.state in IN_FORCE and one.position < looked]
    known = record.expected.identity
    return problem(
        answer,
        known,
        None,
        lost(Purpose.CHECK, answer, before, known),
        record.connection.role,
        shared_login=record.labels.get(SHARED_LOGIN) == ACCEPTED,
    )


def _notes(
    row: FleetRow,
    overview: DatabaseOverview,
    applied: Sequence[AppliedRow],
    answer: DatabaseInspected | None,
    look: LastLook | None,
) -> tuple[str, ...]:
    """What is half done, in doubt or not as it should be, each with what to do."""
    notes = []
    database = overview.database
    if overview.unread:
        notes.append(
            "its journal was not read since it was reinstated or moved; an agent does it; "
            f"{reads_journal(database)}"
        )
    if overview.rollout is not None:
        why = f"`ledger rollout status {overview.rollout}` says what it waits for"
        notes.append(f"it is part of rollout {overview.rollout}, which is unfinished; {why}")
    if row.record.unanswered:
        notes.append("an order to it has no answer yet, so its journal may be further than this")
    for one in applied:
        if one.state not in SETTLED:
            notes.append(f"migration {one.version} {STATES.get(one.state, one.state)}")
        elif one.outside and one.state in IN_FORCE:
            notes.append(f"migration {one.version} was not applied by a rollout of this ledger")
    for rollout in answer.unfinished if answer and look and not look.overtaken else ():
        notes.append(f"something of rollout {rollout} was begun in it and not finished")
    if answer is None:
        notes.append(f"nobody has looked at it; `ledger fleet check -s id={database}` does")
    return tuple(notes)
