"""What a plan would mean: what its migrations do to others, how long that takes, who is left out.

```
texts ─ grammar, or a trace ─▶ locks · rewrites ─┐
log ─ sizes of tables ───────────────────────────┼─▶ risk, in one word with its reason
log ─ how long the same took elsewhere ──────────┴─▶ what to expect of the rollout
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ledger.contracts.registry import MigrationRef
from ledger.domain.drift import OnDrift
from ledger.domain.selection_words import chosen
from ledger.service.fleet import FleetService
from ledger.service.known_drift import known_drift
from ledger.service.plan_texts import bundle_migrations
from ledger.service.plans import Plan
from ledger.store.port import Log
from ledger.store.views.port import Views
from migrations.lint.finding import Effect, LargestTable, Severity, size_text
from migrations.lint.judgement import LintOptions, LintQuestion
from migrations.lint.outlook import Consequence, MigrationOutlook, TracedMigration, outlooks
from migrations.lint.squawk import NOT_ASKED, ask_squawk, squawk_here
from migrations.model.migration import Direction

SizesOf = Callable[[Collection[str], Sequence[str], float], Awaitable[dict[str, LargestTable]]]
"""As `ledger.service.table_sizes.table_sizes`, of names, databases and a limit in MB."""
_WORST = (Effect.REWRITES, Effect.BLOCKS_WRITES, Effect.SCANS)
_DOES = {
    Effect.REWRITES: "a table is written anew",
    Effect.BLOCKS_WRITES: "writers wait",
    Effect.SCANS: "every row is read",
}


class Risk(StrEnum):
    """How likely a migration is to hurt whoever uses the database, the worst first."""

    HIGH = "high"
    UNKNOWN = "unknown"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class TookElsewhere:
    """How long a migration with this very text took: in how many databases, half of them, all."""

    databases: int
    usual_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True)
class StepOutlook:
    """One migration of a plan. `text` is `None` where it could not be read beforehand.

    `largest` is the largest known table of those that it locks against writers, by quoted name.
    """

    ref: MigrationRef
    text: MigrationOutlook | None
    risk: Risk
    why: str
    largest: tuple[str, LargestTable] | None
    took: TookElsewhere | None

    @property
    def usual_s(self) -> float | None:
        """How long it took in half of the databases that have it; `None` where none has."""
        return None if self.took is None else self.took.usual_ms / 1000


@dataclass(frozen=True, slots=True)
class PlanOutlook:
    """All of it. What takes how long is `None` as long as one migration ran nowhere yet."""

    steps: tuple[StepOutlook, ...]
    left_out: Mapping[str, tuple[str, ...]]
    """Databases that the selection means and the plan does not, by the reason."""
    per_database_s: float | None
    rollout_s: float | None

    @property
    def risk(self) -> Risk:
        """That of the worst migration."""
        return min((one.risk for one in self.steps), key=list(Risk).index, default=Risk.LOW)


@dataclass(frozen=True, slots=True)
class PlanEvidence:
    """What is known beside texts and log: what a trace saw, by version."""

    traced: Mapping[str, TracedMigration] = field(default_factory=dict)
    squawk: bool = False
    """Whether it is asked, if it is installed."""


def plain_name(name: str) -> str:
    """A quoted name as people would write it."""
    from migrations.sql.literals import quote_where_needed
    from migrations.sql.written_names import names_in

    return ".".join(map(quote_where_needed, names_in(name, ".")))


class PlanReader:
    """Finds out what a plan would mean; nothing is recorded."""

    def __init__(
        self,
        log: Log,
        reads: Views,
        fleet: FleetService,
        stored: Callable[[str], Awaitable[bytes]],
    ) -> None:
        self._log = log
        self._reads = reads
        self._fleet = fleet
        self._stored = stored

    async def outlook(
        self,
        plan: Plan,
        sizes_of: SizesOf,
        options: LintOptions,
        today: datetime,
        evidence: PlanEvidence | None = None,
    ) -> PlanOutlook:
        """What the plan would mean.

        `sizes_of` is asked if a size matters; `options` are the project's for `ledger lint`.
        """
        evidence = evidence or PlanEvidence()
        direction = Direction.UP if plan.direction == "up" else Direction.DOWN
        judged = frozenset(ref.version for ref in plan.steps)
        migrations = await bundle_migrations(plan, self._stored) if judged else ()
        question = LintQuestion(migrations, judged, True, today.date(), options)
        squawk = NOT_ASKED
        if evidence.squawk and direction is Direction.UP:
            asked = [one for one in migrations if one.version in judged]
            squawk = await ask_squawk(asked, squawk_here())
        told = await asyncio.to_thread(outlooks, question, direction, evidence.traced, squawk)
        found = {one.version: one for one in told}
        names = {name for one in told for name in _named(one)}
        limit_mb = options.limits.large_table_mb
        sizes = await sizes_of(names, plan.databases, limit_mb) if names else {}
        took = await self._took(plan) if direction is Direction.UP else {}
        steps = tuple(
            _step(ref, found.get(ref.version), sizes, took.get(ref.version), options)
            for ref in plan.steps
        )
        per_database_s = _sum(steps)
        return PlanOutlook(
            steps,
            await self._left_out(plan),
            per_database_s,
            None if per_database_s is None else per_database_s * _rounds(plan),
        )

    async def _took(self, plan: Plan) -> dict[str, TookElsewhere]:
        """How long these very migrations took where they are applied."""
        texts = {ref.version: ref.up_checksum for ref in plan.steps}
        rows = await self._reads.durations(list(texts))
        return {
            row.version: TookElsewhere(row.databases, row.usual_ms, row.longest_ms)
            for row in rows
            if texts[row.version] == row.checksum
        }

    async def _left_out(self, plan: Plan) -> dict[str, tuple[str, ...]]:
        """Who is meant by the selection and gets nothing, by the reason."""
        if plan.request.undoes is not None:
            return {}
        fleet = (await self._fleet.state()).databases
        planned = frozenset(plan.databases)
        meant = [
            one
            for one in chosen(fleet.values(), plan.request.select)
            if not one.retired and one.database not in planned
        ]
        drifted: Collection[str] = ()
        if plan.request.on_drift is OnDrift.LEAVE_OUT:
            drifted = (await known_drift(self._log)).open
        others = [one.database for one in meant if one.active and one.database not in drifted]
        lacking = await self._lacking(plan, others) if plan.direction == "up" else frozenset()
        found: dict[str, list[str]] = {}
        for one in meant:
            if not one.active:
                why = str(one.status)
            elif one.database in drifted:
                why = "drifted"
            elif plan.direction != "up":
                why = "has nothing to take back, or another history"
            else:
                why = "has another history" if one.database in lacking else "has all of it already"
            found.setdefault(why, []).append(one.database)
        return {why: tuple(sorted(found[why])) for why in sorted(found)}

    async def _lacking(self, plan: Plan, databases: Sequence[str]) -> frozenset[str]:
        """Which of these lack a migration of the plan."""
        versions = [ref.version for ref in plan.steps]
        rows = await self._reads.database_versions(versions, databases) if databases else []
        return frozenset(row.database for row in rows if row.missing)


def _named(outlook: MigrationOutlook) -> list[str]:
    """The tables whose size matters: nobody writes them meanwhile, or all of it is read."""
    locked = [one.table for one in outlook.locks if one.keeps_writers_out]
    return [*locked, *(name for one in outlook.consequences for name in one.tables)]


def _step(
    ref: MigrationRef,
    text: MigrationOutlook | None,
    sizes: Mapping[str, LargestTable],
    took: TookElsewhere | None,
    options: LintOptions,
) -> StepOutlook:
    risk, why = _risk(ref, text, sizes, options)
    known = [(name, sizes[name]) for name in (_named(text) if text else ()) if name in sizes]
    largest = max(known, key=lambda one: one[1].size_bytes, default=None)
    return StepOutlook(ref, text, risk, why, largest, took)


def _risk(
    ref: MigrationRef,
    text: MigrationOutlook | None,
    sizes: Mapping[str, LargestTable],
    options: LintOptions,
) -> tuple[Risk, str]:
    """One word, and the reason that weighs most."""
    if text is None:
        return Risk.UNKNOWN, "it cannot be read beforehand"
    risk, why = _seen_risk(ref, text, sizes, options)
    if text.unseen and risk is not Risk.HIGH:
        return Risk.UNKNOWN, f"{text.unseen}: what it does is not seen beforehand"
    return risk, why


def _seen_risk(
    ref: MigrationRef,
    text: MigrationOutlook,
    sizes: Mapping[str, LargestTable],
    options: LintOptions,
) -> tuple[Risk, str]:
    """That of what is seen; what is not may be worse."""
    order = sorted(text.consequences, key=lambda one: _WORST.index(one.effect))
    weighed = [_weighed(one, sizes, options) for one in order]
    for risk in (Risk.HIGH, Risk.MEDIUM):
        if reasons := [why for found, why in weighed if found is risk]:
            return risk, reasons[0]
    errors = [one for one in text.findings if one.severity is Severity.ERROR]
    light = {one.what for one in text.consequences}
    if graver := [one for one in errors if one.what not in light]:
        return Risk.HIGH, f"{graver[0].rule}: {graver[0].what}"
    if text.lost:
        return Risk.MEDIUM, f"{text.lost[0]}, which does not come back"
    if not ref.reversible:
        return Risk.MEDIUM, "it cannot be taken back"
    if weighed:
        return Risk.LOW, weighed[0][1]
    alone = [one.table for one in text.locks if one.keeps_readers_out]
    if alone:
        return Risk.LOW, f"it has {plain_name(alone[0])} to itself for a moment"
    return Risk.LOW, "nobody is kept out of a table for long"


def _weighed(
    found: Consequence, sizes: Mapping[str, LargestTable], options: LintOptions
) -> tuple[Risk, str]:
    """What it weighs that takes the longer the larger its tables are."""
    does = f"{found.what}: {_DOES[found.effect]}"
    known = [sizes[name] for name in found.tables if name in sizes]
    if not known:
        return Risk.HIGH, f"{does}; how large it is nobody has seen"
    largest = max(known, key=lambda one: one.size_bytes)
    size = f"{does}; {size_text(largest.size_bytes)} in {largest.database}"
    limits, complete = options.limits, len(known) == len(found.tables)
    if complete and all(one.everywhere and one.size_mb < limits.small_table_mb for one in known):
        return Risk.LOW, f"{size} at most"
    if largest.size_mb < limits.small_table_mb:
        return Risk.MEDIUM, f"{size}, which is the largest that was seen"
    return Risk.HIGH, size


def _sum(steps: Sequence[StepOutlook]) -> float | None:
    known = [one.usual_s for one in steps if one.usual_s is not None]
    return sum(known) if steps and len(known) == len(steps) else None


def _rounds(plan: Plan) -> int:
    """How many databases one after the other, as so many are worked on at once."""
    at_once = plan.request.options.in_flight
    return sum(-(-len(wave) // min(at_once, len(wave))) for wave in plan.waves)
