"""What `ledger rollout status` suggests: only commands that would be accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.contracts.events import Budget
from ledger.domain import fleet, requests
from ledger.domain.fleet import FleetState, FleetStatus
from ledger.domain.rollout import Status
from ledger.domain.surroundings import LeadingProcess, Surroundings
from ledger.service.status import DatabaseLine, status_of
from tests.support.spec import (
    DEADLINE_S,
    MIGRATIONS,
    START,
    Story,
    aborted,
    applied,
    begun,
    failed,
    given,
    in_doubt,
    left_out,
    paused,
    planned,
)

GENEROUS = Budget(count=5)
STORIES: dict[str, Callable[[], Story]] = {
    "planned": lambda: given(planned(["a"], started=False)),
    "running": lambda: _running().when(failed("a")),
    "running, one in doubt": lambda: _running().when(in_doubt("a")),
    "running, one left out": lambda: _running().when(left_out("a", "suspended")),
    "running, one unknown": lambda: _running().when(begun("a")).later(DEADLINE_S),
    "paused": lambda: _running().when(failed("a")).when(paused()),
    "halted": lambda: _running(Budget(count=0)).when(failed("a")),
    "completed": lambda: _running().when(failed("a")).when(applied("b")).when(applied("c")),
    "aborted": lambda: _running().when(failed("a")).when(aborted()),
    "aborted, one in doubt": lambda: _running().when(in_doubt("a")).when(aborted()),
    "undone": lambda: _undone(_running().when(failed("a")).when(begun("b"))),
    "going back": lambda: _running().when(applied("a")).go_back().when(),
    "halted in its rollback": lambda: (
        _applied().go_back().when().when(failed("c")).when(applied("b")).when(applied("a"))
    ),
    "aborted in its rollback": lambda: (
        _applied().go_back().when().when(failed("c")).when(aborted())
    ),
}  # fmt: skip


def _running(budget: Budget = GENEROUS) -> Story:
    return given(planned(["a", "b", "c"], budget=budget, in_flight=1)).when()


def _applied() -> Story:
    return _running().when(applied("a")).when(applied("b")).when(applied("c"))


def _undone(story: Story) -> Story:
    story.go_back()
    return story


def with_fleet_status(story: Story, status: FleetStatus) -> Story:
    """The same story, its databases all suspended, or all retired."""
    for database, record in story.records.items():
        story.records[database] = replace(record, status=status)
    return story


def suggested(story: Story) -> dict[str, DatabaseLine]:
    around = Surroundings(LeadingProcess("l", "h", START), None, [], story.records)
    return {line.database: line for line in status_of(story.state, around).databases}


def accept(story: Story, command: str) -> None:
    """Ask for what `command` asks for; raises what the ledger would refuse with."""
    match command.split():
        case ["ledger", "rollout", "retry", _, *databases]:
            requests.retry(story.state, databases, story.records)
        case ["ledger", "rollout", "resume", _]:
            requests.resume(story.state)
        case ["ledger", "rollout", "abort", _]:
            requests.abort(story.state)
        case ["ledger", "rollout", "rollback", undone]:
            (forward,) = (one for one in story.beside if one.rollout == undone)
            requests.rollback(forward.state, MIGRATIONS, [story.state])
        case ["ledger", "resolve", database, *_]:
            version = story.state.plan.steps[0].version
            requests.resolve(story.state, database, version, applied=True)
        case ["ledger", "fleet", "reinstate", database, *_]:
            fleet.reinstate(FleetState(story.records), database, "it is back")
        case ["ledger-agent", "run", "--pool", "main"] | ["ledger", "up"]:
            pass
        case _:
            raise AssertionError(f"nobody knows whether {command!r} would be accepted")


@pytest.mark.parametrize("status", FleetStatus)
@pytest.mark.parametrize("name", STORIES)
def test_every_suggested_command_would_be_accepted(name: str, status: FleetStatus) -> None:
    story = with_fleet_status(STORIES[name](), status)
    for line in suggested(story).values():
        if line.helps:
            accept(story, line.helps)


def test_the_stories_have_every_status_of_a_rollout() -> None:
    assert {story().state.status for story in STORIES.values()} == set(Status)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("running", "ledger rollout retry r1 a"),
        ("paused", "ledger rollout resume r1"),
        ("halted", "ledger rollout retry r1 a"),
        ("completed", "ledger up"),
        ("aborted", "ledger up"),
        ("halted in its rollback", "ledger rollout retry undo-r1 c"),
        ("aborted in its rollback", "ledger rollout rollback r1"),
    ],
)
def test_what_failed_is_tried_again_by_what_the_rollout_allows(name: str, command: str) -> None:
    assert command in {line.helps for line in suggested(STORIES[name]()).values()}


@pytest.mark.parametrize(
    "name", ["running", "running, one left out", "paused", "halted", "aborted"]
)
def test_what_is_suspended_is_reinstated_before_it_is_tried_again(name: str) -> None:
    story = with_fleet_status(STORIES[name](), FleetStatus.SUSPENDED)
    assert suggested(story)["a"].helps == "ledger fleet reinstate a --reason …"


def test_what_left_the_fleet_is_not_tried_again() -> None:
    story = with_fleet_status(STORIES["running"](), FleetStatus.RETIRED)
    assert suggested(story)["a"].helps == ""


def test_what_the_fleet_left_out_and_took_back_is_tried_again_by_name() -> None:
    assert suggested(STORIES["running, one left out"]())["a"].helps == "ledger rollout retry r1 a"
