"""Stays with a rollout until it ends: does the work in one-process mode, watches in the other.

Ctrl-C detaches and never aborts; whatever ends the stay, the person is told how to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from ledger.cli.app.command import Session
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import at_work
from ledger.cli.app.options import WaitOptions
from ledger.cli.app.output import Output, say
from ledger.cli.rollout.progress import ENDED, Attempt, display, relation
from ledger.domain.tally import AT_WORK, IN_DOUBT, state_words
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.service.plans import Plan
    from ledger.service.status import RolloutStatus

TROUBLES = ("failed", *IN_DOUBT)
STILL = ("halted", "paused")
"""A rollout in one of these stays as it is until a person speaks, once nothing runs any more."""


async def start_and_stay(
    session: Session, preview: Plan, waiting: WaitOptions, output: Output
) -> ExitCode:
    """Start the rollout that was shown and agreed to, and stay with it."""
    rollout = await session.ledger.rollouts.start(preview)
    say(f"rollout {rollout} started")
    return await stay(session, rollout, waiting, output)


async def stay(
    session: Session,
    rollout: str,
    waiting: WaitOptions,
    output: Output,
    *,
    known: Collection[Attempt] = (),
) -> ExitCode:
    """Stay with `rollout`, and with what takes it back, until it ends or the person leaves.

    Failures that were `known` before are not told again.
    """
    if not waiting.wait:
        return await _only_recorded(session, rollout, output)
    patience = asyncio.timeout(waiting.timeout)
    try:
        async with patience, at_work(session, patience.expired):
            if not await session.ledger.leader():
                return await _only_recorded(session, rollout, output)
            status = await _watch(session, rollout, known)
            undo = await _watch(session, status.undone_by) if status.undone_by else None
    except TimeoutError:
        # One that is not the person's own is a ledger that does not answer.
        if waiting.timeout is None or not patience.expired():
            raise
        say(f"{waiting.timeout:g} s have passed. {await _how_to_go_on(session, rollout)}")
        return ExitCode.TIMEOUT
    except asyncio.CancelledError:
        _stay_calm()
        say(f"Detached; nothing is aborted. {await _how_to_go_on(session, rollout)}")
        return ExitCode.INTERRUPTED
    halted = status.status == "halted"
    way_back = halted and await session.ledger.rollouts.may_go_back(rollout)
    conclude(status, output, undo, way_back=way_back)
    return ending(status)


async def _watch(session: Session, rollout: str, known: Collection[Attempt] = ()) -> RolloutStatus:
    """The last status: of a rollout that ended, or that stands still until a person speaks.

    A ledger whose database is away for a moment is waited for.
    """
    from ledger.service.absence import looked_through

    with display(known) as shown:
        looks = looked_through(
            lambda: session.ledger.rollouts.watch(rollout), say, SYSTEM_CLOCK, SYSTEM_CHANCE
        )
        async for status in looks:
            shown.show(status)
            if is_over(status):
                break
    return status


def is_over(status: RolloutStatus) -> bool:
    """Whether it ended, or stands still until a person speaks."""
    still = status.status in STILL and not status.tally.of(*AT_WORK)
    return status.status in ENDED or still


def conclude(
    status: RolloutStatus,
    output: Output,
    undo: RolloutStatus | None = None,
    *,
    way_back: bool = True,
) -> None:
    """Write the last status as data, and say what can be done about a bad ending.

    `undo` is that of the rollout that takes it back, where one does. Without a `way_back`, for
    example because a migration has no Down, none is suggested.
    """
    document, lines = status.document(), [_ended_so(status)]
    if undo is not None:
        document |= {"undo": undo.document()}
        lines.append(_ended_so(undo))
    output.record("rollout.status", document, "\n".join(map(escaped, lines)))
    last = undo or status
    if last.status == "halted":
        rollout = last.rollout
        again = f"`ledger rollout retry {rollout}`, " if _may_retry(last) else ""
        back = f", `ledger rollout rollback {rollout}`" if way_back and not last.undoes else ""
        say(
            f"See `ledger rollout status {rollout}`; then {again}"
            f"`ledger rollout resume {rollout}`{back} or `ledger rollout abort {rollout}`."
        )
    elif last.tally.of(*TROUBLES):
        helps = dict.fromkeys(one.helps for one in last.databases if one.status in TROUBLES)
        commands = " or ".join(f"`{one}`" for one in helps if one)
        then = f"; then {commands}" if commands else ""
        say(f"See `ledger rollout status {last.rollout}` for what failed, and why{then}.")


def _may_retry(status: RolloutStatus) -> bool:
    """Whether a retry would not be refused: none is suggested where the fleet let all of it go."""
    failed = [one for one in status.databases if one.status in TROUBLES]
    lost = [one for one in failed if one.status == "failed" and "rollout retry" not in one.helps]
    return not failed or len(lost) < len(failed)


def _ended_so(status: RolloutStatus) -> str:
    counts = status.tally.text(status.mode)
    why = f" ({status.why})" if status.why else ""
    beside = relation(status.undoes, status.undone_by)
    return f"rollout {status.rollout} {state_words(status.status)}{why}{beside}: {counts}"


def ending(status: RolloutStatus) -> ExitCode:
    """The exit code of a rollout that ended so."""
    clean = not status.undone_by and not status.tally.of(*TROUBLES)
    return ExitCode.OK if status.status == "completed" and clean else ExitCode.HALTED


async def _only_recorded(session: Session, rollout: str, output: Output) -> ExitCode:
    """What there is to say when nobody here works or waits."""
    leader = await session.ledger.leader()
    status = await session.ledger.rollouts.status(rollout, limit=0)
    output.record(
        "rollout.status",
        status.document(),
        f"rollout {rollout} is recorded, {state_words(status.status)}",
    )
    if leader:
        say(await _how_to_go_on(session, rollout))
        return ExitCode.OK
    return output.error(
        "nobody leads, so nothing happens until `ledger serve` runs; the rollout stays recorded",
        ExitCode.NO_LEADER,
    )


async def _how_to_go_on(session: Session, rollout: str) -> str:
    """Whether the rollout goes on by itself, and the commands that a person who leaves it needs."""
    from ledger.domain.waiting import TAKE_OVER
    from ledger.service.absence import AWAY, told

    commands = (
        f"Watch: `ledger rollout watch {rollout}`, pause: `ledger rollout pause {rollout}`, "
        f"abort: `ledger rollout abort {rollout}`."
    )
    try:
        leader = await session.ledger.leader()
        course = await session.ledger.rollouts.course(rollout) if leader else None
    except AWAY as lost:
        return f"{told(lost)}, so nobody can say whether the rollout goes on. {commands}"
    if leader and leader.is_silent:
        return (
            f"Nothing goes on: {leader.name} leads and {leader.silence}. "
            f"`{TAKE_OVER}` leads in its place. {commands}"
        )
    if leader and course and course.status in STILL:
        return (
            f"The rollout is {state_words(course.status)}, {leader.name} leads: what runs "
            f"finishes, and nothing else is ordered. See `ledger rollout status {rollout}`, go "
            f"on: `ledger rollout resume {rollout}`, abort: `ledger rollout abort {rollout}`."
        )
    if leader:
        return f"The rollout goes on, {leader.name} leads. {commands}"
    return (
        "The work stopped with this process, cleanly, for nobody else leads; "
        f"`ledger rollout watch` or `ledger serve` carries it on. {commands}"
    )


def _stay_calm() -> None:
    """Take the cancellation back: this command ends in its own words."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
