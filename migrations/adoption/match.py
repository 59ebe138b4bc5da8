"""Which migrations of a folder the rows of another tool's table mean; pure.

Tools go by different things: most by a version, compared number by number; sql-migrate and
node-pg-migrate by the file's name, Prisma by its folder's; Sqitch by the change's name, which a
rework repeats; golang-migrate, tern, and a baseline of Flyway mean everything up to a version.
Order is the folder's.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from migrations.model.foreign_history import FOREIGN, ForeignHistory, ForeignRow, Tool
from migrations.model.migration import Migration
from migrations.model.version import version_key

_BOM = b"\xef\xbb\xbf"
_SIGN = 1 << 31
_BY_NAME = frozenset(
    {Tool.SQL_MIGRATE, Tool.SQITCH, Tool.DJANGO, Tool.PRISMA, Tool.NODE_PG_MIGRATE}
)
"""Tools that go by the names of files, of their folders, or of changes."""
_COMMITTED_HASH = re.compile(rb"^--! Hash:[ \t]*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Match:
    """What was found: `taken` counts as applied, `pending` does not, in the folder's order.

    `unmatched` are rows that no file belongs to, `notes` what a person should know of the rest.
    `problem` says why nothing can be taken over, with the choices.
    """

    taken: tuple[Migration, ...] = ()
    pending: tuple[Migration, ...] = ()
    unmatched: tuple[ForeignRow, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def match(
    history: ForeignHistory,
    migrations: Sequence[Migration],
    *,
    through: str = "",
    accept_missing: bool = False,
) -> Match:
    """What the history means for these migrations; `through` is a person's word instead of rows."""
    if history.problem:
        return Match(pending=tuple(migrations), problem=history.problem)
    if through:
        return up_to(migrations, through)
    taken, unmatched, notes = _by_rows(history, migrations)
    found = Match(
        taken=tuple(one for one in migrations if one.version in taken),
        pending=tuple(one for one in migrations if one.version not in taken),
        unmatched=unmatched,
        notes=(*notes, *_gaps(migrations, taken)),
    )
    problem = _problem(history, found, accept_missing=accept_missing)
    if not problem:
        return found
    return Match(found.taken, found.pending, found.unmatched, found.notes, problem)


def up_to(migrations: Sequence[Migration], through: str) -> Match:
    """Everything up to a version that a person names, repeatable ones left to run."""
    for index, migration in enumerate(migrations):
        if through in (migration.version, migration.label):
            taken = tuple(one for one in migrations[: index + 1] if not one.repeatable)
            pending = tuple(one for one in migrations if one not in taken)
            return Match(taken=taken, pending=pending)
    known = migrations[-1].version if migrations else "none"
    return Match(
        pending=tuple(migrations),
        problem=f"the folder has no migration {through!r} (its newest is {known}); name one of its "
        "versions with --through",
    )


def flyway_checksum(content: bytes) -> int:
    """Flyway's checksum of a file: CRC-32 over its lines without their ends, as a signed number."""
    crc = 0
    text = content.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in text.split(b"\n"):
        crc = zlib.crc32(line, crc)
    return crc - (1 << 32) if crc >= _SIGN else crc


def _by_rows(
    history: ForeignHistory, migrations: Sequence[Migration]
) -> tuple[set[str], tuple[ForeignRow, ...], tuple[str, ...]]:
    index = _index(history.tool, migrations)
    taken: set[str] = set()
    unmatched: list[ForeignRow] = []
    notes: list[str] = []
    for row in history.rows:
        waiting = index.get(_key(history.tool, row), [])
        one = waiting.pop(0) if waiting else None
        if row.below:
            taken |= _below(row, migrations)
        if one is None:
            # A baseline of Flyway names a version that no file needs to have.
            if not (row.below and history.tool is Tool.FLYWAY):
                unmatched.append(row)
        elif not _differs(history.tool, row, one):
            taken.add(one.version)
        elif row.repeatable:
            notes.append(f"{row.label} has changed since it was run, so it will run again")
        else:
            taken.add(one.version)
            notes.append(f"{row.label} has changed since it was applied ({history.tool} would say)")
    return taken, tuple(unmatched), tuple(notes)


