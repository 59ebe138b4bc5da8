"""Python modules beside SQL files in one folder: one history, ordered by version."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.dialects.naming import ordered
from migrations.errors import DialectError
from migrations.migration import Migration
from migrations.version import version_and_name, version_key


def together(loaded: Sequence[Migration], modules: Sequence[Migration]) -> list[Migration]:
    """Both in running order; what is repeatable stays last.

    Raises DuplicateVersionError, and DialectError when the SQL files are ordered by something else
    than their versions, so that nobody can say where a module belongs.
    """
    if not modules or not loaded:
        return [*loaded, *modules]
    versioned = [migration for migration in loaded if not migration.repeatable]
    keys = [version_key(migration.version) for migration in versioned]
    named = all(version_and_name(migration.version) for migration in versioned)
    if keys != sorted(keys) or not named:
        raise DialectError(
            modules[0].files[0].name,
            None,
            f"a Python module cannot stand beside migrations of {loaded[0].dialect}, "
            "whose order is not that of their versions",
            "Write it as SQL, or keep Python modules in a folder of their own",
        )
    repeatable = [migration for migration in loaded if migration.repeatable]
    return [*ordered([*versioned, *modules]), *repeatable]
