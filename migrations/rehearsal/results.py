"""What a rehearsal comes to: for each migration its parts, how long they took, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from migrations.catalog.difference import CatalogDifference
from migrations.model.migration import Direction


class RehearsalPart(StrEnum):
    """What is done with a migration, in this order."""

    BEFORE = "before"
    """The rows that it meets are made."""
    UP = "up"
    VERIFY = "verify"
    DOWN = "down"
    SCHEMA = "schema"
    """The schema is compared with that before the up."""
    CONTENTS = "contents"
    """And so are the rows."""
    UP_AGAIN = "up again"
    AFTER = "after"
    """What must be true when it is applied."""


class Mark(StrEnum):
    """How a part went."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RehearsalProblem:
    """What is wrong, where, and in detail; `difference` is how the schema is another than before.

    `remedy` are statements that would have brought it back.
    """

    message: str
    file: str = ""
    line: int | None = None
    details: tuple[str, ...] = ()
    difference: CatalogDifference | None = None
    remedy: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`file:line`, as editors understand it; empty where it is of no file."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class PartResult:
    """How one part went, in milliseconds; `note` says why it was skipped, or what else is of
    interest.
    """

    part: RehearsalPart
    mark: Mark
    duration_ms: int = 0
    problems: tuple[RehearsalProblem, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class StatementTime:
    """How long a statement took the first time it ran."""

    direction: Direction
    file: str
    line: int
    summary: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class MigrationRehearsal:
    """How one migration went."""

    version: str
    label: str
    file: str
    parts: tuple[PartResult, ...] = ()
    statements: tuple[StatementTime, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mark(self) -> Mark:
        """Failed if a part is; skipped if all are."""
        marks = {one.mark for one in self.parts}
        if Mark.FAILED in marks:
            return Mark.FAILED
        return Mark.PASSED if Mark.PASSED in marks else Mark.SKIPPED

    @property
    def problems(self) -> tuple[RehearsalProblem, ...]:
        """All that is wrong, in the order in which it was found."""
        return tuple(problem for part in self.parts for problem in part.problems)

    def part(self, part: RehearsalPart) -> PartResult | None:
        """How a part went; `None` where it was not come to."""
        return next((one for one in self.parts if one.part is part), None)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How all of them went; `server_version` is as 180006 for 18.6."""

    server_version: int
    migrations: tuple[MigrationRehearsal, ...] = ()
    notes: tuple[str, ...] = ()
    duration_ms: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> Sequence[MigrationRehearsal]:
        """Those that failed."""
        return [one for one in self.migrations if one.mark is Mark.FAILED]


@dataclass(slots=True)
class PartList:
    """The parts of a migration while they are done."""

    found: list[PartResult] = field(default_factory=list)

    def passed(self, part: RehearsalPart, duration_ms: int, note: str = "") -> None:
        """Note that it went well."""
        self.found.append(PartResult(part, Mark.PASSED, duration_ms, note=note))

    def failed(self, part: RehearsalPart, duration_ms: int, *problems: RehearsalProblem) -> None:
        """Note what is wrong."""
        self.found.append(PartResult(part, Mark.FAILED, duration_ms, problems))

    def skipped(self, note: str, *parts: RehearsalPart) -> None:
        """Note why they were not done."""
        self.found += [PartResult(part, Mark.SKIPPED, note=note) for part in parts]
