"""Loads the store's statements: each begins with `-- name: what it does` in `queries.sql`."""

from __future__ import annotations

import re
from importlib.resources import files

_HEADING = re.compile(r"^-- (?P<name>[a-z_]+): ", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """Every statement in a file of this package by its name, its comment included."""
    text = (files("ledger.store") / file).read_text("utf-8")
    starts = list(_HEADING.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {
        start["name"]: text[start.start() : end].strip()
        for start, end in zip(starts, ends, strict=True)
    }


QUERIES: dict[str, str] = load("queries.sql")
"""Every statement by its name, its comment included: who looks at the server sees what it is."""
