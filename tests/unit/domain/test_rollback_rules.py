"""The rules of a rollout on its way back."""

from __future__ import annotations

import pytest

from ledger.contracts.events import RollbackOrdered, WhenSpent
from ledger.contracts.reports import Event
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.rollout import RolloutState, Status
from migrations.model.attempt import Mode, Verdict
from tests.support.spec import (
    DEADLINE_S,
    EXPIRY_S,
    MIGRATIONS,
    applied,
    asked,
    begun,
    failed,
    finished,
    given,
    halted,
    in_doubt,
    left_out,
    looked_at,
    ordered,
    planned,
    rollback_started,
    rolled_back,
    seen,
    step_applied,
    timed_out,
    wave_opened,
)


def go_back(state: RolloutState) -> tuple[Event, ...]:
    return requests.rollback(state, MIGRATIONS)


def test_a_spent_budget_rolls_back_when_the_plan_says_so() -> None:
    spent = "1 of 1 database failed, budget is 0"
    given(planned(["a"], ["b"], when_spent=WhenSpent.ROLLBACK), wave_opened(0), ordered("a")).when(
        failed("a")
    ).then(
        failed("a"),
        halted(spent),
        rollback_started(f"the failure budget is spent: {spent}"),
        ordered("a"),
    )


def test_every_database_that_was_ever_ordered_goes_back_newest_first() -> None:
    story = given(planned(["a"], ["b", "c"], ["d"])).when()
    story.when(applied("a")).when(applied("b")).when(failed("c"))
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("c", "b", "a"))


def test_a_rollback_undoes_the_steps_backwards_with_their_down_checksums() -> None:
    story = given(planned(["a"])).when().when(applied("a")).when(asked(go_back))
    order = story.last(RollbackOrdered)
    assert order.mode is Mode.ROLLBACK
    assert [(step.version, step.checksum) for step in order.steps] == [
        ("2", MIGRATIONS["2"].down_checksum),
        ("1", MIGRATIONS["1"].down_checksum),
    ]


def test_a_rollback_stays_within_the_in_flight_limit() -> None:
    story = given(planned(["a", "b", "c"], in_flight=2)).when()
    story.when(applied("a")).when(applied("b")).when(applied("c"))
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("c", "b"))
    story.when(applied("c")).then(applied("c"), ordered("a"))


def test_what_still_runs_finishes_before_it_goes_back() -> None:
    story = given(planned(["a", "b"])).when().when(begun("a", "b")).when(failed("a"))
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("a"))
    story.when(applied("b")).then(applied("b"), ordered("b"))


def test_what_runs_past_its_deadline_goes_back_without_a_look() -> None:
    story = given(planned(["a"])).when().when(begun("a"))
    story.when(asked(go_back)).then(rollback_started("requested"))
    story.later(DEADLINE_S).then(timed_out("a"), ordered("a"))


def test_an_order_that_nobody_started_goes_back_when_it_expired() -> None:
    story = given(planned(["a"])).when().when(asked(go_back)).then(rollback_started("requested"))
    story.later(EXPIRY_S + 10).then(ordered("a"))
    assert story.status("a") == "rolling_back"


def test_it_is_rolled_back_when_every_ordered_database_has_undone() -> None:
    story = given(planned(["a", "b"], ["c"])).when().when(applied("a")).when(failed("b"))
    story.when(asked(go_back)).when(finished("a", changed=2))
    story.when(finished("b", changed=0)).then(
        finished("b"), rolled_back(rolled_back=1, untouched=1)
    )
    assert (story.status("a"), story.status("b"), story.status("c")) == (
        "rolled_back",
        "rolled_back",
        "pending",
    )


def test_a_failed_rollback_halts_when_all_others_went_back() -> None:
    story = given(planned(["a", "b"])).when().when(applied("a", "b"), asked(go_back))
    story.when(failed("a")).then(failed("a"))
    story.when(applied("b")).then(applied("b"), halted("rollback failed on 1 of 2 databases: a"))
    assert (story.status("a"), story.state.rolling) == ("rollback_failed", True)


def test_a_retry_of_a_halted_rollback_orders_it_back_again() -> None:
    story = given(planned(["a", "b"])).when().when(applied("a", "b"), asked(go_back))
    story.when(failed("a"), applied("b"))
    story.when(asked(lambda state: requests.retry(state, None, story.records)))
    assert story.last(RollbackOrdered).database == "a"
    story.when(applied("a")).then(applied("a"), rolled_back(2))


