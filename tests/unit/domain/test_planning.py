"""Planning a rollout, and what is refused up front."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.contracts.events import Budget, PlanOptions, RolloutPlanned, WavePlanned, WhenSpent
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from ledger.domain.refusals import (
    BusyDatabases,
    DownHasNoRollback,
    EmptySelection,
    InvalidLimit,
    InvalidWaves,
    IrreversibleMigrations,
    NothingPlanned,
    UnavailableDatabases,
    UnknownDatabase,
)
from ledger.domain.requests import PlanInput, plan_rollout
from migrations.model.attempt import Limits, Mode
from tests.support.spec import (
    MIGRATIONS,
    migration,
    record,
)

ONE_WAY = {"1": MIGRATIONS["1"], "2": migration("2", down=False)}
REQUEST = PlanInput(
    rollout="r1",
    mode=Mode.UP,
    bundle="b" * 64,
    migrations=list(MIGRATIONS.values()),
    databases=["a", "b", "c"],
    options=PlanOptions(
        wave_spec="1,10%,rest",
        in_flight=50,
        budget=Budget(count=0),
        when_spent=WhenSpent.HALT,
        limits=Limits(),
        expiry_s=900.0,
        deadline_s=14_400.0,
    ),
)
FLEET = {name: record(name) for name in "abc"}


def with_options(**changes: object) -> PlanInput:
    return replace(REQUEST, options=REQUEST.options.model_copy(update=changes))


def plan(
    request: PlanInput = REQUEST,
    fleet: dict[str, DatabaseRecord] | None = None,
    busy: dict[str, str] | None = None,
) -> tuple[RolloutPlanned, list[WavePlanned]]:
    planned_, *waves = plan_rollout(request, fleet or FLEET, busy or {})
    assert isinstance(planned_, RolloutPlanned)
    return planned_, [wave for wave in waves if isinstance(wave, WavePlanned)]


def test_a_plan_names_its_waves_and_its_limits() -> None:
    planned_, waves = plan()
    assert (planned_.databases, planned_.waves) == (3, 3)
    assert planned_.budget == Budget(count=0)
    assert planned_.when_spent is WhenSpent.HALT
    assert planned_.limits.lock_timeout_s == 2.0
    assert [wave.databases for wave in waves] == [("a",), ("b",), ("c",)]


def test_a_large_wave_is_planned_in_chunks_of_1000() -> None:
    names = [f"db{number:04}" for number in range(2001)]
    _, waves = plan(
        replace(with_options(wave_spec="rest"), databases=names),
        {name: record(name) for name in names},
    )
    assert [(wave.wave, wave.chunk, len(wave.databases)) for wave in waves] == [
        (0, 0, 1000),
        (0, 1, 1000),
        (0, 2, 1),
    ]


def test_a_plan_that_goes_down_runs_backwards_with_down_checksums() -> None:
    planned_, _ = plan(replace(REQUEST, mode=Mode.DOWN))
    assert [(step.version, step.checksum) for step in planned_.steps] == [
        ("2", MIGRATIONS["2"].down_checksum),
        ("1", MIGRATIONS["1"].down_checksum),
    ]


def test_a_plan_without_databases_is_refused() -> None:
    with pytest.raises(EmptySelection, match="'tier=gold' matches no active database"):
        plan(replace(REQUEST, databases=[], selection="tier=gold"))


def test_a_plan_without_migrations_is_refused() -> None:
    with pytest.raises(NothingPlanned, match="ledger bundle register"):
        plan(replace(REQUEST, migrations=[]))


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(UnknownDatabase, match="'x'"):
        plan(replace(REQUEST, databases=["a", "x"]))


def test_suspended_and_retired_databases_are_refused_by_name() -> None:
    fleet = {
        **FLEET,
        "a": replace(FLEET["a"], status=FleetStatus.SUSPENDED),
        "b": replace(FLEET["b"], status=FleetStatus.RETIRED),
    }
    with pytest.raises(UnavailableDatabases, match=r"a \(suspended\), b \(retired\); .*reinstate"):
        plan(fleet=fleet)


def test_databases_of_another_unfinished_rollout_are_refused_by_name() -> None:
    with pytest.raises(BusyDatabases, match=r"b \(rollout r0\)"):
        plan(busy={"b": "r0", "z": "r0"})


@pytest.mark.parametrize(
    "request_",
    [
        replace(with_options(when_spent=WhenSpent.ROLLBACK), migrations=list(ONE_WAY.values())),
        replace(REQUEST, migrations=list(ONE_WAY.values()), mode=Mode.DOWN),
    ],
)
def test_what_cannot_be_undone_is_refused_up_front_by_name(request_: PlanInput) -> None:
    with pytest.raises(IrreversibleMigrations, match="2_change cannot be undone"):
        plan(request_)


def test_what_cannot_be_undone_may_go_up_and_halt() -> None:
    assert plan(replace(REQUEST, migrations=list(ONE_WAY.values())))


def test_a_way_down_has_no_rollback() -> None:
    with pytest.raises(DownHasNoRollback, match="ledger up"):
        plan(replace(with_options(when_spent=WhenSpent.ROLLBACK), mode=Mode.DOWN))


@pytest.mark.parametrize(
    "change", [{"in_flight": 0}, {"in_flight": 10_001}, {"expiry_s": 0.0}, {"deadline_s": 900.0}]
)
def test_limits_out_of_their_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidLimit, match="choose another value"):
        plan(with_options(**change))


def test_waves_that_leave_databases_out_are_refused() -> None:
    with pytest.raises(InvalidWaves, match="rest"):
        plan(with_options(wave_spec="1"))
