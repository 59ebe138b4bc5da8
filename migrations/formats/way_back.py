"""A way back that cannot be read stops nothing but itself: of files that hold both ways.

What the grammar, a variable or the bytes of a Down say is found where the section is built
(`migrations.formats.sections`). Here is what is found before that: markers, and their pairs. If
what is wrong stands inside the Down, the file is read without it, and the Down is broken. Where the
line itself begins a section, or may be meant to, the file stays wrong as a whole: nobody knows what
would have run in which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from migrations.errors import MarkerError
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
    file: SourceFile, load: Callable[[SourceFile], Migration], heading: re.Pattern[str]
) -> Migration:
    """What `load` makes of the file, or of it without a Down whose markers are wrong.

    `heading` matches the line that begins a section, or seems to, whose group `way` is its name.
    Raises what `load` does where something else is wrong.
    """
    try:
        return load(file)
    except MarkerError as error:
        lines = legible(file).text.split("\n")
        down = _down_of(lines, error.line, heading)
        if down is None:
            raise
        problem = error
    # Lines keep their numbers.
    without = [*lines[: down.first], *[""] * (down.end - down.first), *lines[down.end :]]
    rest = replace(file, content="\n".join(without).encode())
    migration = stopping_only_the_way_back(rest, load, heading)
    hashed = "".join(f"{line}\n" for line in lines[down.first + 1 : down.end])
    section = Section((), Options(), checksum(hashed.encode()), file=file.name, broken=str(problem))
    note = f"{problem.place}: the down cannot run: {problem.problem}. {problem.remedy}"
    return replace(
        migration,
        down=section,
        files=(file, *migration.files[1:]),
        notes=(*migration.notes, note),
    )


def _down_of(lines: list[str], wrong: int | None, heading: re.Pattern[str]) -> _Down | None:
    """The Down in which the line `wrong`, counted from 1, stands; `None` where it is not one's."""
    if wrong is None or not 1 <= wrong <= len(lines):
        return None
    headings = [index for index, line in enumerate(lines) if heading.match(line)]
    above = [index for index in headings if index < wrong]
    if not above:
        return None
    found = heading.match(lines[above[-1]])
    if found is None or not found["way"].lower().startswith(_BACK):
        return None
    if wrong - 1 == above[-1] or _may_begin_another(lines[wrong - 1]):
        return None
    return _Down(above[-1], next((index for index in headings if index >= wrong), len(lines)))


def _may_begin_another(line: str) -> bool:
    """Whether a word of the marker may stand for another section than Down."""
    marker = re.split(r"--|#", line)[-1].lower()
    words = [word for word in _WORD.findall(marker) if word not in _TOOLS]
    return any(difflib.get_close_matches(word, _OTHERS, n=1, cutoff=_NEAR) for word in words)
