"""What formats with a version in each file name share: which files count, and their order."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from migrations.errors import DuplicateVersionError, FileNameError, FormatError
from migrations.model.migration import Migration, SourceFile
from migrations.model.version import version_key

SUFFIX = ".sql"
WHOLE = "migration.sql"
PARTS = (WHOLE, "up.sql", "down.sql")
"""Names of files in a folder per migration."""
_LANGUAGE = r"(?:go|ts|mts|js|mjs|cjs|rb|rs|java|kt|php|ex|exs|cs|fizz|sh|clj|ya?ml|xml)"
_PROGRAM = re.compile(rf"[vV]?[0-9][0-9._-]*[_. -].*\.{_LANGUAGE}", re.DOTALL)
_PART = re.compile(rf"(?:up|down|index|migration|change)\.{_LANGUAGE}", re.IGNORECASE)
"""Names that a migration in another form has in a folder of its own."""
_TEST = re.compile(r"(?:_test\.go|\.(?:test|spec)\.[a-z]+|\.d\.ts)$")


def is_sql(name: str) -> bool:
    """Whether a file's name ends in `.sql`, in any case."""
    return name.lower().endswith(SUFFIX)


def in_folder(name: str) -> bool:
    """Whether the folder of a file carries the migration's name, and the file is its SQL."""
    return base_name(name).lower() in PARTS


def is_program(name: str) -> bool:
    """Whether a name is that of a migration in a language that we do not run."""
    base = base_name(name)
    return bool(_PROGRAM.fullmatch(base)) and not _TEST.search(base)


def is_program_part(base: str) -> bool:
    """Whether a file in a migration's own folder is the migration in such a language."""
    return bool(_PART.fullmatch(base)) and not _TEST.search(base)


def without_version(file: SourceFile, remedy: str) -> FileNameError:
    """What is raised for a file whose name carries no version."""
    return FileNameError(file.name, None, "the file name carries no version", remedy)


def named(file: SourceFile, pattern: re.Pattern[str], remedy: str) -> re.Match[str]:
    """What a file's name says. Raises FileNameError."""
    found = pattern.fullmatch(base_name(file.name))
    if found is None:
        raise without_version(file, remedy)
    return found


def is_counted(
    file: SourceFile, pattern: re.Pattern[str], mark: re.Pattern[bytes], remedy: str
) -> bool:
    """Whether a file is a migration. Raises FileNameError for one that looks like it inside."""
    if pattern.fullmatch(base_name(file.name)):
        return True
    if mark.search(file.content):
        raise without_version(file, remedy)
    return False


def refuse_programs(files: Sequence[SourceFile], format: str) -> None:
    """Raise FormatError for the first migration that is a program: none is skipped silently."""
    for file in files:
        folder, _, base = file.name.rpartition("/")
        if is_program(file.name) or (folder and is_program_part(base)):
            raise FormatError(
                file.name,
                None,
                f"a migration in program code stands among the {format} files, and is not run",
                "Write what it does as SQL or as a Python module with the same version; where all "
                "databases have it already, move it out of the folder",
            )


def base_name(name: str) -> str:
    """The last part of a file's name: a history from several folders has them before it."""
    return name.rpartition("/")[2]


def ordered(loaded: Sequence[Migration], otherwise: str = "") -> list[Migration]:
    """By version, number by number; `otherwise` is one more remedy for the same version twice.

    Raises DuplicateVersionError.
    """
    keyed = [(version_key(migration.version), migration) for migration in loaded]
    keyed.sort(key=itemgetter(0))
    for (key, first), (following, second) in itertools.pairwise(keyed):
        if key == following:
            raise DuplicateVersionError(
                second.files[0].name,
                None,
                f"has the same version as {first.files[0].name}",
                f"Give one of them another version (leading zeros do not count){otherwise}",
            )
    return [migration for _, migration in keyed]


def description(repeatable: Migration) -> str:
    """What repeatable migrations are ordered by: their descriptions, as Flyway reads them."""
    return repeatable.version.replace("_", " ")


def apart(loaded: Sequence[Migration], stem: Callable[[Migration], str]) -> list[Migration]:
    """The migrations; those of one version are told apart by the whole name that `stem` gives."""
    count = Counter(version_key(migration.version) for migration in loaded)
    return [
        replace(migration, version=stem(migration), name="")
        if count[version_key(migration.version)] > 1
        else migration
        for migration in loaded
    ]


def with_strays(loaded: Sequence[Migration], left_alone: Mapping[str, str]) -> list[Migration]:
    """The migrations; the newest, which most plans name, says what was left alone, and why."""
    if not loaded:
        return []
    notes = [f"{name}: {why}, and is left alone" for name, why in left_alone.items()]
    newest = replace(loaded[-1], notes=(*loaded[-1].notes, *notes))
    return [*loaded[:-1], newest]
