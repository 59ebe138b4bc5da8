"""What a plan would mean, in the words that people and programs get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.service.outlook import PlanOutlook, StepOutlook
    from ledger.service.plans import Plan
    from migrations.lint.finding import LargestTable
    from migrations.lint.outlook import LockedTable, MigrationOutlook

NOT_KNOWN = "not known"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def about(seconds: float | None) -> str:
    """How long that is, coarsely: what a text says does not change with each measurement."""
    if seconds is None:
        return NOT_KNOWN
    if seconds < 1:
        return "less than 1 s"
    unit, size = next(one for one in _UNITS if seconds >= one[1])
    return f"about {round(seconds / size)} {unit}"


def expected(outlook: PlanOutlook) -> str:
    """How long it takes, as far as the log can tell."""
    if outlook.per_database_s is None:
        without = [one for one in outlook.steps if one.took is None]
        return (
            f"expected duration: {NOT_KNOWN}, {number_of(len(without), 'migration')} of "
            f"{len(outlook.steps):,} ran in no database of this ledger yet"
        )
    return (
        f"expected duration: {about(outlook.per_database_s)} per database, "
        f"{about(outlook.rollout_s)} for the rollout where nothing has to wait"
    )


def rehearsed(plan: Plan) -> str:
    """Whether this very folder was tried beforehand, and when: a text that does not age."""
    found = plan.rehearsal
    if found is None:
        return "not rehearsed"
    server = release_text(found.event.server_version)
    how = "rehearsed" if found.event.succeeded else "rehearsed and failed"
    return f"{how} {found.at:%Y-%m-%d %H:%M}Z on {server}"


def release_text(server_version: int) -> str:
    """A server's release as people say it: `PostgreSQL 18.6`."""
    return f"PostgreSQL {server_version // 10_000}.{server_version % 10_000}"


def step_lines(step: StepOutlook) -> Iterator[str]:
    """What is said of a migration below its name."""
    yield f"risk {step.risk}: {step.why}"
    parts = []
    if step.text is not None:
        parts += [kinds(step.text), locks(step.text)]
        parts += ["as a trace saw it"] if step.text.traced else []
    if step.largest is not None:
        parts.append(f"largest table {largest(*step.largest)}")
    parts.append(f"took {took(step)}")
    yield "; ".join(part for part in parts if part)


def kinds(text: MigrationOutlook) -> str:
    """The kinds of its statements, with how many of each where that is more than one."""
    return ", ".join(kind if number == 1 else f"{number:,} {kind}" for kind, number in text.does)


def locks(text: MigrationOutlook) -> str:
    """Who is kept out of which table."""
    return ", ".join(f"{_table(one)} ({_kept_out(one)})" for one in text.locks)


def _table(one: LockedTable) -> str:
    from ledger.service.outlook import plain_name

    return plain_name(one.table)


def _kept_out(one: LockedTable) -> str:
    if one.keeps_readers_out:
        return "nobody else reads or writes"
    return "nobody else writes" if one.keeps_writers_out else "others go on"


def largest(name: str, size: LargestTable) -> str:
    """How large a table is at most, where, and how much of the fleet has been seen."""
    from ledger.service.outlook import plain_name
    from migrations.lint.finding import size_text

    seen = "every database" if size.everywhere else number_of(size.databases, "database")
    beyond = f"; {size.beyond:,} above the limit" if size.beyond else ""
    in_which = f"{size_text(size.size_bytes)} in {size.database}"
    return f"{plain_name(name)} {in_which} (seen in {seen}{beyond})"


def took(step: StepOutlook) -> str:
    """How long a migration took elsewhere."""
    row = step.took
    if row is None:
        return NOT_KNOWN
    elsewhere = number_of(row.databases, "database")
    return f"{about(row.usual_ms / 1000)} in {elsewhere}, {about(row.longest_ms / 1000)} at most"


def fields_of(step: StepOutlook) -> dict[str, Any]:
    """The same for programs."""
    text, size, row = step.text, step.largest, step.took
    return {
        "risk": str(step.risk),
        "why": step.why,
        "does": [{"kind": kind, "statements": number} for kind, number in text.does]
        if text
        else None,
        "locks": [{"table": one.table, "mode": one.mode} for one in text.locks] if text else None,
        "effects": [
            {"effect": str(one.effect), "what": one.what, "tables": list(one.tables)}
            for one in text.consequences
        ]
        if text
        else None,
        "loses": list(text.lost) if text else None,
        "traced": text.traced if text else False,
        "largest_table": {
            "table": size[0],
            "bytes": size[1].size_bytes,
            "database": size[1].database,
            "seen_in": size[1].databases,
            "above_limit": size[1].beyond,
        }
        if size
        else None,
        "took": {
            "databases": row.databases,
            "usual_ms": row.usual_ms,
            "longest_ms": row.longest_ms,
        }
        if row
        else None,
    }
