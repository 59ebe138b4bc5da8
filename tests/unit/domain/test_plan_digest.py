"""A plan's digest: what it binds, and what is said when the plan is not the same any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import Budget, RolloutPlanned, WavePlanned, WhenSpent
from ledger.contracts.registry import (
    Adoption,
    DatabaseValues,
    Mode,
    RunLimits,
    Step,
    Variable,
)
from ledger.contracts.reports import Event
from ledger.domain.plan_digest import UNBOUND, PlanOutdated, canonical, digest, refuse_outdated

NOWHERE = UUID(int=0)
PLANNED = RolloutPlanned(
    rollout="r1",
    mode=Mode.UP,
    bundle="b" * 64,
    steps=(Step(version="1", checksum="c" * 64),),
    selection="tier=gold",
    fleet_position=7,
    databases=2,
    waves=2,
    wave_spec="1,rest",
    in_flight=50,
    budget=Budget(count=0),
    when_spent=WhenSpent.HALT,
    limits=RunLimits(),
    expiry_s=900.0,
    deadline_s=3600.0,
)
FIRST = WavePlanned(rollout="r1", wave=0, chunk=0, databases=("acme",))
REST = WavePlanned(rollout="r1", wave=1, chunk=0, databases=("bolt",))
PLAN = (PLANNED, FIRST, REST)
OTHERS: dict[str, Any] = {
    "mode": Mode.DOWN,
    "bundle": "d" * 64,
    "steps": (Step(version="1", checksum="e" * 64),),
    "selection": "",
    "databases": 3,
    "waves": 3,
    "wave_spec": "1,1",
    "in_flight": 51,
    "budget": Budget(percent=2.0),
    "when_spent": WhenSpent.ROLLBACK,
    "limits": RunLimits(lock_timeout_s=3.0),
    "expiry_s": 901.0,
    "deadline_s": 3601.0,
    "adoption": Adoption(),
    "out_of_order": True,
    "variables": (Variable(name="schema", value="app"),),
}


def changed(event: Event, **changes: object) -> Event:
    return event.model_copy(update=changes)


def test_the_canonical_bytes_are_these() -> None:
    wave = '{"chunk":0,"databases":["åcme"],"values":[],"wave":0}'
    bodies = [{"rollout": "r1", **json.loads(wave)}]
    assert canonical(bodies) == f"migration-ledger plan 1\n[{wave}]".encode()


def test_the_digest_is_the_hash_of_the_canonical_bytes() -> None:
    assert (
        digest(PLAN)
        == hashlib.sha256(
            b"migration-ledger plan 1\n"
            b'[{"adoption":null,"budget":{"count":0,"percent":null},"bundle":"' + b"b" * 64 + b'",'
            b'"databases":2,"deadline_s":3600.0,"expiry_s":900.0,"in_flight":50,'
            b'"limits":{"advisory_wait_s":300.0,"lock_timeout_s":2.0,"retry_for_s":300.0,'
            b'"statement_timeout_s":0.0},"mode":"up","out_of_order":false,"selection":"tier=gold",'
            b'"steps":[{"checksum":"' + b"c" * 64 + b'","version":"1"}],"variables":[],'
            b'"wave_spec":"1,rest","waves":2,"when_spent":"halt"},'
            b'{"chunk":0,"databases":["acme"],"values":[],"wave":0},'
            b'{"chunk":0,"databases":["bolt"],"values":[],"wave":1}]'
        ).hexdigest()
    )


def test_it_is_computed_again_from_the_bodies_in_the_log() -> None:
    recorded = (changed(PLANNED, digest=digest(PLAN), rollout="r2"), FIRST, REST)
    bodies = [json.loads(encode(one, NOWHERE, Metadata()).body) for one in recorded]
    assert hashlib.sha256(canonical(bodies)).hexdigest() == digest(PLAN)


@pytest.mark.parametrize("change", [{"rollout": "r2"}, {"fleet_position": 9}, {"digest": "f" * 64}])
def test_names_and_positions_are_not_bound(change: dict[str, object]) -> None:
    assert digest((changed(PLANNED, **change), FIRST, REST)) == digest(PLAN)


def test_every_other_field_has_a_case_here() -> None:
    assert {*OTHERS, *UNBOUND} == set(RolloutPlanned.model_fields)


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_bound(name: str) -> None:
    assert digest((changed(PLANNED, **{name: OTHERS[name]}), FIRST, REST)) != digest(PLAN)


VALUES = (DatabaseValues(database="bolt", values=(("schema", "app"),)),)


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        ((PLANNED, FIRST, changed(REST, databases=("bolt", "crane"))), "databases joined: crane"),
        ((PLANNED, FIRST), "databases left: bolt"),
        ((PLANNED, changed(FIRST, databases=("bolt",))), "databases in another wave: bolt"),
        ((PLANNED, FIRST, changed(REST, values=VALUES)), "other values in: bolt"),
        (
            (changed(PLANNED, steps=(*PLANNED.steps, Step(version="2", checksum="c" * 64))),),
            "migrations added: 2",
        ),
        ((changed(PLANNED, steps=()), FIRST, REST), "migrations left out: 1"),
        ((changed(PLANNED, steps=OTHERS["steps"]), FIRST, REST), "migrations changed: 1"),
        ((changed(PLANNED, bundle="d" * 64), FIRST, REST), "another bundle"),
        ((changed(PLANNED, in_flight=51), FIRST, REST), "other options: in_flight"),
        ((), "nothing is left to do"),
    ],
)
def test_a_plan_that_is_not_the_same_any_more_is_refused_by_what_differs(
    now: Sequence[Event], difference: str
) -> None:
    with pytest.raises(PlanOutdated, match=r"nothing was started.*`ledger plan`") as refused:
        refuse_outdated(PLAN, now)
    assert difference in refused.value.differences
    assert digest(PLAN)[:12] in str(refused.value)


def test_a_plan_that_would_be_drawn_alike_is_not_refused() -> None:
    refuse_outdated(PLAN, (changed(PLANNED, rollout="r2", fleet_position=900), FIRST, REST))
