"""In one-process mode, the command that waits for work does it; and what is said of long work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ledger.cli.app.command import Session
from ledger.cli.app.output import say
from ledger.domain.wording import number_of
from migrations.clock import SYSTEM_CLOCK, Clock

TOLD_EVERY_S = 5.0
NOBODY_LOOKS = "nobody leads, so nobody looks until `ledger serve` runs; it stays recorded"
"""What is wrong where databases are to be looked at, and others are to lead."""


def told_now_and_then(clock: Clock = SYSTEM_CLOCK) -> Callable[[int, int], None]:
    """What says how far a walk through the log is; nothing of one that is short."""
    due = clock.monotonic() + TOLD_EVERY_S

    def told(reached: int, end: int) -> None:
        nonlocal due
        if clock.monotonic() >= due and reached < end:
            due = clock.monotonic() + TOLD_EVERY_S
            say(f"{reached:,} of {number_of(end, 'event')} are read")

    return told


def say_heard(answered: int, total: int) -> None:
    """Say how many databases have answered, to whoever waits for the rest."""
    say(f"{answered:,} of {number_of(total, 'database')} have answered")


@asynccontextmanager
async def at_work(
    session: Session, out_of_time: Callable[[], bool] = lambda: False
) -> AsyncIterator[Callable[[], None]]:
    """In one-process mode, lead and work until the block ends; else somebody else does.

    What is yielded has whatever runs here cancelled instead of letting it finish.

    When the block is cancelled, what runs may finish; when that was because it is `out_of_time`,
    what runs is cancelled and taken back at once, as by a second Ctrl-C.
    """
    from ledger.runtime import working
    from ledger.settings import Transport

    if session.settings.transport is Transport.KAFKA:
        yield lambda: None
        return
    async with working(session.ledger, session.settings) as cut_short:
        try:
            yield cut_short
        except asyncio.CancelledError:
            if out_of_time():
                cut_short()
                raise
            say("Letting what runs finish; Ctrl-C again cuts it short.")
            raise
