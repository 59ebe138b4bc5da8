"""Our own files beside those of another format in one folder: one history, ordered by version.

Ours are Python modules and SQL files with `-- +migrate` markers. A baseline stands for all that
comes before it, ours included.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.errors import FormatError
from migrations.formats.baseline_marker import with_baselines
from migrations.formats.naming import ordered
from migrations.model.migration import Migration
from migrations.model.version import version_and_name, version_key


def together(loaded: Sequence[Migration], modules: Sequence[Migration]) -> list[Migration]:
    """Both in running order; what is repeatable stays last.

    Raises DuplicateVersionError, and FormatError when the SQL files are ordered by something else
    than their versions, so that nobody can say where a module belongs.
    """
    if not modules or not loaded:
        return [*loaded, *modules]
    baselines = [one for one in (*loaded, *modules) if one.replaces is not None]
    versioned = [one for one in loaded if not one.repeatable and one not in baselines]
    own = [one for one in modules if one not in baselines]
    keys = [version_key(migration.version) for migration in versioned]
    named = all(version_and_name(migration.version) for migration in versioned)
    if keys != sorted(keys) or not named:
        raise FormatError(
            modules[0].files[0].name,
            None,
            f"{_kind(modules[0])} cannot stand beside migrations of {loaded[0].format}, "
            "whose order is not that of their versions",
            "Write it in that format, or keep it in a folder of its own",
        )
    repeatable = [migration for migration in loaded if migration.repeatable]
    return [*with_baselines(ordered([*versioned, *own]), baselines), *repeatable]


def _kind(migration: Migration) -> str:
    python = migration.up.program is not None
    return "a Python module" if python else "a file with `-- +migrate` markers"
