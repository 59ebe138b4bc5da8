"""The ordinary way to run a section: one transaction around everything.

    begin (fence) ─▶ statements ─▶ verify ─▶ entry (guards) ─▶ COMMIT

The beginning and the statements are sent in one breath (`migrations.target.pipeline`), each a
question of its own, so that its end and its time are known; entry and COMMIT are one.

The journal has the entry exactly when the effect is there. In 150 kills there was no divergence
with the entry in the same transaction, and 18 with the entry in a second one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace

import asyncpg

from migrations.clock import elapsed_ms
from migrations.errors import JournalChanged, Refused, RunError, TransactionEnded
from migrations.model.migration import Direction, Migration, Options, Statement
from migrations.running.code import run_in_transaction
from migrations.running.plan import Execute
from migrations.running.retry import failed_at, failed_at_the_end, lost_at, retrying
from migrations.running.telemetry import JOURNAL_SPAN, part_span, statement_span
from migrations.running.verify_section import verify
from migrations.target.entries import NewEntry, State, entry_for
from migrations.target.journal import statement as sql
from migrations.target.pipeline import asked_together
from migrations.target.refusals import journal_touched_for_good, transaction_ended
from migrations.target.session import is_connection_lost, raise_if_worn
from migrations.target.target import Target

TAKES_NO_TRANSACTION = (
    asyncpg.ActiveSQLTransactionError,
    asyncpg.InvalidTransactionTerminationError,
)
"""25001, for what must be alone, and 2D000, for a procedure that ends transactions itself."""
RUN_ALONE = "; write {}, so that each of its statements runs by itself"
ALONE = {
    "sql-migrate": "notransaction on the section",
    "python": "`# +migrate Up notransaction` above the function",
    "goose": "`-- +goose NO TRANSACTION` in the file",
    "dbmate": "transaction:false on the section",
    "tern": "`---- tern: disable-tx ----` in the section",
    "graphile-migrate": "`--! no-transaction` as the first line",
    "plain": "`-- no-transaction` as the first line",
    "golang-migrate": "`-- no-transaction` as the first line",
    "flyway": "executeInTransaction=false into a file with the script's name and .conf behind it",
}
"""How a format says that a section takes no transaction."""
OTHERWISE = "it as a file of ours beside these, with `-- +migrate Up notransaction` above the SQL"
KEY_BY_PARTITION = (
    "; before PostgreSQL 18 no partitioned table takes such a key: add it NOT VALID to each "
    "partition, VALIDATE each, then add it to the parent without NOT VALID, which scans none"
)
MEETING = ", where the journal is made, in the schema migration_ledger"
GRANT_CREATE = (
    "; GRANT CREATE ON DATABASE to the migrating login, or make it beforehand: CREATE SCHEMA "
    "migration_ledger AUTHORIZATION the login"
)
BECOME = "; GRANT that role to the migrating login, or name another"
_SETS = "call_string_check_hook"
"""The server's function that refuses a role that the login may not take; words are translated."""
TOGETHER = 100
"""Statements sent at once: beyond that a round trip is small beside what they take."""
SETTLED = {Direction.UP: State.APPLIED, Direction.DOWN: State.ROLLED_BACK}
"""What the entry of a direction says when it is done."""


async def run_transactional(target: Target, run: Execute) -> NewEntry:
    """Run the section and commit its entry, which is returned. Raises StatementFailed, RunError."""
    written: list[NewEntry] = []

    async def once() -> None:
        started = target.clock.monotonic()
        count = await run_section(target, run)
        if run.direction is Direction.UP:
            await verify(target, run.migration)
        entry = final_entry(run, elapsed_ms(target.clock, started), count)
        await commit(target, entry)
        written.append(entry)

    await retrying(target, once, run.section.statements)
    return written[-1]


async def run_section(target: Target, run: Execute) -> int:
    """Open the transaction and run the statements, or the module in their place.

    How many there were. Raises StatementFailed.
    """
    if run.section.program is not None:
        await begin(target, run.section.options)
        return await run_in_transaction(target, run, run.section.program)
    statements = run.section.statements
    numbered = list(enumerate(statements, start=1))
    await _run_together(target, run, numbered[:TOGETHER], opening=True)
    for at in range(TOGETHER, len(numbered), TOGETHER):
        await _run_together(target, run, numbered[at : at + TOGETHER], opening=False)
    return len(statements)


