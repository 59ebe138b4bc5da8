"""Planning a rollout: which databases, in which waves, within which limits; refused up front.

What can be known to fail later is refused here: a migration that could not be undone where the plan
says that it would be, databases that are busy, suspended or gone, waves that leave some out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger.contracts.events import Budget, RolloutPlanned, WavePlanned, WhenSpent
from ledger.contracts.registry import DatabaseValues, MigrationRef, Sha256, Step, Variable
from ledger.contracts.reports import Event
from ledger.domain import waves
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.refusals import (
    BusyDatabases,
    DownHasNoRollback,
    EmptySelection,
    InvalidLimit,
    NothingPlanned,
    UnavailableDatabases,
    UnknownDatabase,
)
from ledger.domain.rollback import refuse_irreversible
from ledger.domain.variables import Values, own_values, used
from migrations.model.attempt import Adoption, Limits, Mode

WAVES = "1,10%,rest"
"""One database first, then a tenth, then all others."""
IN_FLIGHT = 50
"""Databases worked on at once: a few agents' worth, far below any server's connection limit."""
IN_FLIGHT_MOST = 10_000
"""Above this the limit limits nothing, and every decision would walk that many databases."""


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What an operator asks for.

    `migrations` are in the bundle's order, oldest first, also for `down`; `databases` are the
    selected ids in the order in which they go.
    """

    rollout: str
    mode: Mode
    bundle: Sha256
    migrations: Sequence[MigrationRef]
    databases: Sequence[str]
    expiry_s: float
    """How long an order may wait to be started before it is ordered again."""
    deadline_s: float
    """How long an order may go unanswered before its database is unknown."""
    selection: str = ""
    fleet_position: int = 0
    wave_spec: str = WAVES
    in_flight: int = IN_FLIGHT
    budget: Budget = field(default_factory=lambda: Budget(count=0))
    when_spent: WhenSpent = WhenSpent.HALT
    limits: Limits = field(default_factory=Limits)
    adoption: Adoption | None = None
    out_of_order: bool = False
    variables: Sequence[Variable] = ()
    """Everything that is declared; the plan records what its migrations use."""
    earlier: Mapping[str, Values] = field(default_factory=dict)
    """Going down: the values that each database's migrations were applied with."""


def plan_rollout(
    request: PlanInput,
    records: Mapping[str, DatabaseRecord],
    busy: Mapping[str, str],
) -> tuple[Event, ...]:
    """RolloutPlanned and its WavePlanned events.

    `records` is the fleet, `busy` maps a database to the unfinished rollout that holds it.
    Raises `NothingPlanned`, `EmptySelection`, `UnknownDatabase`, `UnavailableDatabases`,
    `BusyDatabases`, `UndeclaredVariables`, `MissingLabels`, `DownHasNoRollback`,
    `IrreversibleMigrations`, `InvalidWaves` or
    `InvalidLimit`.
    """
    _check_limits(request)
    _check_migrations(request)
    _check_databases(request, records, busy)
    variables = used(request.variables, request.migrations)
    labels = {database: records[database].labels for database in request.databases}
    values = own_values(variables, labels, request.earlier)
    cut = waves.cut(request.wave_spec, request.databases)
    planned = RolloutPlanned(
        rollout=request.rollout,
        mode=request.mode,
        bundle=request.bundle,
        steps=_steps(request),
        selection=request.selection,
        fleet_position=request.fleet_position,
        databases=len(request.databases),
        waves=len(cut),
        wave_spec=request.wave_spec,
        in_flight=request.in_flight,
        budget=request.budget,
        when_spent=request.when_spent,
        limits=request.limits,
        expiry_s=request.expiry_s,
        deadline_s=request.deadline_s,
        adoption=request.adoption,
        out_of_order=request.out_of_order,
        variables=variables,
    )
    return (planned, *_waves(request.rollout, cut, values))


def _waves(
    rollout: str, cut: Sequence[Sequence[str]], values: Mapping[str, DatabaseValues]
) -> tuple[WavePlanned, ...]:
    return tuple(
        WavePlanned(
            rollout=rollout,
            wave=number,
            chunk=index,
            databases=databases,
            values=tuple(values[one] for one in databases if one in values),
        )
        for number, wave in enumerate(cut)
        for index, databases in enumerate(waves.chunks(wave))
    )


def _steps(request: PlanInput) -> tuple[Step, ...]:
    if request.mode is Mode.DOWN:
        return tuple(
            Step(version=migration.version, checksum=migration.down_checksum)
            for migration in reversed(request.migrations)
            if migration.down_checksum is not None
        )
    return tuple(
        Step(version=migration.version, checksum=migration.up_checksum)
        for migration in request.migrations
    )


def _check_limits(request: PlanInput) -> None:
    if not 1 <= request.in_flight <= IN_FLIGHT_MOST:
        raise InvalidLimit(
            "the in-flight limit", request.in_flight, f"it must be from 1 to {IN_FLIGHT_MOST}"
        )
    if request.expiry_s <= 0:
        raise InvalidLimit("the expiry", request.expiry_s, "orders need some seconds to start")
    if request.deadline_s <= request.expiry_s:
        raise InvalidLimit(
            "the deadline",
            request.deadline_s,
            f"it must be later than the expiry of {request.expiry_s:g} s, "
            "or an order could time out before it started",
        )


def _check_migrations(request: PlanInput) -> None:
    if not request.migrations:
        raise NothingPlanned
    if request.mode is Mode.DOWN:
        refuse_irreversible("`ledger down`", request.migrations)
        if request.when_spent is WhenSpent.ROLLBACK:
            raise DownHasNoRollback
    elif request.when_spent is WhenSpent.ROLLBACK and request.mode is not Mode.ADOPT:
        refuse_irreversible("rolling back when the budget is spent", request.migrations)


def _check_databases(
    request: PlanInput, records: Mapping[str, DatabaseRecord], busy: Mapping[str, str]
) -> None:
    if not request.databases:
        raise EmptySelection(request.selection)
    unavailable: dict[str, str] = {}
    for database in request.databases:
        record = records.get(database)
        if record is None:
            raise UnknownDatabase(database)
        if not record.active:
            unavailable[database] = record.status.value
    if unavailable:
        raise UnavailableDatabases(unavailable)
    held = {database: busy[database] for database in request.databases if database in busy}
    if held:
        raise BusyDatabases(held)
