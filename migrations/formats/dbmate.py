"""dbmate's files: `20260102030405_name.sql` with `-- migrate:up` and `-- migrate:down`.

    -- migrate:up [transaction:false]
    -- migrate:down [transaction:false]

- Blanks after `--` may be missing or many; the line starts with it. Case matters, as it does for
  dbmate; a line that is almost a marker is an error, because dbmate takes it as a comment and runs
  what follows in the wrong section.
- Other words behind a marker mean nothing, as for dbmate, and are noted.
- Several pairs in one file are one migration: ups in their order, downs in the opposite order. If
  one of them is without a transaction, all of them are.
- Up may be empty: a migration that does nothing. Down may be missing: then it cannot be undone.
- The version is the number that the name starts with. Order is that of the names, as in dbmate.
- A file whose name starts with no number is no migration, unless it bears a marker: then it is an
  error.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from migrations.errors import MarkerError
from migrations.formats import Reading
from migrations.formats.checksum import checksum
from migrations.formats.encoding import Legible, legible
from migrations.formats.folder_reader import SqlFolderReader
from migrations.formats.history_table import HistoryTable
from migrations.formats.naming import (
    base_name,
    is_counted,
    is_sql,
    named,
    ordered,
    refuse_programs,
)
from migrations.formats.sections import Body, Built, assemble, build
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, Options, Section, SourceFile, Statement

_MARK = re.compile(rb"^--[ \t]*migrate:(?:up|down)\b", re.MULTILINE)
_HEADING = re.compile(r"[ \t]*--[ \t]*migrate:(?P<way>up|down)\b", re.IGNORECASE)
_DOWN = re.compile(r"--[ \t]*migrate:down(?!\S)")
_LIKE_MARKER = re.compile(
    r"^[^\S\n]*--+[^\S\n]*migrate[ \t]*:[ \t]*(\w*)([^\n]*)$", re.IGNORECASE | re.MULTILINE
)
_MARKER = re.compile(r"--[ \t]*migrate:(up|down)(?:[ \t]+[^\n]*)?\s*")
_BEHIND = re.compile(r"--[ \t]*migrate:(up|down)(?:[ \t]+transaction:\w+)?[ \t]*\r?$", re.MULTILINE)
_OPTIONS = ("transaction:false", "transaction:true")
_NAME = re.compile(r"([0-9]+)(.*)\.sql", re.IGNORECASE | re.DOTALL)
_NAME_REMEDY = "Name it like 20260102030405_add_users.sql: a number, an underscore, a description"

HISTORY = HistoryTable("schema_migrations", "version varchar PRIMARY KEY")


class Dbmate(SqlFolderReader):
    """Reads one file per migration."""

    name = "dbmate"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file has a marker line."""
        return any(is_sql(file.name) and _MARK.search(file.content) for file in files)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        counted = [file for file in files if is_counted(file, _NAME, _MARK, _NAME_REMEDY)]
        loaded = [_migration(file, self.name, reading) for file in counted]
        ordered(loaded)
        by_name = sorted(loaded, key=lambda migration: base_name(migration.files[0].name))
        return [HISTORY.noted(migration) for migration in by_name]


@dataclass(frozen=True, slots=True)
class _Part:
    """What stands between two markers; `line` is the first line after the marker."""

    direction: str
    text: str
    line: int
    transaction: bool

    @property
    def is_down(self) -> bool:
        return self.direction == "down"


def _migration(file: SourceFile, format: str, reading: Reading) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(one, format, reading), _HEADING, _DOWN
    )


def _whole(file: SourceFile, format: str, reading: Reading) -> Migration:
    found = named(file, _NAME, _NAME_REMEDY)
    read = legible(file)
    text = read.text
    parts = list(_parts(text, file.name))
    ups = [part for part in parts if part.direction == "up"]
    downs = [part for part in reversed(parts) if part.direction == "down"]
    if not ups:
        raise MarkerError(file.name, 1, "no up section", "Write `-- migrate:up` above the SQL")
    if len(ups) > 1:
        _check_pairs(parts, file.name)
    read.refuse_before(parts[0].line)
    built = {
        name: _built(group, file.name, read, reading)
        for name, group in (("Up", ups), ("Down", downs))
        if group
    }
    said = (found.group(1), found.group(2).lstrip("_-. "))
    migration = assemble(said, format, file, built)
    return replace(migration, notes=(*migration.notes, *_words_left_alone(text, file.name)))


