"""golang-migrate's files: `1_name.up.sql` and `1_name.down.sql`, one section per file.

- The version is the number before the first underscore; order is by number, 2 before 10.
- Down may be missing: then the migration cannot be undone. A down without its up is an error.
- A file may be empty or hold only comments: a migration that does nothing. Each file is one
  transaction, unless a statement in it cannot run in one; its checksum is that of its raw bytes.
- Where files for several kinds of servers stand side by side, `migrations.formats.pairs` says
  which one counts.
- Behind `.up` or `.down` any ending will do (`1_name.up.pgsql`), as it does for golang-migrate.
- A file that is no half of a pair and has no version is not a migration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrations.errors import FileNameError
from migrations.formats import Reading
from migrations.formats.folder_reader import FolderReader
from migrations.formats.history_table import SQLX, HistoryTable, WithHistoryTable
from migrations.formats.naming import base_name, is_program, is_sql, ordered, refuse_programs
from migrations.formats.native import is_ours
from migrations.formats.pairs import ANY_ENDING, Half, half, paired
from migrations.model.migration import Migration, SourceFile

_NAME = re.compile(r"([0-9]+)_(.*)", re.DOTALL)
_PAIRED = re.compile(r"[0-9]+_.*\.(?:up|down)\..+", re.IGNORECASE | re.DOTALL)
_NUMBERED = re.compile(
    r"[0-9].*\.sql|.*\.(?:up|down)\.sql|[0-9]+_.*\.(?:up|down)\..+", re.IGNORECASE | re.DOTALL
)
_VERSION_FOLDER = re.compile(r"(?:.*/)?[0-9][^/]*/(?:migration|up|down)\.sql$", re.IGNORECASE)
_NAME_REMEDY = (
    "Name the pair like 000001_add_users.up.sql and 000001_add_users.down.sql; files of another "
    "form are read with --format plain"
)

HISTORY = HistoryTable(
    "schema_migrations", "version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL"
)


class GolangMigrate(FolderReader):
    """Reads one or two files per migration."""

    name = "golang-migrate"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.sql` files of the folder itself; programs and folders too, to refuse them."""
        return [
            name
            for name in names
            if (
                _VERSION_FOLDER.match(name)
                if "/" in name
                else is_sql(name) or is_program(name) or _PAIRED.fullmatch(name)
            )
        ]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether every file with a version is half of a pair; the names are the marks.

        Files of our own format may stand among them.
        """
        if any(_VERSION_FOLDER.match(file.name) for file in files):
            return False
        numbered = [
            base_name(file.name)
            for file in files
            if _NUMBERED.fullmatch(base_name(file.name)) and not is_ours(file)
        ]
        return bool(numbered) and all(map(_PAIRED.fullmatch, numbered))

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per version. Raises LoadError."""
        refuse_programs(files, self.name)
        halves = [found for file in files if (found := _half(file)) is not None]
        loaded = ordered(paired(halves, self.name, reading))
        return [SQLX.noted(HISTORY.noted(migration)) for migration in loaded]


def _half(file: SourceFile) -> Half | None:
    base = base_name(file.name)
    found = half(file, base, _named, ANY_ENDING)
    if found is None and (_NUMBERED.fullmatch(base) or _VERSION_FOLDER.match(file.name)):
        raise FileNameError(file.name, None, "the file is no half of a pair", _NAME_REMEDY)
    return found


def _named(stem: str) -> tuple[str, str] | None:
    found = _NAME.fullmatch(stem)
    return (found.group(1), found.group(2)) if found else None


FORMATS = (GolangMigrate(), WithHistoryTable(GolangMigrate(), (HISTORY, SQLX)))
"""As it is, and with look-alikes of golang-migrate's own table, and of sqlx's for its pairs."""
