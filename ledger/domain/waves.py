"""How a selection is cut into waves: `1,10%,rest` is one database, then a tenth, then all others.

A percent is of the whole selection, rounded up, at least one database. Each database is in exactly
one wave. Where the selection is smaller than its waves ask for, the later ones are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from ledger.domain.refusals import InvalidWaves

CHUNK = 1000
"""Most databases in one WavePlanned event: state is kept and copied per chunk."""
REST = "rest"

_COUNT = re.compile(r"\d{1,9}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")


@dataclass(frozen=True, slots=True)
class Share:
    """One wave's size: a count, a percent of the selection, or, with neither, the rest."""

    count: int | None = None
    percent: Fraction | None = None

    def of(self, total: int, left: int) -> int:
        """How many of the `left` databases this wave takes."""
        if self.count is not None:
            return min(self.count, left)
        if self.percent is not None:
            return min(max(1, ceil(total * self.percent / 100)), left)
        return left


def parse(spec: str) -> tuple[Share, ...]:
    """The sizes that a specification names. Raises `InvalidWaves`."""
    parts = [part.strip() for part in spec.split(",")]
    if REST in parts[:-1]:
        raise InvalidWaves(spec, "`rest` must be the last wave")
    return tuple(_share(spec, part) for part in parts)


def cut(spec: str, databases: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The databases of each wave, in the order given. Raises `InvalidWaves`."""
    waves: list[tuple[str, ...]] = []
    taken = 0
    for share in parse(spec):
        size = share.of(len(databases), len(databases) - taken)
        if size:
            waves.append(tuple(databases[taken : taken + size]))
        taken += size
    if taken < len(databases):
        missing = len(databases) - taken
        are = "is" if missing == 1 else "are"
        raise InvalidWaves(spec, f"{missing:,} of {len(databases):,} databases {are} in no wave")
    return tuple(waves)


def chunks(wave: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """A wave in pieces of at most 1,000 databases."""
    return tuple(tuple(wave[start : start + CHUNK]) for start in range(0, len(wave), CHUNK))


def _share(spec: str, part: str) -> Share:
    if part == REST:
        return Share()
    if _COUNT.fullmatch(part):
        if int(part) == 0:
            raise InvalidWaves(spec, "a wave of 0 databases does nothing")
        return Share(count=int(part))
    percent = _PERCENT.fullmatch(part)
    if percent is None:
        raise InvalidWaves(spec, f"{part!r} is neither a count, a percent nor `rest`")
    if not 0 < Fraction(percent[1]) <= 100:
        raise InvalidWaves(spec, f"{part!r} is not above 0% and at most 100%")
    return Share(percent=Fraction(percent[1]))
