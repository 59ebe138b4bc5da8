"""Plans of rollouts: which databases lack what, and the events that would plan it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ledger.contracts.events import BundleRegistered, WhenSpent
from ledger.contracts.registry import MigrationRef, Variable
from ledger.contracts.reports import Event
from ledger.domain import budget, planning, waves
from ledger.domain.refusals import EmptySelection, OutOfOrder
from ledger.domain.selection import select
from ledger.domain.variables import described
from ledger.errors import NoBundle, NoSuchVersion
from ledger.service.applied import earlier_values, standing
from ledger.service.bundles import BundleService
from ledger.service.catch_up import brought_up
from ledger.service.fleet import FleetService
from ledger.service.pending import (
    Pending,
    pending_adopt,
    pending_down,
    pending_up,
    with_held_back,
)
from ledger.service.request_context import RequestContext
from ledger.store.log.log import EventLog
from ledger.store.views.queries import ReadModels
from migrations.model.attempt import Adoption, Limits, Mode
from migrations.model.phases import LAST_BY_DEFAULT, Phase, through


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the command line asks for; specs as people write them.

    `direction` is `up`, `down` or `adopt`, and with the last `adoption` says what it rests on.
    """

    direction: str
    folder: Path | None
    bundle: str | None
    to_version: str | None
    steps_down: int
    select: str
    waves: str
    in_flight: int
    budget: str
    when_spent: str
    lock_timeout_s: float
    statement_timeout_s: float
    expiry_s: float
    deadline_s: float
    asked: RequestContext = field(default_factory=RequestContext)
    """Who asks, and why."""
    out_of_order: bool = False
    variables: Sequence[Variable] = ()
    """What placeholders stand for; everything that is declared."""
    format: str | None = None
    """Of the folder's files; found by looking when it is `None`."""
    psql: bool = False
    """A person's leave to take scripts that only psql understands."""
    adoption: Adoption | None = None
    phase: Phase = LAST_BY_DEFAULT
    """Through which phase of each unit it goes up."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One migration of a plan."""

    label: str
    transactional: bool
    has_down: bool
    has_verify: bool
    kind: str = "sql"
    """What agents must be allowed to run."""


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """What a rollout would do; nothing is recorded. `waves` hold the databases' ids."""

    direction: str
    waves: tuple[tuple[str, ...], ...]
    steps: tuple[PlannedStep, ...]
    notes: tuple[str, ...]
    already_everywhere: int
    variables: Mapping[str, str] = field(default_factory=dict)
    """What placeholders stand for, by name, in words."""

    @property
    def databases(self) -> tuple[str, ...]:
        """All databases, wave by wave."""
        return tuple(database for wave in self.waves for database in wave)


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan before it is recorded."""

    bundle: BundleRegistered
    pending: Pending
    events: tuple[Event, ...]


class Planner:
    """Draws plans. Methods raise the refusals of `ledger.domain.refusals`."""

    def __init__(
        self, log: EventLog, reads: ReadModels, fleet: FleetService, bundles: BundleService
    ) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._bundles = bundles

    async def preview(self, request: PlanOptions) -> PlanPreview:
        """What would be done now; nothing is recorded."""
        bundle = await self._unrecorded_bundle(request)
        drawn = await self.draw(request, bundle, "plan")
        steps = tuple(
            PlannedStep(
                *(ref.label, ref.transactional, ref.reversible, ref.has_verify),
                kind=ref.kind,
            )
            for ref in drawn.pending.in_running_order(request.direction)
        )
        return PlanPreview(
            direction=request.direction,
            waves=waves.cut(request.waves, drawn.pending.databases) if drawn.events else (),
            steps=steps,
            notes=(*drawn.pending.notes, *_written_notes(drawn.pending, request.direction)),
            already_everywhere=drawn.pending.already_everywhere,
            variables=described(drawn.events),
        )

    async def bundle(self, request: PlanOptions, asked: RequestContext) -> BundleRegistered:
        """The bundle that a rollout is to run; a folder is registered by that."""
        if request.folder is not None:
            registered = await self._bundles.register(
                *(request.folder, asked, request.format, request.variables), psql=request.psql
            )
            return registered.bundle
        return await self._registered_bundle(request)

    async def draw(self, request: PlanOptions, bundle: BundleRegistered, rollout: str) -> Plan:
        """Which databases lack what, and the events that would plan it; none when none does."""
        position = await brought_up(self._reads, self._log)
        fleet = await self._fleet.state()
        selected = select(fleet.databases.values(), request.select)
        if not selected:
            raise EmptySelection(request.select)
        versions = [ref.version for ref in bundle.migrations]
        known = await self._reads.database_versions(versions, selected)
        match Mode(request.direction):
            case Mode.UP:
                known = await standing(self._reads, bundle.migrations, selected)
                chosen, held = through(_up_to(bundle, request.to_version), request.phase)
                pending = pending_up(chosen, selected, known, await self._unread(selected))
                pending = with_held_back(pending, held, selected, known)
                pending = await self._with_vanished(request, bundle, pending, selected)
            case Mode.ADOPT:
                pending = pending_adopt(bundle.migrations, selected, known, request.adoption)
            case _:
                pending = pending_down(bundle.migrations, request.steps_down, selected, known)
        if pending.late and not request.out_of_order:
            raise OutOfOrder(pending.late)
        if not pending.databases:
            return Plan(bundle, pending, ())
        going_down = request.direction == Mode.DOWN.value
        planned = planning.PlanInput(
            rollout=rollout,
            mode=Mode(request.direction),
            bundle=bundle.bundle,
            migrations=pending.migrations,
            databases=pending.databases,
            selection=request.select,
            fleet_position=position,
            wave_spec=request.waves,
            in_flight=request.in_flight,
            budget=budget.parse(request.budget),
            when_spent=WhenSpent(request.when_spent),
            limits=Limits(
                lock_timeout_s=request.lock_timeout_s,
                statement_timeout_s=request.statement_timeout_s,
            ),
            expiry_s=request.expiry_s,
            deadline_s=request.deadline_s,
            adoption=request.adoption,
            out_of_order=request.out_of_order,
            variables=request.variables,
            earlier=await earlier_values(
                self._log, self._reads, pending.migrations, pending.databases
            )
            if going_down
            else {},
        )
        busy = await self._reads.busy(pending.databases)
        return Plan(bundle, pending, planning.plan_rollout(planned, fleet.databases, busy))

    async def _unrecorded_bundle(self, request: PlanOptions) -> BundleRegistered:
        if request.folder is not None:
            return await self._bundles.preview(
                request.folder, request.format, request.variables, psql=request.psql
            )
        return await self._registered_bundle(request)

    async def _registered_bundle(self, request: PlanOptions) -> BundleRegistered:
        if request.bundle is not None:
            return await self._bundles.get(request.bundle)
        known = await self._bundles.all()
        if not known:
            raise NoBundle
        return known[-1]

    async def _unread(self, selected: Sequence[str]) -> frozenset[str]:
        """Databases whose journal is not known yet: new, reinstated or moved ones."""
        expected = await self._reads.expected(selected)
        return frozenset(one for one, known in expected.items() if known.journal_head is None)

    async def _with_vanished(
        self,
        request: PlanOptions,
        bundle: BundleRegistered,
        pending: Pending,
        selected: Sequence[str],
    ) -> Pending:
        """The same with a note for each migration that databases have and the folder has not."""
        gone = await self._bundles.vanished(bundle) if request.folder is not None else ()
        if not gone:
            return pending
        known = await self._reads.database_versions([ref.version for ref in gone], selected)
        counts = Counter(version for one in known for version in one.applied)
        notes = [_applied(ref, counts[ref.version]) for ref in gone if counts[ref.version]]
        return replace(pending, notes=(*pending.notes, *notes))


def _written_notes(pending: Pending, direction: str) -> Iterator[str]:
    """What loading the files that would go up has noted, in running order."""
    if direction == "up":
        for ref in pending.in_running_order(direction):
            yield from ref.notes


def _applied(ref: MigrationRef, databases: int) -> str:
    return (
        f"{ref.label} is applied in {databases} databases and is not in the folder; restore its "
        f"file, or accept that it is gone with `ledger repair {ref.version} --gone --reason WHY`"
    )


def _up_to(bundle: BundleRegistered, version: str | None) -> tuple[MigrationRef, ...]:
    """The bundle's migrations up to this version. Raises `NoSuchVersion`."""
    if version is None:
        return bundle.migrations
    for index, ref in enumerate(bundle.migrations):
        if ref.version == version:
            return bundle.migrations[: index + 1]
    raise NoSuchVersion(version, bundle.bundle)
