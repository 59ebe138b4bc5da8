"""Files in pairs, `NAME.up.sql` and `NAME.down.sql`: which file is whose, and which one is ours.

Some projects keep one pair for each kind of server, `NAME.postgres.up.sql` beside
`NAME.mysql.up.sql` and `NAME.up.sql`: the one for PostgreSQL wins, the one without a server's name
comes next, the others are for somebody else. A version that only others have is no migration here.
`NAME.autocommit.up.sql` runs without a transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from migrations.errors import DuplicateVersionError, FolderError
from migrations.formats import Reading
from migrations.formats.encoding import text_or_fault
from migrations.formats.sections import NO_OPTIONS, Body, build
from migrations.model.migration import Migration, Options, SourceFile
from migrations.model.version import version_key

OURS = frozenset({"postgres", "postgresql", "pg", "pgsql", "psql"})
OTHERS = frozenset(
    {
        "mysql", "mysql8", "mariadb", "sqlite", "sqlite3", "mssql", "sqlserver", "oracle",
        "cockroach", "cockroachdb", "crdb", "clickhouse", "h2", "tidb", "spanner",
    }
)  # fmt: skip
SQL_ONLY = re.compile(r"(.*)\.(up|down)\.sql", re.IGNORECASE | re.DOTALL)
ANY_ENDING = re.compile(r"(.*)\.(up|down)\..+", re.IGNORECASE | re.DOTALL)
"""What the name of a half may end in."""
_BACK = re.compile(
    r"(?P<stem>.*[0-9].*?)(?P<by>[-_.])(?P<way>down|undo|rollback|revert)(?P<rest>(?:\.[^./]+)?)\.sql",
    re.IGNORECASE | re.DOTALL,
)
"""What takes back, by its name, the file of another tool that is called so without it."""
_NO_TRANSACTION = re.compile(
    r"--[ \t]*no-transaction\b|(?:--[^\n]*\n)*?--[ \t]*(?:atlas:txmode[ \t]+none"
    r"|morph:nontransactional|:disable-transaction|evolve-tx-off|transactional:[ \t]*false)"
    r"[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
"""The first line, or for tools that read more of them one of the comments that begin the file:
Atlas, Mattermost's morph, Migratus, Evolve, yoyo."""
_DISABLED = re.compile(r"^--[ \t]*postgres-migrations[ \t]+disable-transaction\b", re.MULTILINE)
"""What the tool postgres-migrations takes for the same, wherever it stands in the file."""


@dataclass(frozen=True, slots=True)
class Half:
    """One file of a pair. `server` is the kind of server in its name, lower case."""

    file: SourceFile
    version: str
    name: str
    direction: str
    server: str = ""
    autocommit: bool = False
    place: str = ""
    """The folder that holds both halves; empty where their names alone say so."""


def named_server(stem: str) -> tuple[str, str, bool]:
    """A name without suffixes: what is left, the kind of server, whether it autocommits."""
    name, *words = stem.split(".")
    server, autocommit = "", False
    while words and (word := words[-1].lower()) in {*OURS, *OTHERS, "autocommit"}:
        autocommit = autocommit or word == "autocommit"
        server = server if word == "autocommit" else word
        words.pop()
    return ".".join((name, *words)), server, autocommit


def half(
    file: SourceFile,
    base: str,
    named: Callable[[str], tuple[str, str] | None],
    suffix: re.Pattern[str] = SQL_ONLY,
) -> Half | None:
    """What the file called `base` is; `None` if it is no half of a pair with a version.

    `named` splits a name without its suffixes into version and description.
    """
    found = suffix.fullmatch(base)
    if found is None:
        return None
    stem, server, autocommit = named_server(found.group(1))
    split = named(stem)
    if split is None:
        return None
    return Half(file, *split, found.group(2).lower(), server, autocommit)


def taken_back(files: Sequence[SourceFile]) -> dict[str, str]:
    """By the name of each file that says it takes another one back, the name of that one.

    Of postgrator `001.undo.users.sql` and `001.do.users.sql`, of db-migrate `1-users-down.sql` and
    `1-users-up.sql`, of yoyo `0001.users.rollback.sql` and `0001.users.sql`. A name that merely
    ends so, `5_shut_down.sql`, has none. Raises FolderError for one that can mean nothing else.
    """
    names = {file.name for file in files}
    found: dict[str, str] = {}
    for file in files:
        if (back := _BACK.fullmatch(file.name)) is None:
            continue
        stem, rest = back["stem"], back["rest"]
        ups = [f"{stem}{back['by']}{word}{rest}.sql" for word in ("up", "do")]
        up = next((name for name in (*ups, f"{stem}{rest}.sql") if name in names), None)
        if up is not None:
            found[file.name] = up
        elif back["by"] == "." and back["way"].lower() != "down":
            raise FolderError(
                file.name,
                None,
                "takes back a migration that is not there",
                f"Add {stem.rpartition('/')[2]}.sql, or remove the file",
            )
    return found


@dataclass(slots=True)
class _Pair:
    halves: dict[str, list[Half]] = field(default_factory=dict)


def paired(
    halves: Iterable[Half],
    format: str,
    reading: Reading,
    body: Callable[[Half], Body] | None = None,
) -> list[Migration]:
    """The migrations that the files make, in no order; `body` is the text of one of them.

    Raises LoadError.
    """
    pairs: dict[object, _Pair] = {}
    for one in halves:
        pair = pairs.setdefault(one.place or version_key(one.version), _Pair())
        pair.halves.setdefault(one.direction, []).append(one)
    made = [_migration(pair, format, reading, body or body_of) for pair in pairs.values()]
    return [migration for migration in made if migration is not None]


def _migration(
    pair: _Pair, format: str, reading: Reading, body: Callable[[Half], Body]
) -> Migration | None:
    up = _chosen(pair.halves.get("up", []))
    down = _chosen(pair.halves.get("down", []))
    if up is None and pair.halves.get("up"):
        return None
    if up is None:
        if down is None:
            return None
        raise FolderError(
            down.file.name,
            None,
            f"version {down.version} has a down and no up",
            f"Add {down.version}_{down.name}.up.sql, or remove the down",
        )
    built = [build(replace(body(one), down=one is down), reading) for one in (up, down) if one]
    return Migration(
        up.version,
        up.name,
        format,
        built[0].section,
        built[1].section if down else None,
        None,
        (up.file, down.file) if down else (up.file,),
        notes=tuple(note for one in built for note in one.notes),
        variables=tuple(sorted({name for one in built for name in one.variables})),
    )


def body_of(half: Half) -> Body:
    """A whole file as a section; a line of it may say that it takes no transaction."""
    text, fault = text_or_fault(half.file)
    alone = half.autocommit or _NO_TRANSACTION.match(text) or _DISABLED.search(text)
    options = Options(transaction=False) if alone else NO_OPTIONS
    return Body.of_file(half.file, text, options, loose=True, fault=fault)


def _chosen(halves: Sequence[Half]) -> Half | None:
    """The half that is for PostgreSQL. Raises DuplicateVersionError."""
    ours = [one for one in halves if one.server in OURS]
    chosen = ours or [one for one in halves if not one.server]
    if len(chosen) > 1:
        raise DuplicateVersionError(
            chosen[1].file.name,
            None,
            f"has the same version as {chosen[0].file.name}",
            "Give one of them another version (leading zeros do not count)",
        )
    return chosen[0] if chosen else None
