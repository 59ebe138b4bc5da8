"""Histories that could have happened: from arbitrary moves to events in their streams.

A move is a few numbers. What cannot happen now is left out (an order before a plan, a report whose
id the log has), and everything else is allowed: reports late, out of turn, on attempts given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import command_id, inspection_id, report_id
from ledger.contracts.registry import Connection, MigrationRef, Step
from migrations.model.attempt import (
    AdoptedMigration,
    Expectation,
    Failure,
    FailureClass,
    HalfDone,
    Identity,
    Limits,
    Mode,
    Rights,
    Verdict,
)
from migrations.model.preflight import CheckBounds, PreflightCheck, judged

Move = tuple[int, int, int, int]
"""Which event, and three choices for it."""
Placed = tuple[str, r.Event]
"""The stream and the event."""

MOMENT = datetime(2026, 11, 23, 12, tzinfo=UTC)
VERSIONS = ("20260101", "20260102", "20260103")
VERDICTS = tuple(Verdict)
CHECKSUM = "c" * 64


@dataclass(frozen=True, slots=True)
class Order:
    """A command that was given."""

    command: UUID
    rollout: str
    database: str
    mode: Mode
    attempt: int


@dataclass(slots=True)
class Story:
    """What has happened so far, as far as the next event needs it."""

    name: str
    databases: list[str] = field(default_factory=list)
    rollouts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    looks: list[tuple[str, str, UUID]] = field(default_factory=list)
    reported: set[UUID] = field(default_factory=set)
    counter: int = 0

    def tell(self, moves: Sequence[Move]) -> Iterator[Placed]:
        """The events of these moves."""
        for kind, *choices in moves:
            for stream, event in MOVES[kind % len(MOVES)](self, *choices):
                if not isinstance(event, r.Report) or self._is_new(event):
                    yield stream, event

    def _is_new(self, report: r.Report) -> bool:
        """Not sent before; it may well come after the last word on its command."""
        if report_id(report) in self.reported:
            return False
        self.reported.add(report_id(report))
        return True

    def number(self) -> int:
        """A number that was not used yet."""
        self.counter += 1
        return self.counter


def registered(story: Story, a: int, b: int, c: int) -> list[Placed]:
    name = f"{story.name}-db-{story.number()}"
    story.databases.append(name)
    event = e.DatabaseRegistered(
        database=name, pool="main", connection=connection(a), labels={"tier": str(b)}
    )
    return [("fleet", event)]


def changed_in_the_fleet(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.databases:
        return []
    database = story.databases[a % len(story.databases)]
    events: tuple[r.Event, ...] = (
        e.DatabaseRelabelled(database=database, labels={"tier": str(c)}),
        e.DatabaseRepointed(database=database, pool="other", connection=connection(c)),
        e.DatabaseSuspended(database=database),
        e.DatabaseReinstated(database=database),
        e.DatabaseRetired(database=database),
        e.MigrationRegressed(database=database, version=version(c), command=UUID(int=c)),
        e.FactRecorded(
            database=database,
            fact=("backup", "other")[c % 2],
            at=datetime(2026, 4, 1 + c % 28, tzinfo=UTC),
        ),
    )
    return [("fleet", events[b % len(events)])]


def bundle_registered(story: Story, a: int, b: int, c: int) -> list[Placed]:
    refs = tuple(
        MigrationRef(
            version=known,
            name="change",
            format="migrate",
            up_checksum=CHECKSUM,
            down_checksum=None,
            has_verify=False,
            transactional=True,
            files=(),
        )
        for known in VERSIONS
    )
    digest = f"{story.number():064x}"
    return [("bundles", e.BundleRegistered(bundle=digest, migrations=refs, source="migrations"))]


def planned(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.databases:
        return []
    rollout = f"{story.name}-r{story.number()}"
    chosen = tuple(dict.fromkeys(story.databases[: 1 + a % len(story.databases)]))
    story.rollouts[rollout] = chosen
    plan = e.RolloutPlanned(
        rollout=rollout,
        mode=(Mode.DOWN, Mode.UP, Mode.ROLLBACK, Mode.UP)[b % 4],
        undoes="s0" if b % 4 == 2 else None,
        bundle="a" * 64,
        steps=tuple(Step(version=known, checksum=CHECKSUM) for known in VERSIONS[: 1 + c % 2]),
        selection="all",
        fleet_position=0,
        databases=len(chosen),
        waves=1,
        wave_spec="rest",
        in_flight=4,
        budget=e.Budget(count=b),
        when_spent=e.WhenSpent.HALT,
        limits=Limits(),
        expiry_s=60.0,
        deadline_s=600.0,
    )
    wave = e.WavePlanned(rollout=rollout, wave=0, chunk=0, databases=chosen)
    opened = e.WaveOpened(rollout=rollout, wave=0)
    started = e.RolloutStarted(rollout=rollout)
    return [(f"rollout-{rollout}", event) for event in (plan, wave, started, opened)]


def steered(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.rollouts:
        return []
    rollout = list(story.rollouts)[a % len(story.rollouts)]
    events: tuple[r.Event, ...] = (
        e.RolloutPaused(rollout=rollout),
        e.RolloutResumed(rollout=rollout),
        e.RolloutHalted(rollout=rollout, why=f"{c} failed"),
        e.UndoStarted(rollout=rollout, by=f"undo-{rollout}", why="asked"),
        e.RolloutCompleted(rollout=rollout, applied=1, skipped=0, failed=0),
        e.RolloutAborted(rollout=rollout, cancel=bool(c % 2)),
        e.WaveCompleted(rollout=rollout, wave=0),
    )
    return [(f"rollout-{rollout}", events[b % len(events)])]


def ordered(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.rollouts:
        return []
    rollout = list(story.rollouts)[a % len(story.rollouts)]
    databases = story.rollouts[rollout]
    database = databases[b % len(databases)]
    mode = (Mode.UP, Mode.UP, Mode.DOWN, Mode.ROLLBACK)[c % 4]
    attempt = story.number()
    command = command_id(rollout, database, mode.value, attempt)
    story.orders.append(Order(command, rollout, database, mode, attempt))
    event = e.MigrationOrdered(
        rollout=rollout,
        database=database,
        pool="main",
        wave=0,
        attempt=attempt,
        command=command,
        term=1,
        bundle="a" * 64,
        mode=mode,
        steps=(Step(version=VERSIONS[0], checksum=CHECKSUM),),
        connection=connection(0),
        expected=Expectation(),
        limits=Limits(),
        expires_at=MOMENT,
        deadline_at=MOMENT,
        last_try=b % 3 == 0,
    )
    return [(f"rollout-{rollout}", event)]


def retried(story: Story, a: int, b: int, c: int) -> list[Placed]:
    """Databases are asked for again at once and ordered one by one, as `rollout retry` has it."""
    if not story.rollouts:
        return []
    rollout = list(story.rollouts)[a % len(story.rollouts)]
    chosen = story.rollouts[rollout][: 1 + b]
    request = e.RetryRequested(rollout=rollout, databases=chosen)
    orders = [
        order
        for number, _ in enumerate(chosen)
        for order in ordered(story, a, number, (0, 3)[c % 2])
    ]
    return [(f"rollout-{rollout}", request), *orders]


def reported(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.orders:
        return []
    order = story.orders[-1 - a % min(len(story.orders), 6)]
    event = REPORTS[b % len(REPORTS)](order, c)
    return [(f"rollout-{order.rollout}/reports", event)]


def decided(story: Story, a: int, b: int, c: int) -> list[Placed]:
    if not story.orders:
        return []
    order = story.orders[-1 - a % min(len(story.orders), 6)]
    rollout, database = order.rollout, order.database
    events: tuple[r.Event, ...] = (
        e.AttemptTimedOut(
            rollout=rollout, database=database, attempt=order.attempt, command=order.command
        ),
        e.RetryRequested(rollout=rollout, databases=(database,)),
        e.DatabaseLeftOut(rollout=rollout, database=database, why="suspended"),
        e.OutcomeResolved(
            rollout=rollout, database=database, version=version(c), applied=bool(c % 2)
        ),
    )
    return [(f"rollout-{rollout}", events[b % len(events)])]


def looked(story: Story, a: int, b: int, c: int) -> list[Placed]:
    """A look at a database is asked for: by a check, or by a rollout."""
    if not story.databases:
        return []
    database = story.databases[a % len(story.databases)]
    number = story.number()
    rollouts = [name for name, chosen in story.rollouts.items() if database in chosen]
    if rollouts and b % 2:
        stream, purpose = f"rollout-{rollouts[c % len(rollouts)]}", e.Purpose.OUTCOME
    else:
        stream = f"check-{story.name}-{number}"
        asked = e.CheckRequested(
            check=f"{story.name}-{number}",
            purpose=(e.Purpose.CHECK, e.Purpose.REINSTATE)[c % 2],
            databases=(database,),
        )
        story.looks.append((stream, database, inspection_id(stream, database, 1)))
        return [(stream, asked)]
    command = inspection_id(stream, database, number)
    story.looks.append((stream, database, command))
    event = e.InspectionOrdered(
        stream=stream,
        database=database,
        pool="main",
        command=command,
        attempt=number,
        term=1,
        purpose=purpose,
        connection=connection(0),
        expires_at=MOMENT,
    )
    return [(stream, event)]


def seen(story: Story, a: int, b: int, c: int) -> list[Placed]:
    """A look is answered."""
    if not story.looks:
        return []
    stream, database, command = story.looks[-1 - a % min(len(story.looks), 4)]
    if b % 4 == 3 and stream.startswith("check-"):
        over = e.CheckFinished(
            check=stream.removeprefix("check-"),
            asked_by="ledger_operator",
            databases=1,
            read=0,
            unread=0,
            silent=(database,),
            changed=0,
            lost=0,
            duration_ms=c,
        )
        return [(stream, over)]
    if c % 5 == 0:
        unreachable = Failure(kind=FailureClass.UNREACHABLE, message="refused")
        event = r.DatabaseInspected(
            database=database, command=command, reachable=False, failure=unreachable
        )
        return [(f"{stream}/reports", event)]
    rollout = stream.removeprefix("rollout-") if b % 2 else ""
    entries = tuple(
        r.JournalEntry(
            version=known,
            state=("applied", "rolled_back", "failed", "started")[(b + c) % 4],
            direction="up",
            rollout=rollout,
            command=story.orders[-1].command if story.orders else command,
            checksum=CHECKSUM,
            finished_at=MOMENT,
        )
        for known in VERSIONS[: b % 3]
    )
    event = r.DatabaseInspected(
        database=database,
        command=command,
        reachable=True,
        tls=True,
        server_version=180000,
        identity=identity(c) if c % 2 else None,
        journal_head=str(c) * 8 if c % 3 else None,
        rights=Rights(create_schema=True, create_in_target=True, superuser=False),
        entries=entries,
    )
    return [(f"{stream}/reports", event)]


def finished(order: Order, c: int) -> r.AttemptFinished:
    verdict = VERDICTS[c % len(VERDICTS)]
    kinds = (FailureClass.SQL, FailureClass.IN_DOUBT, FailureClass.CLOCK, FailureClass.CLOCK)
    failure = Failure(kind=kinds[c % 4], message="no") if c % 3 else None
    return r.AttemptFinished(
        database=order.database,
        command=order.command,
        attempt=order.attempt,
        mode=order.mode,
        verdict=verdict,
        changed=c % 2,
        half_done=(None, (), (HalfDone("1", "up", "c", "r1"),))[c % 3],
        journal_head=str(c) * 8 if c % 4 else None,
        failure=None if verdict is Verdict.DONE else failure,
    )


def failed(order: Order, c: int) -> r.MigrationFailed:
    kind = (FailureClass.SQL, FailureClass.IN_DOUBT, FailureClass.VERIFY)[c % 3]
    return r.MigrationFailed(
        database=order.database,
        command=order.command,
        version=version(c),
        direction=("up", "down")[c % 2],
        checksum=CHECKSUM,
        failure=Failure(kind=kind, message="no", sqlstate="23505", line=c),
    )


REPORTS: tuple[Callable[[Order, int], r.Report], ...] = (
    lambda o, c: r.AttemptStarted(
        database=o.database, command=o.command, attempt=o.attempt, mode=o.mode
    ),
    lambda o, c: r.DatabaseIdentified(
        database=o.database,
        command=o.command,
        identity=identity(c),
        server_version=170000 + c,
        first_contact=False,
    ),
    lambda o, c: r.MigrationApplied(
        database=o.database,
        command=o.command,
        version=version(c),
        checksum=CHECKSUM,
        duration_ms=c,
        statements=1,
    ),
    lambda o, c: r.MigrationRolledBack(
        database=o.database,
        command=o.command,
        version=version(c),
        checksum=CHECKSUM,
        duration_ms=c,
        statements=1,
    ),
    lambda o, c: r.MigrationSkipped(
        database=o.database,
        command=o.command,
        version=version(c),
        direction=("up", "down")[c % 2],
        checksum=CHECKSUM,
    ),
    lambda o, c: r.HistoryAdopted(
        database=o.database,
        command=o.command,
        source="goose",
        table="public.goose_db_version",
        rows=c,
        taken=(AdoptedMigration(version=version(c), checksum=CHECKSUM),) if c % 3 else (),
        released=(version(c + 1),) if c % 2 else (),
    ),
    failed,
    lambda o, c: r.CommandRefused(
        database=o.database,
        command=o.command,
        failure=Failure(kind=FailureClass.FENCE, message="stale"),
    ),
    lambda o, c: r.BatchProgressed(
        database=o.database,
        command=o.command,
        version=version(c),
        direction=("up", "down")[c % 2],
        batches=c + 1,
        rows=c * 1000,
        total=None if c % 3 == 0 else 50_000,
        left_s=None if c % 3 == 0 else c,
    ),
    lambda o, c: r.ContentMissing(database=o.database, command=o.command, bundle=CHECKSUM),
    lambda o, c: r.OutsideChangeFound(
        database=o.database,
        command=o.command,
        version=version(c),
        direction=("up", "down")[c % 2],
        checksum=CHECKSUM,
        reason="by hand",
        by="ada",
        at=MOMENT,
    ),
    lambda o, c: r.BlockerCancelled(
        database=o.database,
        command=o.command,
        cancelled_at=MOMENT,
        migration="1_change",
        blocker=f"pid {c}",
        waited_ms=c,
        said="cancelled",
    ),
    lambda o, c: r.PreflightChecked(
        database=o.database,
        command=o.command,
        checked_at=MOMENT,
        results=(
            judged(PreflightCheck.LAG, float(c), "behind", CheckBounds(PreflightCheck.LAG, 2)),
        ),
    ),
    finished,
    finished,
)
MOVES: tuple[Callable[[Story, int, int, int], list[Placed]], ...] = (
    registered,
    changed_in_the_fleet,
    bundle_registered,
    planned,
    steered,
    ordered,
    ordered,
    reported,
    reported,
    reported,
    decided,
    looked,
    seen,
    retried,
)


def connection(number: int) -> Connection:
    """Where a database could be."""
    return Connection.at(
        host=f"db-{number}.internal", database="app", user="migrator", password="env:P"
    )


def identity(number: int) -> Identity:
    """Who a database could be."""
    return Identity(uuid=UUID(int=number), system_identifier=str(number), database_oid=number)


def version(number: int) -> str:
    """One of the versions."""
    return VERSIONS[number % len(VERSIONS)]
