"""The rules of taking a rollout back, by a rollout of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.contracts.events import Budget, MigrationOrdered, RolloutPlanned, UndoStarted, WhenSpent
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.progress import next_wake
from ledger.domain.refusals import DownHasNoRollback, IrreversibleMigrations, WrongStatus
from ledger.domain.rollback import (
    NothingToUndo,
    UndoHasNoRollback,
    UndoUnderWay,
    may_go_back,
)
from ledger.domain.rollout import Status
from migrations.model.attempt import Mode, Verdict
from tests.support.spec import (
    DEADLINE_S,
    EXPIRY_S,
    MIGRATIONS,
    Story,
    aborted,
    applied,
    asked,
    begun,
    completed,
    failed,
    finished,
    given,
    halted,
    in_doubt,
    left_out,
    looked_at,
    migration,
    ordered,
    planned,
    seen,
    step_rolled_back,
    timed_out,
    undo_started,
    wave_completed,
    wave_opened,
)


def applied_on(*databases: str, in_flight: int = 10) -> Story:
    """A rollout that was applied on these, and completed."""
    story = given(planned(list(databases), in_flight=in_flight)).when()
    while story.state.status is Status.RUNNING:
        story.when(applied(*[one.database for one in story.state.databases() if one.open]))
    return story


# --- who goes back, and how -----------------------------------------------------------------------


def test_a_spent_budget_has_the_rollout_undone_when_its_plan_says_so() -> None:
    spent = "1 of 1 ordered database had failed by then (2 in the rollout), budget is 0"
    story = given(
        planned(["a"], ["b"], when_spent=WhenSpent.ROLLBACK), wave_opened(0), ordered("a")
    )
    story.when(failed("a")).then(
        failed("a"), halted(spent), undo_started(f"the failure budget is spent: {spent}")
    )
    assert (story.state.status, story.state.undone_by) == (Status.ABORTED, ("undo-r1",))
    assert story.state.why == spent
    story.undo().when().then(wave_opened(0), ordered("a"))


def test_an_undone_rollout_orders_nothing_more() -> None:
    story = given(planned(["a"], ["b"])).when().when(applied("a"))
    assert story.status("b") == "ordered"
    undo = story.go_back()
    story.when(failed("b")).then(failed("b"))
    assert {one.database for one in undo.state.databases()} == {"a", "b"}


def test_every_database_that_was_ever_ordered_goes_back_newest_first_and_no_other() -> None:
    story = given(planned(["a"], ["b", "c"], ["d"])).when()
    story.when(applied("a")).when(applied("b")).when(failed("c"))
    story.go_back().when().then(wave_opened(0), ordered("c", "b", "a"))


def test_a_rollback_undoes_the_steps_backwards_with_their_down_checksums() -> None:
    undo = applied_on("a").go_back().when()
    order = undo.last(MigrationOrdered)
    assert (order.mode, order.undoes) == (Mode.ROLLBACK, "r1")
    assert [(step.version, step.checksum) for step in order.steps] == [
        ("2", MIGRATIONS["2"].down_checksum),
        ("1", MIGRATIONS["1"].down_checksum),
    ]


def test_its_plan_says_what_it_undoes_and_is_bound_by_a_digest() -> None:
    plan = applied_on("a", "b").go_back().log[0].event
    assert isinstance(plan, RolloutPlanned)
    assert (plan.mode, plan.undoes, plan.databases, plan.waves) == (Mode.ROLLBACK, "r1", 2, 1)
    assert plan.digest
    assert (plan.budget, plan.when_spent) == (Budget(percent=100.0), WhenSpent.HALT)


def test_it_has_waves_of_its_own() -> None:
    undo = applied_on("a", "b", "c").go_back(wave_spec="1,rest")
    undo.when().then(wave_opened(0), ordered("c"))
    undo.when(applied("c")).then(applied("c"), wave_completed(0), wave_opened(1), ordered("b", "a"))


def test_it_has_a_budget_of_its_own() -> None:
    undo = applied_on("a", "b").go_back(wave_spec="1,rest", budget=Budget(count=0)).when()
    spent = "1 of 1 ordered database had failed by then (2 in the rollout), budget is 0"
    undo.when(failed("b")).then(failed("b"), halted(spent))
    undo.when(asked(requests.resume)).when(applied("a"))
    assert undo.state.status is Status.COMPLETED


def test_it_stays_within_its_in_flight_limit() -> None:
    undo = applied_on("a", "b", "c", in_flight=2).go_back()
    undo.when().then(wave_opened(0), ordered("c", "b"))
    undo.when(applied("c")).then(applied("c"), ordered("a"))


def test_it_can_be_paused_resumed_and_aborted() -> None:
    undo = applied_on("a", "b", in_flight=1).go_back().when()
    undo.when(asked(requests.pause), applied("b"))
    assert (undo.state.status, undo.status("a")) == (Status.PAUSED, "pending")
    undo.when(asked(requests.resume))
    assert undo.status("a") == "ordered"
    undo.when(asked(requests.abort))
    assert undo.state.status is Status.ABORTED


# --- what is at work ------------------------------------------------------------------------------


def test_what_still_runs_finishes_before_it_goes_back() -> None:
    story = given(planned(["a", "b"])).when().when(begun("a", "b")).when(failed("a"))
    undo = story.go_back().when().then(wave_opened(0), ordered("a"))
    undo.when(finished("a", changed=0)).then(finished("a"))
    story.when(applied("b"))
    undo.when().then(ordered("b"))


def test_what_runs_past_its_deadline_goes_back() -> None:
    story = given(planned(["a"])).when().when(begun("a"))
    undo = story.go_back().when().then(wave_opened(0))
    story.later(DEADLINE_S).then(timed_out("a"), looked_at("a"))
    undo.now = story.now
    undo.when().then(ordered("a"))


def test_an_order_that_nobody_started_goes_back_when_it_expired() -> None:
    story = given(planned(["a"])).when()
    undo = story.go_back().when().then(wave_opened(0))
    due = next_wake(undo.state, undo.now, beside=undo.situation.beside)
    assert due is not None
    undo.later(EXPIRY_S + 9).then()
    undo.later(1).then(ordered("a"))
    assert due == undo.now


def test_a_word_that_no_attempt_has_carried_is_carried_by_the_rollback() -> None:
    story = given(planned(["a", "b"], in_flight=1)).when().when(in_doubt("a"))
    story.when(asked(requests.pause))
    story.when(asked(lambda state: requests.resolve(state, "a", "2", applied=True)))
    undo = story.go_back().when().then(wave_opened(0), ordered("a"))
    assert undo.last(MigrationOrdered).resolutions[0].version == "2"


# --- how it ends ----------------------------------------------------------------------------------


def test_it_counts_what_it_undid_and_not_what_it_visited() -> None:
    story = given(planned(["a", "b"], ["c"])).when().when(applied("a")).when(failed("b"))
    undo = story.go_back().when()
    undo.when(finished("a", changed=2))
    undo.when(finished("b", changed=0)).then(
        finished("b"), wave_completed(0), completed(applied=1, skipped=1)
    )
    assert (undo.status("a"), undo.status("b")) == ("applied", "skipped")
    assert "c" not in undo.state


def test_what_an_earlier_attempt_undid_counts_as_undone() -> None:
    undo = applied_on("a").go_back().when()
    undo.when(step_rolled_back("a", "2"), finished("a", verdict=Verdict.EXPIRED, changed=0))
    undo.when(finished("a", changed=0))
    assert undo.status("a") == "applied"


def test_a_failed_rollback_halts_when_all_others_went_back() -> None:
    undo = applied_on("a", "b").go_back().when()
    undo.when(failed("a")).then(failed("a"))
    undo.when(applied("b")).then(
        applied("b"), wave_completed(0), halted("rollback failed on 1 of 2 databases: a")
    )


def test_a_retry_of_a_halted_rollback_orders_it_back_again() -> None:
    undo = applied_on("a", "b").go_back().when()
    undo.when(failed("a"), applied("b"))
    undo.when(asked(lambda state: requests.retry(state, None, undo.records)))
    assert undo.last(MigrationOrdered).database == "a"
    undo.when(applied("a")).then(applied("a"), completed(2))


def test_resuming_a_halted_rollback_accepts_what_could_not_go_back() -> None:
    undo = applied_on("a", "b").go_back().when()
    undo.when(failed("a"), applied("b"))
    undo.when(asked(requests.resume))
    assert undo.state.status is Status.COMPLETED
    assert undo.state.count(undo.database("a").status) == 1


def test_a_suspended_database_cannot_go_back_and_that_is_visible() -> None:
    story = applied_on("a")
    story.fleet("a", FleetStatus.SUSPENDED)
    undo = (
        story.go_back()
        .when()
        .then(
            wave_opened(0),
            left_out("a", "the database is suspended"),
            wave_completed(0),
            halted("rollback failed on 1 of 1 database: a"),
        )
    )
    undo.fleet("a", FleetStatus.ACTIVE)
    undo.when(asked(lambda state: requests.retry(state, ["a"], undo.records)))
    undo.when(applied("a")).then(applied("a"), completed(1))


@pytest.mark.parametrize("in_force", [(), ("1",)])
def test_an_unknown_rollback_is_ordered_again_because_a_look_cannot_see_half_done_steps(
    in_force: tuple[str, ...],
) -> None:
    undo = applied_on("a").go_back().when().when(begun("a"))
    undo.later(DEADLINE_S).then(timed_out("a"), looked_at("a"))
    undo.when(seen("a", *in_force)).then(seen("a", *in_force), ordered("a"))
    undo.when(finished("a", changed=0))
    assert undo.state.status is Status.COMPLETED


def test_a_rollback_in_doubt_waits_for_a_person_and_then_goes_on() -> None:
    undo = applied_on("a").go_back().when()
    undo.when(in_doubt("a")).then(in_doubt("a"))
    assert undo.state.status is Status.RUNNING
    undo.when(asked(lambda state: requests.resolve(state, "a", "2", applied=False)))
    assert undo.last(MigrationOrdered).resolutions[0].version == "2"


def test_an_expired_rollback_is_ordered_again() -> None:
    undo = applied_on("a").go_back().when()
    undo.when(finished("a", verdict=Verdict.EXPIRED, changed=0)).then(
        finished("a", verdict=Verdict.EXPIRED), ordered("a")
    )
    assert undo.database("a").attempt == 2


# --- from which states, and how often -------------------------------------------------------------


def test_a_completed_rollout_stays_completed_when_it_is_undone() -> None:
    story = applied_on("a")
    story.go_back().when().then(wave_opened(0), ordered("a"))
    assert (story.state.status, story.state.undone_by) == (Status.COMPLETED, ("undo-r1",))


@pytest.mark.parametrize("stopped", [requests.abort, requests.pause])
def test_a_stopped_rollout_can_be_undone(stopped: object) -> None:
    story = given(planned(["a", "b"], in_flight=1)).when().when(applied("a"))
    story.when(asked(stopped), applied("b"))  # type: ignore[arg-type]
    undo = story.go_back().when().then(wave_opened(0), ordered("b"))
    undo.when(applied("b")).then(applied("b"), ordered("a"))
    assert story.state.status is Status.ABORTED


def test_what_was_only_planned_cannot_be_undone() -> None:
    story = given(planned(["a"], started=False))
    with pytest.raises(WrongStatus, match="it is planned"):
        story.go_back()


def test_a_rollback_has_no_rollback() -> None:
    undo = applied_on("a").go_back().when().when(applied("a"))
    with pytest.raises(UndoHasNoRollback, match="takes r1 back, and a rollback has no rollback"):
        undo.go_back()


def test_what_went_down_has_no_rollback() -> None:
    with pytest.raises(DownHasNoRollback):
        given(planned(["a"], mode=Mode.DOWN)).when().go_back()


def test_what_has_no_down_section_cannot_be_undone() -> None:
    story = given(planned(["a"]), migrations={"1": migration("1", down=False)}).when()
    with pytest.raises(IrreversibleMigrations):
        story.when(applied("a")).go_back()


@pytest.mark.parametrize(
    ("mode", "down", "may"),
    [
        (Mode.UP, True, True),
        (Mode.UP, False, False),
        (Mode.DOWN, True, False),
        (Mode.ADOPT, False, True),
    ],
)
def test_a_rollback_is_thought_of_where_it_would_not_be_refused_for_what_went(
    mode: Mode, down: bool, may: bool
) -> None:
    plan = given(planned(["a"], mode=mode)).state.plan
    assert may_go_back(plan, [migration("1", down=down)]) is may


def test_a_rollout_that_ordered_nothing_has_nothing_to_undo() -> None:
    with pytest.raises(NothingToUndo, match="it has ordered no database"):
        given(planned(["a"])).go_back()


def test_there_is_one_rollback_at_a_time() -> None:
    story = applied_on("a")
    undo = story.go_back().when()
    for status in (Status.RUNNING, Status.PAUSED):
        assert undo.state.status is status
        with pytest.raises(UndoUnderWay, match=f"by undo-r1, which is {status.value}"):
            story.go_back()
        if status is Status.RUNNING:
            undo.when(asked(requests.pause))


def test_after_a_whole_rollback_nothing_is_left_to_undo() -> None:
    story = given(planned(["a", "b"])).when().when(applied("a")).when(failed("b"))
    story.go_back().when().when(finished("a", changed=2), finished("b", changed=0))
    with pytest.raises(NothingToUndo, match="undo-r1 took it back"):
        story.go_back()


def test_another_rollback_takes_back_what_the_one_before_left() -> None:
    story = applied_on("a", "b", "c", in_flight=2)
    first = story.go_back().when().when(applied("c")).when(failed("b")).when(aborted())
    second = story.go_back()
    assert second.rollout == "undo-2-r1"
    second.when().then(wave_opened(0), ordered("b"))
    assert {one.database for one in second.state.databases()} == {"a", "b"}
    first.when(applied("a"))
    second.when().then(ordered("a"))


def test_an_automatic_rollback_goes_as_the_rollout_went_all_at_once() -> None:
    story = given(planned(["a"], ["b"], when_spent=WhenSpent.ROLLBACK, in_flight=7)).when()
    story.when(failed("a"))
    plan, undone = story.undo().state.plan, story.state.plan
    assert (plan.in_flight, plan.limits, plan.expiry_s) == (7, undone.limits, undone.expiry_s)
    assert (plan.wave_spec, plan.when_spent) == ("rest", WhenSpent.HALT)


def test_it_carries_the_values_that_each_database_was_run_with() -> None:
    story = applied_on("a", "b")
    chunk = dict(story.state.chunks[0])
    chunk["a"] = chunk["a"]._replace(values=(("region", "eu"),))
    story.told = replace(story.state, chunks=(chunk,))
    undo = story.go_back()
    assert undo.database("a").values == (("region", "eu"),)
    assert undo.database("b").values == ()


def test_the_start_of_a_rollback_is_said_once() -> None:
    story = given(planned(["a"], when_spent=WhenSpent.ROLLBACK)).when().when(failed("a"))
    story.when().then()
    assert sum(isinstance(one.event, UndoStarted) for one in story.log) == 1
