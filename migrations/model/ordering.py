"""Which migrations would run before what is applied, or behind what is not; pure.

The order is the folder's, whatever it goes by. Repeatable migrations have no place in it, and a
phase that may have been held back follows whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from migrations.model.baselines import Ranked, set_aside
from migrations.model.migration import Migration
from migrations.model.phases import Phased, may_follow


class FolderMember(Ranked, Phased, Protocol):
    """A migration as far as its place in a folder goes."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def repeatable(self) -> bool:
        """Whether it has no place of its own."""

    @property
    def unit(self) -> str:
        """The change that it is a phase of; else empty."""


OUT_OF_ORDER = (
    "{one} is not applied here and comes before {newest}, which is; give it a version behind that, "
    "or allow it with --allow-out-of-order"
)


def late(migrations: Sequence[Migration], applied: Collection[str]) -> dict[str, str]:
    """What is not applied and comes before something that is: per version, the message."""
    ranked = [one for one in migrations if not one.repeatable]
    places = [index for index, one in enumerate(ranked) if one.version in applied]
    if not places:
        return {}
    newest = ranked[places[-1]].label
    return {
        one.version: OUT_OF_ORDER.format(one=one.label, newest=newest)
        for one in ranked[: places[-1]]
        if one.version not in applied and not may_follow(one)
    }


def passed_over(
    folder: Sequence[FolderMember], ordered: Collection[str], applied: Collection[str]
) -> tuple[FolderMember, ...]:
    """What comes before something that is to run, and is neither applied nor `ordered`.

    A baseline sets aside what it stands for, as everywhere. A phase may have been held back, but
    for one of a unit of which a later phase is to run.
    """
    runs = [
        index
        for index, one in enumerate(folder)
        if one.version in ordered and one.version not in applied and not one.repeatable
    ]
    if not runs:
        return ()
    lacking = [
        (index, one)
        for index, one in enumerate(folder[: runs[-1]])
        if not (one.version in applied or one.version in ordered or one.repeatable)
    ]
    if not lacking:
        return ()
    aside = set_aside(folder, applied)
    last = {folder[index].unit: index for index in runs}
    return tuple(
        one
        for index, one in lacking
        if one.version not in aside and (not may_follow(one) or last.get(one.unit, -1) > index)
    )
