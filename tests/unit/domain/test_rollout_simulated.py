"""A rollout under chance: whatever agents do, in whatever order, it ends or says what it waits for.

A simulated world answers, is silent, is late, loses orders, dies in the middle; people pause, halt,
retry and resolve. After each step the properties that no interleaving may break are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from ledger.contracts.events import MigrationOrdered
from ledger.contracts.reports import Event
from ledger.domain.progress import next_wake
from ledger.domain.rollout import DatabaseStatus, Status, fold
from ledger.domain.states import SETTLED
from ledger.domain.surroundings import LeadingProcess, Surroundings
from ledger.domain.waiting import waiting
from tests.support.simulation import World
from tests.support.spec import START, Story

STEPS = 250


def explained(story: Story) -> set[str]:
    """The databases for which a reason is given."""
    around = Surroundings(LeadingProcess("l", "h", START), True, [], story.records)
    return {reason.database for reason in waiting(story.state, around)}


@pytest.mark.parametrize("seed", range(60))
def test_a_rollout_under_chance_ends_or_says_what_it_waits_for(seed: int) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d"], [f"e{n}" for n in range(8)]], in_flight=3)
    for _ in range(STEPS):
        world.step()
        story = world.course
        state = story.state
        if state.status is Status.COMPLETED:
            break
        owed = {known.database for known in state.databases() if known.status not in SETTLED}
        assert owed <= explained(story)
        moves = any(known.open for known in state.databases()) or state.again
        if moves and state.status is Status.RUNNING:
            settle = {state.database(name).status for name in state.active}
            # What is blocked waits for a person, and time alone changes nothing.
            assert next_wake(state, story.now) or settle <= {DatabaseStatus.BLOCKED}
    world.settle()
    assert world.course.state.status is Status.COMPLETED


@pytest.mark.parametrize("seed", range(60, 90))
def test_after_its_end_every_database_has_a_final_state_and_the_journals_agree(seed: int) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d", "e"]], in_flight=2)
    for _ in range(STEPS // 2):
        world.step()
    world.settle()
    state = world.course.state
    for known in state.databases():
        assert known.status in SETTLED
        if state.goes_back:
            assert not world.journals[known.database] or known.status is DatabaseStatus.FAILED
        elif known.status is DatabaseStatus.APPLIED:
            assert world.journals[known.database] == {"1", "2"}


@pytest.mark.parametrize("seed", range(90, 120))
def test_a_rollback_goes_exactly_to_the_databases_ever_ordered(seed: int) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d"], ["e", "f"]], in_flight=2)
    for _ in range(seed - 80):
        world.step()
    if not world.story.undos:
        world.ask(go_back(world))
    forward = _ordered(world.story)
    world.settle()
    assert _ordered(world.story) == forward or not world.story.undos
    for undo in world.story.undos[:1]:
        assert _ordered(undo) == forward == {one.database for one in undo.state.databases()}


@pytest.mark.parametrize("seed", range(120, 150))
def test_no_database_is_ordered_back_while_the_way_forward_is_at_work_there(seed: int) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d"], ["e", "f"]], in_flight=3)
    for _ in range(seed - 100):
        world.step()
    if not world.story.undos:
        world.ask(go_back(world))
    for _ in range(STEPS // 2):
        before = {undo.rollout: len(undo.log) for undo in world.story.undos}
        world.step()
        busy = {one.database for one in world.story.state.databases() if one.open and one.started}
        for undo in world.story.undos:
            new = [one.event for one in undo.log[before.get(undo.rollout, 0) :]]
            assert busy.isdisjoint(
                event.database for event in new if isinstance(event, MigrationOrdered)
            )


@for_all(st.integers(0, 10_000), st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_folding_in_any_batches_gives_the_state_of_folding_one_by_one(
    seed: int, sizes: list[int]
) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d"]], in_flight=2)
    for _ in range(60):
        world.step()
    log, batched, at = world.story.log, None, 0
    while at < len(log):
        size = sizes[at % len(sizes)]
        batched = fold(batched, log[at : at + size])
        at += size
    assert batched == world.story.state


@for_all(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_no_database_is_ordered_while_its_order_is_open_and_unexpired(seed: int) -> None:
    world = World(Random(seed), [["a"], ["b", "c", "d"], ["e", "f"]], in_flight=2)
    for _ in range(80):
        world.step()
    state = None
    for recorded in world.story.log:
        event = recorded.event
        if isinstance(event, MigrationOrdered):
            assert state is not None
            before = state.database(event.database)
            expires_at = before.expires_at
            expired = expires_at is not None and expires_at <= recorded.recorded_at
            assert not before.open or (expired and not before.started)
            assert event.attempt == before.attempt + 1
        state = fold(state, [recorded])


def go_back(world: World) -> Callable[[], tuple[Event, ...]]:
    """A person's request to have the rollout taken back."""

    def ask() -> tuple[Event, ...]:
        world.story.go_back()
        return ()

    return ask


def _ordered(story: Story) -> set[str]:
    return {
        known.event.database for known in story.log if isinstance(known.event, MigrationOrdered)
    }
