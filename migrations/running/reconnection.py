"""When a run that has lost its session, or could not have one, connects again."""

from __future__ import annotations

from dataclasses import dataclass, field

from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock
from migrations.errors import Unavailable, Unreachable
from migrations.printable import escaped

CONNECT_TRIES = 4
"""Sessions in a row that are lost, or refused for what hardly passes."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
"""Between two tries, so that a server which is back is noticed soon."""
_GROWTH = 3.0


class ConnectionLost(Exception):
    """The session is gone, or could not be had for a reason that may pass."""

    def __init__(self, error: Unreachable, *, progressed: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.progressed = progressed


@dataclass(slots=True)
class Reconnection:
    """How long there is waited for a session, and when it is tried again.

    A server that is away is waited for by time, since nothing was tried there; sessions that are
    lost again and again are counted, because it may be the work that ends them.
    """

    wait_for_s: float
    clock: Clock
    chance: Chance
    backoff: Backoff = field(init=False)
    losses: int = 0
    since: float = 0.0
    """A monotonic time, as those below."""
    away_since: float | None = None

    def __post_init__(self) -> None:
        self.backoff = Backoff(
            self.clock, self.chance, FIRST_WAIT_S, LONGEST_WAIT_S, growth=_GROWTH
        )

    @property
    def waited_s(self) -> float:
        """Since the first loss in a row."""
        return self.clock.monotonic() - self.since

    def pause_s(self, lost: ConnectionLost) -> float | None:
        """The seconds to wait before the next try; `None` when there is none."""
        now = self.clock.monotonic()
        if lost.progressed:
            self.losses = 0
            self.backoff.reset()
        if self.backoff.tries == 0:
            self.since = now
        if not isinstance(lost.error, Unavailable):
            self.losses, self.away_since = self.losses + 1, None
            pause = self.backoff.next_s()
            return pause if self.losses < CONNECT_TRIES else None
        if self.away_since is None:
            self.away_since = now
        left = self.wait_for_s - (now - self.away_since)
        return min(self.backoff.next_s(), left) if left > 0 else None

    def told(self, lost: ConnectionLost) -> str:
        """What is waited for."""
        reason = lost.error.reason
        return "to connect again" + (f", after {escaped(reason)}" if reason else "")

    def over(self, lost: ConnectionLost) -> Unreachable:
        """What is said of it when there is no next try."""
        if not isinstance(lost.error, Unavailable):
            return lost.error
        return Unavailable(
            f"{lost.error.message}; it was waited for, {self.wait_for_s:g} s long: order it again "
            "when the server is well",
            reason=lost.error.reason,
        )
