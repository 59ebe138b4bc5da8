"""Rollouts: planned, started, steered and watched. Load, decide, append."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from ledger.contracts.events import BundleRegistered, RolloutStarted, WhenSpent
from ledger.contracts.registry import Adoption, MigrationRef, Mode, RunLimits, Variable
from ledger.contracts.reports import Event
from ledger.domain import budget, planning, requests, waves
from ledger.domain.refusals import BusyDatabases, EmptySelection, OutOfOrder
from ledger.domain.rollout import RolloutState, fold
from ledger.domain.selection import select
from ledger.domain.variables import described
from ledger.errors import (
    NoBundle,
    NoSuchRollout,
    NoSuchVersion,
    SeveralRollouts,
    VersionConflict,
)
from ledger.service.asked import Asked, encode_request, new_id
from ledger.service.bundles import BundleService
from ledger.service.fleet import FleetService
from ledger.service.freshness import as_near_as_may_be, brought_up
from ledger.service.pending import (
    Pending,
    pending_adopt,
    pending_down,
    pending_up,
    with_held_back,
)
from ledger.service.standing import earlier_values, standing
from ledger.service.status import RolloutStatus, status_of
from ledger.service.surroundings import Lookout
from ledger.store.exclusive import exclusive
from ledger.store.log import EventLog
from ledger.store.read_models import ReadModels
from ledger.store.rows import RolloutRow
from ledger.store.streams import BothStreams, read_both
from migrations.phases import LAST_BY_DEFAULT, Phase, through

TRIES = 5
"""How often a request is decided again because the conductor appended meanwhile."""
WATCH_EVERY_S = 0.5
LOOK_AROUND_EVERY = 4
"""Looks at the log per look at leader and agents, who say how they are every two seconds."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
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
    reason: str | None
    ticket: str | None
    out_of_order: bool = False
    variables: Sequence[Variable] = ()
    """What placeholders stand for; everything that is declared."""
    dialect: str | None = None
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
class _Drawn:
    """A plan before it is recorded."""

    bundle: BundleRegistered
    pending: Pending
    events: tuple[Event, ...]


