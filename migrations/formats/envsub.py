"""goose's ENVSUB: which places of a line it fills, put into the words of our own placeholders.

    $NAME   ${NAME}   ${NAME:-default}   ${NAME-default}   $$ and \\$ (a dollar sign)

goose takes values from its environment, and nothing where there is none; we take declared
variables, and refuse one that is missing by its name. What is declared is marked with characters
that no text may hold, and `migrations.formats.variables` fills exactly these places, with its
checks: whatever else looks like a placeholder is text, as it is for goose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from migrations.errors import VariableError
from migrations.formats.variables import NAME, not_declared

MARKED = re.compile(rf"\0(?P<name>{NAME})\0")
"""A place to be filled, as `expanded` leaves it."""
_PLACE = re.compile(
    r"\\\$|\$\$"
    r"|\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:?-)(?P<default>[^}]*))?\}"
    r"|\$\{(?P<other>[^}]*)\}"
)


def expanded(text: str, variables: Mapping[str, str], file: str, line: int) -> str:
    """A line with its places filled or marked. Raises VariableError."""

    def put(place: re.Match[str]) -> str:
        if place["other"] is not None:
            raise VariableError(
                file,
                line,
                f"${{{place['other']}}} is a form of substitution that is not filled here",
                "Write ${NAME} or ${NAME:-default}",
            )
        name = place["bare"] or place["name"]
        if name is None:
            return "$"
        empty = place["how"] == ":-" and not variables.get(name)
        if place["how"] and (name not in variables or empty):
            return str(place["default"])
        if name not in variables:
            raise not_declared(name, file, line)
        return f"\0{name}\0"

    return _PLACE.sub(put, text)
