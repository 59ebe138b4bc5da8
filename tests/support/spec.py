"""given / when / then over events: the rules of a rollout, written as stories.

```python
given(planned(["acme"], ["bolt"]), wave_opened(0), ordered("acme")).when(failed("acme")).then(
    failed("acme"), halted("1 of 1 database had failed by then, budget is 0")
)
```

Each of these words is a *saying*: it becomes events when the story has come so far, because an
order knows its attempt and a report its command only then. `when` appends what is said, then asks
`progress` until nothing follows. `then` compares everything since `given`, by what each event is
about (`essence`), and the story can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from ledger.contracts.events import (
    AttemptTimedOut,
    Budget,
    DatabaseLeftOut,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    RolloutStarted,
    UndoStarted,
    WaveCompleted,
    WaveOpened,
    WavePlanned,
    WhenSpent,
)
from ledger.contracts.registry import Step
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseInspected,
    Event,
    HistoryAdopted,
    JournalEntry,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
)
from ledger.domain.orders import inspection, order
from ledger.domain.rollout import DatabaseState, RolloutState
from migrations.model.attempt import AdoptedMigration, Failure, FailureClass, Limits, Mode, Verdict
from tests.support.story import (
    BUNDLE,
    DEADLINE_S,
    EXPIRY_S,
    MIGRATIONS,
    ROLLOUT,
    START,
    Saying,
    Story,
    essence,
    given,
    migration,
    record,
)

__all__ = [
    "DEADLINE_S", "EXPIRY_S", "MIGRATIONS", "ROLLOUT", "START", "Story", "essence", "given",
    "migration", "record",
]  # fmt: skip


def planned(
    *waves: list[str],
    budget: Budget | None = None,
    when_spent: WhenSpent = WhenSpent.HALT,
    in_flight: int = 10,
    mode: Mode = Mode.UP,
    started: bool = True,
) -> Saying:
    """A rollout over these waves was planned and, unless said otherwise, started."""

    def say(story: Story) -> Iterable[Event]:
        databases = [database for wave in waves for database in wave]
        story.records.update({database: record(database) for database in databases})
        yield RolloutPlanned(
            rollout=ROLLOUT, mode=mode, bundle=BUNDLE, selection="", fleet_position=0,
            steps=tuple(
                Step(version=ref.version, checksum=ref.up_checksum)
                for ref in story.migrations.values()
            ),
            databases=len(databases), waves=len(waves), wave_spec="1,rest", in_flight=in_flight,
            budget=budget or Budget(count=0), when_spent=when_spent, limits=Limits(),
            expiry_s=EXPIRY_S, deadline_s=DEADLINE_S,
        )  # fmt: skip
        for number, wave in enumerate(waves):
            yield WavePlanned(rollout=ROLLOUT, wave=number, chunk=0, databases=tuple(wave))
        if started:
            yield RolloutStarted(rollout=ROLLOUT)

    return say


def _just(event: Event) -> Saying:
    return lambda story: (event,)


def wave_opened(wave: int) -> Saying:
    """The wave's databases may be ordered."""
    return _just(WaveOpened(rollout=ROLLOUT, wave=wave))


def wave_completed(wave: int) -> Saying:
    """Every database of the wave has an outcome."""
    return _just(WaveCompleted(rollout=ROLLOUT, wave=wave))


def paused() -> Saying:
    """Nothing new is ordered."""
    return _just(RolloutPaused(rollout=ROLLOUT))


def resumed() -> Saying:
    """It orders again."""
    return _just(RolloutResumed(rollout=ROLLOUT))


def aborted(*, cancel: bool = False) -> Saying:
    """It ended where it stood."""
    return _just(RolloutAborted(rollout=ROLLOUT, cancel=cancel))


def halted(why: str) -> Saying:
    """It stopped itself."""
    return _just(RolloutHalted(rollout=ROLLOUT, why=why))


def undo_started(why: str, by: str = f"undo-{ROLLOUT}") -> Saying:
    """Another rollout takes it back."""
    return _just(UndoStarted(rollout=ROLLOUT, by=by, why=why))


def completed(applied: int, skipped: int = 0, failed: int = 0) -> Saying:
    """It reached its end."""
    return _just(RolloutCompleted(rollout=ROLLOUT, applied=applied, skipped=skipped, failed=failed))


def left_out(database: str, why: str) -> Saying:
    """The fleet let go of the database."""
    return _just(DatabaseLeftOut(rollout=ROLLOUT, database=database, why=why))


def ordered(*databases: str) -> Saying:
    """These were ordered."""

    def say(story: Story) -> Iterable[Event]:
        for name in databases:
            known = story.database(name)
            yield order(story.state, known, story.records[name], story.situation).event

    return say


