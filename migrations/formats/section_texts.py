"""A file of the `-- +migrate` format, cut into its sections: text only, before any is parsed.

    comments ─▶ -- +migrate Up ─▶ text ─▶ -- +migrate Down ─▶ text ─▶ …    each once, in any order

- Before the first marker only comments and blank lines may stand.
- `StatementBegin` and `StatementEnd` are accepted for the sake of existing files, and must be
  paired inside one section.
- A section marker of goose or dbmate is an error where ours for that section is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations.errors import EncodingError, LoadError, MarkerError
from migrations.formats.encoding import Legible
from migrations.formats.markers import SECTIONS, SectionMarker, markers
from migrations.sql.grammar import GrammarError, parse

_OTHERS = re.compile(r"^--[ \t]*(?:\+goose[ \t]+(up|down)\b|migrate:(up|down)\b)", re.I | re.M)
"""Sections of goose and dbmate: comments here, so what follows them could run in the wrong one."""


@dataclass(frozen=True, slots=True)
class SectionText:
    """A section before it is parsed; `fault` is what is wrong with its bytes."""

    marker: SectionMarker
    text: str
    fault: EncodingError | None = None


def section_texts(read: Legible, file: str) -> dict[str, SectionText]:
    """The sections of a file by command. Raises MarkerError."""
    text = read.text
    found = list(markers(text, file))
    _check_nesting(found, file)
    sections = [marker for marker in found if marker.command in SECTIONS]
    _check_preamble(text[: sections[0].start] if sections else text, file)
    read.refuse_before(sections[0].line if sections else text.count("\n") + 2)
    parts: dict[str, SectionText] = {}
    ends = [marker.start for marker in sections] + [len(text)]
    for marker, end in zip(sections, ends[1:], strict=True):
        if marker.command in parts:
            first = parts[marker.command].marker.line
            raise MarkerError(
                file,
                marker.line,
                f"a second {marker.command} section (the first is on line {first})",
                "Write one section of each kind per file",
            )
        last = text.count("\n", 0, max(end - 1, 0)) + 1
        fault = read.fault(marker.line, last)
        parts[marker.command] = SectionText(marker, text[marker.end : end], fault)
    return parts


def refuse_other_markers(text: str, file: str, parts: Mapping[str, SectionText]) -> None:
    """Raise MarkerError for another tool's marker of a section that is not there with ours.

    A file may be written for both tools, with both markers.
    """
    for found in _OTHERS.finditer(text):
        section = (found.group(1) or found.group(2)).capitalize()
        if section not in parts:
            raise MarkerError(
                file,
                text.count("\n", 0, found.start()) + 1,
                f"`{found.group()}` is the marker of another tool in a file with ours",
                f"Write `-- +migrate {section}`",
            )


def _check_nesting(found: Sequence[SectionMarker], file: str) -> None:
    """StatementBegin and StatementEnd must be paired inside one section."""
    opened: SectionMarker | None = None
    in_section = False
    for marker in found:
        if marker.command == "StatementEnd":
            if opened is None:
                raise _unpaired(file, marker, "StatementBegin", "before")
            opened = None
        elif opened is not None:
            raise _unpaired(file, opened, "StatementEnd", "after")
        elif marker.command in SECTIONS:
            in_section = True
        elif not in_section:
            raise _before_first_marker(file, marker.line)
        else:
            opened = marker
    if opened is not None:
        raise _unpaired(file, opened, "StatementEnd", "after")


def _unpaired(file: str, marker: SectionMarker, missing: str, where: str) -> LoadError:
    return MarkerError(
        file,
        marker.line,
        f"{marker.command} without {missing}",
        f"Write `-- +migrate {missing}` {where} the statement, or leave both markers out",
    )


def _check_preamble(text: str, file: str) -> None:
    lines = text.splitlines()
    if all(not line.strip() or line.startswith("--") for line in lines):
        return
    try:
        statements = parse(text)
    except GrammarError as error:
        raise _before_first_marker(file, text.count("\n", 0, error.position) + 1) from None
    if statements:
        at = len(text.encode()[: statements[0].start].decode())
        raise _before_first_marker(file, text.count("\n", 0, at) + 1)


def _before_first_marker(file: str, line: int) -> LoadError:
    return MarkerError(
        file,
        line,
        "text before the first section",
        "Write `-- +migrate Up` on the line above the first statement",
    )
