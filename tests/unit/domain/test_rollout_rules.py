"""The rules of a rollout on its way forward."""

from __future__ import annotations

from dataclasses import replace

from ledger.contracts.events import Budget, MigrationOrdered, RolloutAborted, RolloutHalted
from ledger.domain import requests
from ledger.domain.rollout import Status
from migrations.model.attempt import Expectation, Verdict
from tests.support.spec import (
    DEADLINE_S,
    EXPIRY_S,
    ROLLOUT,
    aborted,
    applied,
    asked,
    completed,
    failed,
    finished,
    given,
    halted,
    in_doubt,
    looked_at,
    ordered,
    paused,
    planned,
    resumed,
    seen,
    timed_out,
    wave_completed,
    wave_opened,
)


def test_a_started_rollout_opens_its_first_wave_and_orders_its_databases() -> None:
    given(planned(["acme"], ["bolt"])).when().then(wave_opened(0), ordered("acme"))


def test_a_planned_rollout_orders_nothing() -> None:
    given(planned(["acme"], started=False)).when().then()


def test_a_wave_opens_when_the_one_before_has_its_outcomes() -> None:
    given(planned(["acme"], ["bolt"]), wave_opened(0), ordered("acme")).when(applied("acme")).then(
        applied("acme"), wave_completed(0), wave_opened(1), ordered("bolt")
    )


def test_the_last_wave_completes_the_rollout() -> None:
    given(planned(["acme"]), wave_opened(0), ordered("acme")).when(applied("acme")).then(
        applied("acme"), wave_completed(0), completed(applied=1)
    )


def test_a_failure_over_the_budget_halts_before_the_next_wave() -> None:
    given(planned(["acme"], ["bolt"]), wave_opened(0), ordered("acme")).when(failed("acme")).then(
        failed("acme"),
        halted("1 of 1 ordered database had failed by then (2 in the rollout), budget is 0"),
    )


def test_a_halt_names_the_reports_that_made_it() -> None:
    story = given(planned(["acme"]), wave_opened(0), ordered("acme")).when(failed("acme"))
    assert story.last(RolloutHalted).evidence == (story.log[-2].position,)


def test_failures_within_the_budget_let_the_rollout_complete() -> None:
    given(planned(["acme", "bolt"], budget=Budget(count=1)), wave_opened(0)).when(
        ordered("acme", "bolt"), failed("acme"), applied("bolt")
    ).then(
        ordered("acme", "bolt"),
        failed("acme"),
        applied("bolt"),
        wave_completed(0),
        completed(applied=1, failed=1),
    )


def test_a_budget_in_percent_is_a_share_of_all_databases() -> None:
    story = given(planned(["a"], ["b", "c", "d"], budget=Budget(percent=25)), wave_opened(0))
    story.when(ordered("a"), failed("a"))
    assert story.state.status is Status.RUNNING
    story.when(failed("b"))
    why = "2 of 4 databases had failed by then, budget is 25% of 4 databases (1)"
    assert story.state.why == why


def test_no_more_databases_are_in_flight_than_the_limit_says() -> None:
    story = given(planned(["a", "b", "c"], in_flight=2)).when()
    story.then(wave_opened(0), ordered("a", "b"))
    story.when(applied("a")).then(applied("a"), ordered("c"))


def test_a_paused_rollout_lets_run_what_runs_and_orders_nothing() -> None:
    story = given(planned(["a", "b"], in_flight=1), wave_opened(0), ordered("a"), paused())
    story.when(applied("a")).then(applied("a"))
    story.when(asked(requests.resume)).then(resumed(), ordered("b"))


def test_a_cancelled_attempt_of_a_running_rollout_is_ordered_again() -> None:
    given(planned(["a"]), wave_opened(0), ordered("a")).when(
        finished("a", verdict=Verdict.CANCELLED, changed=0)
    ).then(finished("a", verdict=Verdict.CANCELLED), ordered("a"))


