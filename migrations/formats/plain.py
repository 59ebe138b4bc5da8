"""Plain SQL in order: no marks, the names alone say what is what.

    001_name.sql  2023-01-26.0-name.sql  001 a name.sql     an up, one file per version
    001_name.up.sql, 001_name.down.sql                      a pair
    001.do.sql, 001.undo.sql  1-a-up.sql, 1-a-down.sql      a pair, of postgrator and db-migrate
    0001.a.sql, 0001.a.rollback.sql                         a pair, of yoyo
    20260102030405_name/migration.sql                       a folder per version, also with down.sql
    2026-01-02-030405_name/up.sql, …/down.sql               the same, as a pair
    0000_name.sql with meta/_journal.json                   the journal gives the order

- Versions are compared number by number, dates with and without dashes alike. A `.sql` file that
  carries none is an error; beside folders with versions it is left alone, with a note.
- `-- no-transaction` as the first line does what it says, and so do what Atlas, Migratus, Evolve
  and others write among the first comments (`migrations.formats.pairs`),
  `-- postgres-migrations disable-transaction` on any line and `run_in_transaction = false` in
  Diesel's `metadata.toml`. A file that uses a value which it adds
  to an enum runs step by step. A line `--> statement-breakpoint` (Drizzle) or `--;;` (Migratus)
  ends a statement.
- `-- atlas:checkpoint` among the first comments makes a baseline: on a database without history it
  runs in the place of everything before it, and never elsewhere.
- Of `001_name.postgres.sql` and `001_name.mysql.sql` ours counts: `migrations.formats.pairs`.
- Folders with a `migration.sql` whose versions are dates or times run in the order of their names,
  as Prisma has it: a date alone comes behind the times of its day. Those with an `up.sql` run in
  the order of their dates as text, as Diesel has it: `2020-12-7` comes behind `2020-12-15`.
- Where Drizzle's journal lists two files of one number, or two of Prisma's folders have one time,
  the whole names are the versions of both; elsewhere that is an error.
- A BEGIN that nothing commits is left out: sqlx and Diesel, which have no marks, have begun a
  transaction before, and commit it.
- A file may be empty or hold only comments: a migration that does nothing.
- Files of our own format may stand among them, if the folder did not begin with one: in a folder
  that did, a file without markers is one of ours whose markers are missing, and an error.
- In a file that is no half of a pair, a line that looks like the section marker of a tool is an
  error, because without that tool the SQL below it would run with everything else.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from migrations.formats import Reading, only
from migrations.formats.baseline_marker import is_baseline
from migrations.formats.diesel_metadata import METADATA, runs_in_transaction
from migrations.formats.golang_migrate import GolangMigrate
from migrations.formats.graphile import GraphileMigrate
from migrations.formats.history_table import SQLX, HistoryTable, WithHistoryTable
from migrations.formats.naming import (
    PARTS,
    SUFFIX,
    WHOLE,
    apart,
    base_name,
    is_program,
    is_program_part,
    is_sql,
    ordered,
    refuse_programs,
    with_strays,
    without_version,
)
from migrations.formats.native import is_ours
from migrations.formats.node_pg_migrate import NodePgMigrate
from migrations.formats.ordering_file import JOURNAL, by_journal, unnamed
from migrations.formats.pairs import Half, body_of, half, named_server, paired, taken_back
from migrations.formats.play import PlayEvolutions
from migrations.formats.section_lines import refuse_section_lines
from migrations.formats.sections import Body
from migrations.formats.tern import Tern
from migrations.model.migration import Migration, SourceFile
from migrations.model.version import NAME_REMEDY, version_and_name, version_key

_DATED = re.compile(
    r"([0-9]{4}[-_][0-9]{2}[-_][0-9]{2}(?:[.T_-][0-9]+(?![0-9A-Za-z]))*)(?:[-_. ]+(.+))?",
    re.DOTALL,
)
_LONG = re.compile(r"[0-9]{8}")
"""Of versions that begin so, the order of names is that of dates and times."""
_SPACED = re.compile(r"([vV]?[0-9]+(?:\.[0-9]+)*)[ .]+(?![0-9.]+\Z)(.+)", re.DOTALL)
_OTHER_TOOLS = re.compile(
    rb"^[ \t]*--+[ \t]*(?:\+[ \t]*(?:migrate|goose)\b|migrate:(?:up|down)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_BREAKPOINT = re.compile(r"^--(?:> statement-breakpoint\b|;;[ \t]*\r?$)", re.MULTILINE)
_BREAKPOINT_BEHIND = re.compile(r"--> statement-breakpoint[ \t]*\r?$", re.MULTILINE)
_CHECKPOINT = re.compile(rb"(?:--[^\n]*\n)*?--[ \t]*atlas:checkpoint\b")
_FLYWAY = re.compile(r"[VURB][0-9._]*__", re.IGNORECASE)

DIESEL = HistoryTable(
    "__diesel_schema_migrations",
    "version varchar(50) PRIMARY KEY, run_on timestamp NOT NULL DEFAULT current_timestamp",
)
PRISMA = HistoryTable(
    "_prisma_migrations",
    "id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, "
    "migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, "
    "started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0",
)
HISTORIES = (DIESEL, PRISMA, SQLX)
"""Of the tools without marks, these have tables that files name."""


_NARROWER = (GolangMigrate(), GraphileMigrate(), NodePgMigrate(), Tern(), PlayEvolutions())
"""Formats whose files have names that would do here."""
_STRAY = "carries no version among folders that do"


class Plain:
    """Reads one or two files per migration, by name."""

    name = "plain"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.sql` files of the folder and those of folders with a version, and their journal."""
        return [name for name in names if name.endswith(JOURNAL) or _is_migration(name)]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file carries a version, and none the mark of a tool.

        Files of our own format may stand among them.
        """
        sql = [file for file in files if is_sql(file.name)]
        marked = [file for file in sql if _OTHER_TOOLS.search(file.content)]
        if len(marked) == len(sql) or any(other.detect(sql) for other in _NARROWER):
            return False
        if any(_FLYWAY.match(base_name(file.name)) for file in sql):
            return False
        return all(map(is_ours, marked)) and _begins_plainly(sql, marked)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per version. Raises LoadError."""
        journal = next((file for file in files if file.name.endswith(JOURNAL)), None)
        if journal is None:
            refuse_programs(files, self.name)
        sql = [file for file in files if is_sql(file.name)]
        strays = [file for file in sql if _is_stray(file.name)] if _in_folders(sql) else []
        left_alone = dict.fromkeys((file.name for file in strays), _STRAY)
        if journal:
            strays = unnamed(sql, journal)
            programs = [file for file in files if is_program(file.name)]
            left_alone = {file.name: f"is not in {journal.name}" for file in (*strays, *programs)}
        kept = [file for file in sql if file not in strays]
        metadata = {posixpath.dirname(one.name): one for one in files if _is_metadata(one.name)}
        loaded = [
            _with_metadata(migration, metadata)
            for migration in paired(_halves(kept), self.name, reading, _reader(metadata))
        ]
        of_prisma = all(base_name(one.files[0].name).lower() == WHOLE for one in loaded)
        if journal or of_prisma:
            loaded = apart(loaded, _stem)
        loaded = ordered(loaded)
        if of_prisma and all(_LONG.match(one.version) for one in loaded):
            loaded.sort(key=_stem)
        elif all(_is_of_diesel(one) for one in loaded):
            loaded.sort(key=lambda one: one.version.replace("-", ""))
        noted = [_noted(migration) for migration in loaded]
        found = by_journal(noted, journal) if journal else noted
        return with_strays(_with_checkpoints(found), left_alone)

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The migration of its own files. Raises LoadError."""
        found = only(self.load(files, reading), files)
        return replace(found, version=version, name="") if version == _stem(found) else found


def _begins_plainly(sql: Sequence[SourceFile], ours: Sequence[SourceFile]) -> bool:
    """Whether the first file with a version is none of `ours`; baselines are not counted."""
    own = {file.name for file in ours}
    written = [file for file in sql if file.name not in own or not is_baseline(file)]
    versions = [(version, file.name in own) for file in written if (version := _version(file.name))]
    return bool(versions) and not min(versions)[1]


def _version(name: str) -> tuple[int, ...] | None:
    """What the version in a file's name, or in its folder's, is ordered by."""
    stem = posixpath.dirname(name) if _is_part(name) else name[: -len(SUFFIX)]
    found = version_in(base_name(stem))
    return version_key(found[0]) if found else None


def _noted(migration: Migration) -> Migration:
    for table in HISTORIES:
        migration = table.noted(migration)
    return migration


def _is_migration(name: str) -> bool:
    """Whether a name is that of a migration here: in the folder, or in one with a version."""
    folder, _, base = name.rpartition("/")
    if not folder:
        return is_sql(name) or is_program(name)
    program = is_program_part(base) and version_in(base_name(folder)) is not None
    return program or _is_part(name) or _is_metadata(name)


def _halves(files: Sequence[SourceFile]) -> list[Half]:
    """What each file is. Raises LoadError."""
    halves = [_in_folder(file) or half(file, base_name(file.name), version_in) for file in files]
    backs = taken_back([file for file, one in zip(files, halves, strict=True) if one is None])
    halves = [one or _half_by_name(file, backs) for file, one in zip(files, halves, strict=True)]
    alone = [_alone(file) for file, found in zip(files, halves, strict=True) if found is None]
    whole = [one for one in halves if one and base_name(one.file.name).lower() == WHOLE]
    for one in (*whole, *alone):
        refuse_section_lines(one.file)
    # Only where servers are named do two files of one version belong together.
    served = {version_key(one.version) for one in alone if one.server}
    apart_by_name = [
        one if version_key(one.version) in served else replace(one, place=one.file.name)
        for one in alone
    ]
    return [*(one for one in halves if one), *apart_by_name]


def _half_by_name(file: SourceFile, backs: Mapping[str, str]) -> Half | None:
    """What a file is that another one takes back, or that does; `None` for any other."""
    if file.name not in backs and file.name not in backs.values():
        return None
    named = version_in(base_name(file.name)[: -len(SUFFIX)])
    if named is None:
        return None
    direction = "down" if file.name in backs else "up"
    return Half(file, *named, direction, place=backs.get(file.name, file.name))


def _in_folder(file: SourceFile) -> Half | None:
    """Half of a pair, or a migration, by the name of its folder."""
    folder, _, base = file.name.rpartition("/")
    named = version_in(base_name(folder)) if base.lower() in PARTS else None
    if named is None:
        return None
    return Half(file, *named, "down" if base.lower() == "down.sql" else "up", place=folder)


def _alone(file: SourceFile) -> Half:
    """An up alone. Raises FileNameError."""
    stem, server, autocommit = named_server(base_name(file.name)[: -len(SUFFIX)])
    named = version_in(stem)
    if named is None:
        raise without_version(file, NAME_REMEDY)
    return Half(file, *named, "up", server, autocommit)


def _reader(metadata: Mapping[str, SourceFile]) -> Callable[[Half], Body]:
    """What reads the text of a file, by what Diesel's metadata says of its folder."""

    def body(one: Half) -> Body:
        found = replace(_broken(body_of(one)), committed=True)
        said = metadata.get(one.place)
        if said is None or runs_in_transaction(said):
            return found
        return replace(found, options=replace(found.options, transaction=False))

    return body


