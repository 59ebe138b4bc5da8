"""Databases that say that this is no good moment: asked again until a deadline, and told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from ledger.contracts.events import MigrationOrdered, RolloutPlanned
from ledger.contracts.reports import Event
from ledger.domain.patience import WAIT_FIRST_S, WAIT_MOST_S
from ledger.domain.waiting import Reason
from migrations.model.attempt import Limits, Verdict
from migrations.model.preflight import LabelledWindow, PreflightPolicy
from tests.support.spec import Story, given, ordered, planned, wave_opened
from tests.support.story import Saying
from tests.unit.domain.test_patience_rules import answered_so_for_a_day, came_to_nothing
from tests.unit.domain.test_waiting import reasons

NIGHT = LabelledWindow((0,), 0, 60, "UTC")
GOLD = LabelledWindow((1,), 0, 60, "UTC", "tier", "gold")


def asking(policy: PreflightPolicy, *waves: list[str], in_flight: int = 10) -> Saying:
    """As `planned`, with a preflight."""

    def say(story: Story) -> Iterable[Event]:
        for event in planned(*waves, in_flight=in_flight)(story):
            if isinstance(event, RolloutPlanned):
                yield event.model_copy(update={"limits": Limits(preflight=policy)})
            else:
                yield event

    return say


def blocked(database: str) -> Saying:
    return came_to_nothing(database, Verdict.REFUSED, "preflight")


@pytest.mark.parametrize("wait_s", [60.0, 3600.0, 50_000.0])
def test_a_blocked_database_is_asked_again_until_the_deadline_and_has_failed_then(
    wait_s: float,
) -> None:
    story = given(asking(PreflightPolicy(wait_s=wait_s), ["a"]), wave_opened(0))
    orders = answered_so_for_a_day(story, Verdict.REFUSED, "preflight")
    gaps = [later - earlier for earlier, later in pairwise(orders)]
    assert gaps == [min(WAIT_FIRST_S * 3**n, WAIT_MOST_S) for n in range(len(gaps))]
    assert max(gaps) <= WAIT_MOST_S
    assert orders[-2] < wait_s <= orders[-1] <= wait_s + WAIT_MOST_S
    failure = story.database("a").failure
    assert (story.status("a"), story.state.status) == ("failed", "halted")
    assert failure is not None
    assert failure.kind == "preflight"
    assert "preflight error" in failure.message


def test_a_blocked_database_lets_others_go_on_meanwhile() -> None:
    story = given(asking(PreflightPolicy(), ["a", "b", "c"], in_flight=1), wave_opened(0))
    story.conclude()
    assert story.database("a").open
    story.when(blocked("a"))
    story.conclude()
    assert story.database("b").open


def test_a_blocked_database_waits_for_a_reason_that_is_told_and_that_a_person_can_hurry() -> None:
    story = given(asking(PreflightPolicy(), ["a"]), wave_opened(0), ordered("a"), blocked("a"))
    wait = reasons(story)["a"]
    assert wait.reason is Reason.PREFLIGHT
    assert wait.text.startswith("blocked: preflight error; asked again at ")
    assert wait.command == f"ledger rollout retry {story.state.rollout} a"
    assert wait.until == story.now + timedelta(seconds=WAIT_FIRST_S)


@pytest.mark.parametrize(("labels", "own"), [({}, (NIGHT,)), ({"tier": "gold"}, (GOLD,))])
def test_an_order_carries_the_windows_of_its_database_alone(
    labels: dict[str, str], own: tuple[LabelledWindow, ...]
) -> None:
    story = given(asking(PreflightPolicy(windows=(NIGHT, GOLD)), ["a"]), wave_opened(0))
    story.records["a"] = replace(story.records["a"], labels=labels)
    story.conclude()
    order = story.last(MigrationOrdered)
    assert order.limits.preflight is not None
    assert order.limits.preflight.windows == own