def timed_out(database: str) -> Saying:
    """Nobody answered in time."""

    def say(story: Story) -> Iterable[Event]:
        known = story.database(database)
        yield AttemptTimedOut(
            rollout=ROLLOUT, database=database, attempt=known.attempt, command=_command(known)
        )

    return say


def looked_at(database: str) -> Saying:
    """Its journal was asked."""

    def say(story: Story) -> Iterable[Event]:
        known = story.database(database)
        yield inspection(story.state, known, story.records[database], story.situation).event

    return say


def begun(*databases: str) -> Saying:
    """Agents took the commands."""

    def say(story: Story) -> Iterable[Event]:
        for name in databases:
            known = story.database(name)
            yield AttemptStarted(
                database=name, command=_command(known), attempt=known.attempt,
                mode=known.mode or Mode.UP,
            )  # fmt: skip

    return say


def step_applied(database: str, version: str) -> Saying:
    """One migration of the database's command holds."""

    def say(story: Story) -> Iterable[Event]:
        yield MigrationApplied(
            database=database, command=_command(story.database(database)), version=version,
            checksum="x", duration_ms=1, statements=1,
        )  # fmt: skip

    return say


def step_rolled_back(database: str, version: str) -> Saying:
    """One migration of the database's command was undone."""

    def say(story: Story) -> Iterable[Event]:
        yield MigrationRolledBack(
            database=database, command=_command(story.database(database)), version=version,
            checksum="x", duration_ms=1, statements=1,
        )  # fmt: skip

    return say


def adopted(database: str, *taken: str, released: tuple[str, ...] = ()) -> Saying:
    """Another tool's history was taken over there."""

    def say(story: Story) -> Iterable[Event]:
        yield HistoryAdopted(
            database=database, command=_command(story.database(database)), source="goose",
            table="goose_db_version", rows=len(taken), released=released,
            taken=tuple(AdoptedMigration(version=version, checksum="") for version in taken),
        )  # fmt: skip

    return say


def finished(
    *databases: str,
    verdict: Verdict = Verdict.DONE,
    changed: int = 1,
    kind: str = "",
    head: str | None = "head-1",
) -> Saying:
    """Agents said their last word on the databases' latest commands."""

    def say(story: Story) -> Iterable[Event]:
        for name in databases:
            known = story.database(name)
            yield AttemptFinished(
                database=name, command=_command(known), attempt=known.attempt,
                mode=known.mode or Mode.UP, verdict=verdict, changed=changed, journal_head=head,
                failure=Failure(kind=FailureClass(kind), message=f"{kind} error") if kind else None,
            )  # fmt: skip

    return say


def applied(*databases: str) -> Saying:
    """The order was carried out there; going back, that means undone."""
    return finished(*databases)


def failed(*databases: str, kind: str = "sql") -> Saying:
    """The order failed there."""
    return finished(*databases, verdict=Verdict.FAILED, kind=kind, changed=0)


def step_failed(database: str) -> Saying:
    """A step failed there, and the attempt has not ended yet."""

    def say(story: Story) -> Iterable[Event]:
        known = story.database(database)
        yield MigrationFailed(
            database=database,
            command=_command(known),
            version=story.state.plan.steps[0].version,
            direction="up",
            checksum="c" * 64,
            failure=Failure(kind=FailureClass.SQL, message="no"),
        )

    return say


def in_doubt(database: str) -> Saying:
    """A step is half done and no probe can tell how far."""
    return failed(database, kind="in_doubt")


def seen(
    database: str,
    *in_force: str,
    by: str = ROLLOUT,
    reachable: bool = True,
    failure: Failure | None = None,
) -> Saying:
    """A look at the database found these versions in force."""

    def say(story: Story) -> Iterable[Event]:
        command = story.database(database).inspection
        assert command is not None
        entries = tuple(
            JournalEntry(version=version, state="applied", direction="up", rollout=by,
                         command=command, checksum="x", finished_at=None)
            for version in in_force
        )  # fmt: skip
        unreachable = Failure(kind=FailureClass.UNREACHABLE, message="no route")
        yield DatabaseInspected(
            database=database, command=command, reachable=reachable, entries=entries,
            journal_head="head-seen" if reachable else None,
            failure=failure if reachable else unreachable,
        )  # fmt: skip

    return say


def asked(request: Callable[[RolloutState], tuple[Event, ...]]) -> Saying:
    """A person asked for this, and it was not refused."""
    return lambda story: request(story.state)


def _command(known: DatabaseState) -> UUID:
    assert known.command is not None, f"{known.database} was never ordered"
    return known.command
