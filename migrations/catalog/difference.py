"""What sets two snapshots apart, object by object; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from migrations.catalog.snapshot import lines_of

Name: TypeAlias = tuple[str | None, ...]
Attributes: TypeAlias = dict[str, Any]

CHANGES_MAX = 1000
"""Differences that are told; where there are more, the databases have little in common."""

_OF_A_TABLE = ("column", "constraint", "trigger", "rule", "policy")


class How(StrEnum):
    """In which way an object differs from what is expected."""

    MISSING = "missing"
    ADDED = "added"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One attribute of an object; `None` where it has none."""

    attribute: str
    expected: Any
    found: Any


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that differs."""

    kind: str
    name: Name
    how: How
    expected: Attributes
    found: Attributes

    @property
    def called(self) -> str:
        """The object in words: `column public.users.email`."""
        return called(self.kind, self.name)

    @property
    def attributes(self) -> tuple[AttributeChange, ...]:
        """What of it differs, grants by grantee; empty unless it is `CHANGED`."""
        if self.how is not How.CHANGED:
            return ()
        expected, found = _flat(self.expected), _flat(self.found)
        return tuple(
            AttributeChange(name, expected.get(name), found.get(name))
            for name in sorted({*expected, *found})
            if expected.get(name) != found.get(name)
        )


@dataclass(frozen=True, slots=True)
class CatalogDifference:
    """All that sets a snapshot apart from the one that is expected."""

    changes: tuple[ObjectChange, ...] = ()
    more: int = 0
    """How many further lines differ that are not told."""

    def __bool__(self) -> bool:
        return bool(self.changes)


def difference(expected: bytes, found: bytes, most: int | None = CHANGES_MAX) -> CatalogDifference:
    """Compare two documents. Raises ValueError for what is no snapshot.

    Both are read once, side by side, as they are sorted alike. At most `most` changes are told,
    all of them for `None`.
    """
    changes: list[ObjectChange] = []
    more = 0
    for change in _changes(lines_of(expected), lines_of(found)):
        if most is None or len(changes) < most:
            changes.append(change)
        else:
            more += 1
    return CatalogDifference(tuple(changes), more)


def check_lines(document: bytes) -> None:
    """Raise ValueError for what is no snapshot."""
    for line in lines_of(document):
        _read(line)


def called(kind: str, name: Name) -> str:
    """An object in words."""
    parts = [part for part in name if part]
    if kind == "database":
        return "the database"
    if kind in ("function", "procedure", "aggregate"):
        schema, called_, arguments = (*name, None, None)[:3]
        return f"{kind} {'.'.join(part for part in (schema, called_) if part)}({arguments or ''})"
    if kind == "operator":
        return f"operator {'.'.join(part for part in name[:2] if part)} ({name[2]})"
    if kind == "default privileges":
        where = f" in schema {name[0]}" if name[0] else ""
        return f"default privileges of {name[2]} on {name[1]}{where}"
    if kind in _OF_A_TABLE and kind != "column":
        return f"{kind} {parts[-1]} on {'.'.join(parts[:-1])}"
    return f"{kind} {'.'.join(parts)}"


def _changes(expected: Iterator[str], found: Iterator[str]) -> Iterator[ObjectChange]:
    left, right = next(expected, None), next(found, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(expected, None), next(found, None)
            continue
        one = _read(left) if left is not None else None
        other = _read(right) if right is not None else None
        if one is not None and (other is None or _key(one) < _key(other)):
            yield _change(one, How.MISSING, one["is"], {})
            left = next(expected, None)
        elif other is not None and (one is None or _key(other) < _key(one)):
            yield _change(other, How.ADDED, {}, other["is"])
            right = next(found, None)
        elif one is not None and other is not None:
            yield _change(one, How.CHANGED, one["is"], other["is"])
            left, right = next(expected, None), next(found, None)


def _read(line: str) -> Attributes:
    try:
        found: Attributes = json.loads(line)
        _key(found)
    except (ValueError, KeyError, TypeError):
        raise ValueError("this is no snapshot of a schema") from None
    return found


def _key(line: Attributes) -> tuple[str, ...]:
    return (line["kind"], *(part or "" for part in line["name"]))


def _change(line: Attributes, how: How, expected: Any, found: Any) -> ObjectChange:
    return ObjectChange(line["kind"], tuple(line["name"]), how, expected, found)


def _flat(attributes: Attributes) -> Attributes:
    """Grants by grantee, the constraints of a domain by name, and so on."""
    flat: Attributes = {}
    for name, value in attributes.items():
        if isinstance(value, dict):
            flat |= {f"{name} {key}": part for key, part in value.items()}
        else:
            flat[name] = value
    return flat
