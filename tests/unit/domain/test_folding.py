"""Folding: complete, and the same however the events are cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.contracts.events import CheckRequested, Purpose, RolloutPlanned, types_in
from ledger.contracts.reports import Unreadable
from ledger.contracts.streams import Stream
from ledger.domain import rollout
from ledger.domain.rollout import BrokenStream, evolve, fold
from ledger.domain.waves import chunks
from tests.support.spec import (
    Story,
    applied,
    begun,
    failed,
    given,
    ordered,
    planned,
    wave_opened,
)

DATABASES = 5_000


def test_every_event_of_a_rollouts_streams_has_its_place_in_the_fold() -> None:
    expected = types_in(Stream.ROLLOUT, Stream.ROLLOUT_REPORTS) - {RolloutPlanned} | {Unreadable}
    assert set(rollout._APPLY) == expected


def test_evolving_leaves_the_state_before_as_it_was() -> None:
    story = given(planned(["a"], ["b"]), wave_opened(0), ordered("a"))
    before, copy = story.state, evolve_again(story)
    story.when(failed("a"))
    assert before == copy
    assert before != story.state


def evolve_again(story: Story) -> rollout.RolloutState:
    state = fold(None, story.log)
    assert state is not None
    return state


def test_a_stream_starts_with_its_plan() -> None:
    story = given(planned(["a"]))
    with pytest.raises(BrokenStream, match="starts with RolloutPlanned"):
        evolve(None, story.log[1])


def test_events_out_of_order_are_refused_and_never_skipped() -> None:
    story = given(planned(["a"]))
    with pytest.raises(BrokenStream, match="was folded before it"):
        evolve(story.state, story.log[-1])


def test_an_event_of_another_stream_is_refused() -> None:
    story = given(planned(["a"]))
    foreign = replace(
        story.log[-1],
        position=99,
        event=CheckRequested(check="k", purpose=Purpose.CHECK, databases=()),
    )
    with pytest.raises(BrokenStream, match="no place in a rollout"):
        evolve(story.state, foreign)


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
