"""Writes the files of a new migration, ready to be filled in, and never over another file.

The version is the UTC time to the second, or the next number where the folder counts. The format
is the folder's own; in an empty folder it is ours.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from migrations.authoring import sqitch_change, templates
from migrations.authoring.plain_form import Taken, form_of, moment_of
from migrations.authoring.recipes import NOTHING_GIVEN, Given
from migrations.authoring.recipes.cookbook import recipe_called
from migrations.authoring.templates import Files, Header
from migrations.errors import CreateError, WrongCreation
from migrations.formats.bundle import format_of
from migrations.formats.naming import PARTS
from migrations.formats.native import is_ours
from migrations.formats.ordering_file import JOURNAL
from migrations.formats.plain import version_in
from migrations.model.migration import SourceFile
from migrations.model.phases import Phase
from migrations.model.version import version_and_name, version_key

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
_ENDINGS = re.compile(r"(?:\.(?:up|down))?\.(?:sql|py)$", re.IGNORECASE)
_NAME_MAX_CHARS = 100
"""Far below the 255 bytes that file systems allow for a name."""
_COUNTED_MAX_DIGITS = 7
"""A version of more digits is a date or a time, not a count."""

_MILLISECOND_DIGITS = 13
"""Of a version that is the time in milliseconds since 1970."""

Split = Callable[[str], tuple[str, str] | None]
"""Version and description of a name, as the folder's format reads it."""


class MigrationKind(StrEnum):
    """What a new migration is."""

    SQL = "sql"
    PYTHON = "python"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written: a kind in a format, or a recipe with its values."""

    kind: MigrationKind = MigrationKind.SQL
    format: str | None = None
    recipe: str | None = None
    given: Given = NOTHING_GIVEN


PLAINLY = Wanted()


def create(
    folder: Path,
    title: str,
    *,
    at: datetime,
    author: str = "",
    description: str = "",
    wanted: Wanted = PLAINLY,
) -> tuple[Path, ...]:
    """Write the files of a new migration into `folder` and return their paths.

    `at` is the moment of creation, with a time zone. The folder is made if it is missing. Raises
    CreateError when the title gives no name, when an option is missing, or when a file has this
    version or this name already.
    """
    moment = at.astimezone(UTC)
    name = _name_of(title)
    about = _one_line(description or title)
    if _format(folder, wanted) == "sqitch":
        _refuse_strange(wanted)
        return sqitch_change.create(folder, name, moment, _one_line(author), about)
    form = _form(folder, wanted)
    split = version_in if _format(folder, wanted).startswith("plain") else version_and_name
    _make(folder)
    with _alone_in(folder):
        there = _names(folder)
        taken = tuple(_taken(there, split))
        version = _version(taken, moment, _format(folder, wanted))
        header = Header(version, name, _one_line(author), f"{moment:%Y-%m-%d}", about)
        files = form(header)
        _refuse_clash(there, taken, header, files)
        return tuple(templates.write_new(folder / file, text) for file, text in files.items())


def _format(folder: Path, wanted: Wanted) -> str:
    """The format to write in; one with a suffix (`goose+table`) only reads in another way."""
    return (wanted.format or format_of(folder)).partition("+")[0]


def _form(folder: Path, wanted: Wanted) -> Callable[[Header], Files]:
    """What writes the text. Raises CreateError."""
    if wanted.recipe is not None:
        if wanted.kind is not MigrationKind.SQL or wanted.format not in (None, "sql-migrate"):
            raise WrongCreation("a recipe is SQL in our own format; leave --kind and --format out")
        recipe = recipe_called(wanted.recipe)
        recipe.check(wanted.given)
        phases = recipe.write(wanted.given)
        return lambda header: templates.recipe(header, phases)
    if wanted.given != NOTHING_GIVEN:
        raise WrongCreation("--table and its like belong to a recipe; name one with --recipe")
    if wanted.kind is not MigrationKind.SQL:
        if wanted.format not in (None, "sql-migrate", "python"):
            raise WrongCreation(f"--kind {wanted.kind} has a format of its own; leave --format out")
        return templates.python if wanted.kind is MigrationKind.PYTHON else templates.data
    format = _format(folder, wanted)
    if format not in templates.FORMATS:
        known = ", ".join(templates.FORMATS)
        raise WrongCreation(
            f"no file is written in the format {format!r}; choose one of {known} or sqitch with "
            "--format"
        )
    if format == "plain" and folder.is_dir():
        names = _names(folder)
        theirs = [name for name in names if not _is_ours(folder / name)]
        return form_of(names, tuple(_taken(theirs, version_in)))
    return templates.FORMATS[format]


def _is_ours(path: Path) -> bool:
    """Whether it is a file of our own format, whose layout the folder's tool does not have."""
    return path.is_file() and is_ours(SourceFile(path.name, path.read_bytes()))


