"""The plan is a pure function of what is wanted and what the journal says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from migrations.model.attempt import Epoch, Failure, FailureClass, Mode
from migrations.model.migration import Direction, Migration, Options, Section
from migrations.model.work import StepResult, Work
from migrations.running.plan import Execute, Halt, Known, StepDecision, half_done, plan
from migrations.target.entries import RESOLVE, Entry, State

COMMAND = UUID(int=1)
EARLIER = UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def section(checksum: str) -> Section:
    return Section((), Options(), checksum)


FIRST = Migration("001", "a", "sql-migrate", section("up1"), section("down1"), None, ())
FINAL = replace(FIRST, down=None)


def entry(state: State, direction: str = "up", step: int = 0, **more: object) -> Entry:
    made = Entry(
        1, "h", EARLIER, "rollout-1", "001", direction, step, state, "up1", "down1", 1, NOW, 5
    )
    return replace(made, **more)  # type: ignore[arg-type]


def decided(
    mode: Mode, *entries: Entry, migration: Migration = FIRST, rollout: str = "rollout-1"
) -> tuple[StepDecision, ...]:
    return plan(Work(COMMAND, rollout, Epoch(1, 1), mode, (migration,)), entries)


def test_what_is_unknown_is_applied() -> None:
    assert decided(Mode.UP) == (Execute(FIRST, Direction.UP, FIRST.up),)


def test_what_this_rollout_applied_is_reported_again() -> None:
    (decision,) = decided(Mode.UP, entry(State.APPLIED))
    assert isinstance(decision, Known)
    assert (decision.outcome.result, decision.outcome.recovered) == (StepResult.APPLIED, True)


def test_what_another_rollout_applied_is_skipped() -> None:
    (decision,) = decided(Mode.UP, entry(State.APPLIED), rollout="rollout-2")
    assert isinstance(decision, Known)
    assert decision.outcome.result is StepResult.SKIPPED


def test_what_was_rolled_back_is_applied_again() -> None:
    entries = (entry(State.APPLIED), entry(State.ROLLED_BACK, "down"))
    assert isinstance(decided(Mode.UP, *entries)[0], Execute)


def test_a_failure_of_an_earlier_command_does_not_stop_a_new_one() -> None:
    failed = entry(State.FAILED, failure=Failure(FailureClass.SQL, "x"))
    assert isinstance(decided(Mode.UP, failed)[0], Execute)


def test_a_failure_of_the_same_command_is_repeated() -> None:
    failed = entry(State.FAILED, failure=Failure(FailureClass.SQL, "x"), command=COMMAND)
    (decision,) = decided(Mode.UP, failed)
    assert isinstance(decision, Known)
    assert decision.outcome.failure == Failure(FailureClass.SQL, "x")


def test_a_failure_in_doubt_stops_until_a_person_settles_it() -> None:
    doubtful = entry(State.FAILED, failure=Failure(FailureClass.IN_DOUBT, "x"))
    (decision,) = decided(Mode.UP, doubtful)
    assert isinstance(decision, Halt)
    assert decision.failure.kind == "in_doubt"
    word = entry(State.NOT_APPLIED, RESOLVE)
    assert isinstance(decided(Mode.UP, doubtful, word)[0], Execute)


def test_another_up_section_stops() -> None:
    (decision,) = decided(Mode.UP, entry(State.APPLIED, up_checksum="other"))
    assert isinstance(decision, Halt)
    assert decision.failure.kind == "checksum"


def test_a_rollback_leaves_alone_what_another_rollout_applied() -> None:
    assert decided(Mode.ROLLBACK, entry(State.APPLIED), rollout="rollout-2") == ()


def undone(*entries: Entry, by: str = "undo-rollout-1") -> tuple[StepDecision, ...]:
    """What a rollout decides that takes rollout-1 back."""
    work = Work(COMMAND, by, Epoch(1, 1), Mode.ROLLBACK, (FIRST,), undoes="rollout-1")
    return plan(work, entries)


def test_what_takes_a_rollout_back_undoes_what_that_one_applied_and_nothing_else() -> None:
    (back,) = undone(entry(State.APPLIED))
    assert isinstance(back, Execute)
    assert back.direction is Direction.DOWN
    assert undone(entry(State.APPLIED, rollout="rollout-2")) == ()


def test_what_was_half_done_or_half_cleaned_up_is_undone_by_whoever_takes_it_back() -> None:
    begun = (entry(State.INTENT, step=-1), entry(State.STEP_DONE, step=1))
    cleaning = entry(State.INTENT, "down", step=-1, rollout="undo-rollout-1")
    for entries in (begun, (*begun, cleaning)):
        (back,) = undone(*entries, by="undo-2-rollout-1")
        assert isinstance(back, Execute)
        assert back.direction is Direction.DOWN


def test_a_doubt_of_an_earlier_rollback_stops_the_next_one() -> None:
    doubt = entry(
        State.FAILED,
        "down",
        rollout="undo-rollout-1",
        failure=Failure(FailureClass.IN_DOUBT, "who knows"),
    )
    (stop,) = undone(entry(State.APPLIED), doubt, by="undo-2-rollout-1")
    assert isinstance(stop, Halt)
    assert stop.failure.kind is FailureClass.IN_DOUBT


def test_what_an_earlier_attempt_of_the_rollback_has_undone_is_reported_again() -> None:
    back = entry(State.ROLLED_BACK, "down", rollout="undo-rollout-1")
    (again,) = undone(entry(State.APPLIED), back)
    assert isinstance(again, Known)
    assert (again.outcome.result, again.outcome.recovered) == (StepResult.ROLLED_BACK, True)
    assert undone(entry(State.APPLIED), back, by="undo-2-rollout-1") == ()


def test_a_rollback_without_down_stops() -> None:
    (decision,) = decided(Mode.ROLLBACK, entry(State.APPLIED), migration=FINAL)
    assert isinstance(decision, Halt)
    assert decision.failure.kind == "irreversible"


def test_down_skips_what_is_not_applied() -> None:
    (decision,) = decided(Mode.DOWN)
    assert isinstance(decision, Known)
    assert decision.outcome.result is StepResult.SKIPPED


def test_half_done_statements_are_resumed_and_cleaned_up_by_the_way_back() -> None:
    entries = (entry(State.STEP_DONE, step=1), entry(State.INTENT, step=-2))
    (forward,) = decided(Mode.UP, *entries)
    assert isinstance(forward, Execute)
    assert forward.resume is not None
    assert (forward.resume.done, forward.resume.open) == (frozenset({1}), frozenset({2}))
    (back,) = decided(Mode.ROLLBACK, *entries)
    assert isinstance(back, Execute)
    assert back.clean == forward.resume


def test_what_is_settled_is_not_half_done() -> None:
    assert half_done([entry(State.STEP_DONE, step=1), entry(State.APPLIED)]) == {}


def test_a_half_done_rollback_must_end_before_it_is_applied_again() -> None:
    entries = (entry(State.APPLIED), entry(State.STEP_DONE, "down", 1))
    (decision,) = decided(Mode.UP, *entries)
    assert isinstance(decision, Halt)
    (finish,) = decided(Mode.ROLLBACK, *entries)
    assert isinstance(finish, Execute)
    assert finish.resume is not None


def test_a_stop_keeps_everything_else_from_running() -> None:
    second = replace(FIRST, version="002")
    work = Work(COMMAND, "r", Epoch(1, 1), Mode.UP, (second, FIRST))
    decisions = plan(work, [entry(State.APPLIED, up_checksum="other")])
    assert [type(decision) for decision in decisions] == [Halt]
