"""What people ask of a rollout: decided on the little that it needs, recorded at the first try.

Whether a rollout may be paused depends on its own status alone, which its turns say; whether a
database may be tried again, on what the log says of that database. Nothing else is read, so that a
request costs the same beside ten databases and beside a hundred thousand, and its append brings
exactly that as its premise (`ledger.domain.premises`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ledger.contracts.events import RolloutPlanned
from ledger.contracts.reports import Event
from ledger.domain import fleet, requests
from ledger.domain.fleet import DatabaseRecord, FleetState
from ledger.domain.premises import of_request
from ledger.domain.rollout import RolloutState, fold
from ledger.errors import NoSuchRollout, Overtaken
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.log.decode import open_event
from ledger.store.port import Log, RecordedEvent

Decide = Callable[[RolloutState], tuple[Event, ...]]


class Requests:
    """Asks, and records what the answer is. Methods raise the refusals of `ledger.domain`."""

    def __init__(self, log: Log, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder

    async def turned(self, rollout: str) -> tuple[RolloutState, int]:
        """The rollout without its databases, as it is at the position that comes with it."""
        known = (await self._log.head()).position
        turns = await self._log.turns(f"rollout-{rollout}", known)
        return _folded(rollout, turns), known

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
    ) -> None:
        """Ask for another try, also of whoever the fleet left out, if it takes part again."""
        while True:
            state, known = await self._concerned(rollout, databases or None)
            records = await self._records(databases or [*state.failures, *state.active])
            events = requests.retry(state, databases or None, records)
            if await self._recorded(state, known, events, asked, dry=dry):
                return

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
        """The rollout with these databases as they are, or with all that were in trouble.

        All others stand in it as if they had not been ordered.
        """
        known = (await self._log.head()).position
        events = await self._log.concerned(f"rollout-{rollout}", known, databases)
        return _folded(rollout, events), known

    async def _records(self, databases: Sequence[str]) -> Mapping[str, DatabaseRecord]:
        events = map(open_event, await self._log.records(databases))
        return fleet.fold(FleetState(), events).databases


def _folded(rollout: str, events: Sequence[RecordedEvent]) -> RolloutState:
    if not events or events[0].type != RolloutPlanned.__name__:
        raise NoSuchRollout(rollout)
    state = fold(None, map(open_event, events))
    if state is None:
        raise NoSuchRollout(rollout)
    return state
