"""Baselines of our own format: one file in the place of many.

    -- +migrate Baseline through=20260401120000
    CREATE TABLE …                                 all that the files up to that version make

The section is the Up of its file, or stands above one. It takes Up's options. The version of such a
migration is `B` and the version that it goes through, whatever number its file bears, and there is
its place in the order. The old files may stay, for the databases that have some of them, or go when
no database needs them any more; what counts where is said in `migrations.model.baselines`. In a
folder of another format it is a file of ours like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrations.errors import DuplicateVersionError, MarkerError
from migrations.formats.markers import SectionMarker
from migrations.model.baselines import place, replacing
from migrations.model.migration import Migration, SourceFile
from migrations.model.version import version_key

MARKER = "Baseline"
_THROUGH = "through"
_LINE = re.compile(rb"^-- \+migrate Baseline\b", re.MULTILINE)


def is_baseline(file: SourceFile) -> bool:
    """Whether a file of ours is a baseline."""
    return _LINE.search(file.content) is not None


def through_of(markers: Mapping[str, SectionMarker], file: str) -> str | None:
    """The version that a file's baseline goes through, if it is one. Raises MarkerError."""
    marker = markers.get(MARKER)
    if marker is None:
        return None
    if "Data" in markers:
        raise MarkerError(
            file,
            marker.line,
            "Baseline and Data in one file",
            "Write the schema as the baseline, and the move of the data as a migration behind it",
        )
    given = [argument.partition("=")[2] for argument in marker.arguments if _is_through(argument)]
    if len(given) != 1 or not version_key(given[0]):
        raise MarkerError(
            file,
            marker.line,
            "a baseline names one version that it goes through",
            f"Write `-- +migrate {MARKER} {_THROUGH}=VERSION`, with the version of the newest "
            "migration that it stands for",
        )
    return given[0]


def as_up(marker: SectionMarker) -> SectionMarker:
    """The marker of an Up with the options that the baseline's has besides."""
    rest = tuple(argument for argument in marker.arguments if not _is_through(argument))
    return replace(marker, command="Up", arguments=rest)


def baseline(migration: Migration, through: str) -> Migration:
    """The migration as a baseline; the folder says what else it stands for."""
    return replace(migration, version=f"B{through}", replaces=(through,))


def with_baselines(
    versioned: Sequence[Migration], baselines: Sequence[Migration]
) -> list[Migration]:
    """Everything in running order, each baseline behind the version that it goes through.

    Raises DuplicateVersionError for two of one version.
    """
    seen: dict[object, Migration] = {}
    for one in baselines:
        first = seen.setdefault(place(one), one)
        if first is not one:
            raise DuplicateVersionError(
                one.files[0].name,
                None,
                f"is a baseline through the same version as {first.files[0].name}",
                "Keep one of them",
            )
    found = sorted([*versioned, *baselines], key=place)
    return [
        replace(one, replaces=replacing(found, one, one.replaces[-1:]))
        if one.replaces is not None
        else one
        for one in found
    ]


def _is_through(argument: str) -> bool:
    return argument.partition("=")[0] == _THROUGH
