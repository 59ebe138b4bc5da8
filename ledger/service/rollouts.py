"""Rollouts: started, steered and watched. Load, decide, append; plans come from `plans`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.contracts.events import PlanOptions, RolloutPlanned, RolloutStarted
from ledger.contracts.registry import Variable
from ledger.domain import requests
from ledger.domain.differences import UnreadablePlan
from ledger.domain.refusals import EmptySelection
from ledger.domain.rehearsals import refuse_unrehearsed
from ledger.domain.rollback import may_go_back, planned, undo_options
from ledger.domain.rollout import RolloutState
from ledger.domain.states import ENDED, DatabaseStatus
from ledger.domain.tally import IN_DOUBT, STATES
from ledger.errors import NoSuchRollout, SeveralRollouts, VersionConflict
from ledger.service.absence import times_to_look
from ledger.service.bundles import BundleService
from ledger.service.catch_up import as_near_as_may_be, brought_up
from ledger.service.fleet import FleetService
from ledger.service.liveness import Liveness
from ledger.service.plans import Plan, Planner, PlanRequest
from ledger.service.rehearsals import RehearsedFolder, known_rehearsals, record_rehearsal
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.service.requests import Requests
from ledger.service.rollout_state import not_found
from ledger.store.port import Batch, Log
from ledger.store.views.port import PAGE, Views
from migrations.model.attempt import Mode

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.service.outlook import PlanEvidence, PlanOutlook, SizesOf
    from ledger.service.rollout_reader import RolloutReader
    from ledger.service.status import DatabaseGroup, RolloutStatus, RolloutSummary
    from migrations.lint.judgement import LintOptions
    from migrations.rehearsal.results import Rehearsal

TROUBLES = ("failed", *IN_DOUBT)
WATCHED = 500
"""Databases that a look brings: those in trouble and at work, more than anybody can read."""
AWAY = "status in (suspended,retired)"
"""Databases that no order reaches, as a selection."""


class RolloutService:
    """Requests about rollouts. Methods raise the refusals of `ledger.domain.refusals`.

    With `dry`, a request about a rollout only raises what it would be refused with now.
    """

    def __init__(
        self,
        log: Log,
        reads: Views,
        fleet: FleetService,
        bundles: BundleService,
        lookout: Liveness,
        encoder: RequestEncoder,
    ) -> None:
        self._log = log
        self._encoder = encoder
        self._reads = reads
        self._fleet = fleet
        self._bundles = bundles
        self._lookout = lookout
        self._planner = Planner(log, reads, fleet, bundles, encoder)
        self._requests = Requests(log, reads, encoder)

    @cached_property
    def _reader(self) -> RolloutReader:
        """What reads statuses: who plans what turns out to be nothing does not wait for it."""
        from ledger.service.rollout_reader import RolloutReader

        return RolloutReader(self._log, self._reads, self._lookout)

    async def plan(self, request: PlanRequest) -> Plan:
        """What would be done now; `start` takes it, and nothing else."""
        return await self._planner.plan(request)

    async def outlook(
        self,
        plan: Plan,
        sizes_of: SizesOf,
        options: LintOptions,
        today: datetime,
        evidence: PlanEvidence | None = None,
    ) -> PlanOutlook:
        """What a plan would mean: locks, sizes, risk, how long, who is left out."""
        from ledger.service.outlook import PlanReader

        reader = PlanReader(self._log, self._reads, self._fleet, self._bundles.text)
        return await reader.outlook(plan, sizes_of, options, today, evidence)

    async def refuse_unrehearsed(self, plan: Plan) -> None:
        """Raise `NotRehearsed` where a rehearsal is required and the log has none that counts."""
        rule = plan.request.rehearsal
        if rule is None or plan.direction != Mode.UP or not plan.events:
            return
        known = await known_rehearsals(self._log, plan.bundle.bundle)
        versions = [ref.version for ref in plan.pending.migrations]
        refuse_unrehearsed(rule, known, versions, self._encoder.clock.now())

    async def record_rehearsal(
        self, folder: RehearsedFolder, result: Rehearsal, asked: RequestContext
    ) -> str | None:
        """Record how a folder's rehearsal went; the bundle's digest, as `record_rehearsal`."""
        return await record_rehearsal(
            self._log, self._bundles, self._encoder, folder, result, asked
        )

    async def lacking(
        self,
        folder: Path,
        format: str | None = None,
        variables: Sequence[Variable] = (),
        selection: str = "",
    ) -> tuple[str, ...]:
        """The versions of a folder that some database lacks; nothing is recorded."""
        return await self._planner.lacking(folder, format, variables, selection)

    async def start(self, plan: Plan) -> str:
        """Start what was shown, as it was shown; the rollout's id.

        Raises `PlanOutdated` when that is not what would be done now, `NotRehearsed` when a
        rehearsal is required and lacking, and `EmptySelection` when nothing is to do.
        """
        if not plan.events:
            raise EmptySelection(plan.request.select)
        if plan.ending is not None:
            return await self._start_undo(plan)
        await self.refuse_unrehearsed(plan)
        registered = await self._planner.register(plan)
        # Its own registration changes nothing of a plan that it follows at once.
        known = plan.position + (registered.position == plan.position + 1)
        events = self._encoder.encode(
            (*plan.events, RolloutStarted(rollout=plan.rollout)),
            plan.request.asked,
            correlation=plan.rollout,
        )
        async with self._log.exclusive():
            await self._planner.refuse_outdated(plan, known)
            await self._log.append(f"rollout-{plan.rollout}", events, expected_version=0)
        await self._log.announce()
        return plan.rollout

    async def pause(self, rollout: str, asked: RequestContext, *, dry: bool = False) -> None:
        """Order nothing new; what runs finishes."""
        await self._requests.ask(rollout, requests.pause, asked, dry=dry)

    async def resume(self, rollout: str, asked: RequestContext, *, dry: bool = False) -> None:
        """Go on; a halt's failures are accepted."""
        await self._requests.ask(rollout, requests.resume, asked, dry=dry)

    async def abort(
        self, rollout: str, asked: RequestContext, *, cancel: bool = False, dry: bool = False
    ) -> None:
        """End it where it stands; with `cancel`, what runs is asked to stop."""
        await self._requests.ask(
            rollout, lambda state: requests.abort(state, cancel=cancel), asked, dry=dry
        )

    async def plan_rollback(
        self, rollout: str, asked: RequestContext, options: PlanOptions | None = None
    ) -> Plan:
        """How it would be taken back now, by a rollout of its own; `start` takes it.

        While it is running it orders on, and what is shown is outdated soon: pause it first.
        """
        if options is None:
            options = undo_options((await self.course(rollout)).plan)
        request = PlanRequest("rollback", None, options, asked=asked, undoes=rollout)
        return await self._planner.plan(request)

    async def _start_undo(self, plan: Plan) -> str:
        """End the one and start the other, in one append.

        The one is undone as it was when that was shown: it may have ended since, or heard of
        databases, but another order of it makes another plan.
        """
        asked, started = plan.request.asked, RolloutStarted(rollout=plan.rollout)
        async with self._log.exclusive():
            while True:
                ending = await self._planner.ending(plan)
                undone = ending.event.rollout
                ended = self._encoder.encode([ending.event], asked, correlation=undone)
                events = self._encoder.encode(
                    (*plan.events, started), asked, correlation=plan.rollout
                )
                first = Batch(f"rollout-{undone}", ended, ending.version)
                second = Batch(f"rollout-{plan.rollout}", events, 0)
                try:
                    await self._log.append_both(first, second)
                    break
                except VersionConflict as conflict:
                    if conflict.stream == second.stream:
                        raise
        await self._log.announce()
        return plan.rollout

    async def retry(
        self, rollout: str, databases: Sequence[str], asked: RequestContext, *, dry: bool = False
    ) -> tuple[str, ...]:
        """Try these databases again, or all that failed or are unknown; which those are."""
        return await self._requests.retry(rollout, databases, asked, dry=dry)

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
        await self._requests.ask(
            rollout,
            lambda state: requests.resolve(state, database, version, applied=applied),
            asked,
            about=[database],
            dry=dry,
        )

    async def course(self, rollout: str) -> RolloutState:
        """Its own status, without its databases: costs the same at any size."""
        return (await self._requests.turned(rollout))[0]

    async def listed(self, rollout: str) -> RolloutSummary:
        """The rollout as `list` has it: near its present when somebody leads, else exactly that."""
        from ledger.service.status import summary_of

        if await self._lookout.leader() is None:
            await as_near_as_may_be(self._reads, self._log)
        row = await self._reads.rollout(rollout)
        if row is None:
            await brought_up(self._reads, self._log)
            row = await self._reads.rollout(rollout)
        if row is None:
            raise NoSuchRollout(rollout)
        return summary_of(row)

    async def causes(
        self, rollout: str, *, only: Sequence[str] | None = None, without: Sequence[str] = ()
    ) -> Sequence[DatabaseGroup]:
        """What went wrong in it, by state and cause: of all databases, or of some; as `listed`."""
        from ledger.service.rollout_groups import of_cause

        rows = await self._reads.rollout_causes(rollout, only=only, without=without)
        return [of_cause(row) for row in rows]

    async def counted(self, rollout: str) -> int:
        """How many failures its budget has paid for; as `listed`."""
        return (await self._reads.rollout_toll(rollout)).counted

    async def failures(self, rollout: str) -> Sequence[tuple[str, str, int]]:
        """Where attempts failed or are in doubt by now: id, state, attempt; as `listed`."""
        return await self._reader.attempts(rollout, TROUBLES)

    async def lost(self, plan: Plan) -> dict[str, list[str]]:
        """What a plan that goes back takes away for good, by version, in words."""
        from ledger.service.losses import lost_by_down

        if plan.direction not in (Mode.DOWN, Mode.ROLLBACK) or plan.adopted:
            return {}
        planned = next(one for one in plan.events if isinstance(one, RolloutPlanned))
        read = plan.folder.texts if plan.folder else ()
        return await lost_by_down(plan.steps, read, self._bundles.text, planned.variables)

    async def way_back(self, plan: RolloutPlanned) -> dict[str, list[str]]:
        """Its migrations, in the order in which they run there: what the Down of each takes away.

        In words, by the migrations' names; nothing of what was only written into a journal.
        """
        from ledger.service.losses import lost_by_down

        refs = planned(plan, (await self._bundles.get(plan.bundle)).migrations)
        if plan.adoption is not None:
            return {ref.label: [] for ref in refs}
        lost = await lost_by_down(refs, (), self._bundles.text, plan.variables)
        return {ref.label: lost[ref.version] for ref in refs}

    async def may_go_back(self, rollout: str) -> bool:
        """Whether a rollback of it is to be thought of, or would be refused for what it brings."""
        plan = (await self.course(rollout)).plan
        return may_go_back(plan, (await self._bundles.get(plan.bundle)).migrations)

    async def status(self, rollout: str, limit: int | None = None) -> RolloutStatus:
        """Where it is, and what each unfinished database waits for.

        With `limit`, at most so many of the databases that matter; `more` counts the others.
        """
        return await self._reader.status(rollout, limit)

    async def summary(self, rollout: str) -> RolloutStatus:
        """Where it is, with the databases that are not settled well in groups, by reason."""
        return await self._reader.summary(rollout)

    async def listing(
        self,
        rollout: str,
        states: Sequence[str] = STATES,
        *,
        select: str = "",
        limit: int | None = None,
    ) -> RolloutStatus:
        """Where it is, with its databases in these states, in the order of these states.

        Of those that the selection means, retired ones too, or of all. Raises the refusals of
        `ledger.domain.selection`.
        """
        among: Sequence[str] | None = None
        if select:
            page = await self._fleet.page(select)
            among = [one.database for one in page.databases]
        return await self._reader.listing(rollout, states, limit, among)

    async def away(self, rollout: str) -> list[str]:
        """Its databases that wait for an order which none will get: suspended or retired."""
        page = await self._fleet.page(AWAY)
        named = [one.database for one in page.databases]
        found = await self._reads.rollout_databases_named(rollout, named)
        waiting = (DatabaseStatus.PENDING, DatabaseStatus.UNFINISHED)
        return sorted(one.database for one in found if one.status in waiting)

    async def latest(self) -> str:
        """The only unfinished rollout, else the last one that there was.

        Raises `NoSuchRollout` or `SeveralRollouts`.
        """
        try:
            return await self.current()
        except NoSuchRollout:
            listed = await self.list(limit=1)
            if not listed:
                raise
            return listed[0].rollout

    async def watch(self, rollout: str, limit: int = WATCHED) -> AsyncIterator[RolloutStatus]:
        """Its status again and again, as with `limit`; the caller decides when to stop."""
        async for _ in times_to_look(self._encoder.clock):
            yield await self._reader.glance(rollout, limit)

    async def list(
        self, before: int | None = None, limit: int | None = PAGE
    ) -> Sequence[RolloutSummary]:
        """Rollouts, newest first, all of them without a limit; `before` is the `planned_position`
        to go on from.
        """
        from ledger.service.status import summary_of

        await as_near_as_may_be(self._reads, self._log)
        if limit is not None:
            return [
                summary_of(row) for row in await self._reads.rollouts(before=before, limit=limit)
            ]
        found: list[RolloutSummary] = []
        while rows := await self._reads.rollouts(before=before):
            found += map(summary_of, rows)
            before = rows[-1].planned_position
        return found

    async def current(self) -> str:
        """The only unfinished rollout. Raises `NoSuchRollout` or `SeveralRollouts`."""
        turned = await self._turned_of_late()
        unfinished = [one for one in await self._reads.unfinished_rollouts() if one not in turned]
        for one in turned:
            with suppress(NoSuchRollout, UnreadablePlan):
                if (await self.course(one)).status not in ENDED:
                    unfinished.append(one)
        if len(unfinished) == 1:
            return unfinished[0]
        if not unfinished:
            raise NoSuchRollout(None)
        raise SeveralRollouts(unfinished)

    async def find(self, beginning: str) -> str:
        """The rollout whose id begins so. Raises `NoSuchRollout` or `SeveralRollouts`."""
        turned = [one for one in await self._turned_of_late() if one.startswith(beginning)]
        found = list(dict.fromkeys([*turned, *await self._reads.beginning(beginning)]))
        if beginning in found:
            return beginning
        if len(found) == 1:
            return found[0]
        if not found:
            raise await not_found(self._log, self._reads, beginning)
        raise SeveralRollouts(found)

    async def _turned_of_late(self) -> Sequence[str]:
        """The rollouts that the read models may be wrong about; found without waiting for them."""
        position = await self._reads.position()
        streams = await self._log.turned_since(position)
        return [stream.removeprefix("rollout-") for stream in streams]
