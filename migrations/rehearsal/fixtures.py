"""Files beside a folder that a rehearsal plays: rows before a migration, checks after it.

    tests/before.sql             once, before the first migration: roles, extensions, settings
    tests/VERSION.before.sql     before VERSION goes up: the rows that it meets
    tests/VERSION.after.sql      when VERSION is up for good: what must be true then

`VERSION` is a migration's version, or that with its name behind it, as its own file is called. An
after file follows the rule of Verify sections: a SELECT returns rows, and true in the first column
of each; nothing else raises an error. Comments right above a statement ask for something else:

    -- ledger:expect no rows             -- ledger:expect 3 rows
    -- ledger:expect error 23514         -- ledger:within 200 ms

In a before file, `-- ledger:loses TABLE[.COLUMN] WHY` says what the way back cannot bring back.
Placeholders of declared variables are filled as in migrations (`migrations.formats.variables`).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from migrations.errors import FileNameError, FolderError, LoadError, MarkerError
from migrations.formats.bundle import read_source
from migrations.formats.encoding import text_of
from migrations.formats.variables import read
from migrations.model.migration import Migration, SourceFile, Statement
from migrations.printable import escaped, why_unreadable

BEFORE = ".before.sql"
AFTER = ".after.sql"
FIRST = "before.sql"
"""The file that is played before anything else."""

_ASKED = re.compile(r"^[ \t]*--[ \t]*ledger:(?P<word>[\w-]*)[ \t]*(?P<rest>.*?)[ \t]*$", re.M)
_ROWS = re.compile(r"(?P<count>no|\d{1,9}) rows?")
_ERROR = re.compile(r"error (?P<state>[0-9A-Z]{5})")
_SPAN = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,6})?) ?(?P<unit>ms|s|min)")
_UNITS_MS = {"ms": 1.0, "s": 1000.0, "min": 60_000.0}
_LOSS = re.compile(r"(?P<what>\S+)[ \t]+(?P<why>\S.*)")
_REMEDY = (
    "Write `-- ledger:expect no rows`, `-- ledger:expect 3 rows`, `-- ledger:expect error 23514` "
    "or `-- ledger:within 200 ms` right above a statement of an after file, or `-- ledger:loses "
    "TABLE.COLUMN WHY` in a before file"
)


@dataclass(frozen=True, slots=True)
class FixtureCheck:
    """A statement of an after file, and what is asked of it beside the rule of Verify sections.

    `rows` is how many must come back, `sqlstate` the error that must be raised; with neither the
    answer must be true. `within_ms` is how long it may take.
    """

    statement: Statement
    rows: int | None = None
    sqlstate: str = ""
    within_ms: float | None = None


@dataclass(frozen=True, slots=True)
class DeclaredLoss:
    """What its author says that a way back does not bring back: a table, or a column of one."""

    what: str
    why: str
    line: int


@dataclass(frozen=True, slots=True)
class SeedFile:
    """Statements that make rows, in order; `name` as people find the file."""

    name: str
    statements: tuple[Statement, ...] = ()
    losses: tuple[DeclaredLoss, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckFile:
    """Checks, in order."""

    name: str
    checks: tuple[FixtureCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Fixtures:
    """All that a folder's rehearsal plays, by version; `unread` are files that nothing reads.

    `mentioned` are the variables whose names stand in any of them.
    """

    first: SeedFile | None = None
    before: Mapping[str, SeedFile] = field(default_factory=dict)
    after: Mapping[str, CheckFile] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    mentioned: frozenset[str] = frozenset()


def load_fixtures(
    folder: Path,
    migrations: Sequence[Migration],
    *,
    needed: bool,
    variables: Mapping[str, str] | None = None,
) -> Fixtures:
    """What stands in `folder` for these migrations; nothing if it is not there, unless `needed`.

    `variables` are the values of placeholders, by name.

    Raises LoadError: for what cannot be read, names no migration, or asks for what there is not.
    """
    names = _names(folder, needed)
    known = {name: one.version for one in migrations for name in (one.version, one.label)}
    values, mentioned = variables or {}, set[str]()

    def text_in(name: str) -> tuple[str, str]:
        shown, text = _text(folder, name)
        mentioned.update(one for one in values if one in text)
        return shown, text

    before: dict[str, SeedFile] = {}
    after: dict[str, CheckFile] = {}
    for name in names:
        if name.endswith(BEFORE):
            version = _version(folder, name, BEFORE, known, before)
            before[version] = _seeds(*text_in(name), values)
        elif name.endswith(AFTER):
            version = _version(folder, name, AFTER, known, after)
            after[version] = _checks(*text_in(name), values)
    first = _seeds(*text_in(FIRST), values) if FIRST in names else None
    played = tuple(name for name in names if name == FIRST or name.endswith((BEFORE, AFTER)))
    unread = tuple(_shown(folder, name) for name in names if name not in played)
    return Fixtures(first, before, after, unread if played or needed else (),
                    frozenset(mentioned))  # fmt: skip


def _names(folder: Path, needed: bool) -> list[str]:
    try:
        found = [one.name for one in folder.iterdir() if one.name.lower().endswith(".sql")]
    except OSError as error:
        if not needed and isinstance(error, FileNotFoundError | NotADirectoryError):
            return []
        raise FolderError(
            escaped(str(folder)),
            None,
            f"cannot be listed ({why_unreadable(error)})",
            "Name the folder of the files that a rehearsal plays, or leave --fixtures out",
        ) from None
    return sorted(name for name in found if not name.startswith("."))


def _version(
    folder: Path, name: str, ending: str, known: Mapping[str, str], taken: Container[str]
) -> str:
    """The version that a file is for. Raises FileNameError."""
    called = name.removesuffix(ending)
    version = known.get(called)
    if version is None:
        near = get_close_matches(called, known, n=1)
        said = f" (the nearest is {escaped(near[0])})" if near else ""
        raise FileNameError(
            _shown(folder, name),
            None,
            f"no migration is called {escaped(called)}{said}",
            f"Name the file as its migration: VERSION{BEFORE} or VERSION{AFTER}",
        )
    if version in taken:
        raise FileNameError(
            _shown(folder, name),
            None,
            f"is a second file for {escaped(version)}",
            "Put both into one file",
        )
    return version


def _shown(folder: Path, name: str) -> str:
    return escaped((folder / name).as_posix())


def _text(folder: Path, name: str) -> tuple[str, str]:
    """The name as people find the file, and its text."""
    shown = _shown(folder, name)
    try:
        found = read_source(folder, name)
    except LoadError as error:
        raise type(error)(shown, None, error.problem, error.remedy) from None
    return shown, text_of(SourceFile(shown, found.content))


def _seeds(name: str, text: str, values: Mapping[str, str]) -> SeedFile:
    losses = []
    for line, word, rest in _asked(text):
        said = _LOSS.fullmatch(rest)
        if word != "loses" or said is None:
            raise _wrong(name, line, word, rest)
        losses.append(DeclaredLoss(said["what"], said["why"], line))
    return SeedFile(name, read(text, values, file=name).statements, tuple(losses))


def _checks(name: str, text: str, values: Mapping[str, str]) -> CheckFile:
    statements = read(text, values, file=name).statements
    asked = list(_asked(text))
    checks = []
    for statement in statements:
        own = [one for one in asked if one[0] < statement.line]
        asked = asked[len(own) :]
        check = FixtureCheck(statement)
        for line, word, rest in own:
            check = _with(check, name, line, word, rest)
        checks.append(check)
        last = statement.line + statement.text.count("\n")
        for line, word, rest in asked:
            if line <= last:
                raise _wrong(name, line, word, rest, "stands within a statement")
    for line, word, rest in asked:
        raise _wrong(name, line, word, rest, "stands behind the last statement")
    return CheckFile(name, tuple(checks))


def _asked(text: str) -> Iterator[tuple[int, str, str]]:
    """Comments of ours: line, word, and what is behind it."""
    for found in _ASKED.finditer(text):
        yield text.count("\n", 0, found.start("word")) + 1, found["word"], found["rest"]


def _with(check: FixtureCheck, name: str, line: int, word: str, rest: str) -> FixtureCheck:
    rows, error, span = _ROWS.fullmatch(rest), _ERROR.fullmatch(rest), _SPAN.fullmatch(rest)
    once = (check.rows is None and not check.sqlstate) if word == "expect" else True
    once = check.within_ms is None if word == "within" else once
    if not once:
        raise _wrong(name, line, word, rest, "is asked twice of one statement")
    if word == "expect" and rows is not None:
        count = 0 if rows["count"] == "no" else int(rows["count"])
        return FixtureCheck(check.statement, count, check.sqlstate, check.within_ms)
    if word == "expect" and error is not None:
        return FixtureCheck(check.statement, check.rows, error["state"], check.within_ms)
    if word == "within" and span is not None:
        limit = float(span["number"]) * _UNITS_MS[span["unit"]]
        return FixtureCheck(check.statement, check.rows, check.sqlstate, limit)
    raise _wrong(name, line, word, rest)


def _wrong(
    name: str, line: int, word: str, rest: str, why: str = "says nothing that is known here"
) -> MarkerError:
    return MarkerError(
        name, line, f"`-- ledger:{escaped(f'{word} {rest}'.strip())}` {why}", _REMEDY
    )
