"""A retry forgives nobody: what it does not name counts as before, and stops the rollout again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ledger.contracts.events import Budget, MigrationOrdered, ReportContradicted, RolloutHalted
from ledger.contracts.reports import Event
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.rollout import Status, fold
from ledger.domain.surroundings import LeadingProcess, Surroundings
from ledger.domain.waiting import waiting
from tests.support.spec import (
    DEADLINE_S,
    EXPIRY_S,
    START,
    Story,
    applied,
    asked,
    begun,
    failed,
    given,
    in_doubt,
    paused,
    planned,
    resumed,
    seen,
    step_failed,
)
from tests.support.story import Saying

HALTED, RUNNING, COMPLETED = Status.HALTED, Status.RUNNING, Status.COMPLETED


def retried(story: Story, *databases: str) -> Saying:
    return asked(lambda state: requests.retry(state, databases or None, story.records))


def halted(*failures: str, budget: int = 0, others: tuple[str, ...] = ("x", "y")) -> Story:
    """A rollout that these have halted; the others wait in the wave behind."""
    story = given(planned([*failures], [*others], budget=Budget(count=budget))).when()
    story.when(*(failed(one) for one in failures))
    assert story.state.status is HALTED
    return story


def orders(story: Story, since: int) -> list[str]:
    events = [one.event for one in story.log[since:]]
    return [one.database for one in events if isinstance(one, MigrationOrdered)]


def test_a_retry_of_one_database_orders_that_one_and_no_other() -> None:
    story = halted("a", "b")
    before = len(story.log)
    story.when(retried(story, "a"))
    assert (story.state.status, orders(story, before)) == (RUNNING, ["a"])
    assert story.status("b") == "failed"
    assert story.state.counted == 1


def test_the_rollout_halts_again_over_the_failure_that_nobody_tried_again() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a")).when(applied("a"))
    assert story.state.status is HALTED
    assert story.last(RolloutHalted).why == (
        "1 of 2 ordered databases had failed by then (4 in the rollout), budget is 0"
    )
    assert (story.status("a"), story.status("b"), story.state.counted) == ("applied", "failed", 1)


def test_a_rollout_is_not_completed_over_another_database_s_failure() -> None:
    story = given(planned(["a", "b"])).when().when(failed("a"), failed("b"))
    story.when(retried(story, "a")).when(applied("a"))
    assert story.state.status is HALTED
    assert story.state.why == "1 of 2 databases had failed by then, budget is 0"
    story.when(retried(story, "b")).when(applied("b"))
    assert story.state.status is COMPLETED


def test_one_that_fails_again_halts_it_at_once_and_the_next_one_is_not_ordered() -> None:
    story = given(planned(["a", "b", "c"])).when().when(failed("a"), failed("b"), failed("c"))
    before = len(story.log)
    story.when(retried(story, "a", "b"))
    assert sorted(orders(story, before)) == ["a", "b"]
    before = len(story.log)
    story.when(failed("a"))
    assert story.state.status is HALTED
    assert orders(story, before) == []


def test_a_retry_that_brings_the_failures_within_the_budget_lets_the_rollout_go_on() -> None:
    story = halted("a", "b", budget=1)
    before = len(story.log)
    story.when(retried(story, "a")).when(applied("a"))
    assert story.state.status is RUNNING
    assert orders(story, before) == ["a", "x", "y"]
    story.when(failed("x"))
    assert story.state.status is HALTED, "b's failure was not forgiven on the way"
    assert "2 of 4 databases had failed by then, budget is 1" in story.state.why


def test_a_retry_of_all_does_not_write_off_the_suspended_one() -> None:
    story = halted("a", "b")
    story.fleet("b", FleetStatus.SUSPENDED)
    before = len(story.log)
    story.when(retried(story)).when(applied("a"))
    assert (story.state.status, orders(story, before)) == (HALTED, ["a"])
    assert story.state.counted == 1


def test_resuming_accepts_what_failed_and_says_so_in_later_numbers() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a")).when(applied("a"))
    story.when(asked(requests.resume))
    assert story.state.counted == 0
    story.when(failed("x"))
    why = "1 of 4 databases had failed by then beside 1 accepted before, budget is 0"
    assert story.state.why == why


def test_while_the_last_word_on_a_new_failure_is_missing_nothing_more_is_tried() -> None:
    story = given(planned(["a", "b", "c"], in_flight=1, budget=Budget(count=0)))
    story.when().when(failed("a")).when(asked(requests.resume)).when(failed("b"))
    story.when(retried(story, "b"))
    assert story.status("b") == "ordered"
    before = len(story.log)
    story.when(step_failed("b"))
    assert orders(story, before) == []


def test_a_pause_keeps_it_to_those_that_were_asked_for() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a")).when(paused())
    story.when(resumed()).when(applied("a"))
    assert story.state.status is HALTED
    assert (story.status("x"), story.state.counted) == ("pending", 1)


def test_one_that_is_blocked_meanwhile_ends_the_try_and_can_be_tried_again_once_settled() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a")).when(in_doubt("a"))
    assert (story.state.status, story.status("a")) == (HALTED, "blocked")
    settle = asked(lambda state: requests.resolve(state, "a", "1", applied=False))
    before = len(story.log)
    story.when(settle).when(retried(story, "a"))
    assert orders(story, before) == ["a"]
    story.when(applied("a"))
    assert (story.state.status, story.state.counted) == (HALTED, 1)


def test_an_order_that_expires_is_made_again_while_it_runs_for_the_retries() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a"))
    before = len(story.log)
    story.later(EXPIRY_S + 60)
    assert orders(story, before) == ["a"]


def test_one_that_nobody_answers_for_keeps_the_try_open_until_its_journal_was_asked() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a"))
    story.when(begun("a"))
    story.later(DEADLINE_S)
    assert (story.state.status, story.status("a")) == (RUNNING, "unknown")
    story.when(seen("a", "1", "2"))
    assert (story.state.status, story.status("a")) == (HALTED, "applied")


def test_a_rollback_that_could_not_go_back_twice_halts_over_the_one_that_was_left() -> None:
    forward = given(planned(["a", "b"])).when().when(applied("a"), applied("b"))
    undo = forward.go_back().when()
    undo.when(failed("a"), failed("b"))
    assert undo.state.status is HALTED
    undo.when(asked(lambda state: requests.retry(state, ["a"], undo.records))).when(applied("a"))
    assert undo.state.why == "rollback failed on 1 of 2 databases: b"
    assert undo.state.status is HALTED


def test_who_is_not_tried_again_waits_for_the_others_failures_and_is_told_so() -> None:
    story = halted("a", "b")
    story.when(retried(story, "a"))
    around = Surroundings(LeadingProcess("l", "h", START, led_s=0.0), True, [], story.records)
    texts = {one.database: one.text for one in waiting(story.state, around)}
    assert texts["x"] == (
        "only what was asked for is tried again; other failures stop the rollout still"
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_folded_in_batches_it_is_the_same(size: int) -> None:
    story = halted("a", "b")
    story.when(retried(story, "a")).when(applied("a")).when(asked(requests.resume))
    log, state = story.log, None
    for at in range(0, len(log), size):
        state = fold(state, log[at : at + size])
    assert state == story.state


def contradicted(database: str) -> Saying:
    """Somebody reports another effect of the database's latest command."""

    def say(story: Story) -> Iterable[Event]:
        command = story.database(database).command
        assert command is not None
        yield ReportContradicted(
            database=database, command=command, report_id=command, report_type="AttemptFinished",
            body="", why="another effect", effect=True,
        )  # fmt: skip

    return say


def test_a_retry_of_one_doubted_database_believes_no_word_on_another() -> None:
    story = given(planned(["a", "b", "c"], ["x"])).when().when(applied("a"), applied("b"))
    story.when(contradicted("a"), contradicted("b"))
    assert story.state.status is HALTED
    before = len(story.log)
    story.when(retried(story, "a"))
    assert (story.state.status, orders(story, before)) == (RUNNING, ["a"])
    story.when(applied("a"))
    assert story.state.status is HALTED
    assert "became of b:" in story.state.why


def test_a_contradiction_that_comes_meanwhile_halts_it_at_once() -> None:
    story = given(planned(["a", "b", "c"], ["x"])).when().when(applied("c"))
    story.when(failed("a"), failed("b")).when(retried(story, "a"))
    story.when(contradicted("c"))
    assert story.state.status is HALTED
    assert "became of c:" in story.state.why
