"""Baselines: one migration in the place of many, for databases without history; pure.

    no history            ──▶ the newest baseline runs; all that it stands for is set aside
    has all it stands for ──▶ no baseline runs; what an applied one stands for is set aside for ever
    lacks some of it      ──▶ the old files run, where the folder has them
                          ──▶ where it has not, that is a gap, which the database is refused for

A baseline stands for named versions: those of the files before it, and the one that its own name
or its marker says it goes through, whose file may be gone. A database has a history as soon as
anything is applied or half done in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from migrations.model.version import version_key

NOT_FOR_THIS = (
    "the database has all that the baseline stands for, as far as the folder names it; of files "
    "that are gone it names the last"
)
OLD_FILES = "the database has a history, so the files that the baseline stands for run instead"
STANDS_FOR = "{baseline} stands in its place"
GAP = (
    "{baseline} stands for versions that are neither applied here nor among the files: {lacking}; "
    "restore their files and apply them first, or, if the database has all that they do, say so "
    "with `ledger baseline --through {baseline} --reason WHY` (`ledger db baseline` for one "
    "database)"
)


class Ranked(Protocol):
    """A migration as far as baselines go; `replaces` is `None` unless it is one."""

    @property
    def version(self) -> str:
        """What identifies it."""

    @property
    def replaces(self) -> tuple[str, ...] | None:
        """The versions that it stands for."""


def set_aside(
    migrations: Sequence[Ranked], there: Collection[str], *, whole: bool = True
) -> dict[str, str]:
    """The versions that need not run, with the reason; `there` is what is applied or half done.

    A baseline that leaves a gap (`gaps`) is not among them: it neither runs nor is it done with.
    """
    baselines = [one for one in migrations if one.replaces is not None]
    if not baselines:
        return {}
    reasons: dict[str, str] = {}
    standing = [one for one in baselines if one.version in there] if there else baselines[-1:]
    open_gaps = gaps(migrations, there, whole=whole)
    have = _have(migrations, there)
    for one in baselines:
        if there and one.version not in there and one.version not in open_gaps:
            has_all = all(version in have for version in _named(one, baselines))
            reasons[one.version] = NOT_FOR_THIS if has_all else OLD_FILES
    for one in standing:
        reason = STANDS_FOR.format(baseline=one.version)
        reasons |= {version: reason for version in one.replaces or () if version not in there}
    return reasons


def gaps(
    migrations: Sequence[Ranked], there: Collection[str], *, whole: bool = True
) -> dict[str, tuple[str, ...]]:
    """Per baseline, what it stands for that a database with a history has not and no file brings.

    A baseline that names nothing leaves a gap, called by its own version, unless something that
    comes behind it is there. Where `migrations` are not a `whole` folder, a version without a file
    may be there by a baseline that is not among them: then only the last that a baseline names
    tells, and whoever knows the folder has seen to the others.
    """
    if not there:
        return {}
    baselines = [one for one in migrations if one.replaces is not None]
    have = _have(migrations, there)
    numbers = {version_key(version) for version in have} - {()}
    files = {one.version for one in migrations if one.replaces is None}
    found: dict[str, tuple[str, ...]] = {}
    for one in baselines:
        if one.version in have:
            continue
        named = tuple(_named(one, baselines))
        behind = migrations[migrations.index(one) + 1 :]
        if not named and not any(later.version in have for later in behind):
            found[one.version] = (one.version,)
        lacking = tuple(
            version
            for version in named
            if version not in files | have and version_key(version) not in numbers
        )
        if lacking and (whole or newest_named(one) in lacking):
            found[one.version] = lacking
    return found


def gap(baseline: str, lacking: Sequence[str]) -> str:
    """What to say of a baseline that leaves a gap."""
    return GAP.format(baseline=baseline, lacking=", ".join(lacking))


def names_without_file(migrations: Sequence[Ranked]) -> tuple[str, ...]:
    """What baselines stand for that no file of the folder has."""
    files = {one.version for one in migrations}
    return tuple(
        dict.fromkeys(
            version for one in migrations for version in one.replaces or () if version not in files
        )
    )


def standing_for(migrations: Sequence[Ranked], version: str) -> str | None:
    """The baseline that stands for a version without a file: named, or up to what it names."""
    for one in migrations:
        if one.replaces is not None:
            newest = version_key(newest_named(one))
            if version in one.replaces or version_key(version) <= newest:
                return one.version
    return None


def newest_named(one: Ranked) -> str:
    """The version that a baseline goes through; its own where it names none."""
    return max(one.replaces or (one.version,), key=version_key)


def place(one: Ranked) -> tuple[tuple[int, ...], bool]:
    """What migrations are ordered by where versions are: a baseline is behind what it names."""
    is_baseline = one.replaces is not None
    return version_key(one.version.removeprefix("B") if is_baseline else one.version), is_baseline


def replacing(
    ranked: Sequence[Ranked], baseline: Ranked, through: Sequence[str]
) -> tuple[str, ...]:
    """What a baseline stands for: all of `ranked` before it, and the version it goes through."""
    before = ranked[: ranked.index(baseline)]
    keys = {version_key(one.version) for one in before if one.replaces is None}
    without_file = (version for version in through if version_key(version) not in keys)
    return (*(one.version for one in before), *without_file)


def _have(migrations: Sequence[Ranked], there: Collection[str]) -> set[str]:
    """What is there, by itself or by a baseline that is."""
    covered = (one.replaces or () for one in migrations if one.version in there)
    return {*there, *(version for versions in covered for version in versions)}


def _named(one: Ranked, baselines: Sequence[Ranked]) -> Iterator[str]:
    """The migrations that a baseline stands for, without the baselines among them."""
    others = {other.version for other in baselines}
    return (version for version in one.replaces or () if version not in others)
