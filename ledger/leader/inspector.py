"""Follows the checks: sends the looks, and says what they changed and what a database lost.

A check is a request like a rollout, with a stream of its own, and the one order of all its looks.
What is sent for each database is made of it here and stands in no log. Answers come to the desk
(`ledger.leader.look_desk`). When a check ends, each journal is compared with what the log says was
applied, and what it lost becomes MigrationRegressed; a look at schemas says who has drifted. Then
one event says that it is over. Until then nobody needs the answers: they are read where they are
kept, a few at a time, so a check of the whole fleet takes little memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from ledger.contracts.envelope import Metadata, Recorded, consequence_id, encode
from ledger.contracts.events import CheckFinished, CheckRequested, InspectionOrdered, Purpose
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.checks import (
    STALE_S,
    CheckState,
    Lookup,
    asked,
    begin,
    finish,
    next_wake,
    progress,
    regressed,
    restored,
)
from ledger.domain.drift import SeenSchema, drifted, seen
from ledger.domain.fleet import FLEET
from ledger.domain.orders import Decision, DecisionContext
from ledger.leader.fleet_cache import Roster
from ledger.leader.look_desk import CHECK_PREFIX, REQUEST, LookDesk, check_of
from ledger.leader.subscription import Follower, Subscriber
from ledger.service.known_drift import known_drift
from ledger.store.log.decode import open_event, read
from ledger.store.port import Log, LookStore
from ledger.store.views.port import Views
from migrations.clock import Clock

APPLIED = "applied"
"""The state, in the read model, of a migration that is in force."""
TOGETHER = 100
"""Databases of which the answers, and all that they have, are held at once."""
KEPT_S = 3600.0
"""How long answers are kept for whoever asked, also where a later one is."""
TRIM_EVERY_S = KEPT_S / 6
"""Also where nobody looks any more, schemas that were sent do not stay."""
_TRIM = ""
"""In place of a check's id: when it is time to forget."""


