"""Shows one rollout in full: what needs somebody first, and the rest counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ledger.cli.app.output import Output, say
from ledger.cli.rollout.progress import ENDED, counted, relation
from ledger.domain.tally import IN_DOUBT, SETTLED, STATES, state_words
from ledger.domain.wording import number_of, took_text
from migrations.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from ledger.service.performance import Outlook
    from ledger.service.status import DatabaseGroup, DatabaseLine, RolloutStatus, RolloutSummary

SHOWN = 50
"""Databases that people see one by one; of more they see groups, unless they ask for a list."""
GROUPS_SHOWN = 5
"""How many reasons of one state are told before the rest of that state is only counted."""
VERSIONS_SHOWN = 15
WAVES_SHOWN = 8
"""How many waves have a line of their own: those that moved, and the next one."""
FAILED = ("failed", *IN_DOUBT)
RETRY = "ledger rollout retry "
FINISHING = "finishing"
"""Of a rollback: what is undone is still at work there (`ledger.domain.waiting`)."""
LEFT_BY = {
    "pace": "as fast as so far",
    "history": "if it goes as usual",
    "data": "by what data migrations under way say",
}
"""What says how much time is left, in words."""
LISTED = (
    "rollout", "status", "mode", "databases", "so_far", "planned_at", "by", "why",
)  # fmt: skip
COLUMNS = ("database", "wave", "status", "attempt", "progress", "problem", "waits_for", "try")


def show_rollout(
    status: RolloutStatus,
    output: Output,
    *,
    every: bool = False,
    empty: str = "No database needs attention.",
    outlook: Outlook | None = None,
) -> None:
    """Write a rollout: every database that is not simply done, or all of them as JSON.

    With `every`, people see all that it holds; `empty` is said where that is none.
    """
    people = output.for_people
    if people:
        output.lines(headlines(status) + outlook_lines(outlook))
    shown = [one for one in status.databases if every or not people or _interesting(one)]
    shown.sort(key=lambda one: STATES.index(one.status))
    output.rows(
        "rollout.status",
        # Programs read the states as they are counted; people, what they mean.
        (_row(one, status.mode if people else "") for one in shown),
        COLUMNS,
        empty=empty,
        **status.document() | ({"outlook": outlook.document()} if outlook else {}),
    )
    if people and status.more:
        say(f"and {status.more:,} more; `--limit` shows more of them, `-o json` all")


def show_groups(status: RolloutStatus, output: Output, outlook: Outlook | None = None) -> None:
    """Write a large rollout for a person: its numbers, then each problem, then each wait."""
    lines = headlines(status) + outlook_lines(outlook)
    groups = status.groups or ()
    tried = sum(one.databases for one in groups if one.helps.startswith(RETRY))
    for state in dict.fromkeys(one.status for one in groups):
        of_state = [one for one in groups if one.status == state]
        for group in of_state[:GROUPS_SHOWN]:
            lines += _group(group, status.mode, tried)
        if rest := of_state[GROUPS_SHOWN:]:
            number = (
                f"{sum(one.databases for one in rest):,} more {state_words(state, status.mode)}"
            )
            lines += ["", f"{number}, of {number_of(len(rest), 'other reason')}"]
    well = status.tally
    if settled := well.text(status.mode, leaving_out=set(STATES) - {"applied", "skipped"}):
        lines += ["", settled]
    id_ = status.rollout
    lines += [
        "",
        f"Lists: `ledger rollout status {id_} --failed`, `--all`, or `-s SELECTION`",
    ]
    output.lines(lines)


def headlines(status: RolloutStatus, clock: Clock = SYSTEM_CLOCK) -> list[str]:
    """The rollout and its waves in a few lines."""
    why = f": {status.why}" if status.why else ""
    beside = relation(status.undoes, status.undone_by)
    lines = [f"rollout {status.rollout} is {state_words(status.status)}{why}{beside}"]
    lines += _origin(status, clock.now())
    total = number_of(status.tally.total, "database")
    if status.tally.total:
        lines.append(f"  {total}: {status.tally.text(status.mode)}")
    if status.used is not None and status.status not in ENDED:
        flight = f"{status.tally.in_flight:,} of {status.in_flight:,}"
        lines.append(f"  budget used: {status.used:,} of {status.allowed:,}; in flight: {flight}")
    elif status.used is not None and status.used:
        lines.append(f"  budget used: {status.used:,} of {status.allowed:,}")
    if status.cancelled:
        where = number_of(status.cancelled, "database")
        lines.append(
            f"  what others ran in the way was cancelled in {where}: "
            "`ledger events --type BlockerCancelled`"
        )
    lines += _waves(status)
    return lines


def outlook_lines(outlook: Outlook | None) -> list[str]:
    """What is to be expected, and what is slower than usual."""
    lines = []
    if outlook is not None and outlook.left_s is not None:
        by = LEFT_BY[outlook.basis]
        lines.append(f"  about {took_text(1000 * outlook.left_s)} left, {by}")
    for one in outlook.slower if outlook is not None else ():
        usual, most = map(took_text, one.usual)
        lines.append(
            f"  slower than usual: {one.database}, {took_text(1000 * one.for_s)} so far; usually "
            f"{usual}, 95 of 100 within {most}"
        )
    return lines


def _origin(status: RolloutStatus, now: datetime) -> list[str]:
    """Which migrations, who asked for them and why, since when and how long."""
    origin = status.origin
    if origin is None:
        return []
    names = ", ".join(status.versions[:VERSIONS_SHOWN])
    more = len(status.versions) - VERSIONS_SHOWN
    lines = [f"  {status.mode}: {names}{f' and {more:,} more' if more > 0 else ''}"]
    who = asker(origin.name, origin.by)
    why = f": {origin.reason}" if origin.reason else ""
    ticket = f", ticket {origin.ticket}" if origin.ticket else ""
    lines.append(f"  asked for by {who}{why}{ticket}")
    since = origin.started_at or origin.planned_at
    what = "started" if origin.started_at else "planned"
    if origin.ended_at is None:
        lasted = f"{lasting((now - since).total_seconds())} ago"
    else:
        lasted = f"took {lasting((origin.ended_at - since).total_seconds())}"
    lines.append(f"  {what} {since:%Y-%m-%d %H:%M:%S} UTC, {lasted}")
    return lines


def _waves(status: RolloutStatus) -> list[str]:
    """A line for each wave; of many, those that began and are not simply done, and the next."""
    lines = [(wave, f"  wave {wave.wave + 1}: {counted(wave, status)}") for wave in status.waves]
    if len(lines) <= WAVES_SHOWN:
        return [line for _, line in lines]
    moved = [line for wave, line in lines if wave.opened and not wave.completed]
    done = sum(wave.completed for wave, _ in lines)
    later = len(lines) - done - len(moved)
    shown = [f"  waves: {done:,} of {len(lines):,} completed, {later:,} not opened", *moved]
    return shown[: WAVES_SHOWN + 1]


def lasting(seconds: float) -> str:
    """A duration as people say it, in its two largest units."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def _group(group: DatabaseGroup, mode: str, tried: int) -> list[str]:
    """One reason: how many, which, why, and what helps; a retry without names tries `tried`."""
    state = state_words(group.status, mode) + (", accepted" if group.accepted else "")
    lines = ["", f"{group.databases:,} {state}: {_named(group.examples, group.databases)}"]
    if group.problem:
        lines.append(f"    {group.problem}")
    if group.progress:
        together = f", in these {group.databases:,} together" if group.databases > 1 else ""
        lines.append(f"    {group.progress}{together}")
    if group.waits_for:
        lines.append(f"    waits: {group.waits_for}")
    if group.helps:
        more = group.databases > len(group.examples) and group.databases < tried
        beside = f"  # all {tried:,} of them" if more and group.helps.startswith(RETRY) else ""
        lines.append(f"    try: {group.helps}{beside}")
    return lines


