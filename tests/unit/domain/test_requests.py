"""What may be asked of a rollout, and every refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.contracts.reports import Event
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.refusals import (
    BusyDatabases,
    DownHasNoRollback,
    IrreversibleMigrations,
    NothingToResolve,
    NothingToRetry,
    NotInRollout,
    UnavailableDatabases,
    UnknownMigration,
    WrongStatus,
)
from ledger.domain.rollout import Status
from migrations.model.attempt import Mode
from tests.support.spec import (
    MIGRATIONS,
    Story,
    aborted,
    applied,
    asked,
    failed,
    given,
    in_doubt,
    left_out,
    migration,
    ordered,
    paused,
    planned,
    wave_opened,
)

ONE_WAY = {"1": MIGRATIONS["1"], "2": migration("2", down=False)}


def _told(status: Status) -> Story:
    """A rollout of databases a and b in this status; a was applied or failed, b runs or waits."""
    story = given(planned(["a", "b"], in_flight=1, started=status is not Status.PLANNED))
    match status:
        case Status.PLANNED:
            return story
        case Status.RUNNING:
            return story.when()
        case Status.PAUSED:
            return story.when().when(paused())
        case Status.HALTED:
            return story.when().when(failed("a"))
        case Status.COMPLETED:
            return story.when().when(applied("a")).when(applied("b"))
        case Status.ABORTED:
            return story.when().when(aborted())


ASKS: dict[str, Callable[[Story], tuple[Event, ...]]] = {
    "start": lambda story: requests.start(story.state, {}),
    "pause": lambda story: requests.pause(story.state),
    "resume": lambda story: requests.resume(story.state),
    "retry": lambda story: requests.retry(story.state, None, story.records),
    "roll back": lambda story: requests.rollback(story.state, MIGRATIONS),
    "abort": lambda story: requests.abort(story.state),
}
ALLOWED = {
    "start": {Status.PLANNED},
    "pause": {Status.RUNNING},
    "resume": {Status.PAUSED, Status.HALTED},
    "retry": {Status.RUNNING, Status.HALTED},
    "roll back": set(Status) - {Status.PLANNED},
    "abort": set(Status) - {Status.COMPLETED, Status.ABORTED},
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("request_", list(ASKS))
def test_a_request_is_refused_where_the_table_says_so_and_names_what_to_do(
    request_: str, status: Status
) -> None:
    story = _told(status)
    assert story.state.status is status
    if status not in ALLOWED[request_]:
        with pytest.raises(WrongStatus, match=rf"cannot {request_} rollout r1: it is .*`ledger "):
            ASKS[request_](story)
    elif request_ != "retry" or status is Status.HALTED:
        assert ASKS[request_](story)


def test_a_rollout_is_not_started_twice() -> None:
    with pytest.raises(WrongStatus, match=r"cannot start rollout r1: it is running"):
        requests.start(_told(Status.RUNNING).state, {})


def test_a_rollout_whose_databases_became_busy_is_not_started() -> None:
    story = _told(Status.PLANNED)
    with pytest.raises(BusyDatabases, match="r0"):
        requests.start(story.state, {"a": "r0", "b": "r1"})
    assert requests.start(story.state, {"a": "r1"})


def test_a_rollback_of_what_cannot_be_undone_is_refused() -> None:
    story = given(planned(["a"]), migrations=ONE_WAY).when()
    with pytest.raises(IrreversibleMigrations, match=r"2_change.*`ledger rollout abort r1`, or"):
        requests.rollback(story.state, ONE_WAY)


@pytest.mark.parametrize(
    "status", [Status.RUNNING, Status.PAUSED, Status.HALTED, Status.COMPLETED, Status.ABORTED]
)
@pytest.mark.parametrize("request_", [one for one in ASKS if one != "roll back"])
def test_a_rollback_is_asked_like_any_rollout_and_refuses_with_words_of_its_own(
    request_: str, status: Status
) -> None:
    forward = _told(Status.COMPLETED)
    undo = forward.go_back().when()
    match status:
        case Status.PAUSED:
            undo.when(paused())
        case Status.HALTED:
            undo.when(failed("b")).when(applied("a"))
        case Status.COMPLETED:
            undo.when(applied("b")).when(applied("a"))
        case Status.ABORTED:
            undo.when(aborted())
        case _:
            pass
    assert undo.state.status is status
    if status not in ALLOWED[request_]:
        with pytest.raises(WrongStatus, match=rf"cannot {request_} rollout undo-r1: .*`ledger "):
            ASKS[request_](undo)
    elif request_ != "retry" or status is Status.HALTED:
        assert ASKS[request_](undo)


def test_what_is_undone_says_where_that_is_seen() -> None:
    story = _told(Status.HALTED)
    story.go_back()
    with pytest.raises(WrongStatus, match="undo-r1 takes it back, and `ledger rollout status undo"):
        requests.resume(story.state)


def test_a_retry_with_nothing_to_retry_is_refused() -> None:
    with pytest.raises(NothingToRetry, match="no database failed"):
        requests.retry(_told(Status.RUNNING).state, None, {})


def test_a_retry_of_a_database_that_did_not_fail_is_refused_by_name() -> None:
    story = _told(Status.HALTED)
    with pytest.raises(NothingToRetry, match="b is pending"):
        requests.retry(story.state, ["a", "b"], story.records)


def test_a_retry_of_a_foreign_database_is_refused() -> None:
    story = _told(Status.HALTED)
    with pytest.raises(NotInRollout, match="does not include z"):
        requests.retry(story.state, ["z"], story.records)


def test_a_retry_of_a_suspended_database_is_refused_by_name() -> None:
    story = _told(Status.HALTED).fleet("a", FleetStatus.SUSPENDED)
    with pytest.raises(UnavailableDatabases, match=r"a \(suspended\)"):
        requests.retry(story.state, ["a"], story.records)
    with pytest.raises(NothingToRetry, match="a is suspended"):
        requests.retry(story.state, None, story.records)


def test_a_database_that_was_left_out_is_retried_by_name() -> None:
    story = given(
        planned(["a", "b"], in_flight=1), wave_opened(0), left_out("a", "suspended"), ordered("b")
    )
    story.when(asked(lambda state: requests.retry(state, ["a"], story.records)))
    assert story.status("a") == "pending"
    story.when(applied("b"))
    assert story.status("a") == "ordered"


def test_only_what_is_in_doubt_can_be_resolved() -> None:
    story = _told(Status.RUNNING)
    with pytest.raises(NothingToResolve, match=r"'a' is ordered .*ledger rollout status r1"):
        requests.resolve(story.state, "a", "1", applied=True)
    story.when(in_doubt("a"))
    assert requests.resolve(story.state, "a", "1", applied=True)
    with pytest.raises(UnknownMigration, match="its migrations are 1, 2"):
        requests.resolve(story.state, "a", "9", applied=True)
    with pytest.raises(NotInRollout, match="z"):
        requests.resolve(story.state, "z", "1", applied=True)


def test_nothing_is_resolved_in_a_rollout_that_ended() -> None:
    with pytest.raises(WrongStatus, match="cannot resolve a database of"):
        requests.resolve(_told(Status.COMPLETED).state, "a", "1", applied=True)


def test_every_refusal_names_a_few_and_counts_the_rest() -> None:
    refused = BusyDatabases({f"db{number}": "r0" for number in range(8)})
    assert "and 3 more" in str(refused)
    assert len(refused.rollouts) == 8


def test_a_way_down_is_not_rolled_back() -> None:
    story = given(planned(["a"], mode=Mode.DOWN)).when().when(applied("a"))
    with pytest.raises(DownHasNoRollback, match="ledger up"):
        requests.rollback(story.state, MIGRATIONS)
