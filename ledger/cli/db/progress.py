"""Tells on stderr what happens on one database while it happens."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.cli.app.output import say
from ledger.cli.db.target import DatabaseOptions, connection_of
from migrations import standalone
from migrations.backfill.progress import ProgressThrottle, progress_text
from migrations.clock import SYSTEM_CLOCK
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.phases import held_back
from migrations.model.work import BatchProgress, Silence

LONG_MS = 500
"""A statement that took so long is worth a line of its own."""


async def say_held_back(place: DatabaseOptions, held: Sequence[Migration], target: str) -> None:
    """Say which phases did not go and are not applied."""
    if not held:
        return
    found = await standalone.status(connection_of(place), held, target=target)
    applied = {line.version for line in found.lines if line.standing is standalone.Standing.APPLIED}
    for one in held:
        if one.version not in applied:
            say(held_back(one.label, one.phase))


class Telling(Silence):
    """One line per migration, per wait, and per statement that took long; and how data moves."""

    def __init__(self) -> None:
        self._pace = ProgressThrottle(SYSTEM_CLOCK.now())

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Say what is waited for."""
        again = f", next try in {retry_in_s:.1f} s" if retry_in_s is not None else ""
        say(f"  waiting: {what} (for {since_s:.0f} s){again}")

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """Say which migration begins."""
        self._pace = ProgressThrottle(SYSTEM_CLOCK.now())
        say(f"{direction} {migration.label}")
        if direction is Direction.UP:
            for note in migration.notes:
                say(f"  note: {note}")

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        """Say how far a data migration is, now and then."""
        if self._pace.due(progress, SYSTEM_CLOCK.now()):
            say(f"  {progress_text(progress.rows, progress.total, progress.left_s)}")

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Say that a long statement is through."""
        if duration_ms >= LONG_MS:
            say(f"  statement {index} of {total}: {statement.summary} ({duration_ms / 1000:.1f} s)")
