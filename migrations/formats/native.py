"""The `-- +migrate Up` / `-- +migrate Down` format of sql-migrate, with a Verify section added.

One file is one migration; `version_name.sql` names it. Rules:

- Up must be there. Without a statement it is a migration that does nothing, and in a file with
  markers or options of our own an error. Down and Verify may be missing: without Down the migration
  cannot be undone; a Down that holds only comments undoes nothing, successfully. Any order.
- A Down that cannot be read, by its SQL, its variables, its bytes or its markers, stops nothing but
  the way back: `migrations.formats.way_back`. What else is wrong stops the whole folder.
- A line that is almost a marker is an error, because sql-migrate takes it as a comment and runs
  what follows in the wrong section: `migrations.formats.markers`, with the options of markers.
- How a file is cut, and what may stand before the first marker: `migrations.formats.section_texts`.
- Statements are split by PostgreSQL's grammar. `StatementBegin` and `StatementEnd` are accepted for
  the sake of existing files and must be paired; `StatementEnd` ends a statement without semicolon.
- Verify runs after Up. Every SELECT in it must return at least one row, and `true` in the first
  column of every row; a DO block must not raise (use ASSERT). Nothing else may stand there.
- BEGIN and COMMIT around a whole section are left out with a note: it has a transaction of its own.
- Lines end with a newline alone, as sql-migrate reads them, whatever ends them in the file.
- Data in the place of Up moves data in batches: `migrations.formats.data`.
- A section's checksum is the SHA-256 of its text between its marker line and the next marker line
  of a section (or the end), without what is no change: `migrations.formats.checksum`.
- Baseline in the place of Up stands for older files: `migrations.formats.baseline_marker`.
- Files in subfolders are not searched. A migration in a language that we do not run is refused.
- sql-migrate itself knows a file by its whole name: `8_a.sql` and `8_b.sql` are two, and a name
  needs no number. Here that is an error, unless the folder is read with the format
  `sql-migrate+names`: then the whole name is the version, and order is sql-migrate's, by leading
  number and then by name, names without a number last.
- Names that end in `.expand`, `.migrate` and `.contract` are phases: `migrations.model.phases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrations.errors import MarkerError
from migrations.formats import Format, Reading
from migrations.formats.baseline_marker import MARKER, as_up, baseline, through_of, with_baselines
from migrations.formats.data import (
    automatic_down,
    check_sections,
    data_section,
    declared,
    is_declaration,
    with_checks,
)
from migrations.formats.encoding import legible
from migrations.formats.folder_reader import SqlFolderReader
from migrations.formats.history_table import HistoryTable
from migrations.formats.markers import SECTIONS, SectionMarker, options_of
from migrations.formats.naming import (
    base_name,
    is_sql,
    ordered,
    refuse_programs,
    without_version,
)
from migrations.formats.section_texts import SectionText, refuse_other_markers, section_texts
from migrations.formats.sections import Body, Built, assemble, build
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, Options, SourceFile
from migrations.model.phases import phased
from migrations.model.version import NAME_REMEDY, version_and_name

_MARK = re.compile(rb"^--[ \t]*\+[ \t]*migrate", re.MULTILINE | re.IGNORECASE)
_HEADING = re.compile(
    rf"[ \t]*--[ \t]*\+[ \t]*migrate[ \t]+(?P<way>{'|'.join(SECTIONS)})\b", re.IGNORECASE
)
_DOWN = re.compile(r"-- \+migrate Down(?!\S)")
_STATEMENT_END = re.compile(r"^-- \+migrate StatementEnd", re.MULTILINE)
_SUFFIX_CHARS = len(".sql")
_HALF = (".up.sql", ".down.sql", "/up.sql", "/down.sql")
_LEADING = re.compile(r"[0-9]+")
_BY_NAME = (
    "; a folder of sql-migrate, which goes by the whole name, is read with "
    "--format sql-migrate+names"
)

HISTORY = HistoryTable("gorp_migrations", "id text PRIMARY KEY, applied_at timestamptz")


class SqlMigrate(SqlFolderReader):
    """Reads one file per migration, whose version is in its name."""

    name = "sql-migrate"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a `.sql` file has a line that starts like `-- +migrate`."""
        return _marked(files) and not _by_name(files)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        loaded = [_migration(_named(file), file, self.name, reading) for file in files]
        noted = [HISTORY.noted(phased(migration)) for migration in loaded]
        baselines = [one for one in noted if one.replaces is not None]
        versioned = [one for one in noted if one.replaces is None]
        return with_baselines(ordered(versioned, _BY_NAME), baselines)


class SqlMigrateByName(SqlMigrate):
    """The same, where the whole name is the version.

    Guessed where it is the only way: of several files none has a version. Where some have one, a
    person says so, since a name that changes its meaning would be run again.
    """

    name = "sql-migrate+names"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether several marked files have names and no versions."""
        return _marked(files) and _by_name(files)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        loaded = [_migration((_stem(file), ""), file, self.name, reading) for file in files]
        for one in loaded:
            if one.replaces is not None:
                raise MarkerError(
                    one.files[0].name,
                    1,
                    "a baseline in a folder whose whole names are the versions",
                    "Give its files versions, so that there is a version to go through",
                )
        return sorted([HISTORY.noted(phased(migration)) for migration in loaded], key=_place)


def _marked(files: Sequence[SourceFile]) -> bool:
    return any(is_sql(file.name) and _MARK.search(file.content) for file in files)


def _by_name(files: Sequence[SourceFile]) -> bool:
    sql = [file for file in files if is_sql(file.name)]
    return len(sql) > 1 and not any(version_and_name(_stem(file)) for file in sql)


def _stem(file: SourceFile) -> str:
    return base_name(file.name)[:-_SUFFIX_CHARS]


def _named(file: SourceFile) -> tuple[str, str]:
    """Version and description of a file's name. Raises FileNameError."""
    named = version_and_name(_stem(file))
    if named is None:
        raise without_version(file, f"{NAME_REMEDY}{_BY_NAME}")
    return named


