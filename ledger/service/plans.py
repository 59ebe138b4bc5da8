"""Plans of rollouts: drawn once, shown, confirmed, and recorded as they were shown.

    PlanRequest ─▶ draw ─▶ Plan (a value, with a digest) ─▶ shown · confirmed ─▶ start ─▶ the log
                                                                                   │
                              the log went on meanwhile: drawn again under the planners' lock;
                              another digest is refused, by name of what differs (PlanOutdated)

What can change between the last look and the append is no other plan, for planners queue; and what
becomes of a database in that moment is the conductor's and its agent's to find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ledger.contracts.events import (
    BundleRegistered,
    PlanOptions,
    RolloutPlanned,
    UndoStarted,
    WavePlanned,
)
from ledger.contracts.registry import MigrationRef, Variable
from ledger.contracts.reports import Event
from ledger.domain import planning, requests
from ledger.domain.drift import OnDrift, held_to
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.histories import Belonging, ForeignJournal, OtherApplication, belonging
from ledger.domain.pending import Goal, KnownVersions, Pending, what_is_pending
from ledger.domain.plan_digest import PlanOutdated, refuse_outdated
from ledger.domain.refusals import BusyDatabases, EmptySelection
from ledger.domain.rehearsals import KnownRehearsal, RehearsalRule, that_counts
from ledger.domain.rollback import left_to_undo, retired_text
from ledger.domain.selection_words import select
from ledger.domain.states import ENDED
from ledger.domain.variables import described, refuse_unknown, unneeded
from ledger.errors import NoSuchRollout
from ledger.service.applied_values import IN_FORCE, applied_values
from ledger.service.bundles import BundleService, Folder, Registered
from ledger.service.catch_up import brought_up
from ledger.service.fleet import FleetService
from ledger.service.known_drift import known_drift
from ledger.service.known_versions import known_versions
from ledger.service.rehearsals import known_rehearsals
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.service.rollout_state import whole
from ledger.store.port import Log
from ledger.store.views.port import Views
from ledger.telemetry import PLAN_SPAN, TASK_NAME, span_of
from migrations.model.attempt import Adoption, Mode
from migrations.model.phases import LAST_BY_DEFAULT, Phase

TAKEN_OUT = "no migration runs: what was adopted is taken out of the journals"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a person asks for: which migrations, on which databases, and how they go.

    `direction` is `up`, `down` or `adopt`, and with the last `adoption` says what it rests on; or
    `rollback` of the rollout that it `undoes`, which says all but the options.
    """

    direction: str
    folder: Path | None
    options: PlanOptions
    bundle: str | None = None
    to_version: str | None = None
    steps_down: int = 1
    select: str = ""
    asked: RequestContext = field(default_factory=RequestContext)
    """Who asks, and why."""
    variables: Sequence[Variable] = ()
    """What placeholders stand for; everything that is declared."""
    said: Sequence[str] = ()
    """The names of those that were given for this plan alone: the folder has to know them."""
    format: str | None = None
    """Of the folder's files; found by looking when it is `None`."""
    psql: bool = False
    """A person's leave to take scripts that only psql understands."""
    adoption: Adoption | None = None
    phase: Phase = LAST_BY_DEFAULT
    """Through which phase of each unit it goes up."""
    undoes: str | None = None
    on_drift: OnDrift = OnDrift.WARN
    rehearsal: RehearsalRule | None = None
    """What is required of one before it may start; nothing without a rule."""

    @property
    def wanted(self) -> Goal:
        """The same in the words of the rule for what is pending."""
        return Goal(
            mode=Mode(self.direction),
            to_version=self.to_version,
            phase=self.phase,
            steps_down=self.steps_down,
            adoption=self.adoption,
            out_of_order=self.options.out_of_order,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """What the rollout that is undone gets to hear, at the version that the plan was drawn at."""

    event: UndoStarted
    version: int


@dataclass(frozen=True)
class Plan:
    """What a rollout would do, before anything is recorded; `events` are empty if nothing is to do.

    `position` is how far the log was known when it was drawn, and the events are what the log gets
    when it is started: they hold the rollout's id, so that a plan is started once.
    """

    request: PlanRequest
    rollout: str
    bundle: BundleRegistered
    folder: Folder | None
    pending: Pending
    events: tuple[Event, ...]
    position: int
    ending: Ending | None = None
    rehearsal: KnownRehearsal | None = None
    """Going up: the rehearsal of the bundle that counts for what goes, if there is one."""

    @property
    def direction(self) -> str:
        """`up`, `down`, `adopt` or `rollback`."""
        return self.request.direction

    @property
    def adopted(self) -> bool:
        """Whether it takes an adoption back, for which no down section runs."""
        return TAKEN_OUT in self.pending.notes

    @cached_property
    def digest(self) -> str | None:
        """What the plan is known by; `None` when nothing is to do."""
        return next((one.digest for one in self.events if isinstance(one, RolloutPlanned)), None)

    @cached_property
    def steps(self) -> tuple[MigrationRef, ...]:
        """The migrations in the order in which they run."""
        return self.pending.in_running_order(self.direction)

    @cached_property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The databases' ids, wave by wave."""
        found: dict[int, tuple[str, ...]] = {}
        for one in self.events:
            if isinstance(one, WavePlanned):
                found[one.wave] = (*found.get(one.wave, ()), *one.databases)
        return tuple(found.values())

    @property
    def databases(self) -> tuple[str, ...]:
        """All databases, wave by wave."""
        return tuple(database for wave in self.waves for database in wave)

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever confirms it should know, with what loading the files has noted."""
        written = [note for ref in self.steps for note in ref.notes]
        folder = self.folder.notes if self.folder else ()
        idle = unneeded(self.request.said, self.steps)
        return (*self.pending.notes, *folder, *idle, *(written if self.direction == "up" else ()))

    @property
    def already_everywhere(self) -> int:
        """How many migrations every selected database has."""
        return self.pending.already_everywhere

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """What placeholders stand for, by name, in words."""
        return described(self.events)


class Planner:
    """Draws plans. Methods raise the refusals of `ledger.domain.refusals`."""

    def __init__(
        self,
        log: Log,
        reads: Views,
        fleet: FleetService,
        bundles: BundleService,
        encoder: RequestEncoder,
    ) -> None:
        self._log = log
        self._encoder = encoder
        self._reads = reads
        self._fleet = fleet
        self._bundles = bundles

    async def plan(self, request: PlanRequest) -> Plan:
        """What would be done now; nothing is recorded."""
        with span_of(PLAN_SPAN, {TASK_NAME: request.direction}):
            return await self._plan(request)

    async def _plan(self, request: PlanRequest) -> Plan:
        if request.undoes is not None:
            return await self._draw_undo(request, request.undoes)
        # Before anything is read: what comes into the log from now on is seen by its position.
        position = await brought_up(self._reads, self._log)
        folder = None
        if request.folder is not None:
            folder = await self._bundles.read(
                request.folder, request.format, request.variables, psql=request.psql
            )
            refuse_unknown(request.said, folder.registration.migrations)
        bundle = folder.registration if folder else await self._registered_bundle(request)
        return await self._draw(request, self._encoder.new_id(), bundle, folder, position)

    async def lacking(
        self, path: Path, format: str | None, variables: Sequence[Variable], selection: str = ""
    ) -> tuple[str, ...]:
        """The versions of a folder that some selected database lacks, in every phase.

        Raises as `plan`.
        """
        await brought_up(self._reads, self._log)
        folder = await self._bundles.read(path, format, variables, psql=True)
        bundle = folder.registration
        fleet = await self._fleet.state()
        selected = select(fleet.databases.values(), selection)
        if not selected:
            raise EmptySelection(selection, registered=fleet.has_any)
        ours = (await self._of_history(bundle, selected, fleet.databases, False)).databases
        known = await known_versions(self._reads, bundle.migrations, ours, Mode.UP)
        wanted = Goal(Mode.UP, phase=Phase.CONTRACT, out_of_order=True)
        found = what_is_pending(bundle, wanted, ours, known)
        return tuple(ref.version for ref in found.migrations)

    async def register(self, plan: Plan) -> Registered:
        """Record the plan's folder, as it was read; a bundle is there already."""
        if plan.folder is None:
            return Registered(plan.bundle.bundle, new=False, bundle=plan.bundle)
        return await self._bundles.record(plan.folder, plan.request.asked)

    async def refuse_outdated(self, plan: Plan, known: int) -> None:
        """Raise what starting it is refused with now; call it under the planners' lock.

        `known` is the end of the log as the plan knows it: where nothing came behind, nothing is
        drawn again. Raises `PlanOutdated`, or what drawing raises.
        """
        if (await self._log.head()).position == known:
            return
        position = await brought_up(self._reads, self._log)
        now = await self._draw(plan.request, plan.rollout, plan.bundle, plan.folder, position)
        refuse_outdated(plan.events, now.events)

    async def ending(self, plan: Plan) -> Ending:
        """How what is undone ends now, if the plan is what was shown; under the planners' lock.

        Raises `PlanOutdated`, or what drawing raises.
        """
        now = await self.plan(plan.request)
        refuse_outdated(plan.events, now.events)
        if now.ending is None or now.rollout != plan.rollout:
            raise PlanOutdated(plan.digest or "", ["another rollback was started since"])
        return now.ending

    async def _draw_undo(self, request: PlanRequest, rollout: str) -> Plan:
        """Read the rollout with its earlier rollbacks: what of it is still in force, and where."""
        undone = await whole(self._log, self._reads, rollout)
        if undone is None:
            raise NoSuchRollout(rollout)
        position = (await self._log.head()).position
        earlier = [await whole(self._log, self._reads, one) for one in undone.undone_by]
        before = [one for one in earlier if one is not None]
        bundle = await self._bundles.get(undone.plan.bundle)
        refs = {ref.version: ref for ref in bundle.migrations}
        fleet = (await self._fleet.state()).databases
        gone = [one for one in left_to_undo(undone, before) if one in fleet and fleet[one].retired]
        (undo,) = requests.rollback(undone, refs, before, request.asked.reason or "requested", gone)
        events = planning.plan_undo(undone, undo.by, request.options, refs, position, before, gone)
        databases = left_to_undo(undone, before, gone)
        if undone.status in ENDED:
            # Until then it holds its databases itself, and no other rollout can have them.
            await brought_up(self._reads, self._log)
            held = await self._reads.busy(databases)
            if held:
                raise BusyDatabases(held)
        notes = [TAKEN_OUT] if undone.plan.mode is Mode.ADOPT else []
        notes += [f"left out: {retired_text(gone)}"] if gone else []
        steps = tuple(refs[step.version] for step in undone.plan.steps)
        pending = Pending(steps, databases, tuple(notes), already_everywhere=0)
        ending = Ending(undo, undone.version)
        return Plan(request, undo.by, bundle, None, pending, events, position, ending)

    async def _draw(
        self,
        request: PlanRequest,
        rollout: str,
        bundle: BundleRegistered,
        folder: Folder | None,
        position: int,
    ) -> Plan:
        """Gather what is known, then decide: which databases lack what, in which waves."""
        fleet = await self._fleet.state()
        selected = select(fleet.databases.values(), request.select)
        if not selected:
            raise EmptySelection(request.select, registered=fleet.has_any)
        selected, drifted = held_to(selected, await known_drift(self._log), request.on_drift)
        ours = await self._of_history(bundle, selected, fleet.databases, bool(request.select))
        selected, wanted = ours.databases, request.wanted
        vanished = folder.vanished if folder and wanted.mode is Mode.UP else ()
        known = await known_versions(
            self._reads, (*bundle.migrations, *vanished), selected, wanted.mode
        )
        if wanted.mode is not Mode.ADOPT:
            await self._refuse_foreign_journals(bundle, known)
        pending = what_is_pending(bundle, wanted, selected, known, vanished)
        pending = replace(pending, notes=(*ours.told, *drifted, *pending.notes))
        plan = Plan(request, rollout, bundle, folder, pending, (), position)
        if not pending.databases:
            return plan
        if wanted.mode is Mode.UP:
            tried = await known_rehearsals(self._log, bundle.bundle)
            versions = [ref.version for ref in pending.migrations]
            plan = replace(plan, rehearsal=that_counts(tried, versions))
        planned = planning.PlanInput(
            rollout=rollout,
            mode=wanted.mode,
            bundle=bundle.bundle,
            migrations=pending.migrations,
            databases=pending.databases,
            options=request.options,
            selection=request.select,
            fleet_position=position,
            adoption=request.adoption,
            variables=request.variables,
            history=bundle.name or bundle.history,
            earlier=await applied_values(self._log, self._reads, pending)
            if wanted.mode is Mode.DOWN
            else {},
        )
        busy = await self._reads.busy(pending.databases)
        return replace(plan, events=planning.plan_rollout(planned, fleet.databases, busy))

    async def _of_history(
        self,
        bundle: BundleRegistered,
        selected: Sequence[str],
        records: Mapping[str, DatabaseRecord],
        by_selection: bool,
    ) -> Belonging:
        """Who of the selected the bundle's history has. Raises `OtherApplication`."""
        known = await self._bundles.histories()
        known.take(bundle)
        several = len(known.by_key) > 1
        learned = await self._reads.histories(selected) if several else {}
        found = belonging(
            bundle.history, selected, records, known, learned, by_selection=by_selection
        )
        if not found.databases:
            raise OtherApplication(known.called(bundle.history), found.told)
        return found

    async def _refuse_foreign_journals(
        self, bundle: BundleRegistered, known: KnownVersions
    ) -> None:
        """Raise `ForeignJournal` for what was applied by others and is none of the bundle's."""
        empty = [
            one.database
            for one in known.versions
            if not one.applied and one.database not in known.unread
        ]
        if not empty or not bundle.migrations:
            return
        rows = [row for row in await self._reads.applied(empty) if row.state in IN_FORCE]
        if not rows:
            return
        learned = await self._reads.histories([row.database for row in rows])
        foreign: dict[str, list[str]] = {}
        for row in rows:
            if bundle.history not in learned.get(row.database, frozenset()):
                foreign.setdefault(row.database, []).append(row.version)
        if foreign:
            raise ForeignJournal(bundle.name or bundle.history, foreign)

    async def _registered_bundle(self, request: PlanRequest) -> BundleRegistered:
        named = request.bundle
        return await (self._bundles.latest() if named is None else self._bundles.get(named))
