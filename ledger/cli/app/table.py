"""Tables that survive terminals: as wide as the terminal is, and no word of them broken.

A table that fits has one line for each row. Where it does not, the columns that are prose (a
problem, a reason) leave it first, then the widest, until the rest fits; what left stands below its
row, on lines of its own, wrapped between words. So an id, a version or a time is always whole, and
can be copied. What goes to a file or a pipe has all the width it wants.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

PROSE = frozenset(
    {
        "problem",
        "from",
        "waits_for",
        "why",
        "reason",
        "try",
        "what",
        "note",
        "columns",
        "missing",
        "labels",
        "files",
        "databases",
    }
)
"""Columns of sentences and lists: they stand below their row where the table does not fit."""
GAP = 2
"""Between two columns."""
INDENT = "    "
STAYING = frozenset({"status", "event"})
"""Columns that leave last: they say what the others are about."""
TOGETHER = re.compile(r"`[^`]+`|(?<![\w.:/=-])\d(?:[\d,.]*\d)? [A-Za-z]+")
"""A command, or a number with what it counts."""
UNBROKEN = "\x1f"
"""Stands for a blank at which no line ends; what is shown is escaped, so it has none of its own."""
COPIED = frozenset({"try"})
"""Columns of commands: a line's end would make two of one."""
COMMAND = "try: "
"""How a line begins that is one command."""
LEAST = 20
"""What is shorter is no prose; and a line of it has so many columns in the narrowest terminal."""


def lines_of(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]], width: int
) -> tuple[str, Iterator[str]]:
    """The heading, and the lines of all rows; each fits into `width` unless one word does not.

    `rows` hold what is shown, by column; `-` is nothing, and leaves no line of its own.
    """
    widths = {
        column: max(_cells(_title(column)), *(_cells(row[column]) for row in rows), 0)
        for column in columns
    }
    kept = _fitting(columns, widths, width)
    return _line({one: _title(one) for one in kept}, kept, widths), _body(
        columns, kept, rows, widths, width
    )


def _fitting(columns: Sequence[str], widths: Mapping[str, int], width: int) -> list[str]:
    """The columns that stay; the first always does, for it says whose row it is."""
    kept = list(columns)
    while len(kept) > 1 and sum(widths[one] + GAP for one in kept) - GAP > width:
        # What would fill half a line reads better below than beside.
        prose = [one for one in kept[1:] if one in PROSE and widths[one] > LEAST]
        others = [one for one in kept[1:] if one not in STAYING]
        leaving = prose or others or kept[1:]
        kept.remove(max(leaving, key=lambda one: widths[one]))
    return kept


def _body(
    columns: Sequence[str],
    kept: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    widths: Mapping[str, int],
    width: int,
) -> Iterator[str]:
    below = [one for one in columns if one not in kept]
    for row in rows:
        yield _line(row, kept, widths)
        for column in below:
            if row[column] != "-":
                text = f"{INDENT}{_title(column).lower()}: {row[column]}"
                yield from [text] if column in COPIED else paragraph(text, width)


def _line(row: Mapping[str, str], columns: Sequence[str], widths: Mapping[str, int]) -> str:
    parts = [row[one] + " " * (widths[one] - _cells(row[one]) + GAP) for one in columns]
    return "".join(parts).rstrip()


def paragraph(text: str, width: int) -> list[str]:
    """A line as lines of this width, broken between words and indented as it is, or not at all.

    What is one word is copied as one word, and what stands between backticks or behind `try:` as
    one command; a number stays with what it counts.
    """
    if len(text) <= width:
        return [text]
    plain = text.lstrip(" ")
    indent = " " * (len(text) - len(plain))
    if plain.startswith(COMMAND):
        return [text]
    whole = TOGETHER.sub(lambda found: found[0].replace(" ", UNBROKEN), plain)
    lines = textwrap.wrap(
        whole,
        max(width, LEAST + len(indent)),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(UNBROKEN, " ") for line in lines]


def _title(key: str) -> str:
    return key.replace("_", " ").upper()


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
