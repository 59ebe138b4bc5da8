"""Trying again: the whole transaction, after lock timeouts, deadlocks and serialization failures.

Only these three leave nothing behind and can end differently next time (55P03, 40P01, 40001). The
waits grow and are jittered, so that a fleet does not knock in step; a budget of tries and of
seconds ends them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg

from migrations.model.attempt import Failure
from migrations.model.migration import Statement
from migrations.sql import summary
from migrations.sql.literals import quote_ident
from migrations.target.failure import from_error
from migrations.target.holder import name_holder
from migrations.target.journal import statement as sql
from migrations.target.target import Target

RETRYABLE = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
FIRST_WAIT_S = 0.2
"""Long enough for the readers that queued behind us to get through."""
MAX_WAIT_S = 30.0
_GROWTH = 2.0
_JITTER = 0.5


class StatementFailed(Exception):
    """A failure with the statement that caused it, on its way to the step's outcome."""

    def __init__(self, failure: Failure, statement: Statement | None, cause: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.statement = statement
        self.cause = cause


async def retrying(target: Target, once: Callable[[], Awaitable[None]]) -> None:
    """Run `once`, a whole guarded transaction, until it succeeds or the budget is spent.

    `once` raises StatementFailed. The last one is raised again, with the blocker if there was one.
    """
    started = target.clock.monotonic()
    wait = FIRST_WAIT_S
    tries = 0
    while True:
        try:
            return await once()
        except StatementFailed as failed:
            await target.rollback()
            if not isinstance(failed.cause, RETRYABLE):
                raise
            failed.failure = await _with_blocker(target, failed)
            elapsed = target.clock.monotonic() - started
            tries += 1
            if tries > target.limits.retry_budget or elapsed >= target.limits.retry_for_s:
                raise
            # The jitter keeps databases apart.
            pause = wait * target.chance.between(1 - _JITTER, 1 + _JITTER)
            target.observer.waiting(_reason(failed.failure), elapsed, pause)
        await target.clock.sleep(pause)
        target.observer.trying_again()
        wait = min(wait * _GROWTH, MAX_WAIT_S)


def _reason(failure: Failure) -> str:
    held = f", held by {failure.blocker}" if failure.blocker else ""
    return f"to try again after SQLSTATE {failure.sqlstate}{held}"


async def _with_blocker(target: Target, failed: StatementFailed) -> Failure:
    """Who holds the locks that the statement wanted; looked up after the fact, so best effort."""
    tables = summary.tables(failed.statement.text) if failed.statement else ()
    if not tables or not isinstance(failed.cause, asyncpg.LockNotAvailableError):
        return failed.failure
    # A script outside of a transaction leaves its role set, and that role may see less than ours.
    # Its tables are found by its own path.
    await target.connection.execute("RESET ROLE;\nRESET search_path")
    names = [_regclass(name) for name in tables]
    who = await name_holder(target.connection, sql("locks_on_tables"), names)
    await target.connection.execute(sql("our_path"))
    return replace(failed.failure, blocker=who)


def _regclass(name: str) -> str:
    """A name as the grammar gives it, quoted for `to_regclass`."""
    return ".".join(quote_ident(part) for part in name.split("."))


def failed_at(error: BaseException, statement: Statement | None) -> StatementFailed:
    """`error` as the failure of `statement`."""
    return StatementFailed(from_error(error), statement, error)
