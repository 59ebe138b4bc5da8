"""What migrations do to a database that others use, as far as it is known before: for plans.

```
a trace on a scratch database ─▶ what it saw         wins, where there is one
the text, by the grammar ──────▶ locks · what rules find that rewrites, reads all rows, blocks
```
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations.lint.finding import Effect, LintFinding, Severity
from migrations.lint.judgement import LintQuestion, judge
from migrations.lint.rules import REGISTRY
from migrations.lint.squawk import NOT_ASKED, SquawkAnswer
from migrations.model.migration import Direction, Migration, Section
from migrations.preflight.touched_tables import touched_by_each
from migrations.sql.data_loss import lost_by
from migrations.sql.grammar import parse
from migrations.sql.summary import kind_label
from migrations.target.holder import MODES


@dataclass(frozen=True, slots=True)
class LockedTable:
    """A table by its name, quoted, and the strongest lock on it, as `pg_locks` calls that."""

    table: str
    mode: str

    @property
    def keeps_writers_out(self) -> bool:
        """Whether nobody else can write the table meanwhile."""
        return MODES.index(self.mode) >= MODES.index("ShareLock")

    @property
    def keeps_readers_out(self) -> bool:
        """Whether nobody else can read it either."""
        return self.mode == MODES[-1]


@dataclass(frozen=True, slots=True)
class Consequence:
    """Something that takes the longer the larger the tables are: what, and which, quoted."""

    effect: Effect
    what: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TracedMigration:
    """What a trace saw of a migration; `untraced` says of what it could not see anything."""

    locks: tuple[LockedTable, ...]
    consequences: tuple[Consequence, ...]
    untraced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationOutlook:
    """What a migration does. `unseen` says why nobody can tell, of a program or a block of code."""

    version: str
    does: tuple[tuple[str, int], ...]
    """Kinds of its statements, and how many of each, in their order."""
    locks: tuple[LockedTable, ...]
    consequences: tuple[Consequence, ...]
    lost: tuple[str, ...]
    """What it takes away for good: `drops column users.weight`."""
    findings: tuple[LintFinding, ...] = ()
    unseen: str = ""
    traced: bool = False


def outlooks(
    question: LintQuestion,
    direction: Direction,
    traced: Mapping[str, TracedMigration],
    squawk: SquawkAnswer = NOT_ASKED,
) -> tuple[MigrationOutlook, ...]:
    """What each judged migration does in this direction, in the order of the folder.

    `traced` are those that ran on a scratch database, by version; `squawk` is what that says.
    """
    chosen = [one for one in question.migrations if one.version in question.judged]
    sections = [one.section(direction) for one in chosen]
    touched = touched_by_each(section for section in sections if section is not None)
    found = _findings(question, squawk) if direction is Direction.UP else {}
    told = []
    for migration, section in zip(chosen, sections, strict=True):
        if section is None:
            continue
        tables = touched.pop(0).tables
        locks = tuple(LockedTable(one.name, MODES[one.wanted]) for one in tables)
        outlook = _outlook(migration, section, locks, found.get(migration.label, ()))
        seen = traced.get(migration.version)
        told.append(_as_traced(outlook, seen) if seen is not None else outlook)
    return tuple(told)


def _findings(question: LintQuestion, squawk: SquawkAnswer) -> dict[str, list[LintFinding]]:
    """What rules find, those that a comment lets pass among it: they do what they do."""
    judgement = judge(question, squawk)
    by_migration: dict[str, list[LintFinding]] = {}
    for one in (*judgement.findings, *(finding for finding, _ in judgement.ignored)):
        by_migration.setdefault(one.migration, []).append(one)
    return by_migration


def _outlook(
    migration: Migration,
    section: Section,
    locks: tuple[LockedTable, ...],
    findings: Sequence[LintFinding],
) -> MigrationOutlook:
    kinds = Counter(kind_label(parse(one.text)[0]) for one in section.statements)
    if section.batches is not None:
        kinds[f"batches of {section.batches.size:,} rows"] += 1
    unseen = "" if section.program is None else f"a program in {section.program.language.value}"
    if not unseen and kinds["DO"]:
        unseen = "a DO block"
    return MigrationOutlook(
        migration.version,
        tuple(kinds.items()),
        locks,
        tuple(
            Consequence(effect, one.what, one.tables)
            for one in findings
            if (effect := REGISTRY[one.rule].effect) is not None
        ),
        tuple(lost_by(one.text for one in section.statements)),
        tuple(one for one in findings if one.severity is not Severity.INFO),
        unseen,
    )


def _as_traced(outlook: MigrationOutlook, seen: TracedMigration) -> MigrationOutlook:
    return MigrationOutlook(
        outlook.version,
        outlook.does,
        seen.locks,
        seen.consequences,
        outlook.lost,
        outlook.findings,
        "; ".join(seen.untraced),
        traced=True,
    )
