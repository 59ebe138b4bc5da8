"""What a replay of the log finds: rows of the read models that are not what the log says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """How a live row differs from the log."""

    MISSING = "missing"
    """The log says that there is such a row."""
    SURPLUS = "surplus"
    """The log knows nothing of this row."""
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One live row that is not what the log says; `columns` are those that differ."""

    table: str
    key: Mapping[str, str]
    kind: DifferenceKind
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found. `rows` counts the replayed rows per table.

    `position` is where the live tables stand, `head` where the log ends. `more` says that there
    are differences beyond those listed.
    """

    position: int
    head: int
    rows: Mapping[str, int]
    differences: tuple[Difference, ...]
    more: bool

    @property
    def agrees(self) -> bool:
        """Whether the live tables are what the log says."""
        return not self.differences
