"""Brings a rollout into a leader's memory without reading its history.

The rows of its databases are its state at the position that they were projected to; what is in no
row (its waves, requests, contradictions) is in a few events. Orders that are owed an answer are
read again, with what was said of them, for whoever sends them.

```
log ── turns, waves, contradictions ─▶ fold ──────────┐
rows ── the names of those that are done ─────────────┤
     └─ those that are neither done nor as planned ───┴─▶ RolloutState at the rows' position
         └─ who owes an answer ─▶ log ── orders and reports of those ─▶ Restored.events
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from ledger.contracts.envelope import Recorded
from ledger.domain.builder import RolloutBuilder
from ledger.domain.rollout import BrokenStream, RolloutState, fold
from ledger.domain.states import DatabaseState
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import PAGE, Views


@dataclass(frozen=True, slots=True)
class Restored:
    """A rollout at the rows' position, and what the log says of it beside its databases' past.

    `state` has let go of the databases that are done. `events` are in the order of the log: what
    turned it, its waves, and all about the databases of which something may still be owed since
    they were last ordered.
    """

    state: RolloutState
    events: Sequence[Recorded]


async def restore(
    log: Log, reads: Views, rollout: str, wanted: Collection[str] = ()
) -> Restored | None:
    """The rollout as the rows say it is; `None` when there is none, or its stream makes none.

    Databases that are `wanted` are in it, done or not. `reads` has to show one position for the
    whole call (`Views.snapshot`).
    """
    position = await reads.position()
    stream = f"rollout-{rollout}"
    frame = [open_event(one) for one in await log.frame(stream, position, whole=True)]
    try:
        state = fold(None, frame)
    except BrokenStream:
        return None
    if state is None:
        return None
    draft = RolloutBuilder(state)
    owing: list[DatabaseState] = []
    done = await reads.rollout_done(rollout)
    draft.settle({name: status for name, status in done.items() if name not in wanted})
    async for one in _undone(reads, rollout, [name for name in done if name in wanted]):
        draft.put(one)
        if _may_owe(one):
            owing.append(one)
    draft.position = position
    draft.version = await log.version_at(stream, position)
    draft.advance()
    about = await log.about(stream, [(one.database, one.ordered_position) for one in owing])
    told = [open_event(one) for one in about if one.position <= position]
    events = {one.position: one for one in (*frame, *told)}
    return Restored(draft.freeze(), [events[at] for at in sorted(events)])


async def _undone(
    reads: Views, rollout: str, wanted: Sequence[str]
) -> AsyncIterator[DatabaseState]:
    """The databases that are neither done nor as they were planned, and those `wanted`."""
    for one in await reads.rollout_databases_named(rollout, wanted) if wanted else ():
        yield one
    after = (-1, "")
    while page := await reads.rollout_undone(rollout, after=after):
        for one in page:
            yield one
        if len(page) < PAGE:
            return
        after = (page[-1].wave, page[-1].database)


def _may_owe(database: DatabaseState) -> bool:
    """Whether a report about its latest order may be missing in the log.

    A broker that came back empty may have lost single reports of an attempt whose last word is
    there: then fewer changes are known than it counts.
    """
    return database.active or len(database.changed) < database.told