def _is_metadata(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    return base == METADATA and version_in(base_name(folder)) is not None


def _with_metadata(migration: Migration, metadata: Mapping[str, SourceFile]) -> Migration:
    """The migration with the file that says how it runs, so that an agent knows it too."""
    said = metadata.get(posixpath.dirname(migration.files[0].name))
    return replace(migration, files=(*migration.files, said)) if said else migration


def _with_checkpoints(loaded: Sequence[Migration]) -> list[Migration]:
    """The migrations; one of Atlas's checkpoints stands for all that come before it."""
    return [
        replace(one, replaces=tuple(before.version for before in loaded[:index]))
        if _CHECKPOINT.match(one.files[0].content)
        else one
        for index, one in enumerate(loaded)
    ]


def _is_of_diesel(migration: Migration) -> bool:
    """Whether it stands in a folder that is called by a date, in a file for each way."""
    folder, _, base = migration.files[0].name.rpartition("/")
    dated = _LONG.match(migration.version.replace("-", ""))
    return bool(folder and dated) and base.lower() != WHOLE


def _stem(migration: Migration) -> str:
    """The whole name of a migration's file, or of its folder."""
    name = migration.files[0].name
    return base_name(posixpath.dirname(name) if _is_part(name) else name.removesuffix(SUFFIX))


def _in_folders(sql: Sequence[SourceFile]) -> bool:
    """Whether the migrations stand in folders of their own, and no file with a version beside."""
    folders = any(_is_part(file.name) for file in sql)
    return folders and all(_is_part(file.name) or _is_stray(file.name) for file in sql)


def _is_part(name: str) -> bool:
    """Whether the folder of a file carries its version."""
    folder, _, base = name.rpartition("/")
    return base.lower() in PARTS and version_in(base_name(folder)) is not None


def _is_stray(name: str) -> bool:
    """Whether neither a file's name nor its folder's carries a version."""
    stem = base_name(name)[: -len(SUFFIX)]
    return not _is_part(name) and version_in(stem) is None


def _broken(body: Body) -> Body:
    """A section whose breakpoints end statements."""
    text = _BREAKPOINT.sub(";", body.text)
    return replace(body, text=_BREAKPOINT_BEHIND.sub(";", text))


def version_in(stem: str) -> tuple[str, str] | None:
    """Version and description of a name without its suffix; `None` when it carries no version."""
    for pattern in (_DATED, _SPACED):
        if found := pattern.fullmatch(stem):
            return found.group(1), found.group(2) or ""
    return version_and_name(stem)


FORMATS = (Plain(), WithHistoryTable(Plain(), HISTORIES))
"""As it is, and with look-alikes of Diesel's, Prisma's and sqlx's tables."""
