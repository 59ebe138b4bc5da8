"""Files in which marker lines part the way up from the way back: what formats with them share.

    -- Up Migration        # --- !Ups        ---- create above / drop below ----

A format finds its marker lines; what stands below each becomes a section here. Above the first one
only comments and blank lines may stand: the tools drop what is there without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from migrations.errors import MarkerError
from migrations.formats.encoding import Legible
from migrations.formats.sections import Body
from migrations.model.migration import SourceFile

UP, DOWN = "Up", "Down"
OTHER_TOOLS = re.compile(
    rb"^[ \t]*--+[ \t]*(?:\+[ \t]*goose\b|migrate:(?:up|down)\b)", re.IGNORECASE | re.MULTILINE
)
"""Marks of tools in whose folders the marker lines of these formats are mere comments."""


@dataclass(frozen=True, slots=True)
class MarkerLine:
    """Where a section begins: `start` and `end` are offsets of the line, its end included."""

    way: str
    written: str
    start: int
    end: int

    @classmethod
    def of(cls, way: str, found: re.Match[str]) -> MarkerLine:
        """The line that a pattern found, from its start to its end without the newline."""
        end = min(found.end() + 1, len(found.string))
        return cls(way, found.group().strip()[:80], found.start(), end)


def ways(
    file: SourceFile,
    read: Legible,
    marks: Sequence[MarkerLine],
    comments: tuple[str, ...] = ("--",),
) -> dict[str, Body]:
    """What stands below each marker, by its way.

    Lines above the first one that begin with none of `comments` are refused, and a marker that
    comes twice. Raises MarkerError and EncodingError.
    """
    text = read.text
    first = marks[0].start if marks else len(text)
    for number, line in enumerate(text[:first].split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith(comments):
            raise MarkerError(
                file.name,
                number,
                "text before the first section",
                "Write the marker of the section on the line above it",
            )
    read.refuse_before(text.count("\n", 0, first) + 1)
    found: dict[str, Body] = {}
    ends = [mark.start for mark in marks] + [len(text)]
    for mark, end in zip(marks, ends[1:], strict=True):
        if mark.way in found:
            raise MarkerError(
                file.name,
                text.count("\n", 0, mark.start) + 1,
                f"a second `{mark.written}`",
                "Write each of the two sections once per file",
            )
        found[mark.way] = _body(file, read, mark, end)
    return found


def _body(file: SourceFile, read: Legible, mark: MarkerLine, end: int) -> Body:
    text = read.text[mark.end : end]
    line = read.text.count("\n", 0, mark.end) + 1
    fault = read.fault(line, line + text.count("\n"))
    return Body(text, file.name, text.encode(), line, down=mark.way == DOWN, fault=fault)
