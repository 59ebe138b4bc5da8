"""Reads a TOML file; what is none is told with its line, and in words that say what to write."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from pathlib import Path
from typing import Any, Final

from ledger.settings.errors import SettingsError
from migrations.printable import why_unreadable

FILE_MAX_BYTES: Final = 1024 * 1024
"""A thousand times what a project sets; the file may be somebody else's."""
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE: Final = re.compile(r"Cannot (overwrite|declare|mutate|redefine)|Duplicate inline")
_SAID: Final = {
    r"Expected '=' after a key": "an `=` is missing behind a name",
    r"Invalid value": "behind the `=` is no value; texts stand in double quotes, and it is "
    "true and false, not yes and no",
    r"Unterminated string|Expected (\"'\"|'\"+')": "a quote is not closed",
    r"Illegal character '\\n'": "a quote is not closed on its line",
    r"Illegal character|Found invalid": "a character is there that no text can have",
    r"Expected '\]": "a `]` is missing behind the name of a table",
    r"Expected newline": "something stands behind a value; texts stand in double quotes",
    r"Unescaped|Escaped|Invalid hex": "a `\\` in double quotes means nothing there; write the text "
    "in single quotes",
    r"Unclosed": "a bracket is not closed",
    r"Invalid (statement|initial)": "a name is missing, or has letters that need double quotes",
    r"Invalid date": "a date is none",
}
"""By how the library calls it, which may repeat the file, and a secret that is in it."""


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says. Raises `SettingsError`, with file and line."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({why_unreadable(error)}); fix or remove the file"
        ) from None
    if len(content) > FILE_MAX_BYTES:
        raise SettingsError(
            f"{path} is larger than {FILE_MAX_BYTES:,} bytes, which no settings need; see what is "
            "in it"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is not TOML: {_place(text, str(error))}: {_fault(str(error))}; fix that line"
        ) from None
    except RecursionError:
        raise SettingsError(
            f"{path} is not TOML: it has too many parts within parts; write tables of names"
        ) from None


def _fault(said: str) -> str:
    if _TWICE.match(said):
        return "a name or a table is there twice"
    return next((ours for known, ours in _SAID.items() if re.match(known, said)), "it is no TOML")


def _place(text: str, said: str) -> str:
    """Where reading ended; of a name that is there twice, the second one."""
    found = _PLACE.search(said)
    if found is not None and found[1] and not _TWICE.match(said):
        return f"line {found[1]}, column {found[2]}"
    lines = text.rstrip().split("\n")
    if not _TWICE.match(said):
        return f"line {len(lines)}, at the end of the file"
    # Reading ends at the second one, whatever stands behind it.
    before = bisect_left(range(len(lines)), True, key=lambda at: _is_twice(lines[: at + 1]))
    return f"line {before + 1}"


def _is_twice(lines: list[str]) -> bool:
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        # A text of several lines that ends in the midst of it is no fault.
        return bool(_TWICE.match(str(error)))
    return False
