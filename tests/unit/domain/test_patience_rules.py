"""Attempts that come to nothing: made again at growing distances, and not for ever."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from ledger.contracts.events import Budget, MigrationOrdered
from ledger.domain import requests
from ledger.domain.patience import TRIES, WAIT_FIRST_S
from ledger.domain.progress import next_wake
from migrations.model.attempt import Verdict
from tests.support.spec import (
    EXPIRY_S,
    Story,
    aborted,
    applied,
    asked,
    failed,
    finished,
    given,
    ordered,
    paused,
    planned,
    resumed,
    wave_opened,
)
from tests.support.story import Saying

FRUITLESS = [
    (Verdict.EXPIRED, "expired"),
    (Verdict.REFUSED, "clock"),
    (Verdict.CANCELLED, "cancelled"),
]
"""Verdicts, each with its kind, after which nothing has been tried."""
LASTING = ["pooler", "identity", "fence", "checksum", "reference", "program", "history"]
"""Kinds of refusals that no time cures."""
A_DAY_S = 86_400.0


def came_to_nothing(database: str, verdict: Verdict, kind: str) -> Saying:
    return finished(database, verdict=verdict, kind=kind, changed=0, head=None)


def answered_so_for_a_day(story: Story, verdict: Verdict, kind: str) -> list[float]:
    """Seconds at which `a` was ordered, when every order is answered so the moment it is there."""
    began, orders = story.now, []
    story.conclude()
    while (story.now - began).total_seconds() < A_DAY_S:
        if story.database("a").open:
            orders.append((story.now - began).total_seconds())
            story.when(came_to_nothing("a", verdict, kind))
            continue
        wake = next_wake(story.state, story.now)
        if wake is None:
            break
        story.later((wake - story.now).total_seconds())
    return orders


@pytest.mark.parametrize(("verdict", "kind"), FRUITLESS)
def test_no_answer_makes_a_loop_of_orders(verdict: Verdict, kind: str) -> None:
    story = given(planned(["a"]), wave_opened(0))
    orders = answered_so_for_a_day(story, verdict, kind)
    assert len(orders) == TRIES
    gaps = [later - earlier for earlier, later in pairwise(orders)]
    assert gaps == [0.0, *(WAIT_FIRST_S * 3**n for n in range(TRIES - 2))]


@pytest.mark.parametrize(("verdict", "kind"), FRUITLESS)
def test_after_the_last_try_the_database_has_failed_and_the_budget_pays(
    verdict: Verdict, kind: str
) -> None:
    story = given(planned(["a", "b"]), wave_opened(0), ordered("b"))
    answered_so_for_a_day(story, verdict, kind)
    assert (story.status("a"), story.state.status) == ("failed", "halted")
    failure = story.database("a").failure
    assert failure is not None
    assert f"{TRIES} attempts in a row came to nothing" in failure.message


@pytest.mark.parametrize("kind", LASTING)
def test_what_no_time_cures_fails_at_its_first_refusal(kind: str) -> None:
    story = given(planned(["a"]), wave_opened(0))
    assert answered_so_for_a_day(story, Verdict.REFUSED, kind) == [0.0]
    assert story.status("a") == "failed"


def test_a_refusal_without_a_reason_fails_at_once() -> None:
    story = given(planned(["a"]), wave_opened(0))
    assert answered_so_for_a_day(story, Verdict.REFUSED, "") == [0.0]


def test_an_order_called_expired_before_its_time_is_told_as_a_matter_of_clocks() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.when(came_to_nothing("a", Verdict.EXPIRED, "expired"))
    story.when(came_to_nothing("a", Verdict.EXPIRED, "expired"))
    failure = story.database("a").failure
    assert failure is not None
    assert failure.kind == "clock"
    assert "an agent took the order for expired 60 s before it was" in failure.message


def test_an_order_that_expired_in_its_time_is_no_matter_of_clocks() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    for _ in range(2):
        story.now += timedelta(seconds=EXPIRY_S)
        story.say([came_to_nothing("a", Verdict.EXPIRED, "expired")])
        failure = story.database("a").failure
        assert failure is not None
        assert failure.kind == "expired"
        # It took longer than the distance that its next order keeps, so that is due at once.
        assert not story.database("a").put_off(story.now)
        story.conclude()


def test_who_waits_keeps_its_place_so_that_a_fleet_is_not_swept_through() -> None:
    story = given(planned(["a", "b", "c"], in_flight=1), wave_opened(0), ordered("a"))
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock")).then(
        came_to_nothing("a", Verdict.REFUSED, "clock"), ordered("a")
    )
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock")).then(
        came_to_nothing("a", Verdict.REFUSED, "clock")
    )
    story.later(WAIT_FIRST_S).then(ordered("a"))
    story.when(applied("a")).then(applied("a"), ordered("b"))


def test_another_agent_may_do_at_a_later_attempt_what_one_refused() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock"))
    story.when(applied("a"))
    assert (story.status("a"), story.state.status) == ("applied", "completed")


def test_the_count_is_of_attempts_in_a_row() -> None:
    story = given(planned(["a"], ["b"], budget=Budget(count=1)), wave_opened(0))
    answered_so_for_a_day(story, Verdict.REFUSED, "clock")
    story.when(asked(lambda state: requests.retry(state, ["a"], story.records)))
    assert (story.database("a").fruitless, story.status("a")) == (0, "ordered")
    assert len(answered_so_for_a_day(story, Verdict.REFUSED, "clock")) == TRIES


def test_a_person_may_hurry_who_is_put_off() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    for _ in range(2):
        story.when(came_to_nothing("a", Verdict.REFUSED, "clock"))
    assert story.status("a") == "pending"
    story.when(asked(lambda state: requests.retry(state, None, story.records)))
    assert story.status("a") == "ordered"


def test_a_paused_rollout_orders_nobody_again_until_it_goes_on() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock"))
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock"), paused())
    assert next_wake(story.state, story.now) is None
    story.later(A_DAY_S).then()
    story.when(resumed()).then(resumed(), ordered("a"))


@pytest.mark.parametrize(("verdict", "kind"), FRUITLESS)
def test_on_the_way_back_it_ends_as_a_failed_rollback(verdict: Verdict, kind: str) -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), applied("a"))
    undo = story.go_back().when()
    assert len(answered_so_for_a_day(undo, verdict, kind)) == TRIES
    assert (undo.status("a"), undo.state.status) == ("failed", "halted")
    assert undo.state.why == "rollback failed on 1 of 1 database: a"


def test_the_way_back_begins_to_count_anew() -> None:
    story = given(planned(["a", "b"]), wave_opened(0), ordered("a", "b"))
    for _ in range(TRIES - 1):
        story.say([came_to_nothing("a", Verdict.REFUSED, "clock"), ordered("a")])
    assert story.database("a").last_try
    story.say([applied("a", "b")])
    undo = story.go_back().when()
    orders = [one.event for one in undo.log if isinstance(one.event, MigrationOrdered)]
    assert [one.last_try for one in orders] == [False, False]


def test_an_order_says_whether_it_is_the_last() -> None:
    story = given(planned(["a"]), wave_opened(0))
    answered_so_for_a_day(story, Verdict.CANCELLED, "cancelled")
    orders = [one.event for one in story.log if isinstance(one.event, MigrationOrdered)]
    assert [one.last_try for one in orders] == [False] * (TRIES - 1) + [True]


def test_what_failed_is_not_made_again_by_itself() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.when(failed("a"))
    assert story.status("a") == "failed"


def test_nobody_is_ordered_again_in_a_rollout_that_ended() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), aborted())
    story.when(came_to_nothing("a", Verdict.REFUSED, "clock")).then(
        came_to_nothing("a", Verdict.REFUSED, "clock")
    )
    assert next_wake(story.state, story.now) is None
