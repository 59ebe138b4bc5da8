"""Tells on stderr what happens on one database while it happens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ledger.cli.app.output import say
from ledger.cli.db.target import DatabaseOptions, connection_of
from ledger.domain.wording import ageless
from ledger.wait_spans import WaitSpans
from migrations import standalone
from migrations.backfill.progress import ProgressThrottle, progress_text
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.attempt import FailureClass, Identity
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.phases import held_back
from migrations.model.work import BatchProgress, Silence, StepOutcome

LONG_MS = 500
"""A statement that took so long is worth a line of its own."""
WAIT_TOLD_AGAIN_S = 10.0
"""How long a wait goes on before it is told a second time; then twice as long each time."""
WAIT_TOLD_EVERY_S = 60.0
"""Somebody who looks now and then wants to see that it still waits."""


async def say_held_back(place: DatabaseOptions, held: Sequence[Migration], target: str) -> None:
    """Say which phases did not go and are not applied."""
    if not held:
        return
    found = await standalone.status(connection_of(place), held, target=target)
    applied = {line.version for line in found.lines if line.standing is standalone.Standing.APPLIED}
    for one in held:
        if one.version not in applied:
            say(held_back(one.label, one.phase))


class Telling(Silence, AbstractContextManager["Telling"]):
    """One line per migration, per wait, and per statement that took long; and how data moves.

    Each wait is a span, too; what is still waited for at the end of the block ends there.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._pace = ProgressThrottle(clock.now())
        self._waits_for = ""
        self._waited_s = self._tell_at = self._tell_after_s = 0.0
        self._spans = WaitSpans(clock)

    def __exit__(self, *error: object) -> None:
        """Nothing is waited for any more."""
        self._spans.end()

    def identified(self, identity: Identity, server_version: int, first_contact: bool) -> None:
        """Nothing is in the way of the session any more."""
        self._spans.end()

    def blocker_cancelled(self, by: str, waiting_s: float, said: str) -> None:
        """Trace it; what came of it is said with the wait."""
        self._spans.cut_short(waiting_s)

    def given_up(self, waiting_s: float) -> None:
        """Trace it; the failure that follows is said."""
        self._spans.cut_short(waiting_s, FailureClass.LOCK_TIMEOUT.value)

    def going_on(self) -> None:
        """What was waited for is there."""
        self._spans.end()

    def step_finished(self, outcome: StepOutcome) -> None:
        """A migration ended, and what it waited for."""
        self._spans.end()

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Say what is waited for: at once, and of a wait that goes on less and less often."""
        self._spans.begin(what, since_s)
        now = self._clock.monotonic()
        same = ageless(what) == self._waits_for and since_s >= self._waited_s
        self._waits_for, self._waited_s = ageless(what), since_s
        if same and now < self._tell_at:
            return
        longer_s = min(2 * self._tell_after_s, WAIT_TOLD_EVERY_S)
        self._tell_after_s = longer_s if same else WAIT_TOLD_AGAIN_S
        self._tell_at = now + self._tell_after_s
        again = f", next try in {retry_in_s:.1f} s" if retry_in_s is not None else ""
        say(f"  waiting: {what} (for {since_s:.0f} s){again}")

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """Say which migration begins."""
        self._spans.end()
        self._spans.belong_to_this()
        self._pace = ProgressThrottle(self._clock.now())
        say(f"{direction} {migration.label}")
        if direction is Direction.UP:
            for note in migration.notes:
                say(f"  note: {note}")

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        """Say how far a data migration is, now and then."""
        self._spans.end()
        if self._pace.due(progress, self._clock.now()):
            say(f"  {progress_text(progress.rows, progress.total, progress.left_s)}")

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Say that a long statement is through."""
        self._spans.end()
        if duration_ms >= LONG_MS:
            say(f"  statement {index} of {total}: {statement.summary} ({duration_ms / 1000:.1f} s)")
