"""Reads where a rollout is: from a few events of the log, and from the rows of its databases.

What turned a rollout and became of its waves is in a handful of events, found by an index; how many
databases are how far, the server counts; and only the databases that are shown are read. So a look
costs by what it shows, beside ten databases and beside a hundred thousand.

```
log ── turns, waves ─────▶ the rollout itself, exactly as it is
rows ── counted ─────────▶ how many databases are how far       as far as they were projected
     └─ pages ───────────▶ the databases that are shown
```

One that takes another rollout back waits for what is at work there: of that one, the rows of the
databases that are shown are read, too. Where nobody may bring the rows up to date, the rollout is
folded from the whole log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ledger.domain.builder import RolloutBuilder
from ledger.domain.rollout import RolloutState, fold
from ledger.domain.states import (
    ENDED,
    TROUBLED,
    DatabaseState,
    DatabaseStatus,
    Status,
)
from ledger.domain.surroundings import Surroundings
from ledger.domain.waiting import Reason, left_alone
from ledger.errors import NoSuchRollout, ReadModelsBehind
from ledger.service.catch_up import brought_up
from ledger.service.liveness import Liveness
from ledger.service.rollout_groups import LinesOf, grouped, groups_of
from ledger.service.rollout_state import refuse_unreadable, whole
from ledger.service.status import (
    DatabaseLine,
    RolloutOrigin,
    RolloutStatus,
    headed,
    lines_of,
    origin_of,
    status_of,
)
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import PAGE, Views
from ledger.store.views.rows import TollRow

SETTLED_FOR_NOW = ENDED | {Status.HALTED, Status.PAUSED}
"""A rollout in one of these is shown as it is and not a moment late: people act on it."""

AT_WORK = (DatabaseStatus.ORDERED, DatabaseStatus.RUNNING, DatabaseStatus.UNKNOWN)
"""A database in one of these may have an order that is out there."""
_PENDING = DatabaseStatus.PENDING

Counts = Mapping[tuple[int, str], int]


class RolloutReader:
    """Reads rollouts for people."""

    def __init__(self, log: Log, reads: Views, lookout: Liveness) -> None:
        self._log = log
        self._reads = reads
        self._lookout = lookout

    async def status(self, rollout: str, limit: int | None = None) -> RolloutStatus:
        """Where it is now: with all databases, or with at most `limit` of those that matter.

        Those that matter are at work, in trouble, or wait for something that a command would help.
        Raises `NoSuchRollout`.
        """
        state, origin = await self._framed(rollout)
        try:
            await brought_up(self._reads, self._log)
        except ReadModelsBehind:
            return replace(await self._folded(rollout, limit), origin=origin)
        status = await self._read(state, limit)
        if status.status == Status.RUNNING:
            status = _explained(status, await self._lookout.look({}))
        toll = await self._reads.rollout_toll(rollout)
        status = replace(status, origin=origin, used=toll.counted, cancelled=toll.cancelled)
        if limit is not None:
            return status
        groups = await groups_of(self._reads, state, await self._lines_of(state))
        return replace(status, groups=groups)

    async def summary(self, rollout: str) -> RolloutStatus:
        """Where it is now, with the databases that are not settled well in groups.

        Costs by the number of groups. Raises `NoSuchRollout`.
        """
        status = await self.status(rollout, limit=0)
        if status.used is None:
            # Read from the whole log, where nobody projects.
            status = await self.status(rollout)
            return replace(status, groups=grouped(status.databases), databases=())
        state, _ = await self._framed(rollout)
        groups = await groups_of(self._reads, state, await self._lines_of(state))
        return replace(status, groups=groups)

    async def listing(
        self, rollout: str, states: Sequence[str], limit: int | None, among: Sequence[str] | None
    ) -> RolloutStatus:
        """Where it is now, with the databases in these states, in this order of states.

        At most `limit`, and only those `among`, if they are named. Raises `NoSuchRollout`.
        """
        state, _ = await self._framed(rollout)
        status = await self.status(rollout, limit=0)
        lines_of_page = await self._lines_of(state)
        lines: list[DatabaseLine] = []
        most = sum(status.counts.values()) if limit is None else limit
        if among is not None:
            page = await self._named(rollout, among)
            held = [one for one in page if one.status in states]
            held.sort(key=lambda one: (states.index(one.status), one.wave, one.database))
            lines += await lines_of_page(held[:most])
            return replace(status, databases=tuple(lines), more=len(held) - len(lines))
        for wanted in states:
            after = (-1, "")
            while len(lines) < most:
                left = min(PAGE, most - len(lines))
                page = await self._reads.rollout_databases(
                    rollout, [wanted], after=after, limit=left
                )
                lines += await lines_of_page(page)
                if len(page) < left:
                    break
                after = (page[-1].wave, page[-1].database)
        return replace(status, databases=tuple(lines), more=status.tally.of(*states) - len(lines))

    async def attempts(self, rollout: str, states: Sequence[str]) -> list[tuple[str, str, int]]:
        """Databases in these states, as they were projected: id, state and number of the attempt.

        Costs by their number.
        """
        found: list[tuple[str, str, int]] = []
        for wanted in states:
            after = (-1, "")
            while page := await self._reads.rollout_databases(rollout, [wanted], after=after):
                found += [(one.database, str(one.status), one.attempt) for one in page]
                after = (page[-1].wave, page[-1].database)
                if len(page) < PAGE:
                    break
        return found

    async def _lines_of(self, state: RolloutState) -> LinesOf:
        """What makes lines of databases of this rollout; the whole is counted once."""
        counts = await self._reads.rollout_counts(state.rollout)
        toll = await self._reads.rollout_toll(state.rollout)

        async def lines_of_page(page: Iterable[DatabaseState]) -> tuple[DatabaseLine, ...]:
            return await self._lines(state, counts, page, toll)

        return lines_of_page

    async def _read(self, state: RolloutState, limit: int | None) -> RolloutStatus:
        counts = await self._reads.rollout_counts(state.rollout)
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
                return _explained(await self._some(state, counts, around, limit), around)
        return await self.status(rollout, limit)

    async def _frame(self, rollout: str) -> RolloutState:
        """The rollout as it is, without its databases. Raises `NoSuchRollout`."""
        return (await self._framed(rollout))[0]

    async def _framed(self, rollout: str) -> tuple[RolloutState, RolloutOrigin]:
        """The same, and where it comes from."""
        known = (await self._log.head()).position
        events = await self._log.frame(f"rollout-{rollout}", known, whole=False)
        opened = [open_event(one) for one in events]
        refuse_unreadable(rollout, opened)
        state = fold(None, opened)
        if state is None:
            raise NoSuchRollout(rollout)
        return state, origin_of(opened)

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
        if len(page) < limit:
            known = {one.database for one in page}
            if waiting:
                more = await self._reads.rollout_databases(rollout, waiting, limit=limit)
            else:
                held = await self._held(state, counts, limit)
                more = [one for one in held if one.database not in known]
                number += len(more)
            page += [one for one in more if one.database not in known][: limit - len(page)]
        number += sum(count for (_, status), count in counts.items() if status in waiting)
        lines = await self._lines(state, counts, page)
        more_of_them = max(number - len(page), 0)
        return replace(headed(state, counts), databases=lines, more=more_of_them)

    async def _held(self, state: RolloutState, counts: Counts, limit: int) -> list[DatabaseState]:
        """Databases, `limit` at most, that wait for what is at work in the rollout it undoes."""
        undoes = _waits_for(state, counts)
        if undoes is None:
            return []
        there = await self._reads.rollout_databases(undoes, AT_WORK, limit=limit)
        here = await self._named(state.rollout, [one.database for one in there if one.open])
        return [one for one in here if one.status is DatabaseStatus.PENDING]

    async def _undone(
        self, state: RolloutState, counts: Counts, databases: Collection[str]
    ) -> RolloutState | None:
        """What the rollout undoes, with these databases, while any of it may wait for that."""
        undoes = _waits_for(state, counts)
        if undoes is None:
            return None
        try:
            undone = await self._frame(undoes)
        except NoSuchRollout:
            return None
        draft = RolloutBuilder(undone)
        draft.restore(await self._named(undoes, databases))
        return draft.freeze()

    async def _named(self, rollout: str, databases: Collection[str]) -> Sequence[DatabaseState]:
        return await self._reads.rollout_databases_named(rollout, list(databases))

    async def _all(self, state: RolloutState, counts: Counts) -> tuple[DatabaseLine, ...]:
        """Every database, page by page: what is read for one page is gone before the next."""
        lines: list[DatabaseLine] = []
        after, toll = (-1, ""), await self._reads.rollout_toll(state.rollout)
        while page := await self._reads.rollout_databases(state.rollout, after=after):
            lines += await self._lines(state, counts, page, toll)
            after = (page[-1].wave, page[-1].database)
            if len(page) < PAGE:
                break
        return tuple(lines)

    async def _lines(
        self,
        state: RolloutState,
        counts: Counts,
        page: Iterable[DatabaseState],
        toll: TollRow | None = None,
    ) -> tuple[DatabaseLine, ...]:
        """Lines of these databases; without `toll`, as if nothing had failed but among them."""
        page = tuple(page)
        if not page:
            return ()
        draft = RolloutBuilder(state)
        draft.restore(page)
        by_status = {
            (wave, DatabaseStatus(status)): number for (wave, status), number in counts.items()
        }
        some = replace(draft.freeze(), counts=by_status)
        if toll is not None:
            some = replace(some, counted=toll.counted, failing=toll.failing, ordered=toll.ordered)
        names = [one.database for one in page]
        records = await self._reads.records(names)
        around = await self._lookout.look({one.database: one for one in records})
        undone = await self._undone(state, counts, names)
        return lines_of(some, replace(around, undone=undone))

    async def _folded(self, rollout: str, limit: int | None) -> RolloutStatus:
        """From the whole log: nobody leads who projects, and this role may not."""
        state = await whole(self._log, self._reads, rollout)
        if state is None:
            raise NoSuchRollout(rollout)
        records = await self._reads.records(list(state.where))
        around = await self._lookout.look({one.database: one for one in records})
        undoes = _waits_for(state, {(wave, one): n for (wave, one), n in state.counts.items()})
        if undoes is not None:
            around = replace(around, undone=await whole(self._log, self._reads, undoes))
        status = status_of(state, around)
        if limit is None:
            return status
        wanted = (*TROUBLED, *_waiting_too(state, around))
        found = [
            one
            for one in status.databases
            if one.status in wanted or one.problem or one.reason is Reason.FINISHING
        ]
        return replace(status, databases=tuple(found[:limit]), more=max(len(found) - limit, 0))


def _waiting_too(state: RolloutState, around: Surroundings) -> tuple[str, ...]:
    """The states whose databases wait for a person; while all goes well they wait their turn."""
    leads = around.leader is not None and not around.leader.is_silent
    if state.status in ENDED or (
        state.status is Status.RUNNING and leads and around.broker is not False
    ):
        return ()
    return (DatabaseStatus.PENDING,)


def _explained(status: RolloutStatus, around: Surroundings) -> RolloutStatus:
    """The same, and why it does not go on, if that is because of its plan."""
    why = around.left_alone.get(status.rollout)
    return replace(status, why=left_alone(why)) if why else status


def _waits_for(state: RolloutState, counts: Counts) -> str | None:
    """The rollout that it undoes, as long as databases of it may wait for that."""
    pending = any(counts.get((wave, _PENDING)) for wave in range(state.plan.waves))
    return state.plan.undoes if pending else None
