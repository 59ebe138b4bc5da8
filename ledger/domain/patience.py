"""How often an attempt that came to nothing is made again, and how far apart. Pure.

An attempt comes to nothing when it was never begun (its order expired, or its agent refuses to work
with a clock that is wrong) or was taken back. Nothing failed there, so it is made again:

```
ordered ─▶ expired | refused (clock, preflight) | cancelled ─▶ at once ─▶ 5 s ─▶ 15 s ─▶ … ─▶ failed
              ▲                                        │
              └──────────── ordered again ◀────────────┘          after TRIES in a row
```

Two orders of one database are at least so far apart, whoever answers however fast; and who waits
keeps its place in the in-flight limit, so that agents which answer nothing but this are not handed
one database after the other. Not so one that is blocked: there an agent did look, and the database
said that this is no good moment. It is asked again for `PreflightPolicy.wait_s`, and then fails. A
person's retry begins to count anew. What no time cures (a pooler, another database, a text with
another hash) fails at its first refusal.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ledger.domain.states import DatabaseState
from migrations.model.attempt import Failure, FailureClass, Limits
from migrations.model.clocks import span

TRIES = 6
"""Attempts in a row that may come to nothing: with the waits between them, over three minutes."""
WAIT_FIRST_S = 5.0
"""Between the orders of the second and the third attempt; the first is repeated at once."""
WAIT_GROWTH = 3.0
WAIT_MOST_S = 300.0

EARLY_S = 10.0
"""How much too early an order may be called expired before that is told: clocks are never equal."""


def passes(failure: Failure | None) -> bool:
    """Whether what an agent refused for may be over at another attempt, or at another agent."""
    return failure is not None and failure.kind in (FailureClass.CLOCK, FailureClass.PREFLIGHT)


def is_blocked(failure: Failure | None) -> bool:
    """Whether the database itself said that this is no good moment."""
    return failure is not None and failure.kind is FailureClass.PREFLIGHT


def due_at(state: DatabaseState) -> datetime | None:
    """When the next attempt may be ordered, after `fruitless` ones; `None` is at once.

    A database that said that this is no good moment is asked again after a while, the first time,
    too.
    """
    before = state.fruitless - (1 if is_blocked(state.failure) else 2)
    if state.ordered_at is None or before < 0:
        return None
    return state.ordered_at + timedelta(seconds=_wait_s(before))


def is_last_try(state: DatabaseState, tries: int, limits: Limits) -> bool:
    """Whether the attempt that is ordered now is the last one; `tries` is how many there are.

    Of a database that is blocked, as many as fit into the time for which that is waited for.
    """
    if limits.preflight is not None and is_blocked(state.failure):
        waited_s = sum(map(_wait_s, range(state.fruitless)))
        return waited_s >= limits.preflight.wait_s
    return state.fruitless + 1 >= tries


def _wait_s(before: int) -> float:
    """The distance between two orders, behind so many distances."""
    return min(WAIT_FIRST_S * WAIT_GROWTH ** min(before, 16), WAIT_MOST_S)


def told(state: DatabaseState, now: datetime) -> Failure | None:
    """Why an attempt came to nothing, as far as the ledger can tell; `now` is its answer's time.

    An order that is called expired before its time was read with a clock that is wrong.
    """
    failure = state.failure
    if failure is None or failure.kind is not FailureClass.EXPIRED or state.expires_at is None:
        return failure
    early_s = (state.expires_at - now).total_seconds()
    if early_s <= EARLY_S:
        return failure
    return Failure(
        kind=FailureClass.CLOCK,
        message=f"an agent took the order for expired {span(early_s)} before it was: "
        "its clock is ahead of the ledger's, or the ledger's behind",
    )


def given_up(state: DatabaseState, now: datetime) -> Failure:
    """Why no further attempt is made by itself."""
    failure = told(state, now) or Failure(FailureClass.EXPIRED, "no reason was given")
    message = f"{state.fruitless} attempts in a row came to nothing, the last one: "
    return replace(failure, message=message + failure.message)
