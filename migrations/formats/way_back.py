"""A way back that cannot be read stops nothing but itself: of files that hold both ways.

What the grammar, a variable or the bytes of a Down say is found where the section is built
(`migrations.formats.sections`). Here is what is found before that: markers, and their pairs. If
what is wrong stands behind the heading of a Down, on its line or below, or is a second such
heading, the file is read without it, and the Down is broken. Where the line begins another section,
or may be meant to, a misspelt Down included, the file stays wrong as a whole: nobody knows what
would have run in which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from migrations.errors import LoadError, MarkerError
from migrations.formats.checksum import checksum
from migrations.formats.encoding import legible
from migrations.model.migration import Migration, Options, Section, SourceFile

_OTHERS = ("up", "ups", "verify", "validate", "gate", "data", "baseline")
_TOOLS = ("migrate", "goose")
_BACK = ("down", "drop")
_NEAR = 0.75
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class _Down:
    """The lines of a Down section, from its heading to the next one, counted from 0."""

    first: int
    end: int


def stopping_only_the_way_back(
    file: SourceFile,
    load: Callable[[SourceFile], Migration],
    heading: re.Pattern[str],
    exact: re.Pattern[str],
) -> Migration:
    """What `load` makes of the file, or of it without a Down whose markers are wrong.

    `heading` matches the line that begins a section, or seems to, whose group `way` is its name;
    `exact` what is one without a doubt. Raises what `load` does where something else is wrong.
    """
    try:
        return load(file)
    except MarkerError as error:
        lines = legible(file).text.split("\n")
        down = _down_of(lines, error.line, heading, exact)
        if down is None:
            raise
        problem = error
    # Lines keep their numbers.
    without = [*lines[: down.first], *[""] * (down.end - down.first), *lines[down.end :]]
    rest = replace(file, content="\n".join(without).encode())
    migration = stopping_only_the_way_back(rest, load, heading, exact)
    up = migration.up
    if not (up.statements or up.program or up.batches):
        raise problem
    hashed = "".join(f"{line}\n" for line in lines[down.first + 1 : down.end])
    if migration.down is not None:
        hashed = f"{migration.down.checksum}\n{hashed}"
    migration = with_broken_down(migration, problem, checksum(hashed.encode()))
    return replace(migration, files=(file, *migration.files[1:]))


def way_back(
    fault: LoadError | None, migration: Migration, down: Callable[[], Section | None]
) -> Migration:
    """The migration with the Down that is read now, broken where `fault` or its reading says so.

    Of a module, each section has the checksum of the whole.
    """
    try:
        if fault is not None:
            raise fault
        return replace(migration, down=down())
    except LoadError as error:
        return with_broken_down(migration, error, migration.up.checksum)


def with_broken_down(migration: Migration, problem: LoadError, checksum: str) -> Migration:
    """The migration with a way back that cannot run, and a note that says why."""
    file = problem.file
    section = Section((), Options(), checksum, file=file, broken=str(problem))
    note = f"{problem.place}: the down cannot run: {problem.problem}. {problem.remedy}"
    return replace(migration, down=section, notes=(*migration.notes, note))


def _down_of(
    lines: list[str], wrong: int | None, heading: re.Pattern[str], exact: re.Pattern[str]
) -> _Down | None:
    """The Down in which the line `wrong`, counted from 1, stands; `None` where it is not one's."""
    if wrong is None or not 1 <= wrong <= len(lines):
        return None
    headings = [index for index, line in enumerate(lines) if heading.match(line)]
    end = next((index for index in headings if index >= wrong), len(lines))
    at = wrong - 1
    if at in headings:
        return _Down(at, end) if exact.match(lines[at]) and _is_back(lines[at], heading) else None
    above = [index for index in headings if index < at]
    if not above or not _is_back(lines[above[-1]], heading) or _may_begin_another(lines[at]):
        return None
    return _Down(above[-1], end)


def _is_back(line: str, heading: re.Pattern[str]) -> bool:
    """Whether a line is the heading of a Down."""
    found = heading.match(line)
    return found is not None and found["way"].lower().startswith(_BACK)


def _may_begin_another(line: str) -> bool:
    """Whether a word of the marker may stand for another section than Down."""
    marker = re.split(r"--|#", line)[-1].lower()
    words = [word for word in _WORD.findall(marker) if word not in _TOOLS]
    return any(difflib.get_close_matches(word, _OTHERS, n=1, cutoff=_NEAR) for word in words)
