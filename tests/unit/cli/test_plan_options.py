"""How a rollout goes: flags win over settings, and none of either gets lost on the way."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

import pytest

from ledger.cli.app.options import PaceOptions, RolloutOptions, WhenSpentChoice
from ledger.cli.rollout.plan import plan_options, rehearsal_rule, rollback_options
from ledger.contracts.events import Budget, PlanOptions, WhenSpent
from ledger.domain.rehearsals import RehearsalRule
from ledger.domain.rollback import undo_options
from ledger.settings import RolloutSection
from migrations.model.attempt import Limits
from tests.support.spec import given, planned

SETTINGS = RolloutSection()
SET: dict[str, Any] = {
    "waves": "2,rest",
    "in_flight": 3,
    "budget": "7%",
    "when_spent": "rollback",
    "lock_timeout_s": 4.0,
    "statement_timeout_s": 5.0,
    "expiry_s": 6.0,
    "deadline_s": 8.0,
}
ELSEWHERE = {"select", "phase", "format", "allow_psql", "var", "on_drift", "require_rehearsal"}
"""Flags that say what goes where; how it goes, the others say."""
GIVEN: dict[str, Any] = {
    **SET,
    "when_spent": WhenSpentChoice.ROLLBACK,
    "out_of_order": True,
}


def said(name: str) -> Any:
    """A value of a flag; of a new one, some value of its type."""
    types = get_args(get_type_hints(RolloutOptions)[name]) or (
        get_type_hints(RolloutOptions)[name],
    )
    some = {bool: True, int: 7, float: 7.5, str: "said"}
    return GIVEN[name] if name in GIVEN else some[types[0]]


def test_settings_and_flags_become_the_options_of_a_plan() -> None:
    assert plan_options(RolloutOptions(**GIVEN), SETTINGS) == PlanOptions(
        wave_spec="2,rest",
        in_flight=3,
        budget=Budget(percent=7.0),
        when_spent=WhenSpent.ROLLBACK,
        limits=Limits(lock_timeout_s=4.0, statement_timeout_s=5.0),
        expiry_s=6.0,
        deadline_s=8.0,
        out_of_order=True,
    )


@pytest.mark.parametrize(
    "name", [one for one in RolloutSection.model_fields if "rehearsal" not in one]
)
def test_each_setting_reaches_the_plan(name: str) -> None:
    section = SETTINGS.model_copy(update={name: SET[name]})
    assert plan_options(RolloutOptions(), section) != plan_options(RolloutOptions(), SETTINGS)


def test_a_rehearsal_is_required_by_the_flag_or_else_by_the_setting() -> None:
    required = SETTINGS.model_copy(
        update={"require_rehearsal": True, "rehearsal_max_age_days": 3.0}
    )
    assert rehearsal_rule(RolloutOptions(), SETTINGS) is None
    assert rehearsal_rule(RolloutOptions(), required) == RehearsalRule(3.0)
    assert rehearsal_rule(RolloutOptions(require_rehearsal=True), SETTINGS) == RehearsalRule(7.0)


@pytest.mark.parametrize(
    "name", [one.name for one in fields(RolloutOptions) if one.name not in ELSEWHERE]
)
def test_each_flag_reaches_the_plan_and_wins_over_its_setting(name: str) -> None:
    flags = replace(RolloutOptions(), **{name: said(name)})
    assert plan_options(flags, SETTINGS) != plan_options(RolloutOptions(), SETTINGS)
    other = SETTINGS.model_copy(update={name: SET[name]} if name in SET else {})
    assert plan_options(flags, other) == plan_options(flags, SETTINGS)


def test_a_rollback_goes_as_the_rollout_went_where_the_flags_say_nothing() -> None:
    plan = given(planned(["a"], in_flight=7)).state.plan
    assert rollback_options(PaceOptions(), plan) == undo_options(plan)
    said = PaceOptions(waves="1,rest", budget="2%", lock_timeout_s=9.0, deadline_s=5000.0)
    chosen = rollback_options(said, plan)
    assert (chosen.wave_spec, chosen.budget) == ("1,rest", Budget(percent=2.0))
    assert (chosen.in_flight, chosen.deadline_s) == (7, 5000.0)
    assert chosen.limits == replace(plan.limits, lock_timeout_s=9.0)
    assert chosen.when_spent is WhenSpent.HALT