def _refuse_strange(wanted: Wanted) -> None:
    """Raise CreateError for what no plan of Sqitch could name."""
    if wanted != Wanted(format=wanted.format):
        raise WrongCreation(
            "the plan of a Sqitch project names SQL scripts only, and gives the order; leave "
            "--kind and --recipe out, or name another folder with -f"
        )


def _name_of(title: str) -> str:
    name = _NOT_IN_A_NAME.sub("_", title.lower()).strip("_")[:_NAME_MAX_CHARS].rstrip("_")
    if not name:
        raise WrongCreation(
            f"{title!r} gives no file name. Use letters a to z and digits, like add_email_index"
        )
    return name


def _one_line(text: str) -> str:
    """A comment must not end early: whatever breaks a line becomes a space."""
    return " ".join(text.split())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongCreation(
            f"the folder {folder} cannot be made ({error.strerror}). Name another folder"
        ) from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let nobody else choose a version here until the block ends, where the file system can."""
    with ExitStack() as open_folder:
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            open_folder.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _names(folder: Path) -> list[str]:
    """The names in the folder itself, sorted, and those of a migration's files in subfolders."""
    try:
        names = sorted(os.listdir(folder))
        below = [f"{name}/{part}" for name in names for part in PARTS]
        return [*names, *(name for name in (*below, JOURNAL) if (folder / name).is_file())]
    except OSError as error:
        raise CreateError(
            f"the folder {folder} cannot be listed ({error.strerror}). Check its permissions"
        ) from None


def _taken(names: list[str], split: Split) -> Iterator[tuple[str, str, str]]:
    """File, version and name of each migration in the folder; a phase has its unit's name."""
    for file in names:
        place, _, part = file.rpartition("/")
        stem, endings = (place, 1) if part in PARTS and place else _ENDINGS.subn("", file)
        found = split(stem) if endings else None
        if found is not None:
            name, _, phase = found[1].rpartition(".")
            yield file, found[0], (name if phase in list(Phase) else found[1]).lstrip("_")


def _version(taken: Taken, moment: datetime, format: str) -> str:
    """The next version, in the folder's own way of counting."""
    numbers = [version.lstrip("vV") for _, version, _ in taken]
    if format == "node-pg-migrate" and all(len(one) == _MILLISECOND_DIGITS for one in numbers):
        return str(int(moment.timestamp() * 1000))
    if not numbers and format in templates.FIRST:
        return templates.FIRST[format]
    if not numbers or not all(
        number.isdecimal() and len(number) <= _COUNTED_MAX_DIGITS for number in numbers
    ):
        return _moment_after(taken, moment)
    newest = max(numbers, key=int)
    return str(int(newest) + 1).zfill(len(newest))


def _moment_after(taken: Taken, moment: datetime) -> str:
    """The moment as a version, or the next second that no migration has for its version."""
    known = {version_key(version) for _, version, _ in taken}
    while version_key(version := moment_of(taken, moment)) in known:
        moment += timedelta(seconds=1)
    return version


def _refuse_clash(names: list[str], taken: Taken, header: Header, files: Files) -> None:
    folded = {name.casefold(): name for name in names}
    for file in files:
        if (there := folded.get(file.casefold())) is not None:
            raise WrongCreation(f"{there} is there already. Choose another name, or edit that file")
    for file, version, name in taken:
        if version_key(version) == version_key(header.version):
            raise WrongCreation(f"{file} has version {header.version} already. Choose another name")
        if name.casefold() == header.name:
            raise WrongCreation(
                f"{file} has this name already. Choose another name, or edit that file"
            )
