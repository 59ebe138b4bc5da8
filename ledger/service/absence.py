"""Looks on while the ledger's database is away for a moment, and says so.

```
look ─▶ look ─▶ lost ── said ──▶ wait 0.5 s, 1 s, … 5 s ─▶ begin anew ─▶ back, said ─▶ look
                  ▲                        │ away still
                  └────────────────────────┘ for longer than PATIENCE_S: it is raised
```

Only looking is done so: it changes nothing, so it may begin anew at any time. What a rollout does
meanwhile, or does not do, is the leader's matter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import asyncpg

from ledger.domain.wording import number_of
from ledger.errors import LedgerIsStandby, LedgerUnreachable
from ledger.store.connections import CONNECTION_LOST
from ledger.store.obstacles import said_of
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock

PATIENCE_S = 600.0
"""How long in a row the database may be away: a failover, a restart, a minor upgrade."""
LOOK_EVERY_S = 0.5
LOOK_FIRST_S = 0.1
LOOK_SHARE = 0.25
"""Of the time that passed until now: what is over soon is told soon."""
WAIT_FIRST_S = 0.5
WAIT_MOST_S = 5.0
AWAY = (
    LedgerUnreachable,
    LedgerIsStandby,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    *CONNECTION_LOST,
)
"""What is raised where the ledger's database is gone, is being started, or is full of clients."""

Look = TypeVar("Look")


def told(lost: BaseException) -> str:
    """That the database is away, and why; the beginning of a sentence."""
    return f"The ledger's database is away, it {said_of(lost)}"


async def times_to_look(clock: Clock) -> AsyncIterator[None]:
    """Whenever it is time to look again, for ever: more often while little time has passed."""
    began = clock.monotonic()
    while True:
        yield
        pause_s = max(LOOK_FIRST_S, (clock.monotonic() - began) * LOOK_SHARE)
        await clock.sleep(min(LOOK_EVERY_S, pause_s))


async def looked_through(
    begin: Callable[[], AsyncIterator[Look]],
    say: Callable[[str], None],
    clock: Clock,
    chance: Chance,
    *,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Look]:
    """Everything that `begin()` gives, begun anew whenever the database was away.

    Raises what was lost when the database stays away.
    """
    away_since: float | None = None
    backoff = Backoff(clock, chance, WAIT_FIRST_S, WAIT_MOST_S)
    while True:
        try:
            async for look in begin():
                if away_since is not None:
                    say("The ledger's database is back.")
                    away_since = None
                    backoff.reset()
                yield look
            return
        except AWAY as lost:
            now = clock.monotonic()
            if away_since is None:
                away_since = now
                minutes = number_of(round(patience_s / 60), "minute")
                say(
                    f"{told(lost)}; what was shown last "
                    f"may have changed since. Looking again for {minutes}; Ctrl-C detaches."
                )
            elif now - away_since >= patience_s:
                raise
        await backoff.wait()
