"""A plan's digest: what it binds, and what is said when the plan is not the same any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import Budget, RolloutPlanned, WavePlanned, WhenSpent
from ledger.contracts.registry import DatabaseValues, Step
from ledger.contracts.reports import Event
from ledger.domain.plan_digest import UNBOUND, PlanOutdated, canonical, digest, refuse_outdated
from migrations.model.attempt import Limits, Mode

NOWHERE = UUID(int=0)
VECTOR = "66a7bd8fd8b118ca7a209e0f171910960448b8e14bd589aa62292121e0e9b1bb"
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
    limits=Limits(),
    expiry_s=900.0,
    deadline_s=3600.0,
)
FIRST = WavePlanned(rollout="r1", wave=0, chunk=0, databases=("acme",))
REST = WavePlanned(rollout="r1", wave=1, chunk=0, databases=("bolt",))
PLAN = (PLANNED, FIRST, REST)


def changed(event: Event, **changes: object) -> Event:
    return event.model_copy(update=changes)


def test_the_canonical_bytes_are_these() -> None:
    wave = '{"chunk":0,"databases":["åcme"],"values":[],"wave":0}'
    bodies = [{"rollout": "r1", **json.loads(wave)}]
    assert canonical(bodies) == f"migration-ledger plan 1\n[{wave}]".encode()


def test_the_digest_of_what_is_recorded_is_this_for_ever() -> None:
    planned = (
        '{"adoption":null,"budget":{"count":0,"percent":null},"bundle":"b0","databases":1,'
        '"deadline_s":3600.0,"in_flight":50,"mode":"up","steps":[{"checksum":"c0","version":"1"}]}'
    )
    wave = '{"chunk":0,"databases":["acme"],"values":[],"wave":0}'
    bodies = [
        {"digest": "f0", **json.loads(planned), "fleet_position": 7},
        {"rollout": "r1", **dict(reversed(json.loads(wave).items()))},
    ]
    text = f"migration-ledger plan 1\n[{planned},{wave}]"
    assert canonical(bodies) == text.encode()
    assert hashlib.sha256(canonical(bodies)).hexdigest() == VECTOR


def test_it_is_computed_again_from_the_bodies_in_the_log() -> None:
    recorded = (changed(PLANNED, digest=digest(PLAN), rollout="r2"), FIRST, REST)
    bodies = [json.loads(encode(one, NOWHERE, Metadata()).body) for one in recorded]
    assert hashlib.sha256(canonical(bodies)).hexdigest() == digest(PLAN)


@pytest.mark.parametrize("change", [{"rollout": "r2"}, {"fleet_position": 9}, {"digest": "f" * 64}])
def test_names_and_positions_are_not_bound(change: dict[str, object]) -> None:
    assert digest((changed(PLANNED, **change), FIRST, REST)) == digest(PLAN)


@pytest.mark.parametrize("event", PLAN[:2], ids=["RolloutPlanned", "WavePlanned"])
def test_everything_else_is_bound(event: Event) -> None:
    body = event.model_dump(mode="json")
    for name in body.keys() - UNBOUND:
        assert canonical([{**body, name: "another"}]) != canonical([body]), name
        assert canonical([{**body, name: None}]) != canonical([{**body, name: "another"}]), name


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
        (
            (changed(PLANNED, steps=(Step(version="1", checksum="e" * 64),)), FIRST, REST),
            "migrations changed: 1",
        ),
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
