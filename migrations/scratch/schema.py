"""What a scratch database is set up with: a catalog, a file of `pg_dump --schema-only`, a folder.

All of it is somebody's code, so it runs as the database's owner, an ordinary role. Two things a
superuser does for it, where the server was named with one, before any of that code is there:
extensions, and roles that are missing. What cannot be made is told, the rest is made without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from migrations import standalone
from migrations.catalog.difference import (
    CatalogDifference,
    How,
    ObjectChange,
    called,
    difference,
)
from migrations.catalog.neutral import TenantNames
from migrations.catalog.remedy import statements
from migrations.catalog.snapshot import Snapshot, take
from migrations.model.attempt import Limits, Verdict
from migrations.model.folder_history import schema_of
from migrations.model.migration import Language, Migration
from migrations.model.work import Silence
from migrations.printable import escaped
from migrations.scratch.builder import Builder, Lack, Piece, make_target, play
from migrations.scratch.errors import SchemaUnusable
from migrations.sql.grammar import GrammarError, RawStatement, parse
from migrations.sql.summary import summary_of
from migrations.target.session import (
    Connection,
    close_session,
    open_session,
    server_version,
)

APPLICATION_NAME = "migration-ledger scratch schema"
"""What `pg_stat_activity` shows."""
ROUNDS = 3
"""How often what was made is compared with what was wanted: some of it shows when it is there."""
_LIMITS = Limits(lock_timeout_s=30.0, statement_timeout_s=600.0)
"""Nobody else is in a scratch database; a statement of ten minutes on empty tables never ends."""
_NOT_OURS = ("extension", "database")
"""Kinds of objects that are made otherwise, or that a scratch database has of its own."""
_DUMP_ONLY = ("\\restrict ", "\\unrestrict ")
"""Commands of psql that pg_dump writes around its statements, and that do nothing for them."""


@dataclass(frozen=True, slots=True)
class CatalogSchema:
    """The catalog of a real database, as `migrations.catalog.snapshot` has it: no row.

    `target` is the schema that it is of, in databases in which each tenant has one.
    """

    document: bytes
    names: TenantNames | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class SqlSchema:
    """Statements as `pg_dump --schema-only` writes them; `file` is where they are from."""

    text: str
    file: str


@dataclass(frozen=True, slots=True)
class FolderSchema:
    """What these migrations make: they are applied, as on any database, with a journal.

    Unless they are `applied` only the target and the extensions that they name are made.
    """

    migrations: tuple[Migration, ...]
    applied: bool = True
    target: str = ""
    programs: frozenset[Language] = frozenset()
    psql_shell: bool = False


Schema: TypeAlias = CatalogSchema | SqlSchema | FolderSchema


async def build(builder: Builder, schema: Schema) -> list[Lack]:
    """Set the database up; what it lacks then. Raises SchemaUnusable."""
    match schema:
        case CatalogSchema():
            return await _cloned(builder, schema)
        case SqlSchema():
            return await _loaded(builder, schema)
        case FolderSchema():
            return await _applied(builder, schema)


async def make_extensions(builder: Builder, made: Sequence[RawStatement]) -> list[Lack]:
    """Make the extensions that these statements name, before anything else is there."""
    lacks = []
    for raw in made:
        if raw.field != "create_extension_stmt":
            continue
        options = {one.def_elem.defname: one.def_elem.arg.string.sval for one in raw.node.options}
        name = raw.node.extname
        why = await builder.extension(name, options.get("schema"), options.get("new_version"))
        if why:
            lacks.append(_no_extension(name, why))
    return lacks


async def _cloned(builder: Builder, schema: CatalogSchema) -> list[Lack]:
    await make_target(builder, schema.target)
    session = await open_session(
        builder.settings, application_name=APPLICATION_NAME, target=schema.target
    )
    try:
        before = await take(session, schema.target)
        lacks = await _cloned_extensions(builder, schema.document, before)
        # What extensions bring is theirs, and in no snapshot.
        wanted = _difference(schema.document, await take(session, schema.target))
        if not schema_of(schema.target):
            # Definitions name all that is not PostgreSQL's own.
            await session.execute("SET search_path TO ''")
        names = _names(builder, session, schema)
        failed: dict[Piece, str] = {}
        for _ in range(ROUNDS):
            pieces = [one for one in _pieces(wanted, names) if one not in failed]
            if not pieces:
                break
            failed |= await play(builder, session, pieces)
            wanted = _difference(schema.document, await take(session, schema.target))
    finally:
        await close_session(session)
    return [*lacks, *_lacking(wanted, failed)]


def _difference(document: bytes, found: Snapshot) -> list[ObjectChange]:
    """What is to be made; whoever owned it, it belongs to the owner of the scratch database."""
    changes = _changes(document, found)
    return [_without_owner(one) for one in changes if one.kind not in _NOT_OURS]


def _changes(document: bytes, found: Snapshot) -> tuple[ObjectChange, ...]:
    try:
        return difference(document, found.document, most=None).changes
    except ValueError as error:
        raise SchemaUnusable(
            f"the schema cannot be made from this: {error}; take a snapshot anew"
        ) from None


def _without_owner(change: ObjectChange) -> ObjectChange:
    expected, found = dict(change.expected), dict(change.found)
    expected.pop("owner", None)
    found.pop("owner", None)
    return replace(change, expected=expected, found=found)


async def _cloned_extensions(builder: Builder, document: bytes, found: Snapshot) -> list[Lack]:
    lacks = []
    for change in _changes(document, found):
        name = change.name[0]
        if change.kind != "extension" or change.how is not How.MISSING or name is None:
            continue
        is_ = change.expected
        if why := await builder.extension(name, is_.get("schema"), is_.get("version")):
            lacks.append(_no_extension(name, why))
    return lacks


def _names(builder: Builder, session: Connection, schema: CatalogSchema) -> TenantNames:
    """What the neutral names stand for here: all that superusers own is the owner's."""
    known = schema.names
    return TenantNames(
        database=known.database if known is not None else builder.settings.database,
        owner=builder.settings.user,
        superuser=builder.settings.user,
        version=server_version(session),
        schema=schema_of(schema.target) or None,
    )


