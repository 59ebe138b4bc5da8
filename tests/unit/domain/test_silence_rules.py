"""The rules for databases that nobody answers for: expiry, deadlines, looks, and leaving out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ledger.contracts.events import DatabaseLeftOut, MigrationOrdered
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.progress import next_wake
from ledger.domain.rollout import Status
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.support.spec import (
    DEADLINE_S,
    EXPIRY_S,
    Story,
    applied,
    asked,
    begun,
    completed,
    failed,
    finished,
    given,
    left_out,
    looked_at,
    ordered,
    paused,
    planned,
    seen,
    step_applied,
    timed_out,
    wave_completed,
    wave_opened,
)

SOON_S = 1.0


def test_an_expired_order_is_ordered_again_and_no_failure() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    story.when(finished("a", verdict=Verdict.EXPIRED, changed=0, head=None))
    story.then(finished("a", verdict=Verdict.EXPIRED), ordered("a"))
    assert story.database("a").attempt == 2


def test_a_started_order_does_not_expire() -> None:
    given(planned(["a"]), wave_opened(0), ordered("a"), begun("a")).later(EXPIRY_S + 10).then()


def test_an_order_unanswered_past_its_deadline_is_unknown_and_its_journal_is_asked() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), begun("a"))
    story.now += timedelta(seconds=DEADLINE_S)
    story.later(0).then(timed_out("a"), looked_at("a"))
    assert story.status("a") == "unknown"


def _wakes_after_s(story: Story) -> float:
    wake = next_wake(story.state, story.now)
    assert wake is not None
    return (wake - story.now).total_seconds()


def _unknown(in_flight: int = 10) -> Story:
    story = given(planned(["a"], in_flight=in_flight), wave_opened(0), ordered("a"), begun("a"))
    return story.later(DEADLINE_S)


def test_a_journal_that_holds_everything_settles_an_unknown_database() -> None:
    _unknown().when(seen("a", "1", "2")).then(
        seen("a", "1", "2"), wave_completed(0), completed(applied=1)
    )


def test_a_journal_that_holds_everything_by_somebody_else_means_skipped() -> None:
    _unknown().when(seen("a", "1", "2", by="other")).then(
        seen("a", "1", "2"), wave_completed(0), completed(applied=0, skipped=1)
    )


def test_a_journal_that_lacks_something_makes_a_new_attempt() -> None:
    story = _unknown().when(seen("a", "1"))
    story.then(seen("a", "1"), ordered("a"))
    assert story.status("a") == "ordered"


def test_an_unreachable_unknown_database_is_asked_again_after_growing_waits() -> None:
    story = _unknown()
    waits = []
    for _ in range(7):
        story.when(seen("a", reachable=False))
        waits.append(_wakes_after_s(story))
        story.later(waits[-1]).then(looked_at("a"))
    assert waits == [30, 60, 120, 240, 480, 600, 600]
    assert story.status("a") == "unknown"


def test_a_look_that_nobody_answers_is_asked_for_again() -> None:
    _unknown().later(60).then(looked_at("a"))


def test_a_late_answer_settles_an_unknown_database() -> None:
    _unknown().when(applied("a")).then(applied("a"), wave_completed(0), completed(applied=1))


def test_a_look_that_comes_after_the_answer_changes_nothing() -> None:
    story = _unknown(in_flight=1)
    look = list(seen("a", "1")(story))
    story.when(applied("a"))
    before = story.status("a")
    story.when(lambda _: look)
    assert (before, story.status("a")) == ("applied", "applied")


def test_unknown_databases_keep_their_place_in_flight() -> None:
    story = given(planned(["a", "b"], in_flight=1), wave_opened(0), ordered("a"), begun("a"))
    story.later(DEADLINE_S).then(timed_out("a"), looked_at("a"))


def test_a_report_on_an_older_command_settles_nothing_but_its_facts_count() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    old = [*step_applied("a", "1")(story), *finished("a")(story)]
    story.later(EXPIRY_S + 10)
    story.when(lambda _: old)
    assert story.status("a") == "ordered"
    assert story.database("a").changed == ("1",)


def test_a_suspended_database_is_left_out_and_says_so() -> None:
    story = given(planned(["a", "b"])).fleet("a", FleetStatus.SUSPENDED).when()
    story.then(wave_opened(0), left_out("a", "the database is suspended"), ordered("b"))
    assert story.status("a") == "skipped"
    story.when(applied("b"))
    assert story.state.status is Status.COMPLETED


def test_a_wave_of_retired_databases_only_completes() -> None:
    story = given(planned(["a"], ["b"])).fleet("a", FleetStatus.RETIRED).when()
    story.then(
        wave_opened(0),
        left_out("a", "the database is retired"),
        wave_completed(0),
        wave_opened(1),
        ordered("b"),
    )


def test_an_unknown_database_that_is_retired_holds_the_rollout_up_no_longer() -> None:
    story = _unknown().fleet("a", FleetStatus.RETIRED).when()
    story.then(left_out("a", "the database is retired"), wave_completed(0), completed(0, skipped=1))


def test_an_attempt_after_silence_does_not_check_the_journals_head() -> None:
    story = given(planned(["a"])).when().later(EXPIRY_S + 10)
    assert story.last(MigrationOrdered).expected.journal_head is None


def test_nothing_wakes_a_rollout_that_waits_for_people_only() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a")).when(failed("a"))
    assert next_wake(story.state, story.now) is None


def test_what_is_overdue_and_cannot_be_settled_is_looked_at_again_a_moment_later() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), begun("a"), paused())
    story.fleet("a", FleetStatus.SUSPENDED).later(DEADLINE_S).then(timed_out("a"))
    assert _wakes_after_s(story) == SOON_S


def test_an_order_that_nobody_started_before_its_expiry_is_ordered_again() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    assert _wakes_after_s(story) == EXPIRY_S + 10
    story.later(EXPIRY_S).then()
    story.later(10).then(ordered("a"))
    assert (story.database("a").attempt, story.state.counted) == (2, 0)


def test_a_look_that_could_not_read_the_journal_settles_nothing() -> None:
    denied = Failure(kind=FailureClass.SQL, message="permission denied for schema")
    story = given(planned(["a"], mode=Mode.DOWN), wave_opened(0), ordered("a"), begun("a"))
    story.later(DEADLINE_S).when(seen("a", failure=denied)).then(seen("a", failure=denied))
    assert story.status("a") == "unknown"


def test_a_journal_without_the_migrations_settles_a_way_down() -> None:
    story = given(planned(["a"], mode=Mode.DOWN), wave_opened(0), ordered("a"), begun("a"))
    story.later(DEADLINE_S).when(seen("a", "1"))
    assert story.status("a") == "ordered", "version 1 is still in force"
    story.when(begun("a")).later(DEADLINE_S).when(seen("a"))
    assert story.status("a") == "skipped"
    assert story.state.status is Status.COMPLETED


def test_an_answer_that_comes_after_the_journal_settled_it_changes_nothing() -> None:
    story = _unknown().when(seen("a", "1", "2")).when(failed("a"))
    assert (story.status("a"), story.state.status) == ("applied", Status.COMPLETED)


def test_after_an_unanswered_order_of_another_rollout_no_head_is_expected() -> None:
    story = given(planned(["a", "b"]))
    story.records["a"] = replace(story.records["a"], unanswered=True)
    story.conclude()
    heads = {
        recorded.event.database: recorded.event.expected
        for recorded in story.log
        if isinstance(recorded.event, MigrationOrdered)
    }
    assert heads["a"].journal_head is None
    assert heads["a"].identity == story.records["a"].expected.identity
    assert heads["b"].journal_head == "head-0"


def test_being_left_out_twice_is_two_events_with_ids_of_their_own() -> None:
    story = given(planned(["a", "b"], in_flight=1)).fleet("a", FleetStatus.SUSPENDED).when()
    story.fleet("a", FleetStatus.ACTIVE)
    story.when(asked(lambda state: requests.retry(state, ["a"], story.records)))
    story.fleet("a", FleetStatus.SUSPENDED).when(applied("b"))
    ids = [told.event_id for told in story.log if isinstance(told.event, DatabaseLeftOut)]
    assert len(set(ids)) == 2
