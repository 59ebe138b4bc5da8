"""Baselines: one migration in the place of many, for databases without history; pure.

    no history ──▶ the newest baseline runs; every version that it stands for is set aside
    history    ──▶ no baseline runs; what an applied one stands for is set aside for ever

A database has a history as soon as anything is applied or half done in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

NOT_FOR_THIS = "the database has a history, and a baseline is for one without"
STANDS_FOR = "{baseline} stands in its place"


class Ranked(Protocol):
    """A migration as far as baselines go; `replaces` is `None` unless it is one."""

    @property
    def version(self) -> str:
        """What identifies it."""

    @property
    def replaces(self) -> tuple[str, ...] | None:
        """The versions that it stands for."""


def set_aside(migrations: Sequence[Ranked], there: Collection[str]) -> dict[str, str]:
    """The versions that need not run, with the reason; `there` is what is applied or half done."""
    baselines = [one for one in migrations if one.replaces is not None]
    if not baselines:
        return {}
    reasons: dict[str, str] = {}
    standing = [one for one in baselines if one.version in there] if there else baselines[-1:]
    for one in baselines:
        if there and one.version not in there:
            reasons[one.version] = NOT_FOR_THIS
    for one in standing:
        reason = STANDS_FOR.format(baseline=one.version)
        reasons |= {version: reason for version in one.replaces or () if version not in there}
    return reasons
