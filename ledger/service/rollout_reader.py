"""Reads where a rollout is: from a few events of the log, and from the rows of its databases.

What turned a rollout and became of its waves is in a handful of events, found by an index; how many
databases are how far, the server counts; and only the databases that are shown are read. So a look
costs by what it shows, beside ten databases and beside a hundred thousand.

```
log ── turns, waves ─────▶ the rollout itself, exactly as it is
rows ── counted ─────────▶ how many databases are how far       as far as they were projected
     └─ pages ───────────▶ the databases that are shown
```

Where nobody may bring the rows up to date, the rollout is folded from the whole log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ledger.domain.builder import RolloutBuilder
from ledger.domain.rollout import RolloutState, fold
from ledger.domain.states import (
    ENDED,
    ORDERING,
    TROUBLED,
    DatabaseState,
    DatabaseStatus,
    Status,
)
from ledger.domain.waiting import Surroundings
from ledger.errors import NoSuchRollout, ReadModelsBehind
from ledger.service.catch_up import brought_up
from ledger.service.liveness import Liveness
from ledger.service.status import (
    DatabaseLine,
    RolloutStatus,
    headed,
    lines_of,
    status_of,
)
from ledger.store.log.decode import open_event
from ledger.store.log.log import EventLog
from ledger.store.log.streams import read_both
from ledger.store.views.queries import PAGE, ReadModels

SETTLED_FOR_NOW = ENDED | {Status.HALTED, Status.PAUSED}
"""A rollout in one of these is shown as it is and not a moment late: people act on it."""

Counts = Mapping[tuple[int, str], int]


class RolloutReader:
    """Reads rollouts for people."""

    def __init__(self, log: EventLog, reads: ReadModels, lookout: Liveness) -> None:
        self._log = log
        self._reads = reads
        self._lookout = lookout

    async def status(self, rollout: str, limit: int | None = None) -> RolloutStatus:
        """Where it is now: with all databases, or with at most `limit` of those that matter.

        Those that matter are at work, in trouble, or wait for something that a command would help.
        Raises `NoSuchRollout`.
        """
        state = await self._frame(rollout)
        try:
            await brought_up(self._reads, self._log)
        except ReadModelsBehind:
            return await self._folded(rollout, limit)
        counts = await self._reads.rollout_counts(rollout)
        if limit is None:
            return replace(headed(state, counts), databases=await self._all(state, counts))
        if limit == 0:
            return headed(state, counts)
        return await self._some(state, counts, await self._lookout.look({}), limit)

    async def glance(self, rollout: str, limit: int) -> RolloutStatus:
        """As `status`, with the databases as they were projected, if somebody does project.

        Exact where nothing moves by itself any more. Raises `NoSuchRollout`.
        """
        state = await self._frame(rollout)
        if state.status not in SETTLED_FOR_NOW:
            around = await self._lookout.look({})
            counts = await self._reads.rollout_counts(rollout)
            if counts and around.leader is not None and not around.leader.is_silent:
                return await self._some(state, counts, around, limit)
        return await self.status(rollout, limit)

    async def _frame(self, rollout: str) -> RolloutState:
        """The rollout as it is, without its databases. Raises `NoSuchRollout`."""
        known = (await self._log.head()).position
        events = await self._log.frame(f"rollout-{rollout}", known, whole=False)
        state = fold(None, map(open_event, events)) if events else None
        if state is None:
            raise NoSuchRollout(rollout)
        return state

    async def _some(
        self, state: RolloutState, counts: Counts, around: Surroundings, limit: int
    ) -> RolloutStatus:
        """At most `limit` of the databases that matter: those in trouble, then those that wait."""
        rollout = state.rollout
        page = await self._reads.rollout_databases(rollout, TROUBLED, troubled=True, limit=limit)
        number = len(page)
        if number == limit:
            number = await self._reads.count_troubled(rollout, TROUBLED)
        waiting = _waiting_too(state, around)
        if waiting and len(page) < limit:
            known = {one.database for one in page}
            more = await self._reads.rollout_databases(rollout, waiting, limit=limit)
            page += [one for one in more if one.database not in known][: limit - len(page)]
        number += sum(count for (_, status), count in counts.items() if status in waiting)
        lines = await self._lines(state, counts, page)
        more_of_them = max(number - len(page), 0)
        return replace(headed(state, counts), databases=lines, more=more_of_them)

    async def _all(self, state: RolloutState, counts: Counts) -> tuple[DatabaseLine, ...]:
        """Every database, page by page: what is read for one page is gone before the next."""
        lines: list[DatabaseLine] = []
        after = (-1, "")
        while page := await self._reads.rollout_databases(state.rollout, after=after):
            lines += await self._lines(state, counts, page)
            after = (page[-1].wave, page[-1].database)
            if len(page) < PAGE:
                break
        return tuple(lines)

    async def _lines(
        self, state: RolloutState, counts: Counts, page: Iterable[DatabaseState]
    ) -> tuple[DatabaseLine, ...]:
        page = tuple(page)
        if not page:
            return ()
        draft = RolloutBuilder(state)
        draft.restore(page)
        some = replace(draft.freeze(), counts=_by_status(counts))
        records = await self._reads.records([one.database for one in page])
        around = await self._lookout.look({one.database: one for one in records})
        return lines_of(some, around)

    async def _folded(self, rollout: str, limit: int | None) -> RolloutStatus:
        """From the whole log: nobody leads who projects, and this role may not."""
        state = fold(None, await read_both(self._log, f"rollout-{rollout}"))
        if state is None:
            raise NoSuchRollout(rollout)
        records = await self._reads.records(list(state.where))
        around = await self._lookout.look({one.database: one for one in records})
        status = status_of(state, around)
        if limit is None:
            return status
        wanted = (*TROUBLED, *_waiting_too(state, around))
        found = [one for one in status.databases if one.status in wanted or one.problem]
        return replace(status, databases=tuple(found[:limit]), more=max(len(found) - limit, 0))


def _waiting_too(state: RolloutState, around: Surroundings) -> tuple[str, ...]:
    """The states whose databases wait for a person; while all goes well they wait their turn."""
    leads = around.leader is not None and not around.leader.is_silent
    if state.status in ENDED or (state.status in ORDERING and leads and around.broker is not False):
        return ()
    return (DatabaseStatus.APPLIED,) if state.rolling else (DatabaseStatus.PENDING,)


def _by_status(counts: Counts) -> dict[tuple[int, DatabaseStatus], int]:
    return {(wave, DatabaseStatus(status)): number for (wave, status), number in counts.items()}
