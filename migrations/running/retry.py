"""Trying again: the whole transaction, after what leaves nothing behind and may end well next time.

That are lock timeouts, deadlocks and serialization failures (55P03, 40P01, 40001), and conflicts
over the catalogs: two sessions that GRANT, ALTER ROLE, COMMENT or CREATE … IF NOT EXISTS at one
moment, in one database or, where the catalog is shared, on one server. A budget of tries and of
seconds ends it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import asyncpg

from migrations.backoff import Backoff
from migrations.model.attempt import Failure, FailureClass, Limits
from migrations.model.migration import Statement
from migrations.target.failure import from_error, line_of
from migrations.target.session import LostAt
from migrations.target.target import Target

RETRYABLE = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
IN_CATALOG = re.compile(r"tuple concurrently (updated|deleted)")
"""What the server says, as an internal error and in English always, when two sessions change one
row of a catalog, for which there is no lock to wait for (`simple_heap_update` in `heapam.c`)."""
JUST_MADE = ("42P06", "42P07", "42710", "42723")
"""There already: a schema, a relation, another object, a function."""
IF_NOT_EXISTS = re.compile(r"\bIF\s+NOT\s+EXISTS\b", re.IGNORECASE)
DROP_IF_EXISTS = re.compile(r"\bDROP\b[^;]*?\bIF\s+EXISTS\b", re.IGNORECASE)
MADE_TRIES = 2
"""How often what somebody may just have made is tried again: then it stays in the way."""
AT_THE_END = "at COMMIT, when deferred constraints are checked and our entry is written"
FIRST_WAIT_S = 0.2
"""Long enough for the readers that queued behind us to get through."""
MAX_WAIT_S = 30.0


class StatementFailed(Exception):
    """A failure with the statement that caused it, on its way to the step's outcome."""

    def __init__(self, failure: Failure, statement: Statement | None, cause: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.statement = statement
        self.cause = cause
        self.without_effect = 0
        """The number of the statement, if a probe says that nothing of it is there."""
        self.committed = False
        """Whether the section is committed, and does not hold."""
        self.beside: Statement | None = None
        """The author's statement that one of ours failed beside, where it is known."""
        self.at_the_end = False
        """Whether it was behind the last statement: deferred constraints, our entry, COMMIT."""


def may_pass(
    error: BaseException, statement: Statement | None = None, all_of_it: Sequence[Statement] = ()
) -> bool:
    """Whether the same may end well when it is tried again, nothing of it being left behind.

    `all_of_it` are the statements that are tried again with `statement`.
    """
    if isinstance(error, RETRYABLE):
        return True
    if not isinstance(error, asyncpg.PostgresError):
        return False
    match error.sqlstate:
        case "XX000":
            return IN_CATALOG.match(str(error)) is not None
        case "23505":
            return error.schema_name == "pg_catalog"
        case state if state in JUST_MADE:
            # It was looked whether it is there, and somebody was faster between look and making.
            looked = statement is not None and IF_NOT_EXISTS.search(statement.text) is not None
            return looked or any(DROP_IF_EXISTS.search(one.text) for one in all_of_it)
        case _:
            return False


async def retrying(
    target: Target, once: Callable[[], Awaitable[None]], all_of_it: Sequence[Statement] = ()
) -> None:
    """Run `once`, a whole guarded transaction, until it succeeds or the budget is spent.

    `all_of_it` are the author's statements in it. `once` raises StatementFailed. The last one is
    raised again, with the blocker if there was one.
    """
    started = target.clock.monotonic()
    backoff = Backoff(target.clock, target.chance, FIRST_WAIT_S, MAX_WAIT_S)
    try:
        while True:
            try:
                return await once()
            except StatementFailed as failed:
                failed.failure = _with_blocker(target, failed)
                timed_out = isinstance(failed.cause, asyncpg.LockNotAvailableError)
                target.lookout.rest(then_closely=timed_out)
                await target.rollback()
                if not may_pass(failed.cause, failed.statement, all_of_it):
                    raise
                elapsed = target.clock.monotonic() - started
                most = _most_tries(failed.cause, target.limits)
                if backoff.tries >= most or elapsed >= target.limits.retry_for_s:
                    raise
                pause = backoff.next_s()
                target.observer.waiting(_reason(failed.failure), elapsed, pause)
            await target.clock.sleep(pause)
            target.lookout.try_again()
            target.observer.trying_again()
    finally:
        target.lookout.calm_down()


def _most_tries(error: BaseException, limits: Limits) -> int:
    made = isinstance(error, asyncpg.PostgresError) and error.sqlstate in JUST_MADE
    return min(MADE_TRIES, limits.retry_budget) if made else limits.retry_budget


def _reason(failure: Failure) -> str:
    held = f", held by {failure.blocker}" if failure.blocker else ""
    raced = failure.sqlstate in ("XX000", "23505", *JUST_MADE)
    why = ", another session changed the same of the catalog" if raced else ""
    return f"to try again after SQLSTATE {failure.sqlstate}{why}{held}"


def _with_blocker(target: Target, failed: StatementFailed) -> Failure:
    """Who stood in the way of what took too long, where that was seen while it waited."""
    match failed.cause:
        case asyncpg.LockNotAvailableError():
            return replace(failed.failure, blocker=target.lookout.seen())
        case asyncpg.QueryCanceledError() if why := target.lookout.given_up():
            return replace(failed.failure, kind=FailureClass.LOCK_TIMEOUT, message=why)
        case asyncpg.QueryCanceledError():
            return replace(failed.failure, blocker=target.lookout.seen_now())
        case _:
            return failed.failure


def failed_at_the_end(error: BaseException, beside: Statement | None = None) -> StatementFailed:
    """`error` as what came behind the last statement, or behind the one it is `beside`."""
    failed = failed_at(error, None)
    failed.beside, failed.at_the_end = beside, True
    if isinstance(error, asyncpg.PostgresError):
        message = f"{failed.failure.message} ({AT_THE_END})"
        failed.failure = replace(failed.failure, message=message)
    return failed


def lost_at(error: BaseException, statement: Statement | None) -> LostAt:
    """`error`, with which a session was lost, at the statement that ran then."""
    if isinstance(error, LostAt):
        return error
    # The driver says that the line was cut, because of what the server said before.
    said = error.__cause__
    return LostAt(said if isinstance(said, asyncpg.PostgresError) else error, statement)


def failed_at(
    error: BaseException, statement: Statement | None, before: int = 0
) -> StatementFailed:
    """`error` as the failure of `statement`, which was sent behind so many other characters."""
    if statement is None:
        return StatementFailed(from_error(error), None, error)
    failure = from_error(error, statement.text)
    line = line_of(error, statement, before)
    return StatementFailed(replace(failure, line=line), statement, error)