def _built(parts: Sequence[_Part], file: str, read: Legible, reading: Reading) -> Built:
    """One section of one or more parts."""
    options = Options(transaction=all(part.transaction for part in parts))
    built = [
        build(
            Body(
                part.text,
                file,
                part.text.encode(),
                part.line,
                options,
                down=part.is_down,
                fault=read.fault(part.line, part.line + part.text.count("\n")),
            ),
            reading,
        )
        for part in parts
    ]
    if len(built) == 1:
        return built[0]
    if any(one.section.program for one in built):
        raise MarkerError(
            file,
            parts[0].line - 1,
            "psql scripts in a file with several pairs of sections",
            "Write one migrate:up and one migrate:down per file",
        )
    hashed = "".join(part.text for part in parts).encode()
    statements = tuple(_numbered([one.section for one in built]))
    options = Options(transaction=all(one.section.options.transaction for one in built))
    broken = next((one.section.broken for one in built if one.section.broken), "")
    return Built(
        Section(
            () if broken else statements,
            options,
            checksum(hashed),
            broken=broken,
        ),
        tuple(sorted({name for one in built for name in one.variables})),
        tuple(note for one in built for note in one.notes),
    )


def _numbered(sections: Sequence[Section]) -> Iterator[Statement]:
    """Their statements; no transaction of one section goes on in the next."""
    before = 0
    for section in sections:
        for one in section.statements:
            yield replace(one, part=one.part + before) if one.part else one
        before += max((one.part for one in section.statements), default=0)


def _parts(text: str, file: str) -> Iterator[_Part]:
    """The parts of a file in order. Raises MarkerError."""
    _check_behind(text, file)
    found = [match for match in _LIKE_MARKER.finditer(text) if _checked(match, text, file)]
    _check_before(text[: found[0].start()] if found else text, file)
    starts = [match.start() for match in found] + [len(text)]
    for match, end in zip(found, starts[1:], strict=True):
        start = min(match.end() + 1, len(text))
        line = text.count("\n", 0, start) + 1
        options = match.group(2).split()
        yield _Part(
            match.group(1), text[start:end], line, transaction="transaction:false" not in options
        )


def _check_behind(text: str, file: str) -> None:
    """A marker behind SQL on its line would be a mere comment, and run what follows with it."""
    for match in _BEHIND.finditer(text):
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        if before and not before.startswith("--"):
            raise MarkerError(
                file,
                _line(text, match),
                "a marker behind other text on the same line",
                f"Write `-- migrate:{match.group(1)}` on a line of its own",
            )


def _checked(match: re.Match[str], text: str, file: str) -> bool:
    """True for a marker. Raises MarkerError for what is almost one."""
    if not _MARKER.fullmatch(match.group()):
        wanted = "down" if match.group(1).lower().startswith("d") else "up"
        raise MarkerError(
            file,
            _line(text, match),
            f"unknown marker `{match.group().strip()[:80]}`",
            f"Write `-- migrate:{wanted}` at the start of the line",
        )
    return True


def _words_left_alone(text: str, file: str) -> Iterator[str]:
    """What to say of words on markers that mean nothing, to dbmate and to us."""
    for match in _LIKE_MARKER.finditer(text):
        unknown = [word for word in match.group(2).split() if word not in _OPTIONS]
        if unknown:
            yield (
                f"{file}:{_line(text, match)}: `{' '.join(unknown)[:80]}` behind the marker means "
                "nothing; known are transaction:false and transaction:true"
            )


def _check_before(text: str, file: str) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("--"):
            raise MarkerError(
                file,
                number,
                "text before the first section",
                "Write `-- migrate:up` on the line above the first statement",
            )


def _check_pairs(parts: Sequence[_Part], file: str) -> None:
    """In a file with several ups, every down belongs to the up before it."""
    for first, second in itertools.pairwise(parts):
        if first.direction == second.direction == "down":
            raise MarkerError(
                file,
                second.line - 1,
                "a second migrate:down for one migrate:up",
                "Write each of them once, or a migrate:up before each migrate:down",
            )


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


FORMATS = (Dbmate(), HISTORY.kept_by(Dbmate()))
"""As it is, and with a look-alike of dbmate's own table."""
