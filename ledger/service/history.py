"""What was recorded: about a database, in a rollout, at people's requests, or anything."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import REQUESTED_BY_OPERATORS
from ledger.errors import NoSuchRollout, NothingOfThatName
from ledger.service.catch_up import as_near_as_may_be
from ledger.service.repeats import without_repeats
from ledger.service.rollouts import RolloutService
from ledger.store.log.history import PAGE, EventFilter, Timelines
from ledger.store.port import Log
from ledger.store.views.port import Views

REQUESTS = tuple(sorted(REQUESTED_BY_OPERATORS - {"WavePlanned"}))
"""Events that stand for a request; a plan's waves come along with the plan."""


class HistoryService:
    """Timelines, oldest first, page by page: `after` is the last position of the page before.

    An event that this version cannot read stands there as `Unreadable`, and what was told twice the
    second time as `ReportRepeated`; the log itself, `events`, has it as it was recorded.
    """

    def __init__(
        self, log: Log, reads: Views, timelines: Timelines, rollouts: RolloutService
    ) -> None:
        self._log = log
        self._reads = reads
        self._timelines = timelines
        self._rollouts = rollouts

    async def requests(self, after: int = 0, limit: int = PAGE) -> Sequence[Recorded]:
        """What people asked of this ledger."""
        return await self._timelines.events(EventFilter(types=REQUESTS), after, limit)

    async def about(self, what: str, after: int = 0, limit: int = PAGE) -> Sequence[Recorded]:
        """What happened to a database, or in a rollout that is named by a beginning of its id.

        Raises `NothingOfThatName` or `SeveralRollouts`.
        """
        await as_near_as_may_be(self._reads, self._log)
        if await self._reads.fleet([what]):
            found = await self._timelines.database(what, after, limit)
            return await without_repeats(self._log, found)
        try:
            rollout = await self._rollouts.find(what)
        except NoSuchRollout:
            raise NothingOfThatName(what) from None
        found = await self._timelines.rollout(rollout, after, limit)
        return await without_repeats(self._log, found)

    async def events(
        self,
        after: int = 0,
        limit: int = PAGE,
        *,
        stream_prefix: str | None = None,
        types: Sequence[str] | None = None,
    ) -> Sequence[Recorded]:
        """The log itself: all of it, or events of these types in streams that begin so."""
        wanted = EventFilter(stream_prefix, tuple(types) if types else None)
        return await self._timelines.events(wanted, after, limit)
