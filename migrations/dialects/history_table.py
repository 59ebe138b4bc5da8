"""The other tool's own table of history, which some of its migrations name.

    GRANT SELECT ON schema_migrations TO reporting;

Our journal keeps history elsewhere, so that table is not there. A migration that names it says so
in its notes; a folder that needs the table is read with the dialect `NAME+table` (`--dialect
dbmate+table`): every section that names the table then begins by making an empty one that looks the
same, where there is none. Checksums stay those of the files, so nothing else depends on the choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from migrations.dialects import Dialect, Reading
from migrations.labels import tables
from migrations.migration import Migration, Section, SourceFile, Statement
from migrations.statements import split


@dataclass(frozen=True, slots=True)
class HistoryTable:
    """What a tool keeps its history in; `columns` as SQL."""

    name: str
    columns: str

    def noted(self, migration: Migration) -> Migration:
        """The migration, with a note if it names the table."""
        statement = _first(migration, self.name)
        if statement is None:
            return migration
        note = self._advice(migration, statement)
        return replace(migration, notes=(*migration.notes, note))

    def made(self, migration: Migration) -> Migration:
        """The migration, which makes the table before it is named."""
        statement = _first(migration, self.name)
        if statement is None:
            return migration
        advice = self._advice(migration, statement)
        note = (
            f"{migration.files[0].name}:{statement.line}: names {self.name}; an empty one is made "
            "first, where there is none"
        )
        down = self._before(migration.down) if migration.down else None
        up = self._before(migration.up)
        notes = (*(one for one in migration.notes if one != advice), note)
        return replace(migration, up=up, down=down, notes=notes)

    def kept_by(self, dialect: Dialect) -> Dialect:
        """The dialect that makes the table."""
        return WithHistoryTable(dialect, (self,))

    def _advice(self, migration: Migration, statement: Statement) -> str:
        return (
            f"{migration.files[0].name}:{statement.line}: names {self.name}, in which the "
            "old tool keeps its own history and we do not; where it is missing, read the folder "
            f"with --dialect {migration.dialect}+table"
        )

    def _before(self, section: Section) -> Section:
        first = next((one for one in section.statements if _names(one, self.name)), None)
        if first is None or section.batches is not None:
            return section
        named = tables(first.text)
        called = next((name for name in named if _is(name, self.name)), self.name)
        sql = f"CREATE TABLE IF NOT EXISTS {called} ({self.columns})"
        (made,) = split(sql, file="", first_line=first.line)
        return replace(section, statements=(made, *section.statements))


@dataclass(frozen=True, slots=True)
class WithHistoryTable:
    """A dialect as it is, plus an empty look-alike of its tool's own table; never guessed."""

    inner: Dialect
    tables: tuple[HistoryTable, ...]

    @property
    def name(self) -> str:
        """The dialect's, with a suffix."""
        return f"{self.inner.name}+table"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """What the dialect claims."""
        return self.inner.claims(names)

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """False: a person asks for it."""
        return False

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """What the dialect loads, with the table. Raises LoadError."""
        loaded = self.inner.load(files, reading)
        return [self._made(migration) for migration in loaded]

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """What the dialect rebuilds, with the table. Raises LoadError."""
        rebuilt = self.inner.rebuild(version, name, files, reading)
        return self._made(rebuilt)

    def _made(self, migration: Migration) -> Migration:
        for table in self.tables:
            migration = table.made(migration)
        return replace(migration, dialect=self.name)


def _first(migration: Migration, table: str) -> Statement | None:
    sections = (section for section in (migration.up, migration.down) if section)
    found = (one for section in sections for one in section.statements if _names(one, table))
    return next(found, None)


def _names(statement: Statement, table: str) -> bool:
    """Whether it names the table, also in a body that the grammar does not look into."""
    return table in statement.text and bool(_word(table).search(statement.text))


@cache
def _word(table: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(table)}(?!\w)")


def _is(name: str, table: str) -> bool:
    return name.rpartition(".")[2] == table
