"""Puts the databases of a rollout that are not settled well into groups: by state, and by reason.

The server groups what it can tell apart; of each group one database is read, and what is said of
that one is said of all. What is at work is read one by one, as far as anybody looks.

```
rows ─┬─ causes: state, failure ───────▶ one of each ─▶ problem, command that helps
      ├─ queues: state, wave, pool ────▶ one of each ─▶ reason, command that helps ─▶ joined
      └─ at work ──────────────────────▶ each ────────▶ reason ─────────────────────▶ joined
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from ledger.domain.states import DatabaseState, RolloutState
from ledger.domain.tally import AT_WORK, SETTLED, STATES
from ledger.domain.wording import failure_text, same_wait
from ledger.service.status import DatabaseGroup, DatabaseLine
from ledger.store.views.port import Views
from ledger.store.views.rows import CauseRow
from migrations.backfill.progress import committed_text

LinesOf = Callable[[Iterable[DatabaseState]], Awaitable[tuple[DatabaseLine, ...]]]
"""Makes lines of databases of one rollout."""
AT_WORK_READ = 200
"""Databases at work of which each is asked what it does; more than anybody reads."""
NAMED = 5
"""How many databases a group names."""
RETRY = "ledger rollout retry "
"""Tries all that failed, unless it names some."""


async def groups_of(
    reads: Views, state: RolloutState, lines_of: LinesOf
) -> tuple[DatabaseGroup, ...]:
    """The groups, what needs somebody first, then the largest."""
    rollout = state.rollout
    causes = await reads.rollout_causes(rollout)
    if state.undone_by:
        causes = [one._replace(rows=0, batches=0) for one in causes]
    queues = [one for one in await reads.rollout_queues(rollout) if one.state not in AT_WORK]
    names = [one.examples[0] for one in causes] + [one.example for one in queues]
    firsts = await reads.rollout_databases_named(rollout, names)
    known = {one.database: one for one in await lines_of(firsts)}
    at_work = [
        one
        for one in await reads.rollout_databases(rollout, AT_WORK, limit=AT_WORK_READ)
        if one.failure is None
    ]
    waiting = [(known[one.example], one.databases) for one in queues if one.example in known]
    waiting += [(line, 1) for line in await lines_of(at_work)]
    found = [of_cause(one, known.get(one.examples[0])) for one in causes]
    return tuple(sorted([*found, *_joined(waiting)], key=_urgency))


def grouped(lines: Iterable[DatabaseLine]) -> tuple[DatabaseGroup, ...]:
    """The same of databases that are all at hand."""
    return tuple(sorted(_joined((line, 1) for line in lines), key=_urgency))


def _joined(lines: Iterable[tuple[DatabaseLine, int]]) -> list[DatabaseGroup]:
    """One group for all that wait for the same; each line stands for so many databases."""
    found: dict[tuple[str, str, str, str], DatabaseGroup] = {}
    for line, number in lines:
        if line.status in SETTLED and not line.problem:
            continue
        helps = _for_some(line.helps, line.database)
        key = (line.status, line.problem, same_wait(line.waits_for), helps)
        before = found.get(key)
        found[key] = DatabaseGroup(
            status=line.status,
            databases=number + (before.databases if before else 0),
            examples=tuple(sorted((*(before.examples if before else ()), line.database))[:NAMED]),
            problem=line.problem,
            waits_for=before.waits_for if before else line.waits_for,
            helps=helps,
            progress=line.progress if before is None else "",
            reason=line.reason,
        )
    return [_for_all(one) for one in found.values()]


def of_cause(cause: CauseRow, first: DatabaseLine | None = None) -> DatabaseGroup:
    """The group of a cause; `first` is its first database, where that was read."""
    group = DatabaseGroup(
        status=cause.state,
        databases=cause.databases,
        examples=cause.examples,
        problem=failure_text(cause) if cause.message else "",
        waits_for=first.waits_for if first else "",
        helps=_for_some(first.helps, cause.examples[0]) if first else "",
        accepted=cause.accepted,
        progress=committed_text(cause.rows, cause.batches) if cause.batches else "",
        reason=first.reason if first else None,
    )
    return _for_all(group)


def _for_some(command: str, database: str) -> str:
    """The command that helps one of them, without its name where it takes several."""
    return command.removesuffix(f" {database}") if command.startswith(RETRY) else command


def _for_all(group: DatabaseGroup) -> DatabaseGroup:
    """With a command that helps these and no others, as far as they are named."""
    if not group.helps.startswith(RETRY) or group.databases > len(group.examples):
        return group
    return replace(group, helps=f"{group.helps} {' '.join(group.examples)}")


def _urgency(group: DatabaseGroup) -> tuple[int, bool, int]:
    return STATES.index(group.status), group.accepted, -group.databases
