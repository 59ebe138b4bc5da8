"""Follows the checks: orders the looks, and says what a restored database lost.

A check is a request like a rollout, with a stream of its own; its answers are reports. When a check
ends, each journal is compared with what the log says was applied, and what it lost becomes
MigrationRegressed. Until then nobody needs the answers: they are read from the log again, a few
at a time, so a check of the whole fleet takes little memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from ledger.contracts.envelope import Metadata, Recorded, encode
from ledger.contracts.events import CheckRequested, Purpose
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.checks import (
    CheckState,
    Looks,
    Lookup,
    fold,
    next_wake,
    progress,
    regressed,
    restored,
)
from ledger.domain.drift import TYPES, KnownDrift, SeenSchema, drifted, evolve, seen
from ledger.domain.fleet import FLEET
from ledger.domain.orders import Decision, DecisionContext
from ledger.domain.report_check import ids_of_orders
from ledger.errors import VersionConflict
from ledger.leader.fleet_cache import Roster
from ledger.leader.subscription import Follower
from ledger.leader.wakeups import Alarm
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import Views
from migrations.clock import Clock

APPLIED = "applied"
"""The state, in the read model, of a migration that is in force."""
REQUEST, ANSWER = (CheckRequested.__name__,), (DatabaseInspected.__name__,)
TOGETHER = 100
"""Databases of which the answers, and all that they have, are held at once."""


class Inspector:
    """Draws the consequences of check requests and their answers."""

    def __init__(
        self,
        log: Log,
        roster: Roster,
        reads: Views,
        term: int,
        clock: Clock,
    ) -> None:
        self._log = log
        self._roster = roster
        self._reads = reads
        self._term = term
        self._clock = clock
        self._checks: dict[str, CheckState] = {}
        self._origins: dict[str, Metadata] = {}
        self._alarm = Alarm(clock)

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Fold these events into the checks they belong to; answers to a finished one are late."""
        by_check: dict[str, list[Recorded]] = {}
        for one in recorded:
            check = check_of(one.stream)
            if check is None:
                continue
            if isinstance(one.event, CheckRequested):
                self._origins[check] = one.metadata
            if check in self._origins:
                by_check.setdefault(check, []).append(one)
        for check, events in by_check.items():
            self._checks[check] = fold(self._checks.get(check), events, lean=True)
        self._alarm.touch(by_check)

    async def take_up(self, check: str, reads: Views) -> Sequence[Recorded]:
        """Go on with a check as the rows say it is: its request, and the looks that are under way.

        `reads` has to show one position for the whole call (`Views.snapshot`).
        """
        stream, position = f"check-{check}", await reads.position()
        asked = [open_event(raw) async for raw in self._log.read_stream(stream, types=REQUEST)]
        if not asked or not isinstance(asked[0].event, CheckRequested):
            return ()
        state = fold(None, asked[:1], lean=True)
        after, under_way = "", list[UUID]()
        while page := await reads.looks(check, after):
            state = restored(state, page, lean=True)
            for look in page.values():
                if look.command is not None and look.is_open(self._clock.now()):
                    under_way += ids_of_orders(stream, look.command)
            after = max(page)
        version = await self._log.version_at(stream, position)
        self._checks[check] = replace(state, version=version, position=position)
        self._origins[check] = asked[0].metadata
        self._alarm.touch([check])
        orders = map(open_event, await self._log.by_id(under_way))
        return (asked[0], *sorted(orders, key=lambda one: one.position))

    async def run(self, follower: Follower) -> None:
        """Decide until cancelled."""
        while True:
            for check in self._alarm.due():
                await self._advance(check, follower)
            await self._alarm.sleep()

    async def _advance(self, check: str, follower: Follower) -> None:
        state = self._checks.get(check)
        if state is None:
            return
        situation = DecisionContext(
            now=self._clock.now(), term=self._term, records=self._roster.get, migrations={}
        )
        decided = progress(state, situation)
        self._alarm.set(check, next_wake(state, situation.now))
        if decided:
            await self._order(state, decided, situation.now, follower)
        elif state.is_settled(self._roster.get, situation.now):
            await self._finish(state, situation.now, follower)

    async def _order(
        self, state: CheckState, decided: Sequence[Decision], now: datetime, follower: Follower
    ) -> None:
        metadata = self._metadata(state, now)
        events = [encode(one.event, one.event_id, metadata) for one in decided]
        try:
            appended = await self._log.append(
                state.stream, events, expected_version=state.version, term=self._term
            )
        except VersionConflict:
            await follower.reach((await self._log.head()).position)
            return
        await follower.reach(appended.last_position)

    async def _finish(self, state: CheckState, now: datetime, follower: Follower) -> None:
        metadata = self._metadata(state, now)
        await self._reads.caught_up()
        found: list[SeenSchema] = []
        async for some in self._answered(state):
            found += _schemas(some)
            lost = regressed(some, await self._in_force(some.looks), self._roster.get)
            events = [encode(one.event, one.event_id, metadata) for one in lost]
            await self._log.append(FLEET, events, skip_known=True, term=self._term)
        if state.purpose is Purpose.DRIFT:
            known = evolve(KnownDrift(), [one async for one in self._drift_events()])
            said = drifted(state.check, found, known)
            events = [encode(one.event, one.event_id, metadata) for one in said]
            await self._log.append(FLEET, events, skip_known=True, term=self._term)
        follower.poke()
        del self._checks[state.check]
        del self._origins[state.check]
        self._alarm.set(state.check, None)

    async def _answered(self, state: CheckState) -> AsyncIterator[CheckState]:
        """The check as if it had a few databases only, again and again, each with its answer."""
        looks: dict[str, Lookup] = {}
        async for raw in self._log.read_stream(f"{state.stream}/reports", types=ANSWER):
            event = open_event(raw).event
            if not isinstance(event, DatabaseInspected):
                continue
            look = state.looks.get(event.database)
            if look is None or look.answered_position != raw.position:
                continue
            looks[event.database] = replace(look, answer=event)
            if len(looks) == TOGETHER:
                yield replace(state, looks=Looks(looks).changed(looks))
                looks = {}
        if looks:
            yield replace(state, looks=Looks(looks).changed(looks))

    async def _drift_events(self) -> AsyncIterator[Recorded]:
        async for raw in self._log.read_stream(FLEET, types=TYPES):
            yield open_event(raw)

    async def _in_force(self, looks: Mapping[str, Lookup]) -> dict[str, dict[str, UUID]]:
        """Per database, the versions that the log said were applied when the look was ordered.

        What is recorded later may have been applied later than the look, which says nothing of it.
        """
        found: dict[str, dict[str, UUID]] = {}
        for row in await self._reads.applied(list(looks)):
            known = row.state == APPLIED and row.position < looks[row.database].asked_position
            if known and row.command is not None:
                found.setdefault(row.database, {})[row.version] = row.command
        return found

    def _metadata(self, state: CheckState, now: datetime) -> Metadata:
        origin = self._origins[state.check]
        return Metadata(
            reason=origin.reason,
            ticket=origin.ticket,
            correlation=state.stream,
            traceparent=origin.traceparent,
            tracestate=origin.tracestate,
            occurred_at=now,
        )


def _schemas(state: CheckState) -> list[SeenSchema]:
    """Little is kept of each answer, so that a check of the whole fleet takes little memory."""
    answers = (look.answer for look in state.looks.values())
    return [one for answer in answers if answer is not None and (one := seen(answer)) is not None]


def check_of(stream: str) -> str | None:
    """The check whose requests or reports this stream holds, if it is one of those."""
    if not stream.startswith("check-"):
        return None
    return stream.removeprefix("check-").removesuffix("/reports")