def test_a_cancelled_attempt_of_an_aborted_rollout_has_failed() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), aborted(cancel=True))
    assert story.database("a").open
    story.when(finished("a", verdict=Verdict.CANCELLED, kind="cancelled"))
    assert (story.status("a"), story.database("a").open) == ("failed", False)


def test_an_attempt_that_found_nothing_to_do_is_skipped() -> None:
    given(planned(["a"]), wave_opened(0), ordered("a")).when(finished("a", changed=0)).then(
        finished("a"), wave_completed(0), completed(applied=0, skipped=1)
    )


def test_a_database_in_doubt_is_blocked_until_a_person_resolves_it() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a")).when(in_doubt("a"))
    story.then(in_doubt("a"))
    assert (story.status("a"), story.state.counted) == ("blocked", 0)
    settle = asked(lambda state: requests.resolve(state, "a", "2", applied=True))
    story.when(settle)
    order = story.last(MigrationOrdered)
    assert [(word.version, word.applied) for word in order.resolutions] == [("2", True)]


def test_a_persons_word_reaches_the_order_with_its_reason() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a")).when(in_doubt("a"))
    (event,) = requests.resolve(story.state, "a", "2", applied=False)
    story.append(event, reason="looked myself")
    story.conclude()
    assert story.last(MigrationOrdered).resolutions[0].reason == "looked myself"


def test_resuming_a_halted_rollout_forgives_the_failures_known_by_then() -> None:
    story = given(planned(["a"], ["b", "c"]), wave_opened(0), ordered("a")).when(failed("a"))
    story.when(asked(requests.resume)).then(
        resumed(), wave_completed(0), wave_opened(1), ordered("b", "c")
    )
    assert story.status("a") == "failed"
    story.when(failed("b")).then(
        failed("b"),
        halted("1 of 3 databases had failed by then beside 1 accepted before, budget is 0"),
    )


def test_a_retry_of_a_halted_rollout_resumes_it_and_tries_again() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a")).when(failed("a"))
    story.when(asked(lambda state: requests.retry(state, None, story.records)))
    assert [type(known.event).__name__ for known in story.log[-2:]] == [
        "RetryRequested",
        "MigrationOrdered",
    ]
    story.when(failed("a"))
    assert story.state.status is Status.HALTED, "a retried database counts again"


def test_an_order_expects_what_the_fleet_knows_when_it_is_given() -> None:
    story = given(planned(["a"])).when()
    assert story.last(MigrationOrdered).expected == story.records["a"].expected
    learned = Expectation(identity=story.records["a"].expected.identity, journal_head="by another")
    story.records["a"] = replace(story.records["a"], expected=learned)
    story.when(failed("a"), asked(lambda state: requests.retry(state, ["a"], story.records)))
    assert story.last(MigrationOrdered).expected == learned


def test_an_order_carries_term_steps_and_limits() -> None:
    story = given(planned(["a"])).when()
    order = story.last(MigrationOrdered)
    assert (order.term, [step.version for step in order.steps]) == (1, ["1", "2"])
    assert (order.expires_at - story.now).total_seconds() == EXPIRY_S
    assert (order.deadline_at - story.now).total_seconds() == DEADLINE_S


def test_why_a_person_ended_it_stands_behind_why_it_had_halted() -> None:
    event = RolloutAborted(rollout=ROLLOUT, cancel=False)
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.append(event, reason="too slow")
    assert story.state.why == "too slow"
    story = given(planned(["a"]), wave_opened(0), ordered("a"), halted("1 failed, budget is 0"))
    story.append(event, reason="too slow")
    assert story.state.why == "1 failed, budget is 0; then aborted: too slow"


def test_an_aborted_rollout_still_finds_out_what_became_of_its_orders() -> None:
    story = given(planned(["a", "b"], in_flight=1), wave_opened(0), ordered("a"), aborted())
    story.later(DEADLINE_S).then(timed_out("a"), looked_at("a"))
    story.when(seen("a", "1", "2")).then(seen("a", "1", "2"))
    assert (story.status("a"), story.status("b")) == ("applied", "pending")
