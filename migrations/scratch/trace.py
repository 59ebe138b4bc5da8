"""What each statement does to tables, seen: it is run in a scratch database, and looked at.

    BEGIN; what the statements before said of the rest of a transaction
    how often was each table read through?                                   ── before
    the statement
    which relations does our session hold locked, in which file is each,
    how often was each read through by now?                                  ── after
    COMMIT

A transaction of its own for each, so that its locks are its own: those of the statements before are
gone, and what they made is there. What is rolled back, at the end and as a whole, is the scratch
database.

Source: PostgreSQL gives a table another file when it writes every row anew, and counts what it
reads from one end to the other, also where the table is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from migrations.errors import TransactionEnded
from migrations.model.migration import Migration, Section, Statement, StatementKind
from migrations.model.traces import LockMode, TableLock, Trace, TracedStatement
from migrations.printable import escaped
from migrations.scratch.builder import said
from migrations.scratch.database import ScratchDatabase
from migrations.scratch.lone_statements import NEVER_RUN, known_effects
from migrations.sql.grammar import RawStatement, parse, tree
from migrations.sql.named_statements import named_statements
from migrations.sql.savepoints import is_savepoint
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    close_session,
    is_connection_lost,
    open_session,
)

APPLICATION_NAME = "migration-ledger trace"
"""What `pg_stat_activity` shows."""
STATEMENT_TIMEOUT_S = 60
"""On tables without rows; what takes longer waits for something, or never ends."""
TIME_ZONE = "America/New_York"
"""Not UTC: where the time zone of a session is, a timestamp becomes one with a time zone as it is,
and nobody knows that of every tenant."""
_QUERIES = named_statements("migrations.scratch", "trace.sql")
_MODES = {f"{mode.name.title().replace('_', '')}Lock": mode for mode in LockMode}
"""By what `pg_locks` calls them."""
_TABLES = frozenset("rpmfv")
"""Kinds of relations that programs read and write: tables of all kinds, and views."""
_OUTSIDE = "it runs outside of transactions, so this is what is known of its kind"
_BEYOND = "it changes what the whole server shares, such as a role, so it was taken back at once"
_TAKES_BACK = "what it takes back stays here, so what follows may be seen otherwise"
_LOST = "the session with the scratch database was lost at a statement before"


@dataclass(frozen=True, slots=True)
class _Relation:
    """A relation as it was before a statement."""

    name: str
    kind: str
    node: int | None
    """The number of its file."""

    @property
    def is_table(self) -> bool:
        return self.kind in _TABLES


async def trace(
    database: ScratchDatabase,
    pending: Sequence[Migration],
    *,
    applied: Sequence[Migration] = (),
    target: str = "",
    together: bool = True,
) -> Trace:
    """Run the up sections of these migrations, in order, and say what each statement did.

    Those that are `applied` run first, and only what of them failed is told. With `together` the
    pending ones meet a database at once, and nobody uses yet what an earlier one makes; else each
    meets what those before it have made long ago. What fails, or cannot be run, is told in its
    place. Raises what `open_session` raises.
    """
    tracer = _Tracer(database, target)
    await tracer.begin()
    lacks = [(one.what, one.why) for one in database.lacks]
    for migration in applied:
        made = [one for one in await tracer.take(migration) if one.fails]
        lacks += [(f"{one.file}:{one.line}: {one.statement}", one.untraced) for one in made]
    tracer.forget_what_is_new()
    found: list[TracedStatement] = []
    for migration in pending:
        found += await tracer.take(migration)
        if not together:
            tracer.forget_what_is_new()
    escaped_lacks = tuple((escaped(what), why) for what, why in lacks)
    return Trace(database.version, tuple(found), escaped_lacks)


class _Tracer:
    """Goes through migrations; knows which relations were there before the first of them."""

    def __init__(self, database: ScratchDatabase, target: str) -> None:
        self._database = database
        self._target = target
        self._known: dict[int, _Relation] = {}
        self._old: frozenset[int] = frozenset()

    async def begin(self) -> None:
        """Look at everything that is there."""
        session = await self._session()
        try:
            rows = await session.fetch(_QUERIES["relations"])
        finally:
            await close_session(session)
        self._known = {row["oid"]: _relation(row) for row in rows}
        self._old = frozenset(self._known)

    def forget_what_is_new(self) -> None:
        """What was made until now is there for long."""
        self._old = frozenset(self._known)

    async def take(self, migration: Migration) -> list[TracedStatement]:
        """All statements of one migration, in a session of its own, as settings stay in it."""
        section = migration.up
        blank = list(_blank(migration, section))
        if section.program is not None or section.batches is not None:
            return blank
        session = await self._session()
        try:
            return await self._statements(session, section, blank)
        finally:
            await close_session(session)

    async def _session(self) -> Connection:
        session = await open_session(
            self._database.settings, application_name=APPLICATION_NAME, target=self._target
        )
        await session.execute(
            f"SET statement_timeout TO '{STATEMENT_TIMEOUT_S}s'; SET timezone TO '{TIME_ZONE}'"
        )
        return session

    async def _statements(
        self, session: Connection, section: Section, blank: Sequence[TracedStatement]
    ) -> list[TracedStatement]:
        found: list[TracedStatement] = []
        standing: list[str] = []
        """What statements have said of the rest of the transaction that they share."""
        part = 0
        for statement, one in zip(section.statements, blank, strict=True):
            if statement.part != part and not section.transactional:
                standing, part = [], statement.part
            if session.is_closed():
                found.append(replace(one, untraced=_LOST, fails=True))
                continue
            raw = parse(statement.text)[0]
            if is_savepoint(raw):
                back = raw.node.kind == tree.TRANS_STMT_ROLLBACK_TO
                found.append(replace(one, untraced=_TAKES_BACK if back else ""))
                continue
            try:
                if statement.kind is StatementKind.OUTSIDE:
                    found.append(await self._outside(session, statement, raw, one))
                else:
                    found.append(await self._inside(session, statement, standing, one))
            except (TransactionEnded, *DRIVER_ERRORS) as error:
                await _rolled_back(session)
                # An extension that only a superuser may make was made before.
                there = isinstance(error, asyncpg.DuplicateObjectError)
                if not (there and raw.field == "create_extension_stmt"):
                    found.append(replace(one, untraced=_why(session, error), fails=True))
                    continue
                found.append(one)
            if _lasts(raw) and (section.transactional or part):
                standing.append(statement.text)
        return found

    async def _inside(
        self,
        session: Connection,
        statement: Statement,
        standing: Sequence[str],
        one: TracedStatement,
    ) -> TracedStatement:
        await session.execute(";\n".join(["BEGIN", *standing]))
        before = await self._read_through(session)
        await session.execute(statement.text)
        if not session.is_in_transaction():
            raise TransactionEnded("it ended the transaction that it ran in")
        rows = await session.fetch(_QUERIES["locked"])
        after = await self._read_through(session)
        if await session.fetchval(_QUERIES["beyond"]):
            await session.execute("ROLLBACK")
            return replace(one, untraced=_BEYOND, fails=True)
        await session.execute("COMMIT")
        return self._seen(one, rows, before, after)

    async def _outside(
        self, session: Connection, statement: Statement, raw: RawStatement, one: TracedStatement
    ) -> TracedStatement:
        """Run it for what later statements build on."""
        known = known_effects(raw)
        seen = replace(
            one,
            transactional=False,
            untraced=_OUTSIDE,
            locks=tuple(TableLock(table, known.mode) for table in known.tables),
            rewrites=known.tables if known.rewrites else (),
            scans=known.tables if known.scans else (),
        )
        if raw.field in NEVER_RUN:
            return seen
        try:
            await session.execute(statement.text)
        except asyncpg.PostgresError as error:
            why = f"{_OUTSIDE}; here it failed: {said(error)}"
            return replace(seen, untraced=why, fails=True)
        await self._look_again(session)
        return seen

    async def _look_again(self, session: Connection) -> None:
        rows = await session.fetch(_QUERIES["relations"])
        self._known = {row["oid"]: _relation(row) for row in rows}

    async def _read_through(self, session: Connection) -> Mapping[int, int]:
        rows = await session.fetch(_QUERIES["read_through"])
        return {row["relid"]: row["times"] for row in rows}

    def _seen(
        self,
        one: TracedStatement,
        rows: Sequence[Any],
        before: Mapping[int, int],
        after: Mapping[int, int],
    ) -> TracedStatement:
        locks: dict[str, LockMode] = {}
        rewrites: dict[str, None] = {}
        scans = [
            self._known[oid].name
            for oid, times in after.items()
            if times > before.get(oid, 0) and oid in self._old
        ]
        for row in rows:
            oid = row["oid"]
            was = self._known.get(oid)
            # What is gone by now is not in the catalog any more; it is still locked.
            if row["name"] is not None:
                self._known[oid] = _relation(row)
            if was is None or oid not in self._old or not was.is_table:
                continue
            mode = max(_MODES[mode] for mode in row["modes"])
            locks[was.name] = max(mode, locks.get(was.name, mode))
            if row["name"] is not None and row["node"] != was.node:
                rewrites[was.name] = None
        if one.statement.startswith("TRUNCATE"):
            # Another file it is, and an empty one.
            rewrites, scans = {}, []
        ordered = sorted(locks.items(), key=lambda lock: (-lock[1], lock[0]))
        return replace(
            one,
            locks=tuple(TableLock(table, mode) for table, mode in ordered),
            rewrites=tuple(rewrites),
            scans=tuple(sorted(scans)),
        )


def _blank(migration: Migration, section: Section) -> Iterator[TracedStatement]:
    """Every statement, as long as nothing was seen of it; a program is one."""
    file = section.file or migration.files[0].name
    first = TracedStatement(migration.version, migration.label, file, 1, 0, "")
    if section.program is not None:
        language = section.program.language.value
        why = f"it is a program in {language}, whose statements are known when it runs"
        yield replace(first, statement=language, untraced=why, fails=True)
        return
    why = "it moves rows in batches, and here there are none" if section.batches else ""
    for number, one in enumerate(section.statements):
        yield replace(first, line=one.line, number=number, statement=one.summary, untraced=why)


def _relation(row: Any) -> _Relation:
    return _Relation(row["name"], row["relkind"], row["node"])


def _lasts(raw: RawStatement) -> bool:
    """Whether a statement is about the rest of its transaction."""
    if raw.field == "constraints_set_stmt":
        return True
    return raw.field == "variable_set_stmt" and bool(raw.node.is_local)


async def _rolled_back(session: Connection) -> None:
    with suppress(*DRIVER_ERRORS):
        if not session.is_closed() and session.is_in_transaction():
            await session.execute("ROLLBACK")


def _why(session: Connection, error: BaseException) -> str:
    if is_connection_lost(session, error):
        return "the session with the scratch database was lost at it"
    if isinstance(error, asyncpg.QueryCanceledError):
        return f"it took longer than {STATEMENT_TIMEOUT_S} s in the scratch database"
    return f"it failed in the scratch database: {said(error)}"
