"""Rollouts: started, steered and watched. Load, decide, append; plans come from `plans`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import count

from ledger.contracts.events import RolloutStarted
from ledger.contracts.registry import MigrationRef
from ledger.contracts.reports import Event
from ledger.domain import requests
from ledger.domain.refusals import BusyDatabases, EmptySelection
from ledger.domain.rollout import RolloutState, fold
from ledger.errors import NoSuchRollout, SeveralRollouts, VersionConflict
from ledger.service.bundles import BundleService
from ledger.service.catch_up import as_near_as_may_be, brought_up
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.service.plans import Planner, PlanOptions, PlanPreview
from ledger.service.request_context import RequestContext, encode_request, new_id
from ledger.service.status import RolloutStatus, status_of
from ledger.store.log.log import EventLog
from ledger.store.log.streams import BothStreams, read_both
from ledger.store.planner_lock import exclusive
from ledger.store.views.queries import ReadModels
from ledger.store.views.rows import RolloutRow

TRIES = 5
"""How often a request is decided again because the conductor appended meanwhile."""
WATCH_EVERY_S = 0.5
LOOK_AROUND_EVERY = 4
"""Looks at the log per look at leader and agents, who say how they are every two seconds."""


class RolloutService:
    """Requests about rollouts. Methods raise the refusals of `ledger.domain.refusals`.

    With `dry`, a request about a rollout only raises what it would be refused with now.
    """

    def __init__(
        self,
        log: EventLog,
        reads: ReadModels,
        fleet: FleetService,
        bundles: BundleService,
        lookout: Liveness,
    ) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._bundles = bundles
        self._lookout = lookout
        self._planner = Planner(log, reads, fleet, bundles)

    async def plan(self, request: PlanOptions) -> PlanPreview:
        """What `start` would do now."""
        return await self._planner.preview(request)

    async def start(self, request: PlanOptions) -> str:
        """Plan a rollout and start it; its id. Raises `EmptySelection` when nothing is to do."""
        asked = request.asked
        bundle = await self._planner.bundle(request, asked)
        async with exclusive(self._log):
            rollout = new_id()
            drawn = await self._planner.draw(request, bundle, rollout)
            if not drawn.events:
                raise EmptySelection(request.select)
            events = encode_request(
                (*drawn.events, RolloutStarted(rollout=rollout)), asked, correlation=rollout
            )
            await self._log.append(f"rollout-{rollout}", events, expected_version=0)
        await self._log.announce()
        return rollout

    async def pause(self, rollout: str, asked: RequestContext, *, dry: bool = False) -> None:
        """Order nothing new; what runs finishes."""
        await self._ask(rollout, requests.pause, asked, dry=dry)

    async def resume(self, rollout: str, asked: RequestContext, *, dry: bool = False) -> None:
        """Go on; a halt's failures are accepted."""
        await self._ask(rollout, requests.resume, asked, dry=dry)

    async def abort(
        self, rollout: str, asked: RequestContext, *, cancel: bool = False, dry: bool = False
    ) -> None:
        """End it where it stands; with `cancel`, what runs is asked to stop."""
        await self._ask(rollout, lambda state: requests.abort(state, cancel=cancel), asked, dry=dry)

    async def rollback(self, rollout: str, asked: RequestContext, *, dry: bool = False) -> None:
        """Undo what it applied, on every database that was ever ordered."""
        async with exclusive(self._log):
            state = await self._state(rollout)
            await self._refuse_busy(state)
            refs = await self._refs(state.plan.bundle)
            why = asked.reason or "requested"
            await self._ask(rollout, lambda now: requests.rollback(now, refs, why), asked, dry=dry)

    async def retry(
        self, rollout: str, databases: Sequence[str], asked: RequestContext, *, dry: bool = False
    ) -> None:
        """Try these databases again, or all that failed or are unknown."""
        records = (await self._fleet.state()).databases
        await self._ask(
            rollout, lambda state: requests.retry(state, databases or None, records), asked, dry=dry
        )

    async def resolve(
        self,
        rollout: str,
        database: str,
        version: str,
        *,
        applied: bool,
        asked: RequestContext,
        dry: bool = False,
    ) -> None:
        """Settle by a person's word what no probe could."""
        await self._ask(
            rollout,
            lambda state: requests.resolve(state, database, version, applied=applied),
            asked,
            dry=dry,
        )

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
        self,
        rollout: str,
        decide: Callable[[RolloutState], tuple[Event, ...]],
        asked: RequestContext,
        *,
        dry: bool,
    ) -> None:
        """Decide on the state as it is and append; again when the conductor was first."""
        for attempt in range(TRIES):
            state = await self._state(rollout)
            events = encode_request(decide(state), asked, correlation=rollout)
            if dry:
                return
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

    async def _refs(self, digest: str) -> Mapping[str, MigrationRef]:
        bundle = await self._bundles.get(digest)
        return {ref.version: ref for ref in bundle.migrations}
