"""One change in several phases, so that old and new programs work on the database side by side.

    20260102030405_rename_email.expand.sql      adds what the new program needs; breaks nothing
    20260102030405_rename_email.migrate.sql     brings the data over
    20260102030405_rename_email.contract.sql    takes away what only the old program needed

Files of one version and name with these endings are one *unit*. Each is a migration of its own,
with sections, journal entry, rollback and status of its own, and the version of the unit with `.1`,
`.2` or `.3` behind it. A rollout goes through the phase that it is asked for; without a word it
stops before `contract`, because only people know when the last old program has gone. What is held
back may follow later, also when newer migrations have been applied meanwhile.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol, TypeVar

from migrations.errors import DuplicateVersionError, FileNameError
from migrations.model.migration import Migration
from migrations.model.version import version_key


class Phase(StrEnum):
    """A part of a unit, in this order."""

    EXPAND = "expand"
    MIGRATE = "migrate"
    CONTRACT = "contract"


NUMBERS = {phase: number for number, phase in enumerate(Phase, start=1)}
LAST_BY_DEFAULT = Phase.MIGRATE


class Phased(Protocol):
    """A migration, or what the log says of one; `phase` is empty outside of a unit."""

    @property
    def phase(self) -> str:
        """Which part of a unit it is."""


P = TypeVar("P", bound=Phased)


def phased(migration: Migration) -> Migration:
    """The migration as a phase of its unit, if its name ends like one. Raises FileNameError."""
    name, dot, ending = (migration.name or migration.version).rpartition(".")
    if ending.lower() not in NUMBERS or not dot:
        return migration
    if not name or ending not in NUMBERS:
        raise FileNameError(
            migration.files[0].name,
            None,
            f"the name ends in .{ending}, which is almost a phase",
            "Name it like 20260102030405_rename_email.expand.sql, the phase in small letters",
        )
    phase = Phase(ending)
    of_unit = migration.version if migration.name else name
    unit = f"{of_unit}_{name}" if migration.name else name
    version = f"{of_unit}.{NUMBERS[phase]}"
    return replace(migration, version=version, unit=unit, phase=phase.value)


def check_units(migrations: Sequence[Migration]) -> None:
    """Raise LoadError for a unit without `expand`, and for a version that is a unit and more."""
    units: dict[tuple[int, ...], Migration] = {}
    for one in migrations:
        if not one.phase:
            continue
        first = units.setdefault(version_key(one.version.rpartition(".")[0]), one)
        if first.unit != one.unit:
            raise DuplicateVersionError(
                one.files[0].name,
                None,
                f"has the version of {first.files[0].name} and another name",
                "Name the phases of one change alike, or give them versions of their own",
            )
        if first.phase != Phase.EXPAND:
            raise FileNameError(
                first.files[0].name,
                None,
                f"the phase {first.phase} comes without expand",
                f"Write {first.unit}.{Phase.EXPAND}.sql too, or take the phase out of the name",
            )
    for one in migrations:
        if not one.phase and (unit := units.get(version_key(one.version))) is not None:
            raise DuplicateVersionError(
                one.files[0].name,
                None,
                f"has the version of {unit.files[0].name}",
                "Give it a version of its own, or name it as a phase",
            )


def through(migrations: Iterable[P], last: Phase) -> tuple[list[P], list[P]]:
    """What goes when a rollout goes through `last`, and what is held back."""
    kept: list[P] = []
    held: list[P] = []
    for one in migrations:
        (held if one.phase and NUMBERS[Phase(one.phase)] > NUMBERS[last] else kept).append(one)
    return kept, held


def may_follow(migration: Phased) -> bool:
    """Whether it may be applied after newer migrations, because it may have been held back."""
    return migration.phase in (Phase.MIGRATE, Phase.CONTRACT)


def outlived(migrations: Iterable[Migration], applied: Container[str]) -> frozenset[str]:
    """The versions of earlier phases whose contract is applied: it took away what they made."""
    units = [one for one in migrations if one.phase]
    over = {one.unit for one in units if one.phase == Phase.CONTRACT and one.version in applied}
    return frozenset(
        one.version for one in units if one.unit in over and one.phase != Phase.CONTRACT
    )


def held_back(label: str, phase: str) -> str:
    """What to say of a phase that does not go."""
    when = " when no program uses what it takes away" if phase == Phase.CONTRACT else ""
    return f"{label} is held back; apply it with --phase {phase}{when}"
