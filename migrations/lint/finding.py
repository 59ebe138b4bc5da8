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

    @property
    def eased(self) -> Severity:
        """The next one down; the lowest stays."""
        return list(Severity)[min(self.rank + 1, len(Severity) - 1)]


OFF = "off"
"""What stands in the place of a severity for a rule that is not asked."""


class Effect(StrEnum):
    """What a statement does to others, as a trace on a scratch database could see it."""

    REWRITES = "rewrites"
    SCANS = "scans"
    BLOCKS_WRITES = "blocks_writes"


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a rule holds: `what` is a sentence about this statement.

    `offset` is where in the statement's text, in bytes; `options` fill the rule's recipe.
    """

    what: str
    offset: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


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
