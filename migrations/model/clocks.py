"""Whether the clocks agree: that of whoever works, the database server's, and the ledger's.

An order is to be begun before it expires, and what is done is dated: with a wrong clock, work is
begun that was given up, or never begun at all. The server's time comes along with a question that
is asked anyway, and its own time is the start of that question's transaction, so it lies between
the moments before and after on a clock that agrees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from migrations.errors import ClockApart

APART_S = 60.0
"""How far apart two clocks may be: no network takes so long, and no expiry of use is shorter."""
_UNITS = (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129_600))
"""Each with its seconds, and how many of these are told in it."""


@dataclass(frozen=True, slots=True)
class ComparedClock:
    """The clock of whoever works; `whose` names it in messages: `the clock of agent a1`."""

    now: Callable[[], datetime]
    whose: str

    def bounds(self) -> tuple[str, str]:
        """Between which moments a server's time agrees with this clock now, as the server reads."""
        now, apart = self.now(), timedelta(seconds=APART_S)
        return (now - apart).isoformat(), (now + apart).isoformat()

    def check(self, server: datetime, asked_at: datetime) -> None:
        """Compare with a server's time that was asked for at `asked_at`. Raises ClockApart."""
        answered_at, apart = self.now(), timedelta(seconds=APART_S)
        if server < asked_at - apart:
            raise self._apart("ahead of", asked_at - server)
        if server > answered_at + apart:
            raise self._apart("behind", server - answered_at)

    def check_order(self, ordered_at: datetime) -> None:
        """Compare with the ledger's time when it ordered, which has passed. Raises ClockApart."""
        behind_s = (ordered_at - self.now()).total_seconds()
        if behind_s > APART_S:
            raise ClockApart(f"{self.whose} is {span(behind_s)} behind the ledger's; {_REMEDY}")

    def _apart(self, how: str, apart: timedelta) -> ClockApart:
        difference = span(apart.total_seconds())
        return ClockApart(f"{self.whose} is {difference} {how} the database server's; {_REMEDY}")


ANY_TIME = ("-infinity", "infinity")
"""Bounds that no server's time is beyond."""
_REMEDY = "set the one that is wrong, until then nothing is begun"


def moment_text(moment: datetime) -> str:
    """A moment as all sentences say it, in UTC, with its zone: `2026-11-30 09:00:05Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def span(seconds: float) -> str:
    """A duration in one unit: `75 s`, `12 min`, `2 h`, `3 days`."""
    for unit, size, until in _UNITS:
        if seconds < until:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
