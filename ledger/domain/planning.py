"""Planning a rollout: which databases, in which waves, within which limits; refused up front.

What can be known to fail later is refused here: a migration that could not be undone where the plan
says that it would be, databases that are busy, suspended or gone, waves that leave some out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.contracts.events import PlanOptions, RolloutPlanned, WavePlanned, WhenSpent
from ledger.contracts.registry import DatabaseValues, MigrationRef, Sha256, Step, Variable
from ledger.contracts.reports import Event
from ledger.domain import waves
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.plan_digest import digest
from ledger.domain.refusals import (
    BusyDatabases,
    DownHasNoRollback,
    EmptySelection,
    InvalidLimit,
    NothingPlanned,
    UnavailableDatabases,
    UnknownDatabase,
)
from ledger.domain.rollback import left_to_undo, refuse_irreversible, undo_steps
from ledger.domain.states import RolloutState
from ledger.domain.variables import Values, own_values, used
from migrations.model.attempt import Adoption, Mode

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
    options: PlanOptions
    selection: str = ""
    fleet_position: int = 0
    adoption: Adoption | None = None
    variables: Sequence[Variable] = ()
    """Everything that is declared; the plan records what its migrations use."""
    history: str = ""
    """What the history is called that the migrations belong to."""
    earlier: Mapping[str, Values] = field(default_factory=dict)
    """Going down: the values that each database's migrations were applied with."""


def plan_rollout(
    request: PlanInput,
    records: Mapping[str, DatabaseRecord],
    busy: Mapping[str, str],
) -> tuple[Event, ...]:
    """RolloutPlanned, with the plan's digest, and its WavePlanned events.

    `records` is the fleet, `busy` maps a database to the unfinished rollout that holds it.
    Raises `NothingPlanned`, `EmptySelection`, `UnknownDatabase`, `UnavailableDatabases`,
    `BusyDatabases`, `UndeclaredVariables`, `MissingLabels`, `DownHasNoRollback`,
    `IrreversibleMigrations`, `InvalidWaves` or
    `InvalidLimit`.
    """
    _check_limits(request.options)
    _check_migrations(request)
    _check_databases(request, records, busy)
    variables = used(request.variables, request.migrations)
    labels = {database: records[database].labels for database in request.databases}
    values = own_values(variables, labels, request.earlier)
    cut = waves.cut(request.options.wave_spec, request.databases)
    planned = RolloutPlanned(
        rollout=request.rollout,
        mode=request.mode,
        bundle=request.bundle,
        steps=_steps(request),
        selection=request.selection,
        fleet_position=request.fleet_position,
        databases=len(request.databases),
        waves=len(cut),
        adoption=request.adoption,
        variables=variables,
        history=request.history,
        **dict(request.options),
    )
    return _with_digest(planned, _waves(request.rollout, cut, values))


def plan_undo(
    undone: RolloutState,
    rollout: str,
    options: PlanOptions,
    migrations: Mapping[str, MigrationRef],
    fleet_position: int,
    before: Sequence[RolloutState] = (),
    gone: Collection[str] = (),
) -> tuple[Event, ...]:
    """The plan of `rollout`, which takes `undone` back exactly where it ran and is still in force.

    Its earlier rollbacks are `before`, and `gone` are databases that a person is told are left out.
    Others that the fleet let go of are in it: that they cannot go back has to be seen. Raises
    `IrreversibleMigrations`, `InvalidWaves` or `InvalidLimit`.
    """
    _check_limits(options)
    plan, databases = undone.plan, left_to_undo(undone, before, gone)
    cut = waves.cut(options.wave_spec, databases)
    planned = RolloutPlanned(
        rollout=rollout,
        mode=Mode.ROLLBACK,
        bundle=plan.bundle,
        steps=undo_steps(plan, migrations),
        selection="",
        fleet_position=fleet_position,
        databases=len(databases),
        waves=len(cut),
        adoption=plan.adoption,
        variables=plan.variables,
        undoes=undone.rollout,
        history=plan.history,
        **dict(options),
    )
    values = {
        one: DatabaseValues(database=one, values=own)
        for one in databases
        if (own := undone.database(one).values)
    }
    return _with_digest(planned, _waves(rollout, cut, values))


def _with_digest(planned: RolloutPlanned, named: Sequence[WavePlanned]) -> tuple[Event, ...]:
    return (planned.model_copy(update={"digest": digest((planned, *named))}), *named)


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


def _check_limits(options: PlanOptions) -> None:
    if not 1 <= options.in_flight <= IN_FLIGHT_MOST:
        raise InvalidLimit(
            "the in-flight limit", options.in_flight, f"it must be from 1 to {IN_FLIGHT_MOST}"
        )
    if options.expiry_s <= 0:
        raise InvalidLimit("the expiry", options.expiry_s, "orders need some seconds to start")
    if options.deadline_s <= options.expiry_s:
        raise InvalidLimit(
            "the deadline",
            options.deadline_s,
            f"it must be later than the expiry of {options.expiry_s:g} s, "
            "or an order could time out before it started",
        )


def _check_migrations(request: PlanInput) -> None:
    if not request.migrations:
        raise NothingPlanned
    if request.mode is Mode.DOWN:
        # The newest go first: those before the one that stands in the way can.
        fewer = "take fewer back, or " if request.migrations[-1].reversible else ""
        refuse_irreversible("`ledger down`", request.migrations, fewer)
        if request.options.when_spent is WhenSpent.ROLLBACK:
            raise DownHasNoRollback
    elif request.options.when_spent is WhenSpent.ROLLBACK and request.mode is not Mode.ADOPT:
        halt = "choose `--when-spent halt`, or "
        refuse_irreversible("rolling back when the budget is spent", request.migrations, halt)


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