class Inspector:
    """Draws the consequences of check requests and their answers.

    `hearers` send the looks and remember what was asked; they hear of each as of an order.
    """

    def __init__(
        self,
        log: Log,
        roster: Roster,
        reads: Views,
        looks: LookStore,
        desk: LookDesk,
        term: int,
        clock: Clock,
        hearers: Sequence[Subscriber],
    ) -> None:
        self._log = log
        self._roster = roster
        self._reads = reads
        self._looks = looks
        self._desk = desk
        self._term = term
        self._clock = clock
        self._requests: dict[str, Recorded] = {}
        self._alarm = desk.alarm
        desk.hearers = self._hearers = hearers

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take up what is asked for among these; a check that is over needs nothing more."""
        for one in recorded:
            check = check_of(one.stream)
            if check is None:
                continue
            if isinstance(one.event, CheckRequested) and one.event.check == check:
                self._begin(check, one)
            elif isinstance(one.event, CheckFinished):
                self._forget(check)

    async def take_up(self, check: str) -> None:
        """Go on with a check: its request, and the looks that were answered.

        The others are asked again; those that nobody began to ask in an hour are given up, because
        nobody waits for them any more.
        """
        stream = f"{CHECK_PREFIX}{check}"
        events = self._log.read_stream(stream, types=REQUEST)
        requests = [open_event(raw) async for raw in events][:1]
        if not requests or not isinstance(requests[0].event, CheckRequested):
            return
        state = self._begin(check, requests[0])
        after, latest = "", state.requested_at
        while page := await self._looks.of_check(check, after):
            known = {
                one.database: Lookup(one.attempt, None, None, one.answered_at, one.is_read)
                for one in page
                if one.database in state.looks
            }
            state = restored(state, known)
            latest = max(latest, *(one.answered_at for one in page))
            after = page[-1].database
        idle_s = (self._clock.now() - latest).total_seconds()
        stale = idle_s > STALE_S and state.purpose is not Purpose.REINSTATE
        self._desk.checks[check] = replace(state, given_up=stale)

    async def run(self, follower: Follower) -> None:
        """Decide until cancelled."""
        self._alarm.touch([_TRIM])
        while True:
            for check in self._alarm.due():
                if check == _TRIM:
                    await self._trim()
                else:
                    await self._advance(check, follower)
            await self._alarm.sleep()

    async def _trim(self) -> None:
        await self._looks.trim(KEPT_S)
        self._alarm.set(_TRIM, self._clock.now() + timedelta(seconds=TRIM_EVERY_S))

    def _begin(self, check: str, request: Recorded) -> CheckState:
        self._desk.checks[check] = state = begin(request)
        self._requests[check] = request
        self._alarm.touch([check])
        return state

    def _forget(self, check: str) -> None:
        self._desk.forget(check)
        self._requests.pop(check, None)

    async def _advance(self, check: str, follower: Follower) -> None:
        state = self._desk.checks.get(check)
        if state is None:
            return
        situation = DecisionContext(
            now=self._clock.now(), term=self._term, records=self._roster.get, migrations={}
        )
        orders = progress(state, situation)
        if orders:
            self._desk.checks[check] = state = asked(state, orders)
            self._send(check, orders, situation.now)
        self._alarm.set(check, next_wake(state, situation.now))
        if not orders and state.is_settled(self._roster.get, situation.now):
            await self._finish(state, follower)

    def _send(self, check: str, orders: Sequence[InspectionOrdered], now: datetime) -> None:
        """Let these looks be sent, each in the name of the request that asked for it."""
        request = self._requests[check]
        metadata = self._metadata(check, now)
        heard = [
            Recorded(
                position=request.position,
                stream=request.stream,
                stream_version=request.stream_version,
                event_id=consequence_id(request.stream, one, str(one.command)),
                event=one,
                metadata=metadata,
                recorded_by=request.recorded_by,
                recorded_at=request.recorded_at,
            )
            for one in orders
        ]
        for hearer in self._hearers:
            hearer.saw(heard)

    async def _finish(self, state: CheckState, follower: Follower) -> None:
        """Say what the journals lost, who has drifted, and that the check is over."""
        await self._reads.caught_up()
        metadata = self._metadata(state.check, self._clock.now())
        found, lost = list[SeenSchema](), 0
        async for answers in self._answers(state):
            found += (one for one in map(seen, answers.values()) if one is not None)
            in_force = await self._in_force(list(answers), state.position)
            decided = regressed(state, answers, in_force, self._roster.get)
            lost += len(decided)
            await self._say(decided, metadata)
        if state.purpose is Purpose.DRIFT:
            known = await known_drift(self._log)
            await self._say(drifted(state.check, found, known), metadata)
        position = (await self._log.head()).position
        changed = await self._log.version_at(f"{state.stream}/reports", position)
        over = finish(state, self._clock.now(), changed, lost)
        event = encode(over.event, over.event_id, metadata)
        await self._log.append(state.stream, [event], skip_known=True, term=self._term)
        await self._trim()
        self._forget(state.check)
        follower.poke()

    async def _answers(self, state: CheckState) -> AsyncIterator[dict[str, DatabaseInspected]]:
        """The answers of a check by database, a few at a time, as they are kept."""
        after = ""
        while page := await self._looks.of_check(state.check, after, TOGETHER):
            after = page[-1].database
            found = {one.database: read(_ANSWER, one.schema_version, one.body) for one in page}
            yield {
                name: answer
                for name, answer in found.items()
                if isinstance(answer, DatabaseInspected) and name in state.looks
            }

    async def _say(self, decided: Sequence[Decision], metadata: Metadata) -> None:
        """Append these to the fleet's stream, if there are any and it has not heard them."""
        if decided:
            events = [encode(one.event, one.event_id, metadata) for one in decided]
            await self._log.append(FLEET, events, skip_known=True, term=self._term)

    async def _in_force(
        self, databases: Sequence[str], asked_position: int
    ) -> Mapping[str, Mapping[str, UUID]]:
        """Per database, the versions that the log said were applied when the look was asked for.

        What is recorded later may have been applied later than the look, which says nothing of it.
        """
        found: dict[str, dict[str, UUID]] = {}
        for row in await self._reads.applied(databases):
            known = row.state == APPLIED and row.position < asked_position
            if known and row.command is not None:
                found.setdefault(row.database, {})[row.version] = row.command
        return found

    def _metadata(self, check: str, now: datetime) -> Metadata:
        request = self._requests[check]
        origin = request.metadata
        return Metadata(
            reason=origin.reason,
            ticket=origin.ticket,
            causation=str(request.event_id),
            correlation=request.stream,
            traceparent=origin.traceparent,
            tracestate=origin.tracestate,
            occurred_at=now,
        )


_ANSWER = DatabaseInspected.__name__
