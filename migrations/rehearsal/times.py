"""How long statements take, heard while they run."""

from __future__ import annotations

from migrations.model.migration import Direction, Migration, Statement
from migrations.model.work import Silence
from migrations.rehearsal.results import StatementTime


def file_of(migration: Migration) -> str:
    """The file by which a migration is known."""
    return migration.files[0].name if migration.files else ""


class StatementTimes(Silence):
    """Hears how long statements take."""

    def __init__(self) -> None:
        self.found: list[StatementTime] = []
        self._direction = Direction.UP

    def step_started(self, migration: Migration, direction: Direction) -> None:
        """Remember which way it goes."""
        self._direction = direction

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Keep the time."""
        section = migration.section(self._direction)
        file = (section.file if section is not None else "") or file_of(migration)
        self.found.append(
            StatementTime(self._direction, file, statement.line, statement.summary, duration_ms)
        )
