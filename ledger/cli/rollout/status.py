"""Shows one rollout in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledger.cli.app.output import Output, say
from ledger.cli.rollout.progress import SETTLED, counted, relation, words

if TYPE_CHECKING:
    from ledger.service.status import DatabaseLine, RolloutStatus, RolloutSummary

SHOWN = 50
"""Databases that people see; the JSON forms have all."""
FINISHING = "finishing"
"""Of a rollback: what is undone is still at work there (`ledger.domain.waiting`)."""
LISTED = (
    "rollout", "status", "mode", "databases", "applied", "failed", "planned_at", "by", "why",
)  # fmt: skip
COLUMNS = ("database", "wave", "status", "attempt", "progress", "problem", "waits_for", "try")


def show_rollout(status: RolloutStatus, output: Output) -> None:
    """Write a rollout: every database that is not simply done, or all of them as JSON."""
    people = output.for_people
    if people:
        for line in headlines(status):
            say(line)
    shown = (one for one in status.databases if not people or _interesting(one))
    output.rows(
        "rollout.status",
        # Programs read the states as they are counted; people, what they mean.
        (_row(one, status.mode if people else "") for one in shown),
        COLUMNS,
        empty="No database needs attention.",
        **status.document(),
    )
    if people and status.more:
        say(f"and {status.more:,} more; `-o json` has all of them")


def headlines(status: RolloutStatus) -> list[str]:
    """The rollout and its waves in a few lines."""
    why = f": {status.why}" if status.why else ""
    beside = relation(status.undoes, status.undone_by)
    lines = [f"rollout {status.rollout} is {words(status.status)}{why}{beside}"]
    for wave in status.waves:
        lines.append(f"  wave {wave.wave + 1}: {counted(wave, status)}")
    return lines


def _interesting(one: DatabaseLine) -> bool:
    """Whether people need to see it: what is settled well, and what waits its turn, they do not."""
    well = one.status in SETTLED and not one.problem
    its_turn = one.status == "pending" and not one.helps and one.reason != FINISHING
    return not well and not its_turn


def _row(one: DatabaseLine, mode: str) -> dict[str, Any]:
    return {
        "database": one.database,
        "wave": one.wave + 1,
        "status": words(one.status, mode),
        "attempt": one.attempt,
        "progress": one.progress,
        "problem": one.problem,
        "waits_for": one.waits_for,
        "since": one.since,
        "until": one.until,
        "try": one.helps,
    }


def listed(row: RolloutSummary) -> dict[str, Any]:
    """One line of the list of rollouts."""
    return {
        "rollout": row.rollout,
        "status": words(row.status),
        "mode": row.mode,
        "bundle": row.bundle,
        "migrations": list(row.versions),
        "selection": row.selection,
        "databases": row.databases,
        "waves": row.waves,
        "applied": row.count("applied"),
        "failed": row.count("failed", "blocked", "unknown"),
        "planned_at": row.planned_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "by": row.planned_by,
        "reason": row.reason,
        "ticket": row.ticket,
        "why": f"{row.why or ''}{relation(row.undoes, row.undone_by)}".removeprefix("; ") or None,
        "undoes": row.undoes,
        "undone_by": row.undone_by,
    }
