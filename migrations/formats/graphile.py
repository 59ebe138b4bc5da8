"""graphile-migrate's committed migrations: `committed/000001-name.sql` with a chain of hashes.

    --! Previous: sha1:…        of the one before; `-` for the first one
    --! Hash: sha1:…            over that and the text below
    --! Message: …

    --! no-transaction          as the first line of the text: it commits statement by statement

- The folder is the project's `migrations`, or `committed` in it. What is not committed
  (`current.sql`) is left alone, with a note, and so are other scripts beside them.
- The chain is checked as graphile-migrate checks it: a file that changed since it was committed, or
  does not follow the one before it, is refused, unless it says `--! AllowInvalidHash`. Newlines of
  a checkout do not count.
- `:NAME` in capitals is filled from declared variables, wherever it stands. `:DATABASE_NAME` and
  `:DATABASE_OWNER`, which graphile-migrate knows by itself, are to be declared.
- There is no way back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from migrations.errors import MarkerError, VariableError
from migrations.formats import Reading
from migrations.formats.encoding import text_of
from migrations.formats.history_table import HistoryTable, WithHistoryTable
from migrations.formats.naming import is_sql, named, ordered
from migrations.formats.sections import NO_OPTIONS, Body, assemble, build
from migrations.formats.variables import not_declared
from migrations.model.migration import Migration, Options, SourceFile
from migrations.sql.grammar import colons

_COMMITTED, _CURRENT = "committed/", "current/"
_HEADER = re.compile(r"--! ([A-Z][A-Za-z0-9_]*)(?::(.*))?")
_MARK = re.compile(rb"\A(?:--! [A-Z][^\n]*\n)*--! (?:Previous|Hash): *(?:-|sha1:)", re.MULTILINE)
_NAME = re.compile(r"([0-9]+)(?:-([-_A-Za-z0-9]*))?\.sql", re.IGNORECASE)
_NAME_REMEDY = "Name it as `graphile-migrate commit` does: 000012-add-users.sql"
_NO_TRANSACTION = re.compile(r"\s*--!\s*no-transaction\b")
_PLACEHOLDER = re.compile(r"(?<![:\w]):(?P<name>[A-Z][A-Z0-9_]*)\b")
_BUILT_IN = frozenset({"DATABASE_NAME", "DATABASE_OWNER"})
_SCHEMA = "graphile_migrate"
_FIRST = "-"

HISTORY = (
    HistoryTable("", "", _SCHEMA),
    HistoryTable(
        "migrations",
        "hash text PRIMARY KEY, previous_hash text, filename text NOT NULL, "
        "date timestamptz NOT NULL DEFAULT now()",
        _SCHEMA,
    ),
    HistoryTable(
        "current",
        "filename text PRIMARY KEY DEFAULT 'current.sql', content text NOT NULL, "
        "date timestamptz NOT NULL DEFAULT now()",
        _SCHEMA,
    ),
)


class GraphileMigrate:
    """Reads one file per migration, each of which names the one before it."""

    name = "graphile-migrate"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The committed files, and the `.sql` files beside them: some are not committed yet."""
        places = ("", _COMMITTED, _CURRENT)
        return [name for name in names if is_sql(name) and name[: name.rfind("/") + 1] in places]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file begins with the headers of a committed one."""
        return any(_MARK.match(file.content) for file in files)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per committed file. Raises LoadError."""
        current = [
            file for file in files if file.name == "current.sql" or file.name.startswith(_CURRENT)
        ]
        inside = [file for file in files if file.name.startswith(_COMMITTED)]
        committed = [_committed(file) for file in inside or files if file not in current]
        found = {one.file.name: one for one in committed}
        loaded = ordered([_migration(one, self.name, reading) for one in committed])
        _check_chain([found[one.files[0].name] for one in loaded])
        return _with_current(loaded, current)

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The migration of one file. Raises LoadError."""
        return _migration(_committed(files[0]), self.name, reading)


@dataclass(frozen=True, slots=True)
class _Committed:
    """A file with what its headers say; `line` is the first one of `text`."""

    file: SourceFile
    headers: Mapping[str, str]
    text: str
    line: int

    @property
    def previous(self) -> str:
        return self.headers["Previous"]

    @property
    def own_hash(self) -> str:
        return self.headers["Hash"]


def _committed(file: SourceFile) -> _Committed:
    """The file in its parts, its own hash checked. Raises LoadError."""
    lines = text_of(file).split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line.removesuffix("\r"))
        if found is None:
            break
        headers[found[1]] = (found[2] or "").strip()
    for header in ("Previous", "Hash"):
        if not headers.get(header):
            raise MarkerError(
                file.name,
                1,
                f"the header `--! {header}:` of a committed migration is missing",
                "Restore the file as `graphile-migrate commit` wrote it",
            )
    one = _Committed(file, headers, "\n".join(lines[len(headers) :]), len(headers) + 1)
    if "AllowInvalidHash" not in headers and _hash(one) != one.own_hash:
        raise MarkerError(
            file.name,
            one.line,
            "its text is not the one that was committed: it does not have the hash of its header",
            "Restore the file, and write the change as a new migration; where it is meant, add the "
            "header `--! AllowInvalidHash`",
        )
    return one


def _hash(one: _Committed) -> str:
    """What graphile-migrate writes as the hash of such a file."""
    before = "" if one.previous == _FIRST else one.previous
    text = one.text.replace("\r\n", "\n").strip()
    hashed = hashlib.sha1(f"{before}\n{text}".strip().encode() + b"\n", usedforsecurity=False)
    return f"sha1:{hashed.hexdigest()}"


def _check_chain(committed: Sequence[_Committed]) -> None:
    """Raise MarkerError for the first file that does not follow the one before it."""
    before, name = _FIRST, ""
    for one in committed:
        if one.previous != before:
            follows = f"does not follow {name}" if name else "is not the first one"
            raise MarkerError(
                one.file.name,
                1,
                f"{follows} by its header `--! Previous: {one.previous[:48]}`",
                "Bring the file that is missing back, or commit those that were merged again, in "
                "their order",
            )
        before, name = one.own_hash, one.file.name


def _migration(one: _Committed, format: str, reading: Reading) -> Migration:
    said = named(one.file, _NAME, _NAME_REMEDY)
    alone = _NO_TRANSACTION.match(one.text) is not None
    body = Body(
        one.text,
        one.file.name,
        one.text.encode(),
        one.line,
        Options(transaction=False) if alone else NO_OPTIONS,
        placeholder=_PLACEHOLDER,
    )
    fault = _undeclared(body, reading.variables)
    built = {"Up": build(replace(body, fault=fault), reading)}
    return _noted(assemble((said.group(1), said.group(2) or ""), format, one.file, built))


def _undeclared(body: Body, values: Mapping[str, str]) -> VariableError | None:
    """What to say of the first placeholder without a value where one is needed."""
    in_sql = set(colons(body.text))
    for found in _PLACEHOLDER.finditer(body.text):
        needed = found.start() in in_sql or found["name"] in _BUILT_IN
        if needed and found["name"] not in values:
            line = body.line + body.text.count("\n", 0, found.start())
            return not_declared(found["name"], body.file, line)
    return None


def _noted(migration: Migration) -> Migration:
    for table in HISTORY:
        migration = table.noted(migration)
    return migration


def _with_current(loaded: list[Migration], current: Sequence[SourceFile]) -> list[Migration]:
    """The migrations; the newest one says what is not committed."""
    notes = tuple(
        f"{file.name}: is not committed, and is left alone"
        for file in current
        if any(line.strip() and not line.startswith(b"--") for line in file.content.splitlines())
    )
    if not loaded or not notes:
        return loaded
    return [*loaded[:-1], replace(loaded[-1], notes=(*loaded[-1].notes, *notes))]


FORMATS = (GraphileMigrate(), WithHistoryTable(GraphileMigrate(), HISTORY))
"""As it is, and with look-alikes of graphile-migrate's own tables."""
