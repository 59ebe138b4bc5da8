"""Versions in file names: what they may look like and how they are ordered.

    20260102030405_add_email.sql    14 digits, the form that `create` writes
    0001-init.sql, 1_init.sql       any number
    1.2.3_init.sql, v2_init.sql     numbers with dots or dashes, an optional v before them
    2026-01-31_init.sql             a date

Versions are compared number by number, so 2 comes before 10 and `1`, `01` and `1.0` are the same.
"""

from __future__ import annotations

import re

_VERSION = r"[vV]?[0-9]+(?:[.-][0-9]+)*"
_UNDERSCORED = re.compile(rf"({_VERSION})(?:_(.+))?", re.DOTALL)
_DASHED = re.compile(r"([vV]?[0-9]+)-(.+)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+")

NAME_REMEDY = "Name it like 20260102030405_add_email.sql: a version, an underscore, a description"


def version_and_name(stem: str) -> tuple[str, str] | None:
    """Split a file name without its suffix; `None` when it carries no version."""
    found = _UNDERSCORED.fullmatch(stem) or _DASHED.fullmatch(stem)
    return (found.group(1), found.group(2) or "") if found else None


def version_key(version: str) -> tuple[int, ...]:
    """What versions are ordered by; equal keys are the same version."""
    numbers = [int(number) for number in _NUMBER.findall(version)]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
