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
from ledger.cli.rollout.progress import BACKWARDS, display, words
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.service.status import RolloutStatus

BUSY = ("ordered", "running", "rolling_back")
"""States in which an agent may be at work on a database."""
ENDED = ("completed", "rolled_back", "aborted")
STILL = ("halted", "paused")
"""A rollout in one of these stays as it is until a person speaks, once nothing runs any more."""


async def stay(
    session: Session, rollout: str, waiting: WaitOptions, output: Output, wanted: str | None = None
) -> ExitCode:
    """Stay with `rollout` until it ends or the person leaves.

    `wanted` is the good ending: what the rollout is on its way to, unless it is named.
    """
    if not waiting.wait:
        return await _only_recorded(session, rollout, output)
    patience = asyncio.timeout(waiting.timeout)
    try:
        async with patience, at_work(session):
            if not await session.ledger.leader():
                return await _only_recorded(session, rollout, output)
            before = await session.ledger.rollouts.course(rollout)
            status = await _watch(session, rollout)
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
    conclude(status, output)
    return ending(status, wanted or ("rolled_back" if before.status in BACKWARDS else "completed"))


async def _watch(session: Session, rollout: str) -> RolloutStatus:
    """The last status: of a rollout that ended, or that stands still until a person speaks."""
    with display() as shown:
        async for status in session.ledger.rollouts.watch(rollout):
            shown.show(status)
            if status.status in ENDED or _stands_still(status):
                break
    return status


def _stands_still(status: RolloutStatus) -> bool:
    return status.status in STILL and not any(status.counts.get(state) for state in BUSY)


def conclude(status: RolloutStatus, output: Output) -> None:
    """Write the last status as data, and say what can be done about a bad ending."""
    counts = ", ".join(f"{count} {words(state)}" for state, count in status.counts.items() if count)
    why = f" ({status.why})" if status.why else ""
    output.record(
        "rollout.status",
        status.document(),
        escaped(f"rollout {status.rollout} {words(status.status)}{why}: {counts}"),
    )
    if status.status == "halted":
        rollout = status.rollout
        say(
            f"See `ledger rollout status {rollout}`; then `ledger rollout retry {rollout}`, "
            f"`ledger rollout resume {rollout}`, `ledger rollout rollback {rollout}` or "
            f"`ledger rollout abort {rollout}`."
        )


def ending(status: RolloutStatus, wanted: str) -> ExitCode:
    """The exit code of a rollout that ended so, where `wanted` was the good ending."""
    troubles: Collection[str] = ("failed", "rollback_failed", "blocked", "unknown")
    if wanted == "rolled_back":
        troubles = ("rollback_failed", "blocked", "unknown")
    clean = not any(status.counts.get(state) for state in troubles)
    return ExitCode.OK if status.status == wanted and clean else ExitCode.HALTED


async def _only_recorded(session: Session, rollout: str, output: Output) -> ExitCode:
    """What there is to say when nobody here works or waits."""
    leader = await session.ledger.leader()
    status = await session.ledger.rollouts.status(rollout, limit=0)
    output.record(
        "rollout.status",
        status.document(),
        f"rollout {rollout} is recorded, {words(status.status)}",
    )
    if leader:
        say(await _how_to_go_on(session, rollout))
        return ExitCode.OK
    say("Nobody leads, so nothing happens until `ledger serve` runs; the rollout stays recorded.")
    return ExitCode.NO_LEADER


async def _how_to_go_on(session: Session, rollout: str) -> str:
    """Whether the rollout goes on by itself, and the commands that a person who leaves it needs."""
    from ledger.domain.waiting import TAKE_OVER

    leader = await session.ledger.leader()
    commands = (
        f"Watch: `ledger rollout watch {rollout}`, pause: `ledger rollout pause {rollout}`, "
        f"abort: `ledger rollout abort {rollout}`."
    )
    if leader and leader.is_silent:
        return (
            f"Nothing goes on: {leader.name} leads and {leader.silence}. "
            f"`{TAKE_OVER}` leads in its place. {commands}"
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