def _pieces(wanted: Sequence[ObjectChange], names: TenantNames) -> list[Piece]:
    kept = tuple(one for one in wanted if one.how is not How.ADDED)
    return [
        Piece(sql, change.called)
        for change, sql in statements(CatalogDifference(kept), names)
        if not sql.startswith("--")
    ]


def _lacking(left: Sequence[ObjectChange], failed: Mapping[Piece, str]) -> Iterator[Lack]:
    """What of the wanted schema is still not as it should be, with the server's reason."""
    whys: dict[str, str] = {}
    for piece, why in failed.items():
        whys.setdefault(piece.what, why)
    missing = {change.name[:2] for change in left if change.how is How.MISSING}
    for change in left:
        part_of_missing = change.kind == "column" and change.name[:2] in missing
        if change.how is How.ADDED or part_of_missing:
            continue
        reason = whys.get(change.called)
        if change.how is How.MISSING:
            yield Lack(
                escaped(change.called), reason or "no statement can be written that makes it"
            )
        elif reason:
            yield Lack(escaped(f"part of {change.called}"), reason)


async def _loaded(builder: Builder, schema: SqlSchema) -> list[Lack]:
    raws, text = _read(schema)
    lacks = await make_extensions(builder, raws)
    data = text.encode()
    pieces = []
    for raw in raws:
        if raw.field in ("transaction_stmt", "create_extension_stmt"):
            continue
        line = data.count(b"\n", 0, raw.start) + 1
        what = f"{schema.file}:{line}: {summary_of(raw)}"
        pieces.append(Piece(f"{data[raw.start : raw.end].decode()};", what))
    session = await open_session(builder.settings, application_name=APPLICATION_NAME)
    try:
        failed = await play(builder, session, pieces)
    finally:
        await close_session(session)
    # Another release's dump sets what this one does not know; nothing is missing then.
    kept = {one: why for one, why in failed.items() if not one.sql.startswith("SET ")}
    return [*lacks, *(Lack(escaped(one.what), why) for one, why in kept.items())]


def _read(schema: SqlSchema) -> tuple[list[RawStatement], str]:
    """Its statements, and the text that they are of. Raises SchemaUnusable."""
    lines = ["" if line.startswith(_DUMP_ONLY) else line for line in schema.text.split("\n")]
    text, file = "\n".join(lines), escaped(schema.file)
    command = next((at for at, line in enumerate(lines, 1) if line.startswith("\\")), None)
    if command is not None:
        raise SchemaUnusable(
            f"{file}:{command}: this is a command of psql, or a row; write the file with "
            "`pg_dump --schema-only`"
        )
    try:
        raws = parse(text)
    except GrammarError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SchemaUnusable(
            f"{file}:{line}: PostgreSQL's grammar says: {escaped(error.message)}; write the file "
            "with `pg_dump --schema-only`, which leaves rows out"
        ) from None
    if any(raw.field == "copy_stmt" for raw in raws):
        raise SchemaUnusable(f"{file} holds rows; write it with `pg_dump --schema-only`")
    return raws, text


async def _applied(builder: Builder, schema: FolderSchema) -> list[Lack]:
    await make_target(builder, schema.target)
    wanted = [
        raw
        for one in schema.migrations
        for statement in one.up.statements
        if statement.summary.startswith("CREATE EXTENSION")
        for raw in parse(statement.text)
        # Any other fails where the extension is there already.
        if raw.node.if_not_exists or not schema.applied
    ]
    lacks = await make_extensions(builder, wanted)
    if not schema.applied:
        return lacks
    outcome = await standalone.up(
        builder.settings,
        schema.migrations,
        _LIMITS,
        Silence(),
        target=schema.target,
        programs=schema.programs,
        psql_shell=schema.psql_shell,
    )
    if outcome.verdict is Verdict.DONE:
        return lacks
    failure = outcome.failure
    file = f"{escaped(failure.file)}:{failure.line}: " if failure and failure.file else ""
    message = failure.message if failure else "it was not finished"
    also = "".join(f"; {one.what}: {one.why}" for one in lacks)
    raise SchemaUnusable(
        f"what the fleet has of the folder cannot be applied on a scratch database: {file}"
        f"{message}{also}; set it up with the schema of a database, or a file of "
        "`pg_dump --schema-only`, in place of the folder"
    )


def _no_extension(name: str, why: str) -> Lack:
    return Lack(escaped(called("extension", (name,))), why)