def test_a_completed_rollout_can_go_back() -> None:
    story = given(planned(["a"])).when().when(applied("a"))
    assert story.state.status is Status.COMPLETED
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("a"))


def test_an_aborted_rollout_can_go_back() -> None:
    story = given(planned(["a", "b"], in_flight=1)).when().when(applied("a"))
    story.when(asked(requests.abort), applied("b"))
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("b"))
    story.when(applied("b")).then(applied("b"), ordered("a"))


def test_a_rollout_that_ordered_nothing_is_rolled_back_at_once() -> None:
    given(planned(["a"])).when(asked(go_back)).then(rollback_started("requested"), rolled_back(0))


def test_a_late_fact_of_the_way_forward_does_not_disturb_the_rollback() -> None:
    story = given(planned(["a"])).when()
    late = [*step_applied("a", "1")(story), *finished("a")(story)]
    story.when(asked(go_back)).later(EXPIRY_S + 10)
    story.when(lambda _: late)
    assert story.status("a") == "rolling_back"
    story.when(finished("a", changed=1)).then(finished("a"), rolled_back(1))


@pytest.mark.parametrize("in_force", [(), ("1",)])
def test_an_unknown_rollback_is_ordered_again_because_a_look_cannot_see_half_done_steps(
    in_force: tuple[str, ...],
) -> None:
    story = given(planned(["a"])).when().when(applied("a"), asked(go_back)).when(begun("a"))
    story.later(DEADLINE_S).then(timed_out("a"), looked_at("a"))
    story.when(seen("a", *in_force)).then(seen("a", *in_force), ordered("a"))
    story.when(finished("a", changed=0))
    assert story.state.status is Status.ROLLED_BACK


def test_a_rollback_in_doubt_waits_for_a_person_and_then_goes_on() -> None:
    story = given(planned(["a"])).when().when(applied("a"), asked(go_back))
    story.when(in_doubt("a")).then(in_doubt("a"))
    assert story.state.status is Status.ROLLING_BACK
    story.when(asked(lambda state: requests.resolve(state, "a", "2", applied=False)))
    assert story.last(RollbackOrdered).resolutions[0].version == "2"


def test_a_suspended_database_cannot_go_back_and_that_is_visible() -> None:
    story = given(planned(["a"])).when().when(applied("a"))
    story.fleet("a", FleetStatus.SUSPENDED).when(asked(go_back)).then(
        rollback_started("requested"),
        left_out("a", "the database is suspended"),
        halted("rollback failed on 1 of 1 database: a"),
    )
    story.fleet("a", FleetStatus.ACTIVE)
    story.when(asked(lambda state: requests.retry(state, ["a"], story.records)))
    story.when(applied("a")).then(applied("a"), rolled_back(1))


def test_an_expired_rollback_is_ordered_again() -> None:
    story = given(planned(["a"])).when().when(applied("a"), asked(go_back))
    story.when(finished("a", verdict=Verdict.EXPIRED, changed=0)).then(
        finished("a", verdict=Verdict.EXPIRED), ordered("a")
    )
    assert story.database("a").attempt == 3


def test_a_database_that_waits_for_another_attempt_goes_back_once() -> None:
    story = given(planned(["a", "b"], in_flight=1)).when().when(in_doubt("a"))
    story.when(asked(requests.pause))
    story.when(asked(lambda state: requests.resolve(state, "a", "2", applied=True)))
    story.when(asked(go_back)).then(rollback_started("requested"), ordered("a"))


def test_a_database_resolved_while_it_waits_for_its_turn_goes_back_once() -> None:
    story = given(planned(["a", "b"], in_flight=3)).when().when(in_doubt("a"), begun("b"))
    story.when(asked(requests.abort), applied("b"))
    story.append(go_back(story.state)[0])
    story.append(requests.resolve(story.state, "a", "2", applied=True)[0])
    story.when().then(ordered("a", "b"))


def test_a_late_answer_to_the_way_forward_is_none_to_a_rollback_that_was_left_out() -> None:
    story = given(planned(["a"])).when().when(begun("a"))
    late = list(finished("a")(story))
    story.later(DEADLINE_S).fleet("a", FleetStatus.SUSPENDED)
    story.append(go_back(story.state)[0])
    story.when().when(lambda _: late)
    assert (story.status("a"), story.state.status) == ("rollback_failed", Status.HALTED)