def _named(examples: Sequence[str], number: int) -> str:
    more = number - len(examples)
    return ", ".join(examples) + (f" and {more:,} more" if more > 0 else "")


def _interesting(one: DatabaseLine) -> bool:
    """Whether people need to see it: what is settled well, and what waits its turn, they do not."""
    well = one.status in SETTLED and not one.problem
    its_turn = one.status == "pending" and not one.helps and one.reason != FINISHING
    return bool(one.cancelled) or (not well and not its_turn)


def _row(one: DatabaseLine, mode: str) -> dict[str, Any]:
    problem = one.problem
    if mode and one.cancelled:
        # People read it where they look for what went wrong; programs have a field of its own.
        cancelled = f"its agent cancelled what ran there: {'; '.join(one.cancelled)}"
        problem = "; ".join(filter(None, (problem, cancelled)))
    return {
        "database": one.database,
        "wave": one.wave + 1,
        "status": state_words(one.status, mode),
        "attempt": one.attempt,
        "progress": one.progress,
        "problem": problem,
        "waits_for": one.waits_for,
        "blockers_cancelled": list(one.cancelled),
        "since": one.since,
        "until": one.until,
        "try": one.helps,
    }


def asker(name: str | None, role: str) -> str:
    """Who asked for a rollout: whom a program told, and the role that the database knows."""
    return f"{name} (as {role})" if name else role


def listed(row: RolloutSummary, who: str | None, *, for_people: bool) -> dict[str, Any]:
    """One line of the list of rollouts; `who` asked for it, where a program told that.

    People read why it was asked for beside what became of it.
    """
    turned = f"{row.why or ''}{relation(row.undoes, row.undone_by)}".removeprefix("; ")
    asked = row.reason if for_people and row.reason != row.why else None
    return {
        "rollout": row.rollout,
        "status": state_words(row.status),
        "mode": row.mode,
        "bundle": row.bundle,
        "migrations": list(row.versions),
        "selection": row.selection,
        "databases": row.databases,
        "waves": row.waves,
        "so_far": row.tally.text(row.mode),
        "applied": row.tally.of("applied"),
        "failed": row.tally.of("failed"),
        "in_doubt": row.tally.of(*IN_DOUBT),
        "counts": dict(row.counts),
        "planned_at": row.planned_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "by": asker(who, row.planned_by) if for_people else row.planned_by,
        "who": who,
        "reason": row.reason,
        "ticket": row.ticket,
        "why": "; ".join(part for part in (asked, turned) if part) or None,
        "undoes": row.undoes,
        "undone_by": row.undone_by,
    }