class RolloutService:
    """Requests about rollouts. Methods raise the refusals of `ledger.domain.refusals`."""

    def __init__(
        self,
        log: EventLog,
        reads: ReadModels,
        fleet: FleetService,
        bundles: BundleService,
        lookout: Lookout,
    ) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._bundles = bundles
        self._lookout = lookout

    async def plan(self, request: PlanRequest) -> PlanPreview:
        """What `start` would do now."""
        bundle = await self._unrecorded_bundle(request)
        drawn = await self._draw(request, bundle, "plan")
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

    async def start(self, request: PlanRequest) -> str:
        """Plan a rollout and start it; its id. Raises `EmptySelection` when nothing is to do."""
        asked = Asked(request.reason, request.ticket)
        bundle = await self._bundle(request, asked)
        async with exclusive(self._log):
            rollout = new_id()
            drawn = await self._draw(request, bundle, rollout)
            if not drawn.events:
                raise EmptySelection(request.select)
            events = encode_request(
                (*drawn.events, RolloutStarted(rollout=rollout)), asked, correlation=rollout
            )
            await self._log.append(f"rollout-{rollout}", events, expected_version=0)
        await self._log.announce()
        return rollout

    async def pause(self, rollout: str, asked: Asked) -> None:
        """Order nothing new; what runs finishes."""
        await self._ask(rollout, requests.pause, asked)

    async def resume(self, rollout: str, asked: Asked) -> None:
        """Go on; a halt's failures are accepted."""
        await self._ask(rollout, requests.resume, asked)

    async def abort(self, rollout: str, asked: Asked, *, cancel: bool = False) -> None:
        """End it where it stands; with `cancel`, what runs is asked to stop."""
        await self._ask(rollout, lambda state: requests.abort(state, cancel=cancel), asked)

    async def rollback(self, rollout: str, asked: Asked) -> None:
        """Undo what it applied, on every database that was ever ordered."""
        async with exclusive(self._log):
            state = await self._state(rollout)
            await self._refuse_busy(state)
            refs = await self._refs(state.plan.bundle)
            why = asked.reason or "requested"
            await self._ask(rollout, lambda now: requests.rollback(now, refs, why), asked)

    async def retry(self, rollout: str, databases: Sequence[str], asked: Asked) -> None:
        """Try these databases again, or all that failed or are unknown."""
        records = (await self._fleet.state()).databases
        await self._ask(
            rollout, lambda state: requests.retry(state, databases or None, records), asked
        )

    async def resolve(
        self, rollout: str, database: str, version: str, *, applied: bool, asked: Asked
    ) -> None:
        """Settle by a person's word what no probe could."""
        await self._ask(
            rollout,
            lambda state: requests.resolve(state, database, version, applied=applied),
            asked,
        )

    async def check_resolve(
        self, rollout: str, database: str, version: str, *, applied: bool
    ) -> None:
        """Raise what `resolve` would refuse with now; nothing is recorded."""
        requests.resolve(await self._state(rollout), database, version, applied=applied)

    async def status(self, rollout: str) -> RolloutStatus:
        """Where it is, and what each unfinished database waits for."""
        state = await self._state(rollout)
        return status_of(state, await self._lookout.look(await self._fleet.state()))

    async def watch(self, rollout: str) -> AsyncIterator[RolloutStatus]:
        """Its status again and again; the caller decides when to stop."""
        streams = BothStreams(self._log, f"rollout-{rollout}")
        fleet = await self._fleet.state()
        state: RolloutState | None = None
        for look in count():
            state = fold(state, await streams.newer())
            if state is None:
                raise NoSuchRollout(rollout)
            if look % LOOK_AROUND_EVERY == 0:
                surroundings = await self._lookout.look(fleet)
            yield status_of(state, surroundings)
            await asyncio.sleep(WATCH_EVERY_S)

    async def list(self) -> Sequence[RolloutRow]:
        """All rollouts, newest first."""
        await as_near_as_may_be(self._reads, self._log)
        return await self._reads.rollouts()

    async def current(self) -> str:
        """The only unfinished rollout. Raises `NoSuchRollout` or `SeveralRollouts`."""
        await brought_up(self._reads, self._log)
        unfinished = await self._reads.unfinished_rollouts()
        if len(unfinished) == 1:
            return unfinished[0]
        if not unfinished:
            raise NoSuchRollout(None)
        raise SeveralRollouts(unfinished)

    async def find(self, beginning: str) -> str:
        """The rollout whose id begins so. Raises `NoSuchRollout` or `SeveralRollouts`."""
        await as_near_as_may_be(self._reads, self._log)
        rows = await self._reads.rollouts()
        found = [row.rollout for row in rows if row.rollout.startswith(beginning)]
        if beginning in found:
            return beginning
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoSuchRollout(beginning)
        raise SeveralRollouts(found)

    async def _ask(
        self, rollout: str, decide: Callable[[RolloutState], tuple[Event, ...]], asked: Asked
    ) -> None:
        """Decide on the state as it is and append; again when the conductor was first."""
        for attempt in range(TRIES):
            state = await self._state(rollout)
            events = encode_request(decide(state), asked, correlation=rollout)
            try:
                await self._log.append(state.stream, events, expected_version=state.version)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                await self._log.announce()
                return

    async def _refuse_busy(self, state: RolloutState) -> None:
        """Raise `BusyDatabases` when another unfinished rollout holds one of these databases."""
        await brought_up(self._reads, self._log)
        busy = await self._reads.busy(list(state.where))
        held = {one: other for one, other in busy.items() if other != state.rollout}
        if held:
            raise BusyDatabases(held)

    async def _state(self, rollout: str) -> RolloutState:
        state = fold(None, await read_both(self._log, f"rollout-{rollout}"))
        if state is None:
            raise NoSuchRollout(rollout)
        return state

    async def _unrecorded_bundle(self, request: PlanRequest) -> BundleRegistered:
        if request.folder is not None:
            return await self._bundles.preview(
                request.folder, request.dialect, request.variables, psql=request.psql
            )
        return await self._registered_bundle(request)

    async def _bundle(self, request: PlanRequest, asked: Asked) -> BundleRegistered:
        if request.folder is not None:
            registered = await self._bundles.register(
                *(request.folder, asked, request.dialect, request.variables), psql=request.psql
            )
            return registered.bundle
        return await self._registered_bundle(request)

    async def _registered_bundle(self, request: PlanRequest) -> BundleRegistered:
        if request.bundle is not None:
            return await self._bundles.get(request.bundle)
        known = await self._bundles.all()
        if not known:
            raise NoBundle
        return known[-1]

    async def _refs(self, digest: str) -> Mapping[str, MigrationRef]:
        bundle = await self._bundles.get(digest)
        return {ref.version: ref for ref in bundle.migrations}

    async def _unread(self, selected: Sequence[str]) -> frozenset[str]:
        """Databases whose journal is not known yet: new, reinstated or moved ones."""
        expected = await self._reads.expected(selected)
        return frozenset(one for one, known in expected.items() if known.journal_head is None)

    async def _with_vanished(
        self,
        request: PlanRequest,
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

    async def _draw(self, request: PlanRequest, bundle: BundleRegistered, rollout: str) -> _Drawn:
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
            return _Drawn(bundle, pending, ())
        going_down = request.direction == Mode.DOWN.value
        planned = planning.PlanRequest(
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
            limits=RunLimits(
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
        return _Drawn(bundle, pending, planning.plan_rollout(planned, fleet.databases, busy))


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
