"""The `-- +migrate Up` / `-- +migrate Down` format of sql-migrate, with a Verify section added.

One file is one migration; `version_name.sql` names it. Rules:

- Up must be there. Without a statement it is a migration that does nothing, and in a file with
  markers or options of our own an error. Down and Verify may be missing: without Down the migration
  cannot be undone; a Down that holds only comments undoes nothing, successfully. Any order.
- Before the first marker only comments and blank lines may stand.
- A section marker of goose or dbmate is an error where ours for that section is missing.
- Statements are split by PostgreSQL's grammar. `StatementBegin` and `StatementEnd` are accepted for
  the sake of existing files and must be paired; `StatementEnd` ends a statement without semicolon.
- Verify runs after Up. Every SELECT in it must return at least one row, and `true` in the first
  column of every row; a DO block must not raise (use ASSERT). Nothing else may stand there.
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
from dataclasses import dataclass, replace

from migrations.errors import EncodingError, FileNameError, LoadError, MarkerError
from migrations.formats import Format, Reading, only
from migrations.formats.baseline_marker import MARKER, as_up, baseline, through_of, with_baselines
from migrations.formats.data import (
    automatic_down,
    check_sections,
    data_section,
    declared,
    is_declaration,
    with_checks,
)
from migrations.formats.encoding import Legible, legible
from migrations.formats.history_table import HistoryTable
from migrations.formats.markers import SECTIONS, SectionMarker, markers, options_of
from migrations.formats.naming import base_name, is_program, is_sql, ordered, refuse_programs
from migrations.formats.sections import Body, Built, assemble, build
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, Options, SourceFile
from migrations.model.phases import phased
from migrations.model.version import NAME_REMEDY, version_and_name
from migrations.sql.grammar import GrammarError, parse

_MARK = re.compile(rb"^--[ \t]*\+[ \t]*migrate", re.MULTILINE | re.IGNORECASE)
_OTHERS = re.compile(r"^--[ \t]*(?:\+goose[ \t]+(up|down)\b|migrate:(up|down)\b)", re.I | re.M)
"""Sections of goose and dbmate: comments here, so what follows them could run in the wrong one."""
_HEADING = re.compile(
    rf"[ \t]*--[ \t]*\+[ \t]*migrate[ \t]+(?P<way>{'|'.join(SECTIONS)})\b", re.IGNORECASE
)
_STATEMENT_END = re.compile(r"^-- \+migrate StatementEnd", re.MULTILINE)
_SUFFIX_CHARS = len(".sql")
_HALF = (".up.sql", ".down.sql", "/up.sql", "/down.sql")
_LEADING = re.compile(r"[0-9]+")
_BY_NAME = (
    "; a folder of sql-migrate, which goes by the whole name, is read with "
    "--format sql-migrate+names"
)

HISTORY = HistoryTable("gorp_migrations", "id text PRIMARY KEY, applied_at timestamptz")


class SqlMigrate:
    """Reads one file per migration, whose version is in its name."""

    name = "sql-migrate"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a `.sql` file has a line that starts like `-- +migrate`."""
        return _marked(files) and not _by_name(files)

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """Every `.sql` file of the folder itself, and programs among them, to refuse them."""
        return [name for name in names if "/" not in name and (is_sql(name) or is_program(name))]

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        loaded = [_migration(_named(file), file, self.name, reading) for file in files]
        noted = [HISTORY.noted(phased(migration)) for migration in loaded]
        baselines = [one for one in noted if one.replaces is not None]
        versioned = [one for one in noted if one.replaces is None]
        return with_baselines(ordered(versioned, _BY_NAME), baselines)

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The migration of one file. Raises LoadError."""
        return only(self.load(files, reading), files)


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
        raise FileNameError(
            file.name, None, "the file name carries no version", f"{NAME_REMEDY}{_BY_NAME}"
        )
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


@dataclass(frozen=True, slots=True)
class _Part:
    """A section before it is parsed; `fault` is what is wrong with its bytes."""

    marker: SectionMarker
    text: str
    fault: EncodingError | None = None


def _migration(
    named: tuple[str, str], file: SourceFile, format: str, reading: Reading
) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(named, one, format, reading), _HEADING
    )


def _whole(named: tuple[str, str], file: SourceFile, format: str, reading: Reading) -> Migration:
    read = legible(file)
    parts = _parts(read, file.name)
    given = {name: part.marker for name, part in parts.items()}
    through = through_of(given, file.name)
    if through is not None:
        parts = _up_of_baseline(parts, file.name)
        return baseline(_of_parts(named, file, read.text, format, parts, reading), through)
    check_sections(given, file.name)
    return _of_parts(named, file, read.text, format, parts, reading)


def _up_of_baseline(parts: dict[str, _Part], file: str) -> dict[str, _Part]:
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
    parts: dict[str, _Part],
    reading: Reading,
) -> Migration:
    _check_others(text, file.name, parts)
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


def _empty(up: Built, parts: Mapping[str, _Part], file: str) -> Built:
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


def _in_batches(parts: dict[str, _Part], file: str, reading: Reading) -> dict[str, Built]:
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


def _body(part: _Part, file: str, options: Options | None = None) -> Body:
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
        fault=part.fault,
    )


def _parts(read: Legible, file: str) -> dict[str, _Part]:
    """The sections of a file by command. Raises MarkerError."""
    text = read.text
    found = list(markers(text, file))
    _check_nesting(found, file)
    sections = [marker for marker in found if marker.command in SECTIONS]
    _check_preamble(text[: sections[0].start] if sections else text, file)
    read.refuse_before(sections[0].line if sections else text.count("\n") + 2)
    parts: dict[str, _Part] = {}
    ends = [marker.start for marker in sections] + [len(text)]
    for marker, end in zip(sections, ends[1:], strict=True):
        if marker.command in parts:
            first = parts[marker.command].marker.line
            raise MarkerError(
                file,
                marker.line,
                f"a second {marker.command} section (the first is on line {first})",
                "Write one section of each kind per file",
            )
        last = text.count("\n", 0, max(end - 1, 0)) + 1
        fault = read.fault(marker.line, last)
        parts[marker.command] = _Part(marker, text[marker.end : end], fault)
    return parts


def _check_others(text: str, file: str, parts: Mapping[str, _Part]) -> None:
    """Raise MarkerError for another tool's marker of a section that is not there with ours.

    A file may be written for both tools, with both markers.
    """
    for found in _OTHERS.finditer(text):
        section = (found.group(1) or found.group(2)).capitalize()
        if section not in parts:
            raise MarkerError(
                file,
                text.count("\n", 0, found.start()) + 1,
                f"`{found.group()}` is the marker of another tool in a file with ours",
                f"Write `-- +migrate {section}`",
            )


def _check_nesting(found: Sequence[SectionMarker], file: str) -> None:
    """StatementBegin and StatementEnd must be paired inside one section."""
    opened: SectionMarker | None = None
    in_section = False
    for marker in found:
        if marker.command == "StatementEnd":
            if opened is None:
                raise _unpaired(file, marker, "StatementBegin", "before")
            opened = None
        elif opened is not None:
            raise _unpaired(file, opened, "StatementEnd", "after")
        elif marker.command in SECTIONS:
            in_section = True
        elif not in_section:
            raise _before_first_marker(file, marker.line)
        else:
            opened = marker
    if opened is not None:
        raise _unpaired(file, opened, "StatementEnd", "after")


def _unpaired(file: str, marker: SectionMarker, missing: str, where: str) -> LoadError:
    return MarkerError(
        file,
        marker.line,
        f"{marker.command} without {missing}",
        f"Write `-- +migrate {missing}` {where} the statement, or leave both markers out",
    )


def _check_preamble(text: str, file: str) -> None:
    lines = text.splitlines()
    if all(not line.strip() or line.startswith("--") for line in lines):
        return
    try:
        statements = parse(text)
    except GrammarError as error:
        raise _before_first_marker(file, text.count("\n", 0, error.position) + 1) from None
    if statements:
        at = len(text.encode()[: statements[0].start].decode())
        raise _before_first_marker(file, text.count("\n", 0, at) + 1)


def _before_first_marker(file: str, line: int) -> LoadError:
    return MarkerError(
        file,
        line,
        "text before the first section",
        "Write `-- +migrate Up` on the line above the first statement",
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
