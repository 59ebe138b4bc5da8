"""What a code migration gets as `conn`: the driver's connection, within the rules of a migration.

Each statement is parsed before it is sent, held against the same rules as the statements of a SQL
file (`migrations.sql.refusals`), traced and counted like them, and followed by the question whether
our transaction is still open. In a transaction the first failure is the last word: what the module
catches, it cannot undo.

This keeps honest authors from mistakes. It is no sandbox: a module can do whatever the process may,
which is why an agent runs code only when its own settings say so.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg

from migrations.clock import SYSTEM_CLOCK, Clock, elapsed_ms
from migrations.errors import ForbiddenSqlError, LoadError, SqlSyntaxError
from migrations.model.attempt import Failure, FailureClass
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import Statement, StatementKind
from migrations.running.retry import StatementFailed, failed_at
from migrations.running.telemetry import statement_span
from migrations.sql.literals import quote_ident
from migrations.sql.own_schema import statement_acts_on_role
from migrations.sql.refusals import JOURNAL_REFUSAL, ROLE_REFUSAL
from migrations.sql.statements import split
from migrations.target.refusals import transaction_ended
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    is_connection_lost,
)

PARSED = 128
"""Statements that stay parsed: a loop sends the same few again and again."""
CURSOR_ROWS = 1_000
"""Rows that a cursor fetches at once."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a module's function runs, and how.

    `texts` are the string constants of the module: they may be repeated in messages, whatever is
    composed while it runs may not. `finished` hears each statement with its number and duration in
    milliseconds.
    """

    connection: Connection
    settings: ConnectionSettings
    schema: str
    file: str
    texts: frozenset[str]
    in_transaction: bool
    read_only: bool = False
    role: str | None = None
    """Whom the section runs as, where it says so."""
    clock: Clock = SYSTEM_CLOCK
    finished: Callable[[Statement, int, int], None] = lambda statement, number, ms: None


class GuardedConnection:
    """The `conn` of `up(conn)`, `down(conn)` and `verify(conn)`; methods as asyncpg has them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._open = True
        self._last: tuple[BaseException, StatementFailed] | None = None
        self.failed: StatementFailed | None = None
        """What ended this run, whatever the module made of it."""
        self.lost: BaseException | None = None
        """How the connection ended, if it did."""
        self.statements = 0

    async def execute(self, query: str, *args: object) -> str:
        """Run statements, or one statement with arguments; the last one's command tag."""
        found = self._parsed(query) if not args else [self._single(query)]
        tag = ""
        for statement in found:
            tag = await self._send(statement, self._executing(statement.text, args))
        return tag

    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None:
        """Run one statement for each sequence of arguments."""
        statement = self._single(command)
        connection = self._stage.connection
        await self._send(statement, lambda: connection.executemany(statement.text, args))

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """All rows."""
        statement = self._single(query)
        connection = self._stage.connection
        return await self._send(statement, lambda: connection.fetch(statement.text, *args))

    async def fetchrow(self, query: str, *args: object) -> Any:
        """The first row, or `None`."""
        statement = self._single(query)
        connection = self._stage.connection
        return await self._send(statement, lambda: connection.fetchrow(statement.text, *args))

    async def fetchval(self, query: str, *args: object, column: int = 0) -> Any:
        """One value of the first row, or `None`."""
        row = await self.fetchrow(query, *args)
        return None if row is None else row[column]

    async def cursor(
        self, query: str, *args: object, prefetch: int = CURSOR_ROWS
    ) -> AsyncIterator[Any]:
        """Rows one after the other, `prefetch` at a time: `async for row in conn.cursor(...)`."""
        statement = self._single(query)
        if not self._stage.in_transaction:
            raise self._refused(
                ForbiddenSqlError(
                    self._stage.file,
                    statement.line,
                    "a cursor needs a transaction",
                    "Page by key with fetch(), or take notransaction out",
                )
            )
        connection = self._stage.connection
        opened = await self._send(statement, lambda: connection.cursor(statement.text, *args))
        while rows := await self._send(statement, lambda: opened.fetch(prefetch), counted=False):
            for row in rows:
                yield row

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
    ) -> str:
        """Send records with COPY; the command tag."""
        table = ".".join(quote_ident(part) for part in (schema_name, table_name) if part)
        text = f"COPY {table} FROM STDIN"
        named = f"{schema_name}.{table_name}" if schema_name else table_name
        kind = StatementKind.TRANSACTIONAL
        statement = Statement(text, self._line(), kind, f"COPY {named}")
        if schema_name == JOURNAL_SCHEMA:
            raise self._refused(
                ForbiddenSqlError(
                    self._stage.file,
                    statement.line,
                    JOURNAL_REFUSAL.problem,
                    JOURNAL_REFUSAL.remedy,
                )
            )
        connection = self._stage.connection
        return await self._send(
            statement,
            lambda: connection.copy_records_to_table(
                table_name, records=records, columns=columns, schema_name=schema_name
            ),
        )

    def close(self) -> None:
        """Nothing that the module left running may use the connection from now on."""
        self._open = False

    def failure_behind(self, error: BaseException) -> StatementFailed | None:
        """The failed statement that `error` is about; `None` when it is the module's own."""
        if self.failed is not None:
            return self.failed
        return self._last[1] if self._last and self._last[0] is error else None

    def _executing(self, text: str, args: Sequence[object]) -> Callable[[], Awaitable[str]]:
        return lambda: self._stage.connection.execute(text, *args)

    async def _send(
        self, statement: Statement, call: Callable[[], Awaitable[_T]], *, counted: bool = True
    ) -> _T:
        """Run one statement under the rules. Raises what the driver raises."""
        self._refuse_late()
        self._refuse_misplaced(statement)
        stage, started = self._stage, self._stage.clock.monotonic()
        try:
            with statement_span(stage.settings, stage.schema, statement):
                answer = await call()
        except DRIVER_ERRORS as error:
            self._note(error, statement)
            raise
        if stage.in_transaction and not stage.connection.is_in_transaction():
            self.failed = failed_at(transaction_ended(), statement)
            raise self.failed.cause
        if counted:
            self.statements += 1
            stage.finished(statement, self.statements, elapsed_ms(stage.clock, started))
        return answer

    def _note(self, error: Exception, statement: Statement) -> None:
        # An OSError may come from records that the module reads while it sends them.
        closed = self._stage.connection.is_closed()
        if closed or not isinstance(error, OSError):
            lost = is_connection_lost(self._stage.connection, error)
            self.lost = error if lost else None
        if self.lost is not None:
            return
        if isinstance(error, asyncpg.PostgresError):
            in_transaction = self._stage.connection.is_in_transaction()
            ended = self._stage.in_transaction and not in_transaction
            failed = failed_at(transaction_ended() if ended else error, statement)
            self._last = (error, failed)
            if self._stage.in_transaction:
                self.failed = failed

    def _refuse_late(self) -> None:
        if not self._open:
            raise RuntimeError("conn cannot be used after the migration's function has returned")
        if self.failed is not None:
            raise self.failed.cause

    def _refuse_misplaced(self, statement: Statement) -> None:
        file, line = self._stage.file, statement.line
        if statement.concurrent_index is not None:
            raise self._refused(
                ForbiddenSqlError(
                    file,
                    line,
                    f"{statement.summary} in a Python module",
                    "Write it in a SQL file of its own, which knows how to clean up after a crash",
                )
            )
        names = (self._stage.settings.user, self._stage.settings.role, self._stage.role)
        if statement_acts_on_role(statement.text, frozenset(name for name in names if name)):
            raise self._refused(
                ForbiddenSqlError(file, line, ROLE_REFUSAL.problem, ROLE_REFUSAL.remedy)
            )
        if self._stage.in_transaction and statement.kind is StatementKind.OUTSIDE:
            raise self._refused(
                ForbiddenSqlError(
                    file,
                    line,
                    f"{statement.summary} cannot run in a transaction",
                    "Write `# +migrate Up notransaction` in the module",
                )
            )

    def _parsed(self, query: str) -> list[Statement]:
        """The statements of `query` with the module's line. Raises LoadError."""
        line = self._line()
        try:
            found = _split(query, self._stage.file, self._stage.read_only)
        except LoadError as error:
            known = query in self._stage.texts or not isinstance(error, SqlSyntaxError)
            problem = (
                error.problem if known else "PostgreSQL's grammar refuses a composed statement"
            )
            refused = type(error)(self._stage.file, line, problem, error.remedy)
            raise self._refused(refused) from None
        return [replace(statement, line=line) for statement in found]

    def _single(self, query: str) -> Statement:
        found = self._parsed(query)
        if len(found) != 1:
            raise self._refused(
                ForbiddenSqlError(
                    self._stage.file,
                    self._line(),
                    f"{len(found):,} statements in a call that takes one",
                    "Send them one by one",
                )
            )
        return found[0]

    def _refused(self, error: LoadError) -> LoadError:
        """Remember the refusal: catching it does not make the module right."""
        failure = Failure(
            FailureClass.CODE, f"{error.problem}. {error.remedy}", file=error.file, line=error.line
        )
        self.failed = StatementFailed(failure, None, error)
        return error

    def _line(self) -> int:
        """The line of the module from which this was called."""
        frame, name = sys._getframe(1), code_name(self._stage.file)
        while frame.f_back is not None and frame.f_code.co_filename != name:
            frame = frame.f_back
        return frame.f_lineno if frame.f_code.co_filename == name else 1


def code_name(file: str) -> str:
    """What Python calls the module's code in its tracebacks."""
    return f"<migration {file}>"


@lru_cache(maxsize=PARSED)
def _split(query: str, file: str, read_only: bool) -> tuple[Statement, ...]:
    return split(query, file=file, verify=read_only)
