"""A whole rollout as it is now, without reading its history.

The rows of its databases are its state at the position that they were projected to; what is in no
row is in a few events; and what was said since is folded upon both. So it costs as much as it has
databases, whatever was reported of them, and nobody has to project first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ledger.contracts.envelope import Recorded
from ledger.contracts.reports import Unreadable
from ledger.domain.builder import RolloutBuilder
from ledger.domain.differences import UnreadablePlan
from ledger.domain.rollout import RolloutState, fold
from ledger.domain.states import DatabaseState
from ledger.errors import NoSuchRollout
from ledger.service.catch_up import as_near_as_may_be
from ledger.store.log.decode import open_event
from ledger.store.log.streams import read_both
from ledger.store.port import Log
from ledger.store.views.port import PAGE, Views
from migrations.likeness import nearest


async def whole(log: Log, reads: Views, rollout: str) -> RolloutState | None:
    """The rollout with all its databases; `None` when there is none.

    Raises `BrokenStream` for a stream that makes no rollout.
    """
    stream = f"rollout-{rollout}"
    async with reads.snapshot() as rows:
        position = await rows.position()
        frame = await log.frame(stream, position, whole=True)
        state = fold(None, [open_event(one) for one in frame])
        if state is None:
            # Not one row of it was projected yet.
            return fold(None, await read_both(log, stream))
        draft = RolloutBuilder(state)
        async for one in databases_of(rows, rollout):
            draft.put(one)
    draft.position = position
    draft.version = await log.version_at(stream, position)
    draft.advance()
    known = (await log.head()).position
    return fold(draft.freeze(), map(open_event, await log.news(stream, position, known)))


async def databases_of(reads: Views, rollout: str) -> AsyncIterator[DatabaseState]:
    """The databases of a rollout by their rows, wave by wave."""
    after = (-1, "")
    while page := await reads.rollout_databases(rollout, after=after):
        for one in page:
            yield one
        if len(page) < PAGE:
            return
        after = (page[-1].wave, page[-1].database)


def refuse_unreadable(rollout: str, events: Sequence[Recorded]) -> None:
    """Raise `UnreadablePlan` if what a rollout's events begin with cannot be read."""
    if events and isinstance(events[0].event, Unreadable):
        raise UnreadablePlan(rollout, events[0].position)


async def not_found(log: Log, reads: Views, beginning: str) -> NoSuchRollout | UnreadablePlan:
    """What to raise where no rollout's id begins so: what it was, or what was rather meant."""
    await as_near_as_may_be(reads, log)
    async for raw in log.read_stream(f"rollout-{beginning}"):
        if await reads.unreadable(aside=False, positions=[raw.position]):
            return UnreadablePlan(beginning, raw.position)
        break
    known_id = nearest(beginning, await reads.beginning(""))
    database = bool(await reads.fleet([beginning]))
    return NoSuchRollout(beginning, known_id, is_database=database)
