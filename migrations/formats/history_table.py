"""The other tool's own table of history, which some of its migrations name.

    GRANT SELECT ON schema_migrations TO reporting;

Our journal keeps history elsewhere, so that table is not there. A migration that names it says so
in its notes; a folder that needs the table is read with the format `NAME+table` (`--format
dbmate+table`): every section that names the table then begins by making an empty one that looks the
same, where there is none. Checksums stay those of the files, so nothing else depends on the choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from migrations.formats import Format, Reading
from migrations.model.migration import (
    Language,
    Migration,
    Program,
    Section,
    SourceFile,
    Statement,
)
from migrations.sql.psql_files import expanded
from migrations.sql.statements import split
from migrations.sql.summary import tables


@dataclass(frozen=True, slots=True)
class HistoryTable:
    """What a tool keeps its history in; `columns` as SQL.

    With a `schema` the table is always in that one, which is made too; without a `name` it stands
    for the schema alone.
    """

    name: str
    columns: str
    schema: str = ""

    @property
    def called(self) -> str:
        """How statements name it, and people."""
        if not self.name:
            return f"schema {self.schema}"
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def noted(self, migration: Migration) -> Migration:
        """The migration, with a note if it names the table."""
        place = _first(migration, self.called)
        if place is None:
            return migration
        return replace(migration, notes=(*migration.notes, self._advice(migration, place)))

    def made(self, migration: Migration) -> Migration:
        """The migration, which makes the table before it is named."""
        place = _first(migration, self.called)
        if place is None:
            return migration
        advice = self._advice(migration, place)
        note = f"{place}: names {self.called}; an empty one is made first, where there is none"
        down = self._before(migration.down) if migration.down else None
        up = self._before(migration.up)
        notes = (*(one for one in migration.notes if one != advice), note)
        return replace(migration, up=up, down=down, notes=notes)

    def kept_by(self, format: Format) -> Format:
        """The format that makes the table."""
        return WithHistoryTable(format, (self,))

    def _advice(self, migration: Migration, place: str) -> str:
        return (
            f"{place}: names {self.called}, in which the old tool keeps its own history and we do "
            f"not; where it is missing, read the folder with --format {migration.format}+table"
        )

    def _before(self, section: Section) -> Section:
        program = section.program
        if program is not None and program.language is Language.PSQL:
            if _line_in(program, self.called) is None:
                return section
            written = _qualified(self.name).search(expanded(program)) if self.name else None
            before = f"{program.before}{self._sql(written.group() if written else '')}\n"
            return replace(section, program=replace(program, before=before))
        first = next((one for one in section.statements if _names(one, self.called)), None)
        if first is None or section.batches is not None:
            return section
        found = () if self.schema else tables(first.text)
        called = next((name for name in found if name.rpartition(".")[2] == self.name), "")
        made = split(self._sql(called), file="", first_line=first.line)
        return replace(section, statements=(*made, *section.statements))

    def _sql(self, called: str) -> str:
        """What makes it where a statement, or a script, looks for it by this name."""
        schema = f"CREATE SCHEMA IF NOT EXISTS {self.schema};" if self.schema else ""
        if not self.name:
            return schema
        name = self.called if self.schema else called or self.called
        return f"{schema} CREATE TABLE IF NOT EXISTS {name} ({self.columns});"


@dataclass(frozen=True, slots=True)
class WithHistoryTable:
    """A format as it is, plus an empty look-alike of its tool's own table; never guessed."""

    inner: Format
    tables: tuple[HistoryTable, ...]

    @property
    def name(self) -> str:
        """The format's, with a suffix."""
        return f"{self.inner.name}+table"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """What the format claims."""
        return self.inner.claims(names)

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """False: a person asks for it."""
        return False

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """What the format loads, with the table. Raises LoadError."""
        loaded = self.inner.load(files, reading)
        return [self._made(migration) for migration in loaded]

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """What the format rebuilds, with the table. Raises LoadError."""
        rebuilt = self.inner.rebuild(version, name, files, reading)
        return self._made(rebuilt)

    def _made(self, migration: Migration) -> Migration:
        for table in self.tables:
            migration = table.made(migration)
        return replace(migration, format=self.name)


def _first(migration: Migration, table: str) -> str | None:
    """The file and the line of the first statement that names it, or of a psql script's line."""
    for section in (migration.up, migration.down):
        if section is None:
            continue
        file = section.file or migration.files[0].name
        for one in section.statements:
            if _names(one, table):
                return f"{file}:{one.line}"
        program = section.program
        if program is not None and program.language is Language.PSQL:
            line = _line_in(program, table)
            if line is not None:
                return f"{program.file}:{line}"
    return None


def _line_in(program: Program, table: str) -> int | None:
    """The line of a script that names it; the first one where a script does that it includes."""
    found = _word(table).search(program.text)
    if found is None:
        return 1 if _word(table).search(expanded(program)) else None
    return program.text.count("\n", 0, found.start()) + 1


def _names(statement: Statement, table: str) -> bool:
    """Whether it names the table, also in a body that the grammar does not look into."""
    text = statement.text
    return table.rpartition(" ")[2] in text and bool(_word(table).search(text))


@cache
def _qualified(table: str) -> re.Pattern[str]:
    """What finds the name in a text that the grammar cannot read, with its schema as written."""
    return re.compile(rf"""(?:(?:"[^"\n]+"|(?<![\w$])[A-Za-z_]\w*)\.)?"?\b{re.escape(table)}\b"?""")


@cache
def _word(table: str) -> re.Pattern[str]:
    """What finds the name; `schema` before it may be written in any case, with any blanks."""
    schema, _, name = table.rpartition(" ")
    before = rf"(?i:{schema})\s+" if schema else ""
    return re.compile(rf"(?<!\w){before}{re.escape(name)}(?!\w)")


SQLX = HistoryTable(
    "_sqlx_migrations",
    "version bigint PRIMARY KEY, description text NOT NULL, "
    "installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, "
    "checksum bytea NOT NULL, execution_time bigint NOT NULL",
)
"""sqlx's, whose files bear no mark of their own: pairs, or plain ones."""
