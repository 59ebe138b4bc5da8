"""Follows the log and the clock, and appends what follows from them.

The conductor keeps the state of every unsettled rollout, folded from the log. Whenever events
arrive, or a moment comes that a state waits for, it asks the pure domain what follows (`progress`)
and appends the answer at the expected version of the decisions stream, with its premise: what it
knew, and what it cannot bear to have missed (`ledger.domain.premises`).

```
events, clock ─▶ fold ─▶ progress ─▶ append (version, premise, term) ─▶ the same events come back
                  ▲                     │ VersionConflict: a person was first
                  │                     │ Overtaken: a report changes what was decided
                  └─────────────────────┘ fold what was said, decide again
```

A rollout whose own policy has it undone when it halts starts the one that undoes it in the append
that says so: both are in the log, or neither, and their ids are derived, so that whoever leads next
finds it done.

It holds no state that a fold of the log would not give, and less than that: of databases that are
done only the number. When something is said of one all the same, its rollout is read again. What is
asked of single databases outside a rollout is the inspector's (`ledger.leader.inspector`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from ledger.contracts.envelope import Encoded, Metadata, Recorded, consequence_id, encode
from ledger.contracts.events import (
    MigrationOrdered,
    RolloutPlanned,
    RolloutStarted,
    UndoStarted,
)
from ledger.domain.orders import Decision, DecisionContext
from ledger.domain.planning import plan_undo
from ledger.domain.premises import of_progress
from ledger.domain.progress import next_wake, progress
from ledger.domain.refusals import RequestRefusal
from ledger.domain.rollback import left_to_undo, retired_text, undo_options
from ledger.domain.rollout import BrokenStream, RolloutState, changed_by, fold, recalled
from ledger.domain.states import ENDED
from ledger.domain.waiting import SAID_MAX_CHARS
from ledger.errors import (
    DuplicateEventDiffers,
    Overtaken,
    PartlyKnown,
    UnknownBundle,
    VersionConflict,
)
from ledger.leader.fleet_cache import Roster
from ledger.leader.restoration import Restored, restore
from ledger.leader.subscription import Follower
from ledger.leader.wakeups import Alarm
from ledger.service.rollout_state import whole
from ledger.store.bundles import BundleTexts
from ledger.store.port import Batch, Log
from ledger.store.views.port import Views
from ledger.telemetry import current_context, order_context
from migrations.clock import Clock

logger = logging.getLogger(__name__)

ABSURD = (
    UnknownBundle,
    DuplicateEventDiffers,
    PartlyKnown,
    RequestRefusal,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)
"""What deciding on a plan may come to that is of the right form and cannot be meant.

