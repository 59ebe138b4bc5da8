"""What is to be done, from what is wanted and what the journal says; pure.

A migration on a target is one of

    unknown ──up──▶ applied ──down──▶ rolled back ──up──▶ applied …
       │               │
       └── half done ──┘      (stepwise only: some of its statements are done)

and the last entry that says what holds decides, whoever wrote it. Entries of the same command come
first: a command that is delivered again repeats its report instead of running again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from migrations.model.attempt import Failure, FailureClass, HalfDone, Mode
from migrations.model.baselines import gap, gaps, set_aside
from migrations.model.migration import Direction, Migration, Section
from migrations.model.ordering import late
from migrations.model.work import StepOutcome, StepResult, Work
from migrations.running.history import History, Progress, progress_of
from migrations.running.history import histories as histories_of
from migrations.target.entries import RESOLVE, Entry, State
from migrations.target.journal import latest_by_version


@dataclass(frozen=True, slots=True)
class Known:
    """Nothing runs: the outcome is known."""

    outcome: StepOutcome


@dataclass(frozen=True, slots=True)
class Execute:
    """A section runs, after what is half done is resumed or cleaned up."""

    migration: Migration
    direction: Direction
    section: Section
    resume: Progress | None = None
    """Half done in the same direction: go on behind it."""
    clean: Progress | None = None
    """Half done in the other direction: clean up its open statements first."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Halt:
    """It must not run, and neither must anything else of this command."""

    migration: Migration
    direction: Direction
    failure: Failure


StepDecision: TypeAlias = Known | Execute | Halt


def plan(work: Work, entries: Sequence[Entry]) -> tuple[StepDecision, ...]:
    """What each migration of `work` needs, in the order of `work`.

    A plan that stops anywhere runs nothing: it is then the reports up to there, and the stop.
    """
    histories = histories_of(entries)
    aside, open_gaps = _aside(work, histories), _gaps(work, histories)
    decisions: list[StepDecision] = []
    for migration in work.migrations:
        history = histories.get(migration.version, History())
        reason = aside.get(migration.version)
        decision = (
            repeated(work, migration, entries)
            or (_skipped(migration, Direction.UP, reason) if reason else None)
            or open_gaps.get(migration.version)
            or _decide(work, migration, history)
        )
        if decision is not None:
            decisions.append(decision)
    if work.mode is Mode.UP and not work.out_of_order:
        decisions = _in_order(work, decisions, histories)
    return _cut_at_stop(decisions)