async def _run_together(
    target: Target, run: Execute, numbered: Sequence[tuple[int, Statement]], *, opening: bool
) -> None:
    """Run some statements of the section, sent in one breath; the first ones open the transaction.

    Raises StatementFailed.
    """
    still_open = sql("still_open")
    questions = [f"{still_open};\n{statement.text}" for _, statement in numbered]
    if opening:
        questions.insert(0, target.opening(run.section.options))
    total = len(run.section.statements)
    async with asked_together(target.connection, questions, opening=opening) as answer:
        if opening:
            await _opened(target, answer())
        for number, statement in numbered:
            before = len(still_open) + len(";\n")
            await _finished(target, run.migration, statement, number, total, answer(), before)


async def run_statement(
    target: Target, migration: Migration, statement: Statement, index: int, total: int
) -> None:
    """Run one statement in the open transaction. Raises StatementFailed."""
    async with asked_together(target.connection, [statement.text]) as answer:
        await _finished(target, migration, statement, index, total, answer())


async def _finished(
    target: Target,
    migration: Migration,
    statement: Statement,
    index: int,
    total: int,
    answer: Awaitable[bool],
    before: int = 0,
) -> None:
    """Wait for the end of one statement: whether the transaction is still open then.

    `before` are the characters that were sent before it in the same question.

    Raises StatementFailed.
    """
    started = target.clock.monotonic()
    try:
        with statement_span(target.settings, target.work.target, statement):
            still_open = await answer
    except TransactionEnded as error:
        raise failed_at(error, statement) from None
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise lost_at(error, statement) from None
        raise_if_worn(error)
        # A failed transaction is still one; none at all means that something was committed before.
        ended = not target.connection.is_in_transaction()
        failed = failed_at(transaction_ended() if ended else error, statement, before)
        if isinstance(error, TAKES_NO_TRANSACTION):
            way = ALONE.get(migration.format.partition("+")[0], OTHERWISE)
            message = f"{failed.failure.message}{RUN_ALONE.format(way)}"
            failed.failure = replace(failed.failure, message=message)
        elif isinstance(error, asyncpg.WrongObjectTypeError) and "NOT VALID" in str(error):
            message = f"{failed.failure.message}{KEY_BY_PARTITION}"
            failed.failure = replace(failed.failure, message=message)
        raise failed from None
    if not still_open:
        raise failed_at(transaction_ended(), statement)
    duration_ms = elapsed_ms(target.clock, started)
    target.observer.statement_finished(migration, statement, index, total, duration_ms)


async def begin(target: Target, options: Options, *, batch: bool = False) -> None:
    """Open the guarded transaction. Raises StatementFailed, for example for an unknown role."""
    await _opened(target, target.begin(options, batch=batch))


async def _opened(target: Target, beginning: Awaitable[object]) -> None:
    try:
        await beginning
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise
        raise_if_worn(error)
        failed = failed_at(error, None)
        remedy = "" if target.journal_exists else MEETING
        if error.server_source_function == _SETS:
            remedy = BECOME
        elif isinstance(error, asyncpg.InsufficientPrivilegeError) and not target.journal_exists:
            remedy += GRANT_CREATE
        message = f"{failed.failure.message} (before the first statement{remedy})"
        failed.failure = replace(failed.failure, message=message)
        raise failed from None


async def commit(target: Target, entry: NewEntry, beside: Statement | None = None) -> None:
    """Write the entry and commit. Raises StatementFailed; a lost connection is raised as it is.

    It stands behind the statement `beside`, or else behind all of the section.
    """
    try:
        with part_span(JOURNAL_SPAN):
            await target.commit(entry)
    except Refused:
        raise
    except RunError as error:
        raise failed_at_the_end(error, beside) from None
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise
        raise failed_at_the_end(error, beside) from None


async def refuse_touched(target: Target) -> None:
    """Read the journal again behind what ran outside of a transaction, which nothing takes back.

    Raises StatementFailed where an entry is not as it was written; a lost connection as it is.
    """
    why = "it is empty, or gone; put it back from a backup"
    try:
        if await target.read_journal() is not None or not target.journal_exists:
            return
    except JournalChanged as error:
        why = str(error)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        pass
    raise failed_at(journal_touched_for_good(why), None)


def final_entry(run: Execute, duration_ms: int, count: int) -> NewEntry:
    """The entry that says that the direction is done."""
    entry = entry_for(run.migration, run.direction, 0, SETTLED[run.direction])
    return replace(entry, statements=count, duration_ms=duration_ms, note=run.note)
