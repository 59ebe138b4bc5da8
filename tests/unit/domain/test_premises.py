"""What a decision rests on: how many failures it bears, and whose news would change it."""

from __future__ import annotations

import pytest

from ledger.contracts.events import Budget, MigrationOrdered, RolloutHalted
from ledger.domain import requests
from ledger.domain.premises import TURNS, Premise, of_progress, of_request
from ledger.domain.progress import progress
from ledger.domain.rollout import fold
from migrations.model.attempt import Verdict
from tests.support.spec import (
    applied,
    asked,
    begun,
    failed,
    finished,
    given,
    in_doubt,
    looked_at,
    ordered,
    paused,
    planned,
    step_failed,
    timed_out,
    wave_opened,
)
from tests.support.story import Saying, Story

KNOWN = 7
FOUR = ["acme", "bolt", "crane", "dune"]


def premise(story: Story) -> Premise:
    """What the conductor's next decision rests on."""
    decided = progress(story.state, story.situation)
    assert decided
    return of_progress(story.state, (one.event for one in decided), KNOWN)


def test_an_order_bears_as_many_failures_as_the_budget_has_left() -> None:
    story = given(planned(FOUR, budget=Budget(count=2)), wave_opened(0), ordered("acme", "bolt"))
    assert premise(story) == Premise(KNOWN, failures=2)
    story.say([failed("acme")])
    assert premise(story) == Premise(KNOWN, failures=1)


def test_a_failure_without_its_last_word_is_paid_for_in_advance() -> None:
    story = given(planned(FOUR, budget=Budget(count=2)), wave_opened(0), ordered("acme", "bolt"))
    story.say([step_failed("acme")])
    assert (story.state.counted, story.state.failing) == (0, 1)
    assert premise(story).failures == 1
    story.say([finished("acme", verdict=Verdict.FAILED)])
    assert (story.state.counted, story.state.failing) == (1, 0)
    assert premise(story).failures == 1


def test_while_the_last_word_is_missing_that_would_spend_the_budget_nothing_is_ordered() -> None:
    story = given(planned(FOUR), wave_opened(0), ordered("acme"), step_failed("acme"))
    assert progress(story.state, story.situation) == ()
    story.when(finished("acme", verdict=Verdict.FAILED))
    assert story.last(RolloutHalted).why == (
        "1 of 1 ordered database had failed by then (4 in the rollout), budget is 0"
    )


def test_an_attempt_that_failed_and_never_ends_holds_its_rollout_no_longer_than_its_deadline() -> (
    None
):
    story = given(planned(FOUR), wave_opened(0), ordered("acme"), begun("acme"))
    story.say([step_failed("acme")])
    assert story.later(100_000).status("acme") == "unknown"
    assert story.state.failing == 0
    assert any(isinstance(one.event, MigrationOrdered) for one in story.log[story.since :])


def test_what_a_rest_decides_bears_any_failure() -> None:
    story = given(planned(FOUR), wave_opened(0), ordered("acme"), begun("acme"))
    story.say([asked(lambda state: requests.abort(state))])
    story.now = story.database("acme").deadline_at or story.now
    assert premise(story).failures is None


def test_what_a_rollback_decides_bears_as_many_failures_as_it_has_databases() -> None:
    story = given(planned(FOUR), wave_opened(0), ordered("acme"), applied("acme"))
    assert premise(story.go_back()).failures == 1


def test_a_halt_bears_any_failure() -> None:
    story = given(planned(FOUR), wave_opened(0), ordered("acme"), failed("acme"))
    assert premise(story).failures is None


def test_news_of_a_database_matters_while_it_owes_an_answer() -> None:
    story = given(planned(["acme"]), wave_opened(0), ordered("acme"), begun("acme"))
    story.now = story.database("acme").deadline_at or story.now
    assert premise(story).databases == ("acme",)
    story.say([timed_out("acme")])
    assert premise(story).databases == ("acme",)


def test_news_of_a_database_that_was_never_ordered_cannot_be() -> None:
    assert premise(given(planned(FOUR), wave_opened(0))).databases == ()


def test_news_of_a_database_that_has_answered_is_not_waited_for() -> None:
    story = given(planned(FOUR, budget=Budget(count=3)), wave_opened(0), ordered(*FOUR))
    story.say([finished("acme", verdict=Verdict.EXPIRED)])
    assert premise(story).databases == ()


def test_a_request_rests_on_every_turn_and_on_no_database() -> None:
    story = given(planned(FOUR))
    found = of_request(requests.pause(story.state), KNOWN)
    assert found == Premise(KNOWN, turns=tuple(turn.__name__ for turn in TURNS))


def test_a_retry_and_a_word_rest_on_the_databases_that_they_name() -> None:
    story = given(planned(FOUR, budget=Budget(count=3)), wave_opened(0), ordered(*FOUR))
    story.say([failed("bolt"), in_doubt("dune")])
    retried = requests.retry(story.state, None, story.records)
    assert of_request(retried, KNOWN).databases == ("bolt",)
    word = requests.resolve(story.state, "dune", _version(story), applied=True)
    assert of_request(word, KNOWN).databases == ("dune",)


def _version(story: Story) -> str:
    return story.state.plan.steps[0].version


REQUESTS = {
    "pause": requests.pause,
    "resume": requests.resume,
    "abort": requests.abort,
}
STORIES: dict[str, list[Saying]] = {
    "running": [ordered("acme")],
    "paused": [ordered("acme"), paused()],
    "halted": [ordered("acme"), failed("acme")],
    "looked at": [ordered("acme"), timed_out("acme"), looked_at("acme")],
    "aborted": [ordered("acme"), asked(lambda state: requests.abort(state))],
    "undone": [ordered("acme"), asked(lambda state: requests.rollback(state, Story().migrations))],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_turns_alone_allow_and_refuse_what_the_whole_history_does(
    request_: object, story: list[Saying]
) -> None:
    whole = given(planned(FOUR), wave_opened(0)).when(*story)
    turns = [one for one in whole.log if isinstance(one.event, TURNS)]
    course = fold(None, turns)
    assert course is not None
    assert (course.status, course.undone_by) == (whole.state.status, whole.state.undone_by)
    assert _answer(request_, course) == _answer(request_, whole.state)


def _answer(request_: object, state: object) -> str:
    try:
        return repr(request_(state))  # type: ignore[operator]
    except Exception as refused:
        return str(refused)
