"""What will happen to each database, said before a person agrees to steer a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ledger.cli.app.command import Session
from ledger.domain.tally import IN_DOUBT, state_words
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.domain.rollout import RolloutState
    from ledger.service.status import DatabaseGroup, RolloutSummary

STILL, ACCEPTED = ", and count as before", ", and are accepted"
NAMED = 5
"""How many databases are named before the others are only counted."""
CAUSES_SHOWN = 8
"""How many causes a question names before it only counts the rest."""


async def retry_facts(session: Session, rollout: str, tried: Sequence[str]) -> list[str]:
    """What a retry of the databases `tried` will do, to them and to all others that failed."""
    from ledger.domain import budget

    rollouts = session.ledger.rollouts
    course, row = await rollouts.course(rollout), await rollouts.listed(rollout)
    chosen = await rollouts.causes(rollout, only=tried)
    others = await rollouts.causes(rollout, without=tried)
    facts = _beginning("retry", course, row)
    facts += _tried(tried, chosen)
    facts += _left_alone(others, STILL)
    if course.status != "halted":
        return facts
    forgiven = (one for one in chosen if one.status == "failed" and not one.accepted)
    counted = await rollouts.counted(rollout) - sum(one.databases for one in forgiven)
    allowed = budget.allowed(course.total, course.plan.budget)
    if counted > allowed:
        more = number_of(counted, "failure")
        facts.append(
            f"nothing else is ordered, and it halts again after that: {more} left, the budget is "
            f"{budget.describe(course.total, course.plan.budget)}; to let them pass: "
            f"`ledger rollout resume {rollout}`"
        )
        return facts
    if counted and course.goes_back:
        facts.append(f"halts again at its end: {number_of(counted, 'failure')} left")
        return facts
    return facts + await _going(session, rollout, row, "goes on with ", "pending database")


async def _going(
    session: Session, rollout: str, row: RolloutSummary, what: str, noun: str
) -> list[str]:
    """How many databases get an order from now on; those that none reaches are left out."""
    away = await session.ledger.rollouts.away(rollout)
    going = row.tally.of("pending", "unfinished") - len(away)
    facts = [f"{what}{number_of(going, noun)}"] if going > 0 else []
    if away:
        facts.append(
            f"left out, for they are suspended or retired: {number_of(len(away), 'database')}, "
            f"{_names(away[:NAMED], len(away))}"
        )
    return facts


def _tried(tried: Sequence[str], chosen: Sequence[DatabaseGroup]) -> list[str]:
    """Who is tried again: by what went wrong there, and those of which nothing is known."""
    told = _named("tried again", chosen)
    known = {name for one in chosen for name in one.examples}
    others = len(tried) - sum(one.databases for one in chosen)
    if others <= 0:
        return told
    names = _names([one for one in tried if one not in known][:others], others)
    return [f"tried again: {number_of(len(tried), 'database')}", *told[1:], f"  {names}"]


async def resume_facts(session: Session, rollout: str) -> list[str]:
    """What resuming does: of a halted rollout, it accepts what failed."""
    rollouts = session.ledger.rollouts
    course, row = await rollouts.course(rollout), await rollouts.listed(rollout)
    facts = _beginning("resume", course, row)
    counting = ACCEPTED if course.status == "halted" else STILL
    facts += _left_alone(await rollouts.causes(rollout), counting)
    return facts + await _going(session, rollout, row, "ordered from now on: ", "database")


def held_facts(row: RolloutSummary, visited: int) -> list[str]:
    """Where a rollout that is taken back is in force, if that is not all that is visited."""
    held = row.tally.of("applied")
    if held >= visited:
        return []
    return [f"it is applied on {number_of(held, 'database')}; the journals of others are asked"]


async def abort_facts(session: Session, rollout: str, *, cancel: bool) -> list[str]:
    """What ending a rollout where it stands leaves behind; with `cancel`, what runs is stopped."""
    rollouts = session.ledger.rollouts
    course, row = await rollouts.course(rollout), await rollouts.listed(rollout)
    facts = _beginning("abort", course, row)
    back = course.plan.undoes or row.mode == "down"
    facts += [
        f"  {label}{_way_back(lost, going=bool(back))}"
        for label, lost in (await rollouts.way_back(course.plan)).items()
    ]
    count = row.tally.of
    if done := count("applied"):
        what = "stay undone" if back else "keep what they got"
        facts.append(f"{what}: {number_of(done, 'database')}")
    if running := count("running", "ordered"):
        verb = "are cancelled, their statements too" if cancel else "finish what they do"
        facts.append(f"{verb}: {number_of(running, 'database')}")
    facts += _left_alone(await rollouts.causes(rollout), "")
    if cut := count("unfinished"):
        facts.append(f"stay half done, their journals are asked: {number_of(cut, 'database')}")
    if untouched := count("pending"):
        facts.append(f"stay untouched: {number_of(untouched, 'database')}")
    return facts


def _way_back(lost: Sequence[str], *, going: bool) -> str:
    """What taking a migration back takes away for good: where it is done, or later."""
    if not lost:
        return ""
    return f" (where it is undone: {', '.join(lost)})" if going else f" (back: {', '.join(lost)})"


def _beginning(verb: str, course: RolloutState, row: RolloutSummary) -> list[str]:
    databases, waves = number_of(row.databases, "database"), number_of(row.waves, "wave")
    return [
        f"{verb} rollout {course.rollout}, which is {state_words(course.status)}",
        f"{databases} in {waves}: {row.tally.text(row.mode)}",
    ]


def _left_alone(causes: Sequence[DatabaseGroup], counting: str) -> list[str]:
    """What becomes of those that failed, or are in doubt, and are not tried again."""
    failed = [one for one in causes if one.status == "failed"]
    doubtful = [one for one in causes if one.status in IN_DOUBT]
    put_off = [one for one in causes if one.status in ("pending", "unfinished")]
    return [
        *_named(f"stay failed{counting}", [one for one in failed if not one.accepted]),
        *_named("stay failed, accepted before", [one for one in failed if one.accepted]),
        *_named("stay in doubt until their journals or `ledger resolve` say more", doubtful),
        *_named("wait for another attempt", put_off),
    ]


def _named(what: str, causes: Sequence[DatabaseGroup]) -> list[str]:
    """`what` with its databases, and a line for each cause."""
    if not causes:
        return []
    number = number_of(sum(one.databases for one in causes), "database")
    lines = [f"{what}: {number}"]
    lines += [f"  {_names(one.examples, one.databases)}{why(one)}" for one in causes[:CAUSES_SHOWN]]
    if len(causes) > CAUSES_SHOWN:
        rest = causes[CAUSES_SHOWN:]
        lines.append(f"  {sum(one.databases for one in rest):,} more, of other causes")
    return lines


def _names(names: Sequence[str], number: int) -> str:
    from ledger.domain.refusals import listed

    shown = listed(names)
    return f"{shown} and {number - len(names):,} more" if number > len(names) else shown


def why(cause: DatabaseGroup) -> str:
    """What went wrong, behind a colon; nothing where nobody knows."""
    return f": {cause.problem}" if cause.problem else ""
