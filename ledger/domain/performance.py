"""How long migrations took, and how often they failed: the values of reports. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Spread(NamedTuple):
    """How long something took: the middle, what 95 of 100 stayed below, and the longest; in ms."""

    p50: int
    p95: int
    longest: int


class MigrationSummary(NamedTuple):
    """How often a migration ran in a direction, and how long it took where it succeeded."""

    version: str
    direction: str
    executions: int
    successes: int
    spread: Spread | None
    first_at: datetime
    last_at: datetime


class SizeClass(NamedTuple):
    """The same of those whose largest table was so large: the power of ten of its MB."""

    version: str
    direction: str
    magnitude: int | None
    executions: int
    spread: Spread


class SlowRun(NamedTuple):
    """A migration that took long, where, and how large the largest table was."""

    version: str
    direction: str
    database: str
    rollout: str | None
    duration_ms: int
    table_mb: float | None
    at: datetime


class Usual(NamedTuple):
    """How long a migration usually takes, of so many; in ms."""

    version: str
    number: int
    p50: int
    p95: int


class Running(NamedTuple):
    """A database on which a rollout runs, since when, and how large its largest table is.

    Of a data migration `left_s` is what its agent last said that it needs, which was at `told_at`.
    """

    database: str
    since: datetime
    table_mb: float | None
    left_s: int | None = None
    told_at: datetime | None = None

    def needs_s(self, now: datetime) -> float | None:
        """How many seconds are left by its own word, if it said any."""
        if self.left_s is None or self.told_at is None:
            return None
        return max(self.left_s - (now - self.told_at).total_seconds(), 0.0)


def class_of(table_mb: float) -> float:
    """The least power of ten, from one on, that is as large: what is compared with each other."""
    upto = 1.0
    while upto < table_mb:
        upto *= 10
    return upto
