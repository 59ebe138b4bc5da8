"""node-pg-migrate's SQL files: `1700000000000_name.sql` with `-- Up Migration` and a way back.

    -- Up Migration
    CREATE TABLE …
    -- Down Migration
    DROP TABLE …

- The markers' case does not matter, nor what stands behind them on their line.
- A file without markers is an up. Without Down the migration cannot be undone.
- A Down without an Up is an error: node-pg-migrate would run both as the up.
- The version is the number that the name begins with, be it a time, a date or a count.
- Migrations in JavaScript and TypeScript are refused by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrations.errors import MarkerError
from migrations.formats import Reading
from migrations.formats.encoding import legible
from migrations.formats.folder_reader import SqlFolderReader
from migrations.formats.history_table import HistoryTable
from migrations.formats.marker_lines import DOWN, OTHER_TOOLS, UP, MarkerLine, ways
from migrations.formats.naming import base_name, is_sql, named, ordered, refuse_programs
from migrations.formats.native import is_ours
from migrations.formats.sections import assemble, build
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, SourceFile

_MARKER = re.compile(
    r"^[ \t]*--[ \t-]*(?P<way>up|down)[ \t]+migration\b[^\n]*$", re.IGNORECASE | re.MULTILINE
)
_UP = re.compile(rb"^[ \t]*--[ \t-]*up[ \t]+migration\b", re.IGNORECASE | re.MULTILINE)
_NAME = re.compile(r"([0-9]+)[_. -](?!.*\.(?:up|down)\.sql$)(.+)\.sql", re.IGNORECASE | re.DOTALL)
_NAME_REMEDY = "Name it like 1700000000000_add-users.sql: a number, an underscore, a description"

HISTORY = HistoryTable(
    "pgmigrations",
    "id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL DEFAULT now()",
)


class NodePgMigrate(SqlFolderReader):
    """Reads one file per migration."""

    name = "node-pg-migrate"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file bears the marker of an Up, and none the mark of another tool."""
        sql = [file for file in files if is_sql(file.name) and not is_ours(file)]
        if any(OTHER_TOOLS.search(file.content) for file in sql):
            return False
        named = [file for file in sql if _NAME.fullmatch(base_name(file.name))]
        return any(_UP.search(file.content) for file in named)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        loaded = [_migration(file, self.name, reading) for file in files]
        return ordered([HISTORY.noted(migration) for migration in loaded])


def _migration(file: SourceFile, format: str, reading: Reading) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(one, format, reading), _MARKER, _MARKER
    )


def _whole(file: SourceFile, format: str, reading: Reading) -> Migration:
    said = named(file, _NAME, _NAME_REMEDY)
    read = legible(file)
    marks = [
        MarkerLine.of(found["way"].capitalize(), found) for found in _MARKER.finditer(read.text)
    ]
    if not marks:
        marks = [MarkerLine(UP, "", 0, 0)]
    sections = ways(file, read, marks)
    if UP not in sections:
        raise MarkerError(
            file.name,
            sections[DOWN].line - 1,
            f"`{marks[0].written}` without an Up, so that all of the file would run as the up",
            "Write `-- Up Migration` above the SQL that goes up",
        )
    built = {way: build(body, reading) for way, body in sections.items()}
    return assemble((said.group(1), said.group(2)), format, file, built)


FORMATS = (NodePgMigrate(), HISTORY.kept_by(NodePgMigrate()))
"""As it is, and with a look-alike of node-pg-migrate's own table."""
