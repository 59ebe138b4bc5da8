"""What a rule finds, and the words for how bad it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)

    def moved(self, steps: int) -> Severity:
        """So many steps less bad; the ends stay where they are."""
        known = list(Severity)
        return known[min(max(self.rank + steps, 0), len(known) - 1)]

    @property
    def eased(self) -> Severity:
        """The next one down; the lowest stays."""
        return self.moved(1)


OFF = "off"
"""What stands in the place of a severity for a rule that is not asked."""


class Effect(StrEnum):
    """What a statement does to others, as a trace on a scratch database could see it."""

    REWRITES = "rewrites"
    SCANS = "scans"
    BLOCKS_WRITES = "blocks_writes"


@dataclass(frozen=True, slots=True)
class LargestTable:
    """The largest that a table is known to be in a fleet, and in which database.

    `databases` is in how many it was seen; `everywhere`, that these are all; `beyond`, how many of
    them are above the limit that was asked about.
    """

    size_bytes: int
    database: str
    databases: int
    everywhere: bool
    beyond: int = 0

    @property
    def size_mb(self) -> float:
        """The same in MB, as limits are written."""
        return self.size_bytes / 2**20


def size_text(size_bytes: int) -> str:
    """A size as people read it: `12 kB`, `3.4 GB`."""
    size, unit = size_bytes / 1024, "kB"
    for larger in ("MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if size >= 10 or unit == "kB" else f"{size:.1f} {unit}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a rule holds: `what` is a sentence about this statement.

    `offset` is where in the statement's text, in bytes; `options` fill the rule's recipe, or
    `recipe`, where another one writes the safe form of this statement.
    """

    what: str
    offset: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding. `line` is 1-based; names in it are as their author wrote them, not escaped."""

    file: str
    line: int
    rule: str
    severity: Severity
    what: str
    why: str
    rewrite: str
    recipe: str = ""
    """The command that writes the safe form; empty where no recipe does."""
    migration: str = ""
    statement: str = ""
    tables: tuple[str, ...] = ()
    """Those that the statement touches, quoted."""
    seen: str = ""
    """What a trace has seen of the statement, where one has."""

    @property
    def order(self) -> tuple[int, str, int, str, str]:
        """The worst first, then as the files go."""
        return self.severity.rank, self.file, self.line, self.rule, self.what


def recipe_command(recipe: str, options: Mapping[str, str]) -> str:
    """How to have the safe form written: `ledger create NAME --recipe not-null --table users`."""
    words = [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value]
    return " ".join([f"ledger create NAME --recipe {recipe}", *words])
