"""One history from several folders, named as in a PATH: `db/base:db/tenant`.

The migrations of all folders are ordered by version as if they stood in one; the same version in
two of them is an error that names both files. Flyway's baselines and undo files may stand in other
folders than what they belong to, so its folders are read as subfolders of one. Names of files begin
with what tells folders apart (`base/001_a.sql`, `tenant/002_b.sql`), so that they stay unique. Two
histories in one database are something else: each has a name (`migrations.model.folder_history`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from migrations.errors import FormatError
from migrations.formats.beside import MARK
from migrations.formats.naming import description, ordered
from migrations.model.migration import Migration, SourceFile
from migrations.model.version import version_and_name, version_key

LoadedFolder = Sequence[tuple[Path, list[Migration]]]
"""Folders with what stands in them."""

ONE_LIST = ("flyway", "flyway+table")
"""Formats that read all folders as one, so that what belongs together may stand apart."""
_ONE_FOLDER = ("sqitch", "sqitch+table")
"""Formats whose order and names come from one project."""


def folders_of(path: Path) -> list[Path]:
    """The folders that `path` names; one, unless it is a list and no folder of that name exists."""
    if os.pathsep not in str(path) or path.is_dir():
        return [path]
    return [Path(part) for part in str(path).split(os.pathsep) if part]


def in_one(loaded: LoadedFolder) -> list[Migration]:
    """All migrations in running order; what is repeatable stays last. Raises LoadError."""
    if len(loaded) == 1:
        return loaded[0][1]
    parts = prefixes([path for path, _ in loaded])
    for path, migrations in loaded:
        _refuse_unordered(path, migrations)
        _refuse_carried(path, migrations)
    found = [
        _prefixed(migration, prefix)
        for prefix, (_, migrations) in zip(parts, loaded, strict=True)
        for migration in migrations
    ]
    repeatable = sorted((one for one in found if one.repeatable), key=description)
    return [*ordered([one for one in found if not one.repeatable]), *repeatable]


def _refuse_unordered(path: Path, migrations: Sequence[Migration]) -> None:
    """Refuse what cannot be put among others by its version."""
    versions = [migration.version for migration in migrations if not migration.repeatable]
    keys = [version_key(version) for version in versions]
    named = all(version_and_name(version) for version in versions)
    alone = next((one.format for one in migrations if one.format in _ONE_FOLDER), None)
    if alone or keys != sorted(keys) or not named:
        raise FormatError(
            str(path),
            None,
            "its order is not that of the versions, so it cannot be one of several folders",
            "Read it alone, with a schema of its own as the target (--schema)",
        )


def _refuse_carried(path: Path, migrations: Sequence[Migration]) -> None:
    """Refuse scripts that read files: psql finds those by their paths in one folder, not in two."""
    for one in migrations:
        carried = next((file.name for file in one.files if file.name.startswith(MARK)), None)
        if carried is not None:
            raise FormatError(
                str(path),
                None,
                f"{one.files[0].name} reads a file beside it, "
                f"{carried.removeprefix(MARK)}, so it cannot be one of several folders",
                "Read it alone, as a history with a name of its own, or write the file's text into "
                "the script",
            )


def _prefixed(migration: Migration, prefix: str) -> Migration:
    files = tuple(SourceFile(f"{prefix}/{file.name}", file.content) for file in migration.files)
    up, down, verify = (
        replace(one, file=f"{prefix}/{one.file}") if one is not None and one.file else one
        for one in (migration.up, migration.down, migration.verify)
    )
    if up is None:
        raise AssertionError("every migration has an up section")
    return replace(migration, files=files, up=up, down=down, verify=verify)


def prefixes(paths: Sequence[Path]) -> list[str]:
    """As few last parts of each path as tell all of them apart."""
    # Without `..`, which would be no name of a folder in another one.
    parts = [PurePosixPath(Path(os.path.abspath(path)).as_posix()).parts for path in paths]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        tails = ["/".join(one[-length:]).lstrip("/") for one in parts]
        if len(set(tails)) == len(tails):
            return tails
    raise FormatError(str(paths[0]), None, "the same folder twice", "Name each folder once")
