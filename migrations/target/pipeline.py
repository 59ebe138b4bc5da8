"""Questions that are sent in one breath: the line is waited for once, and each end is heard.

The driver knows one question at a time. So what follows goes out with its first one, and what comes
back is filtered until it looks like the answer to a single question of several statements:

    driver ── Q1 ──▶ line ── Q1 Q2 Q3 ──▶ server
    driver ◀── C1 C2 C3 Z3 ── filter ◀── C1 Z1 C2 Z2 C3 Z3 ── server

The driver gets the first error and the last ReadyForQuery; what the questions behind an error are
told is dropped. They are executed by the server all the same, whatever came of the one before. So
each must begin with what fails where it must not run.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import asyncpg

from migrations.target.refusals import transaction_ended
from migrations.target.session import Connection

Answer: TypeAlias = Callable[[], Awaitable[bool]]
"""Waits for the next question's end, and says whether a transaction was open then."""

_LENGTH = struct.Struct("!I")
_HEADER_BYTES = 5
_OPEN = b"T"
_COMMITS = (b"COMMIT\0", b"PREPARE TRANSACTION\0")
"""What the server says of a statement after which no transaction is the one that we opened."""


@dataclass(frozen=True, slots=True)
class End:
    """How a question ended."""

    failed: bool
    transaction_open: bool
    """And not failed."""
    committed: bool = False
    """Whether a COMMIT, or a PREPARE TRANSACTION, was among its statements and took effect."""


class Together:
    """The questions behind the driver's own, and what is taken out of the answers; no I/O.

    `ended` hears the end of each, the driver's own included.
    """

    def __init__(self, behind: Sequence[str], ended: Callable[[End], None]) -> None:
        self.messages = b"".join(map(_query, behind))
        self.done = False
        self._ended = ended
        self._left = len(behind) + 1
        self._failed = self._committed = False
        self._rest = b""

    def received(self, data: bytes) -> bytes:
        """What the driver may see of what has come."""
        data, at, through = self._rest + data, 0, []
        while self._left and len(data) - at >= _HEADER_BYTES:
            end = at + 1 + _LENGTH.unpack_from(data, at + 1)[0]
            if end > len(data):
                break
            message, at = data[at:end], end
            if self._passes(message):
                through.append(message)
        self._rest = data[at:]
        if not self._left:
            self.done = True
            through.append(self._rest)
        return b"".join(through)

    def _passes(self, message: bytes) -> bool:
        kind = message[:1]
        if kind == b"Z":
            self._left -= 1
            # Behind a failed one nothing is told: it did not run.
            is_open = message[_HEADER_BYTES:] == _OPEN
            self._ended(End(self._failed, is_open, self._committed))
            self._committed = False
            return not self._left
        if kind == b"E":
            first, self._failed = not self._failed, True
            return first
        if kind == b"C" and message[_HEADER_BYTES:] in _COMMITS and not self._failed:
            self._committed = True
        return True


class _Line(Protocol):
    """What a session's protocol offers (`migrations.target.login`)."""

    def follow_with(self, together: Together) -> None:
        """Send these behind the driver's next question."""

    def take_back(self, together: Together) -> None:
        """Forget them if they were not sent."""


@asynccontextmanager
async def asked_together(
    connection: Connection, questions: Sequence[str], *, opening: bool = False
) -> AsyncIterator[Answer]:
    """Send all the questions; the block waits for the answers, one after the other.

    With `opening` the first one opens the transaction, and may commit before it does.

    An answer raises what the server says of that question, when all behind it are through, and
    TransactionEnded where it has committed. Who leaves the block before the last answer cancels
    what still runs.
    """
    loop = asyncio.get_running_loop()
    may_commit = iter([opening])
    ends: list[asyncio.Future[End]] = [loop.create_future() for _ in questions]
    heard, awaited = iter(ends), iter(ends)
    line: _Line = connection._protocol  # type: ignore[attr-defined]
    together = Together(questions[1:], lambda end: next(heard).set_result(end))
    line.follow_with(together)
    call: asyncio.Task[Any] = loop.create_task(connection.execute(questions[0]))

    async def answer() -> bool:
        end = next(awaited)
        await asyncio.wait((call, end), return_when=asyncio.FIRST_COMPLETED)
        if not next(may_commit, False) and end.done() and end.result().committed:
            with suppress(asyncpg.PostgresError):
                await call
            raise transaction_ended()
        if not end.done() or end.result().failed:
            await call
        if not end.result().transaction_open:
            with suppress(asyncpg.PostgresError):
                await call
        return end.result().transaction_open

    try:
        yield answer
    finally:
        if not all(end.done() for end in ends):
            call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        line.take_back(together)


def _query(text: str) -> bytes:
    body = text.encode() + b"\0"
    return b"Q" + _LENGTH.pack(len(body) + 4) + body
