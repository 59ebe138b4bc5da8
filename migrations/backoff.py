"""Waits between tries: they grow up to a most, and differ so that a fleet does not knock in step.

Whoever tries again says how often, for how long, and after which errors; this says only when.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations.chance import Chance
from migrations.clock import Clock

FIRST_S = 0.5
MOST_S = 2.0
"""What a broker or a server that comes back may be late for; of others, callers know more."""
SPREAD = 0.5
"""A wait is up to so much shorter or longer, as a share of it."""


@dataclass(slots=True)
class Backoff:
    """The waits of one thing that is tried again. `tries` counts those that came to nothing."""

    clock: Clock
    chance: Chance
    first_s: float = FIRST_S
    most_s: float = MOST_S
    growth: float = 2.0
    tries: int = 0

    def next_s(self) -> float:
        """One more try came to nothing; the seconds to wait before the next."""
        # A power of many tries would not fit into a float, and the most is reached long before.
        wait_s = self.first_s * self.growth ** min(self.tries, 64)
        self.tries += 1
        # It keeps those apart who wait for the same.
        return min(wait_s, self.most_s) * self.chance.between(1 - SPREAD, 1 + SPREAD)

    async def wait(self) -> None:
        """Wait before the next try."""
        await self.clock.sleep(self.next_s())

    def reset(self) -> None:
        """A try succeeded: the next wait is a first one."""
        self.tries = 0
