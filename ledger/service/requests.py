"""What people ask of a rollout: decided on the little that it needs, recorded at the first try.

Whether a rollout may be paused depends on its own status alone, which its turns say; whether a
database may be tried again, on what the log says of that database. Nothing else is read, so that a
request costs the same beside ten databases and beside a hundred thousand, and its append brings
exactly that as its premise (`ledger.domain.premises`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import RolloutPlanned
from ledger.contracts.reports import Event
from ledger.domain import requests
from ledger.domain.builder import RolloutBuilder
from ledger.domain.premises import of_request
from ledger.domain.rollout import RolloutState, fold, take
from ledger.domain.states import TROUBLED, DatabaseState
from ledger.errors import NoSuchRollout, Overtaken
from ledger.service.fleet_reader import FleetReader
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.service.rollout_state import refuse_unreadable
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import Views

Decide = Callable[[RolloutState], tuple[Event, ...]]


class Requests:
    """Asks, and records what the answer is. Methods raise the refusals of `ledger.domain`."""

    def __init__(self, log: Log, reads: Views, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder
        self._reads = reads
        self._fleet = FleetReader(log, reads)

    async def turned(self, rollout: str) -> tuple[RolloutState, int]:
        """The rollout without its databases, as it is at the position that comes with it."""
        known = (await self._log.head()).position
        turns = await self._log.turns(f"rollout-{rollout}", known)
        return _folded(rollout, [open_event(one) for one in turns]), known

    async def ask(
        self,
        rollout: str,
        decide: Decide,
        asked: RequestContext,
        *,
        about: Sequence[str] = (),
        dry: bool,
    ) -> None:
        """Decide on the rollout and on the databases it is `about`, and append.

        Again when it was overtaken: then the rollout was turned, or one of these was answered for.
        """
        while True:
            if about:
                state, known = await self._concerned(rollout, about)
            else:
                state, known = await self.turned(rollout)
            if await self._recorded(state, known, decide(state), asked, dry=dry):
                return

    async def retry(
        self, rollout: str, databases: Sequence[str], asked: RequestContext, *, dry: bool
    ) -> tuple[str, ...]:
        """Ask for another try, also of whoever the fleet left out, if it takes part again.

        Returns the databases that are tried.
        """
        while True:
            state, known = await self._concerned(rollout, databases or None)
            records = await self._fleet.some(databases or [*state.failures, *state.active])
            (event,) = requests.retry(state, databases or None, records.databases)
            if await self._recorded(state, known, [event], asked, dry=dry):
                return event.databases

    async def _recorded(
        self,
        state: RolloutState,
        known: int,
        events: Sequence[Event],
        asked: RequestContext,
        *,
        dry: bool,
    ) -> bool:
        """Whether these are in the log now, or would be; not when they were overtaken."""
        if dry:
            return True
        encoded = self._encoder.encode(events, asked, correlation=state.rollout)
        try:
            await self._log.append(state.stream, encoded, premise=of_request(events, known))
        except Overtaken:
            return False
        await self._log.announce()
        return True

    async def _concerned(
        self, rollout: str, databases: Sequence[str] | None
    ) -> tuple[RolloutState, int]:
        """The rollout with these databases as they are, or with all that are in trouble.

        They come from rows, and what was said since is folded upon them. All others are not in it,
        except those of which something was said since.
        """
        stream = f"rollout-{rollout}"
        async with self._reads.snapshot() as reads:
            position = await reads.position()
            known = (await self._log.head()).position
            frame = await self._log.frame(stream, position, whole=False)
            if not frame:
                # Not one row of it was projected yet.
                events = await self._log.concerned(stream, known, databases)
                return _folded(rollout, [open_event(one) for one in events]), known
            news = [open_event(one) for one in await self._log.news(stream, position, known)]
            named = {getattr(one.event, "database", None) for one in news}.union(databases or ())
            rows = await reads.rollout_databases_named(rollout, [one for one in named if one])
            if databases is None:
                rows += await _all_troubled(reads, rollout)
        state = _folded(rollout, [open_event(one) for one in frame])
        draft = RolloutBuilder(state)
        draft.restore(rows)
        for one in news:
            take(draft, one)
        return draft.freeze(), known


async def _all_troubled(reads: Views, rollout: str) -> list[DatabaseState]:
    found: list[DatabaseState] = []
    after = (-1, "")
    while page := await reads.rollout_databases(rollout, TROUBLED, troubled=True, after=after):
        found += page
        after = (page[-1].wave, page[-1].database)
    return found


def _folded(rollout: str, events: Sequence[Recorded]) -> RolloutState:
    refuse_unreadable(rollout, events)
    if not events or not isinstance(events[0].event, RolloutPlanned):
        raise NoSuchRollout(rollout)
    state = fold(None, events)
    if state is None:
        raise NoSuchRollout(rollout)
    return state