Whoever may ask can write one by hand: it speaks of what is not there, names a database twice, or
has numbers without sense.
"""
SAYS_WHY = (BrokenStream, UnknownBundle, RequestRefusal)
"""Errors that say in words for people what is wrong with a plan."""
SENSELESS = "a number or a name in it leads nowhere, or stands there twice; see the leader's log"
TOLD = 100
"""Rollouts that are left alone of which people are told: anybody who may ask can write more."""
PACE_S = 0.001
"""Rest after a decision, per database that is worked on: deciding looks at each of them."""
PACE_MAX_S = 0.2
"""Nobody waits longer than this for what follows from a report or a request."""


class Conductor:
    """Draws the consequences of what the log says, for every unsettled rollout."""

    def __init__(
        self,
        log: Log,
        reads: Views,
        roster: Roster,
        bundles: BundleTexts,
        term: int,
        clock: Clock,
    ) -> None:
        self._log = log
        self._reads = reads
        self._roster = roster
        self._bundles = bundles
        self._term = term
        self._clock = clock
        self._rollouts: dict[str, RolloutState] = {}
        self._unfolded: dict[str, list[Recorded]] = {}
        self._origins: dict[str, Metadata] = {}
        self._alarm = Alarm(clock)
        self.left_alone: dict[str, str] = {}
        """Rollouts on which nothing is decided, the latest few, and what is wrong with each."""

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Fold these events into the rollouts they belong to."""
        by_rollout: dict[str, list[Recorded]] = {}
        for one in recorded:
            rollout = rollout_of(one.stream)
            if rollout is not None:
                by_rollout.setdefault(rollout, []).append(one)
                self._note_origin(rollout, one)
        for rollout, events in by_rollout.items():
            self._take(rollout, events)
        self._alarm.touch(by_rollout)
        # Who takes one of these back waits for what is at work there.
        self._alarm.touch(
            name for name, state in self._rollouts.items() if state.plan.undoes in by_rollout
        )

    def take_up(self, restored: Restored) -> None:
        """Go on with a rollout as it was read."""
        rollout = restored.state.rollout
        for one in restored.events:
            self._note_origin(rollout, one)
        self._rollouts[rollout] = restored.state
        self._alarm.touch([rollout])

    def _take(self, rollout: str, events: Sequence[Recorded]) -> None:
        """Fold, or keep for later what belongs to a rollout that is to be loaded first."""
        state = self._rollouts.get(rollout)
        if rollout in self._unfolded:
            self._unfolded[rollout] += events
        elif (
            recalled(state, events)
            if state is not None
            else not isinstance(events[0].event, RolloutPlanned)
        ):
            self._unfolded[rollout] = list(events)
        else:
            self._fold(rollout, state, events)

    def _fold(self, rollout: str, state: RolloutState | None, events: Sequence[Recorded]) -> None:
        """Fold; a stream that makes no rollout is left alone, and keeps nobody from leading."""
        try:
            folded = fold(state, events, lean=True)
        except BrokenStream as broken:
            self._leave_alone(rollout, broken)
            return
        if folded is not None:
            self._rollouts[rollout] = folded

    async def run(self, follower: Follower) -> None:
        """Decide until cancelled."""
        while True:
            due = self._alarm.due()
            for rollout in due:
                try:
                    await self._advance(rollout, follower)
                    self.left_alone.pop(rollout, None)
                except ABSURD as error:
                    self._leave_alone(rollout, error)
            await self._clock.sleep(self._rest(due))
            await self._alarm.sleep()

    def _leave_alone(self, rollout: str, why: Exception) -> None:
        """Decide nothing on it any more: what one stream says keeps nobody from leading."""
        state = self._rollouts.pop(rollout, None)
        self._alarm.set(rollout, None)
        if state is not None and state.status in ENDED:
            self.left_alone.pop(rollout, None)
            return
        said = str(why) if isinstance(why, SAYS_WHY) else SENSELESS
        logger.error("rollout %s is left alone, and can be aborted: %r", rollout, why)
        self.left_alone[rollout] = said[:SAID_MAX_CHARS]
        if len(self.left_alone) > TOLD:
            del self.left_alone[next(iter(self.left_alone))]

    def _rest(self, decided: Iterable[str]) -> float:
        """Seconds in which reports gather; of many databases in hand few answer in that time."""
        states = (self._rollouts.get(rollout) for rollout in decided)
        active = sum(len(state.active) for state in states if state is not None)
        return min(active * PACE_S, PACE_MAX_S)

    async def _advance(self, rollout: str, follower: Follower) -> None:
        """Append what follows for one rollout, and hear it before anything else is decided."""
        state = await self._state(rollout)
        if state is None:
            return
        known = max(state.position, follower.position)
        situation = DecisionContext(
            now=self._clock.now(),
            term=self._term,
            records=self._roster.get,
            migrations=await self._bundles.refs(state.plan.bundle),
            beside=await self._beside(state),
        )
        decided = progress(state, situation)
        self._alarm.set(rollout, next_wake(state, situation.now, beside=situation.beside))
        if not decided:
            self._forget_if_settled(state)
            return
        try:
            reached = await self._record(state, decided, situation, known)
        except (VersionConflict, Overtaken):
            # Somebody was first: hear what was said, which touches the rollout again.
            await follower.reach((await self._log.head()).position)
            return
        await follower.reach(reached)

    async def _record(
        self,
        state: RolloutState,
        decided: Sequence[Decision],
        situation: DecisionContext,
        known: int,
    ) -> int:
        """Append what was decided, with the rollout that undoes this one, if it is to be.

        The position reached. Raises what appending raises.
        """
        premise = of_progress(state, (one.event for one in decided), known)
        events = [self._encode(state.rollout, one, situation.now) for one in decided]
        undo = next((one.event for one in decided if isinstance(one.event, UndoStarted)), None)
        back = await self._undo(state, undo, situation, known) if undo is not None else []
        if undo is not None and not back:
            logger.error("rollout %s halts: all where it ran left the fleet", state.rollout)
            events = [one for one in events if one.type != UndoStarted.__name__]
        elif undo is not None:
            first = Batch(state.stream, events, state.version, premise)
            second = Batch(f"rollout-{undo.by}", back, 0)
            try:
                both = await self._log.append_both(first, second, term=self._term)
                return both[1].last_position
            except VersionConflict as conflict:
                if conflict.stream != second.stream:
                    raise
                # Somebody has written what is none into that stream: it halts all the same.
                logger.error("stream %s is taken: rollout %s halts", second.stream, state.rollout)
                events = [one for one in events if one.type != UndoStarted.__name__]
        appended = await self._log.append(
            state.stream,
            events,
            expected_version=state.version,
            term=self._term,
            premise=premise,
        )
        return appended.last_position

    async def _undo(
        self, state: RolloutState, undo: UndoStarted, situation: DecisionContext, known: int
    ) -> list[Encoded]:
        """The rollout that takes this one back, planned and started; nothing where nothing is left.

        Databases that are retired are left out, which its reason says, as a person is told who
        plans one. Raises `Overtaken` when the one that is undone was turned meanwhile.
        """
        undone = await whole(self._log, self._reads, state.rollout)
        if undone is None or undone.version != state.version:
            raise Overtaken(state.stream, known)
        options = undo_options(state.plan)
        ran = left_to_undo(undone)
        fleet = {one: situation.records(one) for one in ran}
        gone = [one for one, record in fleet.items() if record is not None and record.retired]
        if len(gone) == len(ran):
            return []
        planned = plan_undo(undone, undo.by, options, situation.migrations, known, gone=gone)
        origin = self._origins.get(state.rollout, Metadata())
        metadata = self._metadata(origin, undo.by, situation.now)
        left_out = f"; left out: {retired_text(gone)}" if gone else ""
        metadata = metadata.model_copy(update={"reason": f"{undo.why}{left_out}"})
        return [
            encode(event, consequence_id(undo.by, event, str(number)), metadata)
            for number, event in enumerate((*planned, RolloutStarted(rollout=undo.by)))
        ]

    async def _beside(self, state: RolloutState) -> tuple[RolloutState, ...]:
        """What may be at work on the databases of one that undoes another, itself or its undos."""
        undoes = state.plan.undoes
        if undoes is None:
            return ()
        undone = await self._state(undoes)
        others = [
            one for one in self._rollouts.values() if one.plan.undoes == undoes and one is not state
        ]
        return (*others, undone) if undone is not None else tuple(others)

    async def _state(self, rollout: str) -> RolloutState | None:
        """The rollout's state; one that was forgotten, or of which a part was, is read again.

        `None` for a stream that holds no plan: writing one may not keep a ledger from leading.
        """
        while rollout in self._unfolded:
            await self._read_again(rollout)
        return self._rollouts.get(rollout)

    async def _read_again(self, rollout: str) -> None:
        # Whatever this process has not heard of it was there before, and is projected then.
        await self._reads.caught_up()
        wanted = changed_by(self._unfolded[rollout])
        async with self._reads.snapshot() as reads:
            restored = await restore(self._log, reads, rollout, wanted)
        heard = self._unfolded.pop(rollout)
        if restored is None:
            logger.warning("stream rollout-%s holds no plan and is left alone", rollout)
            self._rollouts.pop(rollout, None)
            return
        self.take_up(restored)
        # What was heard meanwhile may change a database that is not here, either.
        newer = [one for one in heard if one.position > restored.state.position]
        if newer:
            self._take(rollout, newer)

    def _note_origin(self, rollout: str, recorded: Recorded) -> None:
        if isinstance(recorded.event, RolloutPlanned):
            self._origins[rollout] = recorded.metadata

    def _forget_if_settled(self, state: RolloutState) -> None:
        """An ended rollout that owes nothing needs no place in memory, unless it is undone now.

        When it is heard of again, it is folded from the log.
        """
        if state.status not in ENDED or state.active:
            return
        if any(one.plan.undoes == state.rollout for one in self._rollouts.values()):
            return
        del self._rollouts[state.rollout]
        self._alarm.set(state.rollout, None)
        self._origins.pop(state.rollout, None)
        undone = self._rollouts.get(state.plan.undoes or "")
        if undone is not None:
            self._forget_if_settled(undone)

    def _encode(self, rollout: str, decided: Decision, now: datetime) -> Encoded:
        origin = self._origins.get(rollout, Metadata())
        event = decided.event
        if not isinstance(event, MigrationOrdered):
            return encode(event, decided.event_id, self._metadata(origin, rollout, now))
        state = self._rollouts.get(rollout)
        canary = event.wave == 0 and state is not None and len(state.waves) > 1
        context = order_context(origin, event.command, canary=canary)
        traceparent, tracestate = current_context(context)
        metadata = self._metadata(origin, rollout, now).model_copy(
            update={"traceparent": traceparent, "tracestate": tracestate}
        )
        return encode(event, decided.event_id, metadata)

    def _metadata(self, origin: Metadata, rollout: str, now: datetime) -> Metadata:
        return Metadata(
            reason=origin.reason,
            ticket=origin.ticket,
            correlation=rollout,
            traceparent=origin.traceparent,
            tracestate=origin.tracestate,
            occurred_at=now,
        )


def rollout_of(stream: str) -> str | None:
    """The rollout whose decisions or reports this stream holds, if it is one of those."""
    if not stream.startswith("rollout-"):
        return None
    return stream.removeprefix("rollout-").removesuffix("/reports")
