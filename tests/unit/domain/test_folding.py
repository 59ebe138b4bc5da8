"""Folding: complete, and the same however the events are cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.contracts.events import (
    CheckRequested,
    Purpose,
    RetryRequested,
    RolloutPlanned,
    types_in,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    MigrationApplied,
    Unreadable,
)
from ledger.contracts.streams import Stream
from ledger.domain import rollout
from ledger.domain.progress import progress
from ledger.domain.rollout import BrokenStream, changed_by, fold, recalled
from ledger.domain.waves import chunks
from tests.support.spec import (
    Story,
    applied,
    begun,
    failed,
    given,
    ordered,
    planned,
    step_applied,
    wave_completed,
    wave_opened,
)

DATABASES = 5_000


def test_every_event_of_a_rollouts_streams_has_its_place_in_the_fold() -> None:
    expected = types_in(Stream.ROLLOUT, Stream.ROLLOUT_REPORTS) - {RolloutPlanned} | {Unreadable}
    assert set(rollout._APPLY) == expected


def test_folding_leaves_the_state_before_as_it_was() -> None:
    story = given(planned(["a"], ["b"]), wave_opened(0), ordered("a"))
    before, copy = story.state, folded_again(story)
    story.when(failed("a"))
    assert before == copy
    assert before != story.state


def folded_again(story: Story) -> rollout.RolloutState:
    state = fold(None, story.log)
    assert state is not None
    return state


def test_a_stream_starts_with_its_plan() -> None:
    story = given(planned(["a"]))
    with pytest.raises(BrokenStream, match="starts with RolloutPlanned"):
        fold(None, [story.log[1]])


def test_events_out_of_order_are_refused_and_never_skipped() -> None:
    story = given(planned(["a"]))
    with pytest.raises(BrokenStream, match="was folded before it"):
        fold(story.state, [story.log[-1]])


def test_an_event_of_another_stream_is_refused() -> None:
    story = given(planned(["a"]))
    foreign = replace(
        story.log[-1],
        position=99,
        event=CheckRequested(check="k", purpose=Purpose.CHECK, databases=()),
    )
    with pytest.raises(BrokenStream, match="no place in a rollout"):
        fold(story.state, [foreign])


def test_folding_nothing_changes_nothing() -> None:
    state = given(planned(["a"])).state
    assert fold(state, []) is state
    assert fold(None, []) is None


def test_folding_a_large_rollout_at_once_gives_what_folding_it_in_pieces_gives() -> None:
    names = [f"db{number:05}" for number in range(DATABASES)]
    story = given(planned(*(list(chunk) for chunk in chunks(names)), in_flight=DATABASES))
    for saying in (ordered(*names), begun(*names), applied(*names)):
        story.extend(saying(story))
    state = fold(None, story.log)
    assert state == story.state
    assert story.state.count(rollout.DatabaseStatus.APPLIED) == DATABASES


def test_who_only_decides_lets_go_of_what_is_done_and_decides_the_same() -> None:
    story = given(planned(["a"], ["b", "c", "d", "e"], in_flight=3), wave_opened(0))
    lean = fold(None, story.log)
    told = len(story.log)
    assert lean is not None
    for saying in (
        ordered("a"), begun("a"), step_applied("a", "1"), applied("a"), wave_completed(0),
        wave_opened(1), ordered("b", "c", "d"), begun("b", "c", "d"), step_applied("b", "1"),
        applied("b"), failed("c"),
    ):  # fmt: skip
        story.extend(saying(story))
        lean = fold(lean, story.log[told:], lean=True)
        told = len(story.log)
        assert lean is not None
        assert progress(lean, story.situation) == progress(story.state, story.situation)
    kept = [one.database for one in lean.databases()]
    assert kept == ["c", "d", "e"]
    for name in (
        "counts",
        "ordered",
        "counted",
        "failing",
        "active",
        "failures",
        "cursor",
        "where",
    ):
        assert getattr(lean, name) == getattr(story.state, name), name
    assert "a" in lean
    assert lean.get("a") is None


def test_of_what_is_said_of_a_done_database_only_what_changes_it_brings_it_back() -> None:
    story = given(planned(["a", "b"]), wave_opened(0), ordered("a", "b"), begun("a"))
    story.when(step_applied("a", "1"), applied("a"))
    lean = fold(None, story.log, lean=True)
    assert lean is not None
    reports = {type(one.event): one for one in story.log if getattr(one.event, "command", None)}
    assert not recalled(lean, [reports[AttemptStarted], reports[AttemptFinished]])
    assert recalled(lean, [reports[MigrationApplied]])
    retried = RetryRequested(rollout=rollout.begin(story.log[0]).rollout, databases=("b", "a"))
    asked = replace(story.log[-1], event=retried)
    assert changed_by([asked]) == {"a", "b"}
    assert recalled(lean, [asked])


def test_a_database_of_which_a_report_is_missing_is_not_done() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), begun("a"))
    story.when(step_applied("a", "1"), applied("a"))
    done = story.state.database("a")
    assert done.done
    assert not done._replace(told=len(done.changed) + 1).done
    assert not done._replace(again=True).done
    assert not done._replace(open=True).done