def _index(tool: Tool, migrations: Sequence[Migration]) -> dict[object, list[Migration]]:
    """Migrations by what the tool calls them; several of one name in the folder's order."""
    index: dict[object, list[Migration]] = defaultdict(list)
    for migration in migrations:
        for key in _names(tool, migration):
            index[key].append(migration)
    return index


def _names(tool: Tool, migration: Migration) -> set[object]:
    match tool:
        case Tool.SQL_MIGRATE:
            return set(_files(migration))
        case Tool.SQITCH:
            return {migration.name or migration.version.partition("@")[0]}
        case Tool.DJANGO | Tool.NODE_PG_MIGRATE | Tool.PRISMA:
            names = [file.name.rpartition(".")[0] for file in migration.files]
            parts = (part for name in names for part in name.split("/")[-2:])
            return {migration.label, *parts}
        case Tool.FLYWAY if migration.repeatable:
            return set(_files(migration))
        case _:
            return {_number(migration.version)}


def _key(tool: Tool, row: ForeignRow) -> object:
    named = tool in _BY_NAME or row.repeatable
    return row.name if named else _number(row.version)


def _number(version: str) -> object:
    """How versions are compared: number by number, or as they are where there is no number."""
    return version_key(version) if version.lstrip("vV")[:1].isdigit() else version


def _files(migration: Migration) -> list[str]:
    return [file.name.rpartition("/")[2] for file in migration.files]


def _below(row: ForeignRow, migrations: Sequence[Migration]) -> set[str]:
    newest = version_key(row.version)
    return {
        one.version
        for one in migrations
        if not one.repeatable and version_key(one.version) <= newest
    }


def _differs(tool: Tool, row: ForeignRow, migration: Migration) -> bool:
    """Whether the tool's own checksum says so; most tools keep none."""
    if row.checksum is None or not migration.files:
        return False
    content = migration.files[0].content
    texts = {content, content.replace(b"\r\n", b"\n"), migration.filled.encode() or content}
    match tool:
        case Tool.SQLX:
            known: set[object] = {hashlib.sha384(text).hexdigest() for text in texts}
        case Tool.PRISMA:
            known = {hashlib.sha256(text).hexdigest() for text in texts}
        case Tool.GRAPHILE_MIGRATE:
            known = {one.decode(errors="replace") for one in _COMMITTED_HASH.findall(content)}
        case _:
            known = {flyway_checksum(text) for text in texts}
    return row.checksum not in known


def _gaps(migrations: Sequence[Migration], taken: set[str]) -> list[str]:
    """What is pending before something that is applied."""
    places = [index for index, one in enumerate(migrations) if one.version in taken]
    newest = places[-1] if places else -1
    return [
        f"{one.label} is not applied, although later ones are; applying it needs "
        "--allow-out-of-order"
        for one in migrations[: newest + 1]
        if one.version not in taken and not one.repeatable
    ]


def _problem(history: ForeignHistory, found: Match, *, accept_missing: bool) -> str:
    if history.tool in FOREIGN and history.rows and not found.taken:
        newest = history.rows[-1].label
        return (
            f"the migrations of {history.tool} are programs, so no file of the folder belongs to "
            f"the rows of {history.table} (newest: {newest}); say with `--through VERSION` up to "
            "which migration of the folder the schema is there"
        )
    if found.unmatched and not accept_missing:
        names = ", ".join(row.label for row in found.unmatched[:5])
        more = f" and {len(found.unmatched) - 5:,} more" if len(found.unmatched) > 5 else ""
        return (
            f"{history.table} has {len(found.unmatched):,} rows that no file of the folder belongs "
            f"to: {names}{more}; is this the right folder? If those files were deleted on purpose, "
            "say --accept-missing"
        )
    return ""
