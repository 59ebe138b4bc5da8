"""Evolutions of the Play framework: `1.sql`, `2.sql` … with `# --- !Ups` and `# --- !Downs`.

- A line that begins with `#` or `--` and holds `!Ups` or `!Downs` is a marker. What stands above
  the first one is none of the migration.
- Play cuts a script at each semicolon; `;;` stands for one inside of a statement and is read so.
  It takes the blanks around each line away, also in literals and in bodies of functions.
- Play commits statement by statement; here a script is one transaction, unless a statement cannot
  run in one, or uses a value that the script has just added to an enum.
- `$evolutions{{{name}}}` stands for a declared variable; with a `!` before it, it is text.
- Without Downs the migration cannot be undone. The version is the number; order is by number. A
  name behind it (`12_users.sql`), which takes an application with a reader of its own, describes.
- A file without a marker, or whose name begins with no number, is left alone, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrations.errors import MarkerError
from migrations.formats import Reading
from migrations.formats.encoding import legible
from migrations.formats.folder_reader import SqlFolderReader
from migrations.formats.history_table import HistoryTable
from migrations.formats.marker_lines import DOWN, UP, MarkerLine, ways
from migrations.formats.naming import base_name, ordered, refuse_programs
from migrations.formats.native import is_ours
from migrations.formats.sections import Body, assemble, build
from migrations.formats.variables import NAME, not_declared
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, SourceFile
from migrations.sql.grammar import enclosed

_MARKER = re.compile(r"^[ \t]*(?:#|--)[^\n]*!(?P<way>Ups|Downs)[^\n]*$", re.MULTILINE)
_MARK = re.compile(rb"^[ \t]*(?:#|--)[^\n]*!(?:Ups|Downs)", re.MULTILINE)
_NAME = re.compile(r"([0-9]+)(?:[_-](.+))?\.sql", re.IGNORECASE | re.DOTALL)
_PLACEHOLDER = re.compile(rf"(?<!!)\$evolutions\{{\{{\{{(?P<name>{NAME})\}}\}}\}}")
_MARKED = re.compile(rf"\0(?P<name>{NAME})\0")
"""A place to be filled, in characters that no text holds."""
_WAYS = {"Ups": UP, "Downs": DOWN}

HISTORY = HistoryTable(
    "play_evolutions",
    "id integer PRIMARY KEY, hash varchar(255) NOT NULL, applied_at timestamp NOT NULL, "
    "apply_script text, revert_script text, state varchar(255), last_problem text",
)


class PlayEvolutions(SqlFolderReader):
    """Reads one file per migration."""

    name = "play"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file with a number for a name bears a marker."""
        return any(
            (found := _NAME.fullmatch(base_name(file.name))) and not found[2] and _is_marked(file)
            for file in files
        )

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        counted = [file for file in files if _NAME.fullmatch(base_name(file.name))]
        counted = [file for file in counted if _is_marked(file)]
        loaded = ordered([_migration(file, self.name, reading) for file in counted])
        notes = tuple(
            f"{file.name}: is no evolution of Play, and is left alone"
            for file in files
            if file not in counted
        )
        if loaded and notes:
            loaded[-1] = replace(loaded[-1], notes=(*loaded[-1].notes, *notes))
        return [HISTORY.noted(migration) for migration in loaded]


def _is_marked(file: SourceFile) -> bool:
    return _MARK.search(file.content) is not None and not is_ours(file)


def _migration(file: SourceFile, format: str, reading: Reading) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(one, format, reading), _MARKER, _MARKER
    )


def _whole(file: SourceFile, format: str, reading: Reading) -> Migration:
    named = _NAME.fullmatch(base_name(file.name))
    if named is None:
        raise AssertionError("the caller has looked at the name")
    read = legible(file)
    marks = [MarkerLine.of(_WAYS[found["way"]], found) for found in _MARKER.finditer(read.text)]
    sections = ways(file, read, marks, comments=("--", "#"))
    if UP not in sections:
        raise MarkerError(
            file.name, 1, "no section of Ups", "Write `-- !Ups` above the SQL that goes up"
        )
    built = {
        way: build(_as_play(body, reading.variables), reading) for way, body in sections.items()
    }
    return assemble((named.group(1), named.group(2) or ""), format, file, built)


def _as_play(body: Body, values: Mapping[str, str]) -> Body:
    """The section with its semicolons and placeholders as Play reads them."""
    fault = body.fault
    trimmed = "\n".join(line.strip() for line in body.text.split("\n"))
    inside = enclosed(trimmed)

    def put(place: re.Match[str]) -> str:
        nonlocal fault
        name, at = place["name"], place.start()
        if name in values:
            return f"\0{name}\0"
        if not any(start < at < end for start, end in inside):
            line = body.line + trimmed.count("\n", 0, at)
            fault = fault or not_declared(name, body.file, line)
        return place.group()

    text = _PLACEHOLDER.sub(put, trimmed).replace("!$evolutions{{{", "$evolutions{{{")
    text = text.replace(";;", ";")
    return replace(body, text=text, placeholder=_MARKED, loose=True, fault=fault)


FORMATS = (PlayEvolutions(), HISTORY.kept_by(PlayEvolutions()))
"""As it is, and with a look-alike of Play's own table."""
