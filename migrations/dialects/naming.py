"""What dialects with a version in each file name share: which files count, and their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from migrations.errors import DuplicateVersionError
from migrations.migration import Migration
from migrations.version import version_key

SUFFIX = ".sql"


def top_level(names: Sequence[str]) -> list[str]:
    """The `.sql` files (in any case) of the folder itself; subfolders are left alone."""
    return [name for name in names if "/" not in name and name.lower().endswith(SUFFIX)]


def base_name(name: str) -> str:
    """The last part of a file's name: a history from several folders has them before it."""
    return name.rpartition("/")[2]


def ordered(loaded: Sequence[Migration]) -> list[Migration]:
    """By version, number by number. Raises DuplicateVersionError."""
    found = sorted(loaded, key=lambda migration: version_key(migration.version))
    for first, second in itertools.pairwise(found):
        if version_key(first.version) == version_key(second.version):
            raise DuplicateVersionError(
                second.files[0].name,
                None,
                f"has the same version as {first.files[0].name}",
                "Give one of them another version (leading zeros do not count)",
            )
    return found