def _place(migration: Migration) -> tuple[bool, int, str]:
    """Where sql-migrate runs a file: by its leading number, then by its name, phases in order."""
    name = f"{migration.version}.sql" if migration.phase else base_name(migration.files[0].name)
    number = _LEADING.match(name)
    return (number is None, int(number.group()) if number else 0, name)


def is_ours(file: SourceFile) -> bool:
    """Whether a file is one of this format that stands in a folder of another format.

    Half of a pair is not: there the marker is a mere comment.
    """
    name = file.name.lower()
    return is_sql(name) and not name.endswith(_HALF) and _MARK.search(file.content) is not None


def _migration(
    named: tuple[str, str], file: SourceFile, format: str, reading: Reading
) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(named, one, format, reading), _HEADING, _DOWN
    )


def _whole(named: tuple[str, str], file: SourceFile, format: str, reading: Reading) -> Migration:
    read = legible(file)
    parts = section_texts(read, file.name)
    given = {name: part.marker for name, part in parts.items()}
    through = through_of(given, file.name)
    if through is not None:
        parts = _up_of_baseline(parts, file.name)
        return baseline(_of_parts(named, file, read.text, format, parts, reading), through)
    check_sections(given, file.name)
    return _of_parts(named, file, read.text, format, parts, reading)


def _up_of_baseline(parts: dict[str, SectionText], file: str) -> dict[str, SectionText]:
    """The sections with the baseline's as Up, or without it above an Up. Raises MarkerError."""
    first = parts.pop(MARKER)
    if "Up" not in parts:
        return {"Up": replace(first, marker=as_up(first.marker)), **parts}
    if any(line.strip() and not line.startswith("--") for line in first.text.splitlines()):
        raise MarkerError(
            file,
            first.marker.line,
            "statements in Baseline, and an Up section besides",
            "Leave one of the two markers out",
        )
    options_of(as_up(first.marker), file)
    return parts


def _of_parts(
    named: tuple[str, str],
    file: SourceFile,
    text: str,
    format: str,
    parts: dict[str, SectionText],
    reading: Reading,
) -> Migration:
    refuse_other_markers(text, file.name, parts)
    if "Data" in parts:
        return assemble(named, format, file, _in_batches(parts, file.name, reading))
    if "Up" not in parts:
        raise MarkerError(
            file.name, 1, "no Up section", "Write `-- +migrate Up` on the line above the SQL"
        )
    built = {name: build(_body(part, file.name), reading) for name, part in parts.items()}
    up = built["Up"].section
    if not up.statements and up.program is None:
        built["Up"] = _empty(built["Up"], parts, file.name)
    return assemble(named, format, file, built)


def _empty(up: Built, parts: Mapping[str, SectionText], file: str) -> Built:
    """An Up without a statement, with a note. Raises MarkerError for a file of our own making.

    sql-migrate takes it as a migration that does nothing. In a file that uses what only we have, it
    is one that somebody began with `ledger create` and did not write.
    """
    line = parts["Up"].marker.line
    if any(_only_ours(part.marker) for part in parts.values()):
        raise MarkerError(
            file,
            line,
            "the Up section holds no statement",
            "Write its SQL below the marker, or delete the file",
        )
    note = f"{file}:{line}: the Up section holds no statement, so nothing runs"
    return replace(up, notes=(*up.notes, note))


def _only_ours(marker: SectionMarker) -> bool:
    """Whether sql-migrate does not know a marker, or one of its options."""
    known = marker.command in ("Up", "Down")
    return not known or any(option != "notransaction" for option in marker.arguments)


def _in_batches(parts: dict[str, SectionText], file: str, reading: Reading) -> dict[str, Built]:
    """The sections of a data migration: Data is its Up, and Down may go in batches too."""
    up = declared(parts["Data"].marker, file)
    built: dict[str, Built] = {}
    for name in [name for name in ("Data", "Down", "Verify") if name in parts]:
        part = parts[name]
        if name == "Verify" or not is_declaration(part.marker):
            built[name] = build(_body(part, file), reading)
            continue
        found = up if name == "Data" else declared(part.marker, file, up)
        body = _body(part, file, found.options)
        built[name] = data_section(build(body, reading), body, found)
    gates, checks = (
        _body(parts[name], file) if name in parts else None for name in ("Gate", "Validate")
    )
    data = built.pop("Data")
    built["Up"] = replace(data, section=with_checks(data.section, gates, checks))
    if "Down" not in built and up.batches.backup:
        built["Down"] = Built(automatic_down(up))
    return built


def _body(part: SectionText, file: str, options: Options | None = None) -> Body:
    text = part.text.replace("\r\n", "\n")
    return Body(
        _STATEMENT_END.sub(";", text) if "StatementEnd" in text else text,
        file,
        part.text.encode(),
        line=part.marker.line + 1,
        options=options_of(part.marker, file) if options is None else options,
        verify=part.marker.command == "Verify",
        down=part.marker.command == "Down",
        ours=True,
        batched=options is not None,
        fault=part.fault,
    )


OURS = SqlMigrate()
"""Our own format, whose files may stand among those of another format."""
BY_NAME = SqlMigrateByName()

FORMATS: tuple[Format, ...] = (
    OURS,
    HISTORY.kept_by(OURS),
    BY_NAME,
    HISTORY.kept_by(BY_NAME),
)
"""Ways to read a folder in which every file is of this format."""
