"""Stdout and stderr as they are: how wide, with or without colours, in which alphabet.

Not every terminal has every letter, and none may end a command: what the alphabet of a stream
lacks is written with others, `...` for an ellipsis, `-` for a line, and `\\u4e2d` for the rest.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import TextIO

UNLIMITED_WIDTH = 10_000
"""Columns of a line that goes to a file or a pipe: nothing is cut off there."""
USUAL_WIDTH = 80
"""Columns of a terminal that does not say how many it has."""
HANDLER = "ledger.plain"
LIKENESSES = {
    "…": "...", "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "·": ".", "•": "*",
    "‘": "'", "’": "'", "“": '"', "”": '"', "→": "->", "▶": ">", "✓": "ok", "✗": "x",
    "─": "-", "━": "-", "═": "=", "╸": "-", "╺": "-", "│": "|", "┃": "|", "║": "|",
    "╭": "+", "╮": "+", "╯": "+", "╰": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "█": "#", "░": ".", "▒": ":",
}  # fmt: skip
"""What is written where an alphabet lacks a sign of ours, or of the help pages."""


def settle_streams() -> None:
    """Let whatever is written be written, in whatever alphabet the terminal has."""
    codecs.register_error(HANDLER, _likeness)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=HANDLER)


def width_of(stream: TextIO) -> int:
    """Columns of a line; `COLUMNS` counts where there is a terminal, and nowhere else."""
    if not stream.isatty():
        return UNLIMITED_WIDTH
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    try:
        # Of this very stream: the other one may be a pipe. Some terminals say nothing.
        return os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH
    except (OSError, ValueError):
        return USUAL_WIDTH


def is_coloured(stream: TextIO) -> bool:
    """Whether colours, and bold letters, are wanted: at a terminal, unless NO_COLOR says no."""
    environ = os.environ
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def has_every_letter(stream: TextIO) -> bool:
    """Whether the alphabet of a stream is Unicode's."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _likeness(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(LIKENESSES.get(one) or _spelled(one) for one in lacking), error.end


def _spelled(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()
