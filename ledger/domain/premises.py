"""What a decision rests on, and what must not have come into the log when it is appended.

A rollout's log has three writers: the conductor decides, agents report, people ask. Each of them
decides on what it has read, and the log goes on meanwhile. So every append of a decision brings its
premise, and the database, which holds the lock on the log's head then, refuses the append
(`ledger.errors.Overtaken`) when something behind `known` changes it:

| who appends   | loses to                                                                         |
|---------------|----------------------------------------------------------------------------------|
| the conductor | every decision and request in the stream, by its expected version; failures that |
|               | may spend the budget; anything about a database whose answer it waits for        |
| a person      | what turned the rollout (`TURNS`): another request, a halt, the end; to `retry`  |
|               | and `resolve`, anything new about the databases that are named, too              |
| an agent      | nothing: what happened is not decided                                            |

```
person:     turns ─▶ decide ─▶ append ──────────────────────────────▶ recorded at the first try
                                  │ overtaken: it was halted, has ended, or another person was first
                                  └─▶ read the turns again: decide again, or refuse and say why

conductor:  fold ─▶ progress ─▶ append ─────────────────────────────▶ orders
                                  │ overtaken
                                  └─▶ hear everything, decide again
```

Orders are no turns, so the conductor, however fast it orders, never makes a person lose: a request
takes the next position there is, and no order follows it that did not know it.

Nobody loses for nothing, and so nobody starves: reports of success pass the conductor by, however
many there are, because they only make room. A failure stops it only when, with all others that it
has not heard of, it may be one more than the budget bears; then the next decision knows it, and
halts, or has one failure less to bear. News of a database that an answer was owed of is what the
decision about it waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.contracts.events import (
    OutcomeResolved,
    RetryRequested,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    RolloutStarted,
    UndoStarted,
)
from ledger.contracts.reports import Event
from ledger.domain import budget
from ledger.domain.states import DatabaseStatus, RolloutState, Status

TURNS: tuple[type[Event], ...] = (
    RolloutPlanned,
    RolloutStarted,
    RolloutPaused,
    RolloutResumed,
    RolloutHalted,
    RetryRequested,
    UndoStarted,
    RolloutCompleted,
    RolloutAborted,
    OutcomeResolved,
)
"""What decides which requests are allowed: a fold of these alone has the rollout's own status."""


@dataclass(frozen=True, slots=True)
class Premise:
    """What a decision knew, and what it cannot bear to have missed.

    Everything up to the position `known` was folded. One of `turns` in its stream changes it, so do
    more than `failures` further databases that may have failed (`None`: any number is borne), and
    any event about one of `databases`.
    """

    known: int
    turns: tuple[str, ...] = ()
    failures: int | None = None
    databases: tuple[str, ...] = ()


def of_progress(state: RolloutState, events: Iterable[Event], known: int) -> Premise:
    """What the conductor's decision rests on, beside the version of the stream."""
    events = tuple(events)
    named = dict.fromkeys(one.database for one in events if hasattr(one, "database"))
    halts = any(isinstance(one, RolloutHalted) for one in events)
    return Premise(
        known=known,
        failures=None if halts else _borne(state),
        databases=tuple(name for name in named if _is_owed(state, name)),
    )


def of_request(events: Sequence[Event], known: int) -> Premise:
    """What a person's request rests on."""
    databases: tuple[str, ...] = ()
    for event in events:
        if isinstance(event, RetryRequested):
            databases += event.databases
        elif isinstance(event, OutcomeResolved):
            databases += (event.database,)
    return Premise(
        known=known,
        turns=tuple(turn.__name__ for turn in TURNS),
        databases=databases,
    )


def is_spent(state: RolloutState) -> bool:
    """Whether more have failed than the budget allows, without those that a person accepted."""
    return budget.spent(state.counted, state.total, state.plan.budget)


def only_retries(state: RolloutState) -> bool:
    """Whether it runs for nobody but those that a person has had tried again.

    What is known of the others, failures or contradictions, would halt it otherwise, and nothing
    new has joined that.
    """
    since = state.retried_at
    if not since or not (is_spent(state) or state.doubted):
        return False
    if any(position > since for position in state.doubted.values()):
        return False
    failures = map(state.database, state.failures)
    if any(one.counts and one.settled_position > since for one in failures):
        return False
    owed = (name for name in (*state.again, *state.active) if name in state.retried)
    return any(state.database(name).status is not DatabaseStatus.BLOCKED for name in owed)


def may_be_spent(state: RolloutState) -> bool:
    """Whether the budget is spent once the attempts that reported a failure have ended with it."""
    plan = state.plan
    return budget.spent(state.counted + state.failing, state.total, plan.budget)


def _borne(state: RolloutState) -> int | None:
    """How many more databases may fail before a running rollout has to halt."""
    if state.status is not Status.RUNNING:
        return None
    allowed = budget.allowed(state.total, state.plan.budget)
    return max(allowed - state.counted - state.failing, 0)


def _is_owed(state: RolloutState, database: str) -> bool:
    """Whether an answer about it may come still."""
    known = state.database(database)
    return known.attempt > 0 and not known.answered