def applied_versions(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The migrations that hold now, each with the entry that says so."""
    latest = latest_by_version(entries)
    return {version: entry for version, entry in latest.items() if entry.state is State.APPLIED}


def half_done(entries: Sequence[Entry]) -> dict[str, Progress]:
    """The migrations of which some statements are done and others not."""
    if not any(entry.step for entry in entries):
        return {}
    histories = histories_of(entries)
    found = {version: progress_of(history) for version, history in histories.items()}
    return {version: progress for version, progress in found.items() if progress is not None}


def left_half_done(entries: Sequence[Entry]) -> tuple[HalfDone, ...]:
    """What a journal leaves half done or in doubt, in its own order."""
    if not any(entry.step or entry.failure for entry in entries):
        return ()
    found = []
    for version, history in histories_of(entries).items():
        progress, doubtful = progress_of(history), history.doubtful
        if doubtful is not None:
            said = doubtful.direction, doubtful.checksum, doubtful.rollout
            found.append(HalfDone(version, *said, doubtful=True))
        elif progress is not None:
            begun_by = history.steps[-1].rollout
            found.append(HalfDone(version, progress.direction, progress.checksum, begun_by))
    return tuple(found)


def in_doubt(entries: Iterable[Entry]) -> frozenset[str]:
    """The migrations whose state is unknown until a person says it."""
    found = histories_of(entries).items()
    return frozenset(version for version, one in found if one.doubtful is not None)


def begun_or_applied(entries: Iterable[Entry], rollouts: Container[str]) -> frozenset[str]:
    """What holds, or is half done, through these rollouts: what a rollback undoes."""
    return frozenset(
        version for version, history in histories_of(entries).items() if history.is_of(rollouts)
    )


def _in_order(
    work: Work, decisions: Sequence[StepDecision], histories: Mapping[str, History]
) -> list[StepDecision]:
    """The decisions, with a stop for what would run late; what is half done is finished."""
    aside = _aside(work, histories)
    ranked = [one for one in work.migrations if one.version not in aside]
    messages = late(ranked, {v for v, history in histories.items() if history.applied})

    def checked(decision: StepDecision) -> StepDecision:
        if not isinstance(decision, Execute) or decision.resume is not None:
            return decision
        message = messages.get(decision.migration.version)
        if message is None:
            return decision
        return _stop(decision.migration, Direction.UP, FailureClass.OUT_OF_ORDER, message)

    return [checked(decision) for decision in decisions]


def _aside(work: Work, histories: Mapping[str, History]) -> dict[str, str]:
    """What need not run here because of a baseline, with the reason."""
    if work.mode is not Mode.UP:
        return {}
    # An order has only those files of its folder that some database lacks.
    return set_aside(work.migrations, _there(histories), whole=not work.rollout)


def _gaps(work: Work, histories: Mapping[str, History]) -> dict[str, Halt]:
    """A stop for each baseline that stands for what is neither here nor among the files."""
    if work.mode is not Mode.UP:
        return {}
    found = gaps(work.migrations, _there(histories), whole=not work.rollout)
    return {
        one.version: _stop(
            one, Direction.UP, FailureClass.OUT_OF_ORDER, gap(one.version, found[one.version])
        )
        for one in work.migrations
        if one.version in found
    }


def _there(histories: Mapping[str, History]) -> set[str]:
    return {
        version
        for version, one in histories.items()
        if version and (one.applied or one.steps or one.doubtful is not None)
    }


def _cut_at_stop(decisions: list[StepDecision]) -> tuple[StepDecision, ...]:
    for index, decision in enumerate(decisions):
        if isinstance(decision, Known) and decision.outcome.result is StepResult.FAILED:
            return tuple(decisions[: index + 1])
    for index, decision in enumerate(decisions):
        if isinstance(decision, Halt):
            reports = [earlier for earlier in decisions[:index] if isinstance(earlier, Known)]
            return (*reports, decision)
    return tuple(decisions)


def repeated(work: Work, migration: Migration, entries: Sequence[Entry]) -> Known | None:
    """The outcome that this very command already had for the migration."""
    direction = Direction.UP if work.mode is Mode.UP else Direction.DOWN
    for entry in entries:
        ours = entry.command == work.command_id and entry.migration == migration.version
        if ours and entry.step == 0 and entry.direction == direction:
            return Known(outcome_of(entry, direction))
    return None


def _decide(work: Work, migration: Migration, history: History) -> StepDecision | None:
    match work.mode:
        case Mode.UP:
            return _up(work, migration, history)
        case Mode.DOWN:
            return _down(migration, history)
        case Mode.ROLLBACK:
            return _rollback(work, migration, history)
        case Mode.ADOPT:
            return None


def _up(work: Work, migration: Migration, history: History) -> StepDecision:
    progress = progress_of(history)
    settled = history.settled
    if doubt := _doubt(migration, Direction.UP, history):
        return doubt
    if progress is not None and progress.direction is Direction.DOWN:
        return _stop(migration, Direction.UP, FailureClass.HALF_DONE, _HALF_UNDONE)
    if settled is not None and history.applied:
        if migration.repeatable and settled.up_checksum != migration.up.checksum:
            return Execute(migration, Direction.UP, migration.up, note="its text has changed")
        return _already_applied(work, migration, settled)
    if progress is not None and progress.checksum != migration.up.checksum:
        return _stop(migration, Direction.UP, FailureClass.CHECKSUM, _HALF_DONE_OTHER_TEXT)
    return Execute(
        migration, Direction.UP, migration.up, resume=progress, note=_corrected(migration, history)
    )


def _corrected(migration: Migration, history: History) -> str:
    """What to say of a text in the place of one that was tried here and is not in force."""
    tried = history.failed or history.settled
    if tried is None or is_text_of(tried, migration):
        return ""
    what = "failed" if tried.state is State.FAILED else "was rolled back"
    return f"another text of it {what} here before"


def _already_applied(work: Work, migration: Migration, entry: Entry) -> StepDecision:
    if not is_text_of(entry, migration):
        return _stop(migration, Direction.UP, FailureClass.CHECKSUM, changed(migration.version))
    if work.rollout and entry.rollout == work.rollout:
        return Known(outcome_of(entry, Direction.UP))
    note = "applied before by another rollout" if entry.rollout else "applied outside of a ledger"
    return _skipped(migration, Direction.UP, note + _down_note(migration, entry))


def changed(version: str) -> str:
    """What to say of a migration whose text is not the one that was applied."""
    return (
        "the migration was applied here with another up section; restore the file as it was "
        "applied, and write the change as a new migration; or accept the new text with "
        f"`ledger repair {version} --accept-changed --reason WHY` "
        "(`ledger db repair` for one database)"
    )


def is_text_of(entry: Entry, migration: Migration) -> bool:
    """Whether what an entry says was applied is the up section that the migration has now.

    A person's word carries no checksum, and neither does a row of another tool without a file: a
    text that nobody knows cannot differ.
    """
    if entry.direction == RESOLVE or entry.up_checksum is None:
        return True
    return entry.up_checksum == migration.up.checksum


def _down(migration: Migration, history: History) -> StepDecision:
    progress = progress_of(history)
    if doubt := _doubt(migration, Direction.DOWN, history):
        return doubt
    if progress is None and not history.applied:
        return _skipped(migration, Direction.DOWN, "not applied")
    return _undo(migration, history.settled, progress)


def _rollback(work: Work, migration: Migration, history: History) -> StepDecision | None:
    ours = history.is_of(work.taken_back)
    if history.doubtful is not None and (ours or history.doubtful.rollout in work.taken_back):
        return _doubt(migration, Direction.DOWN, history)
    if not ours:
        return _undone_before(work, history.settled)
    return _undo(migration, history.settled if history.applied else None, progress_of(history))


def _undone_before(work: Work, settled: Entry | None) -> Known | None:
    """What an earlier attempt of this rollback has undone is reported again."""
    if settled is None or not work.undoes or settled.rollout != work.rollout:
        return None
    undone = settled.state is State.ROLLED_BACK
    return Known(outcome_of(settled, Direction.DOWN)) if undone else None


def _undo(migration: Migration, settled: Entry | None, progress: Progress | None) -> StepDecision:
    section = migration.down
    if section is None:
        return _stop(migration, Direction.DOWN, FailureClass.IRREVERSIBLE, _NO_DOWN)
    if section.broken:
        message = f"the migration cannot be undone, because its down cannot run: {section.broken}"
        return _stop(migration, Direction.DOWN, FailureClass.IRREVERSIBLE, message)
    note = _down_note(migration, settled) if settled else ""
    if progress is None or progress.direction is Direction.UP:
        return Execute(migration, Direction.DOWN, section, clean=progress, note=note.lstrip("; "))
    if progress.checksum != section.checksum:
        return _stop(migration, Direction.DOWN, FailureClass.CHECKSUM, _HALF_DONE_OTHER_TEXT)
    return Execute(migration, Direction.DOWN, section, resume=progress, note=note.lstrip("; "))


def _doubt(migration: Migration, direction: Direction, history: History) -> Halt | None:
    if history.doubtful is None:
        return None
    return _stop(migration, direction, FailureClass.IN_DOUBT, _UNSETTLED)


def outcome_of(entry: Entry, direction: Direction) -> StepOutcome:
    """The outcome that an entry about a whole migration (step 0) speaks of, read again."""
    results = {
        State.APPLIED: StepResult.APPLIED,
        State.ROLLED_BACK: StepResult.ROLLED_BACK,
        State.FAILED: StepResult.FAILED,
    }
    return StepOutcome(
        version=entry.migration,
        direction=direction,
        result=results[entry.state],
        checksum=entry.checksum,
        duration_ms=entry.duration_ms,
        statements=entry.statements,
        recovered=True,
        note=entry.note,
        failure=entry.failure,
    )


def _skipped(migration: Migration, direction: Direction, note: str) -> Known:
    section = migration.section(direction)
    checksum = section.checksum if section else ""
    return Known(
        StepOutcome(migration.version, direction, StepResult.SKIPPED, checksum, 0, 0, note=note)
    )


def _down_note(migration: Migration, entry: Entry) -> str:
    now = migration.down.checksum if migration.down else None
    changed = entry.direction != RESOLVE and entry.down_checksum != now
    return "; its down section has changed since" if changed else ""


def _stop(migration: Migration, direction: Direction, kind: FailureClass, message: str) -> Halt:
    return Halt(migration, direction, Failure(kind, message))


_HALF_DONE_OTHER_TEXT = (
    "the migration is half done with another text of this section; run the old text to its end, "
    "or roll it back with a Down section beside the old text, before the new one"
)
_HALF_UNDONE = "the migration is half rolled back; finish the rollback, then apply it again"
_NO_DOWN = "the migration has no down section, so it cannot be undone; write a new one instead"
_UNSETTLED = "an earlier attempt left the state of this migration unknown"
