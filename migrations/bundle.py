"""A folder of migrations, ordered and hashed.

Which files count: those of the folder itself whose names end in `.sql` (in any case). Hidden files
and subfolders are left alone. A `.sql` file whose name carries no version is an error, never
skipped. Symbolic links to files are followed; a link that leads nowhere is an error.

The digest names the whole bundle. It is the SHA-256 of these fields, each preceded by its length in
bytes as 8 bytes, big-endian:

    "migration-ledger/bundle/1"
    per migration, in version order:  version, name, dialect, number of its files (decimal),
        per file, in the order of the migration:  file name, SHA-256 of its bytes (32 bytes)

Texts are UTF-8. So the digest does not depend on the folder's path, the order in which the file
system lists it, or times of files.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from migrations.dialects.detect import choose
from migrations.dialects.registry import DIALECTS
from migrations.errors import DuplicateVersionError, FileNameError, FolderError, LoadError
from migrations.migration import Migration, SourceFile
from migrations.version import NAME_REMEDY, version_key

_SUFFIX = ".sql"
_DIGEST_DOMAIN = b"migration-ledger/bundle/1"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Bundle:
    """Migrations in version order, each version once."""

    migrations: tuple[Migration, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over everything in the bundle, as the module's text defines it."""
        hashed = hashlib.sha256()
        for field in _digest_fields(self.migrations):
            hashed.update(len(field).to_bytes(_LENGTH_BYTES, "big"))
            hashed.update(field)
        return hashed.hexdigest()


def load_folder(path: Path, dialect: str | None = None) -> Bundle:
    """Read every migration of a folder; the dialect is found by its marks unless it is named.

    Raises LoadError, whose `file` is relative to the folder.
    """
    files = [_read(entry) for entry in _sql_entries(path)]
    if not files:
        raise FolderError(
            str(path),
            None,
            "the folder holds no .sql file",
            f"{NAME_REMEDY}; files in subfolders are not searched",
        )
    reader = choose(DIALECTS, dialect, files, str(path))
    return Bundle(_ordered(reader.load(files)))


def load_files(dialect: str, files: Sequence[SourceFile]) -> Migration:
    """Build one migration again from its own files, as they were hashed. Raises LoadError."""
    place = files[0].name if files else dialect
    loaded = choose(DIALECTS, dialect, files, place).load(files)
    if len(loaded) != 1:
        raise LoadError(
            place,
            None,
            f"{len(files)} files make {len(loaded)} migrations where one is expected",
            "Pass the files of exactly one migration",
        )
    return loaded[0]


def migration_files(path: Path) -> list[str]:
    """The names of the files in a folder that count as migrations, sorted. Raises FolderError."""
    return [entry.name for entry in _sql_entries(path)]


def _sql_entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            found = [entry for entry in entries if _counts(entry.name)]
    except OSError as error:
        raise FolderError(
            str(path), None, f"cannot be listed ({error.strerror})", "Name a readable folder"
        ) from None
    return sorted(found, key=lambda entry: entry.name)


def _counts(name: str) -> bool:
    return name.lower().endswith(_SUFFIX) and not name.startswith(".")


def _read(entry: os.DirEntry[str]) -> SourceFile:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        shown = entry.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise FileNameError(shown, None, "the file name is not UTF-8", NAME_REMEDY) from None
    try:
        if not entry.is_file():
            raise FolderError(
                entry.name,
                None,
                "is named like a migration and is not a file",
                "Rename or remove it; a symbolic link must lead to a file",
            )
        return SourceFile(entry.name, Path(entry.path).read_bytes())
    except OSError as error:
        raise FolderError(
            entry.name,
            None,
            f"cannot be read ({error.strerror})",
            "Make it readable, or remove it",
        ) from None


def _ordered(loaded: Sequence[Migration]) -> tuple[Migration, ...]:
    ordered = sorted(loaded, key=lambda migration: version_key(migration.version))
    for first, second in itertools.pairwise(ordered):
        if version_key(first.version) == version_key(second.version):
            raise DuplicateVersionError(
                second.files[0].name,
                None,
                f"has the same version as {first.files[0].name}",
                "Give one of them another version (leading zeros do not count)",
            )
    return tuple(ordered)


def _digest_fields(migrations: Sequence[Migration]) -> Iterator[bytes]:
    yield _DIGEST_DOMAIN
    for migration in migrations:
        yield migration.version.encode()
        yield migration.name.encode()
        yield migration.dialect.encode()
        yield str(len(migration.files)).encode()
        for file in migration.files:
            yield file.name.encode()
            yield hashlib.sha256(file.content).digest()
