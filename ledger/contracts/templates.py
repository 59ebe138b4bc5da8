"""Templates of messages: a text with names in braces, such as `{rollout}`. Pure.

`{{` and `}}` are braces. A value is put in once and as it is: it cannot be a template itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME = re.compile(r"\{\{|\}\}|\{([a-z_]*)\}|[{}]")
FIELDS: Final[Mapping[str, str]] = {
    "ledger": "what the ledger is called",
    "event": "the type of the event",
    "severity": "`info`, `warning` or `critical`",
    "headline": "what happened, in a few words",
    "count": "how many events it stands for",
    "rollout": "the rollout's id",
    "database": "the database, or some of those that a digest is about",
    "migration": "the migration, or some",
    "class": "the class of what went wrong, with its SQLSTATE",
    "place": "file and line",
    "at": "when it was recorded; of a digest, from when to when",
    "next": "the command that shows more",
    "link": "the link of the settings, filled in",
}
"""What a template may name."""


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with these values."""

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return values.get(found[1] or "", "")

    return _NAME.sub(value, template)


def check_template(template: str) -> None:
    """Raise `ValueError` for a name that no message has, or a brace that is none of a name."""
    for found in _NAME.finditer(template):
        if found[0] in ("{{", "}}") or found[1] in FIELDS:
            continue
        raise ValueError(
            f"{ascii(found[0])[1:-1]} is nothing that a message has; write one of "
            + ", ".join(f"{{{name}}}" for name in FIELDS)
            + ", or {{ for a brace"
        )
