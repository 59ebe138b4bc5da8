"""The rules for databases that were worked on and cut short: no view takes them for untouched."""

from __future__ import annotations

import pytest

from ledger.domain import requests
from migrations.model.attempt import Verdict
from tests.support.spec import (
    Story,
    aborted,
    asked,
    begun,
    failed,
    finished,
    given,
    halted,
    left_out,
    looked_at,
    ordered,
    paused,
    planned,
    seen,
    step_applied,
    timed_out,
    wave_opened,
)
from tests.support.story import Saying

EXPIRED = finished("a", verdict=Verdict.EXPIRED, changed=0)
CUT_SHORT = {
    "one of two is applied": [
        begun("a"),
        step_applied("a", "1"),
        finished("a", verdict=Verdict.EXPIRED, changed=1),
    ],
    "its start was never told": [
        step_applied("a", "1"),
        finished("a", verdict=Verdict.EXPIRED, changed=1),
    ],
    "half of the first is done": [begun("a"), EXPIRED],
    "the agent was told to stop": [
        begun("a"),
        finished("a", verdict=Verdict.CANCELLED, changed=0),
    ],
    "nobody could read its journal": [
        finished("a", verdict=Verdict.EXPIRED, changed=0, kind="unreachable", head=None)
    ],
}


def cut_short(sayings: list[Saying]) -> Story:
    return given(planned(["a"]), wave_opened(0), ordered("a"), paused(), *sayings)


@pytest.mark.parametrize("sayings", CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_database_that_was_cut_short_is_unfinished(sayings: list[Saying]) -> None:
    assert cut_short(sayings).status("a") == "unfinished"


@pytest.mark.parametrize("sayings", CUT_SHORT.values(), ids=CUT_SHORT)
def test_after_an_abort_its_journal_is_asked_and_what_it_has_is_told(
    sayings: list[Saying],
) -> None:
    story = cut_short(sayings)
    story.when(aborted()).then(aborted(), looked_at("a"))
    assert story.status("a") == "unknown"
    story.when(seen("a", "1"))
    assert story.status("a") == "failed"
    failure = story.database("a").failure
    assert failure is not None
    assert "1 of 2 migrations applied" in failure.message
    story.later(1000).then()


TOLD_APPLIED = ("one of two is applied", "its start was never told")
SILENT = [name for name in CUT_SHORT if name not in TOLD_APPLIED]


@pytest.mark.parametrize("name", SILENT)
def test_after_an_abort_a_journal_without_a_trace_makes_it_untouched(name: str) -> None:
    story = cut_short(CUT_SHORT[name])
    story.when(aborted())
    story.when(seen("a"))
    assert story.status("a") == "pending"


@pytest.mark.parametrize("name", TOLD_APPLIED)
def test_a_journal_without_what_was_reported_was_set_back_and_says_how_to_let_it_in(
    name: str,
) -> None:
    story = cut_short(CUT_SHORT[name])
    story.when(aborted())
    story.when(seen("a"))
    assert story.status("a") == "failed"
    failure = story.database("a").failure
    assert failure is not None
    assert "what was reported as applied is not: 1;" in failure.message
    assert "restored from an older copy" in failure.message
    assert "`ledger fleet reinstate a`" in failure.message


def test_after_an_abort_a_journal_with_everything_makes_it_applied() -> None:
    story = cut_short(CUT_SHORT["half of the first is done"])
    story.when(aborted())
    story.when(seen("a", "1", "2"))
    assert story.status("a") == "applied"


@pytest.mark.parametrize("sayings", CUT_SHORT.values(), ids=CUT_SHORT)
def test_who_is_cut_short_after_the_abort_is_asked_as_well(sayings: list[Saying]) -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), *sayings[:-1], aborted())
    story.when(sayings[-1])
    assert story.status("a") in ("unknown", "failed")


def test_an_order_that_expired_untouched_stays_pending_and_nobody_is_asked() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), paused(), EXPIRED)
    assert story.status("a") == "pending"
    story.when(aborted()).then(aborted())
    assert story.status("a") == "pending"


def test_a_failed_database_that_was_to_be_tried_again_is_asked_after_an_abort() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), begun("a"), failed("a"))
    story.say([halted("1 of 1 database had failed by then, budget is 0")])
    story.say([asked(lambda state: requests.retry(state, ["a"], story.records)), aborted()])
    assert story.status("a") == "unknown"


def test_a_look_that_finds_a_trace_makes_an_unanswered_database_unfinished() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), paused(), timed_out("a"))
    story.when(looked_at("a"), seen("a", "1"))
    assert story.status("a") == "unfinished"


def test_a_look_that_finds_none_makes_it_pending() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), begun("a"), paused())
    story.when(timed_out("a"), looked_at("a"), seen("a"))
    assert story.status("a") == "pending"


def test_who_is_left_out_unfinished_says_so() -> None:
    story = cut_short(CUT_SHORT["half of the first is done"])
    story.say([left_out("a", "the database is suspended")])
    failure = story.database("a").failure
    assert failure is not None
    assert failure.message == (
        "the database is suspended; it was worked on before and is not finished"
    )


UNTOLD = {
    "refused, and tried again later": finished(
        "a", verdict=Verdict.REFUSED, changed=0, kind="clock", head=None
    ),
    "expired by another agent's clock": EXPIRED,
}


@pytest.mark.parametrize("word", UNTOLD.values(), ids=UNTOLD)
def test_who_is_worked_on_by_another_delivery_after_the_last_word_is_unfinished(
    word: Saying,
) -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), paused(), word)
    assert story.status("a") == "pending"
    story.say([step_applied("a", "1")])
    assert story.status("a") == "unfinished"
    story.when(aborted()).then(aborted(), looked_at("a"))


NOT_DONE = {
    "failed, and nobody could read the journal": finished(
        "a", verdict=Verdict.FAILED, changed=0, kind="unavailable", head=None
    ),
    "failed before it went on": failed("a"),
    "refused for good": finished("a", verdict=Verdict.REFUSED, changed=0, kind="reference"),
}


@pytest.mark.parametrize("word", NOT_DONE.values(), ids=NOT_DONE)
def test_who_is_worked_on_after_it_was_settled_as_not_done_is_asked(word: Saying) -> None:
    story = given(planned(["a"], ["b"]), wave_opened(0), ordered("a"), word)
    story.when()
    assert story.status("a") == "failed"
    story.when(step_applied("a", "1")).then(step_applied("a", "1"), looked_at("a"))
    assert story.status("a") == "unknown"
    story.when(seen("a", "1", "2"))
    assert story.status("a") == "applied"


def test_who_was_taken_back_untouched_by_an_abort_and_is_worked_on_all_the_same_is_asked() -> None:
    cancelled = finished("a", verdict=Verdict.CANCELLED, changed=0, kind="cancelled")
    story = given(planned(["a"]), wave_opened(0), ordered("a"), aborted(cancel=True), cancelled)
    story.when(step_applied("a", "1")).then(step_applied("a", "1"), looked_at("a"))
    assert story.status("a") == "unknown"


def test_a_single_report_that_comes_after_the_last_word_that_counts_it_changes_nothing() -> None:
    both = finished("a", verdict=Verdict.FAILED, changed=2, kind="verify")
    story = given(planned(["a"]), wave_opened(0), ordered("a"), both)
    story.when(step_applied("a", "1"))
    assert story.status("a") == "failed"
    story.when(step_applied("a", "2"))
    assert story.status("a") == "failed"
