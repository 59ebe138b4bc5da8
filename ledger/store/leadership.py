"""Who leads: at most one process per ledger decides, publishes and takes reports in.

    asking ──lock free──▶ leading under term n + 1 ──connection lost, or released──▶ no longer
       └──lock held──▶ LeadershipTaken, with the leader's name

The lock is a session-level advisory lock on a connection of its own: it ends with that connection,
whatever ends it. It is for liveness only. Safety is the term: it rises with each leader, and
`ledger.append` refuses a leader's call under an earlier one, so a process that was stopped, and
goes on after another has taken over, can record nothing.

Whoever takes leadership appends LeadershipTaken as its first act under the new term.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ledger.errors import AnotherLeader
from ledger.store.connections import (
    APPLICATION_NAME,
    CANNOT_CONNECT,
    CONNECTION_LOST,
    Pool,
    unreachable,
)
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated

KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": f"{APPLICATION_NAME} leader",
}
"""A leader whose host vanished is gone for the server after about ten seconds."""
ANNOUNCEMENTS = "migration_ledger_log"
"""The channel on which requests are announced: the one in the query `announce`."""
LOOK_EVERY_S = 2.0
"""How often a leader asks whether its connection still lives."""
ANSWER_WITHIN_S = 5.0
"""A connection that does not answer for so long is lost; less than the server waits for us."""


@dataclass(frozen=True, slots=True)
class CurrentLeader:
    """The process that leads now."""

    name: str
    host: str
    since: datetime


async def current_leader(pool: Pool) -> CurrentLeader | None:
    """Who leads now; `None` when nobody holds the leader's lock, whoever led last."""
    row = await pool.fetchrow(QUERIES["current_leader"])
    return CurrentLeader(*row) if row is not None else None


class Leadership:
    """Leadership under `term`, for as long as the connection lives."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], term: int) -> None:
        self.term = term
        self._connection = connection
        self._lost = asyncio.Event()
        connection.add_termination_listener(self._terminated)

    async def wait_lost(self) -> None:
        """Return when leadership is lost: the connection ended or does not answer any more."""
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._lost.wait()
            except TimeoutError:
                await self._look()

    async def listen(self, announced: Callable[[], None]) -> None:
        """Call `announced` whenever a request is announced (`EventLog.announce`), until the end.

        A connection that is lost hears nothing more; `wait_lost` says so.
        """
        with suppress(*CONNECTION_LOST, asyncpg.InterfaceError):
            await self._connection.add_listener(ANNOUNCEMENTS, lambda *_: announced())

    async def release(self) -> None:
        """Stop leading. Harmless when leadership is lost already."""
        self._connection.remove_termination_listener(self._terminated)
        self._lost.set()
        try:
            await self._connection.fetchval(
                QUERIES["release_leadership_lock"], timeout=ANSWER_WITHIN_S
            )
            await self._connection.close(timeout=ANSWER_WITHIN_S)
        except (*CONNECTION_LOST, asyncpg.InterfaceError):
            self._connection.terminate()

    async def _look(self) -> None:
        try:
            await self._connection.fetchval("SELECT 1", timeout=ANSWER_WITHIN_S)
        except (*CONNECTION_LOST, asyncpg.InterfaceError):
            self._lost.set()

    def _terminated(self, _connection: object) -> None:
        self._lost.set()


async def take(url: str, leader: str, host: str) -> Leadership:
    """Lead from now on, as `leader` on `host`, under the next term.

    Raises LeadershipTaken, NotPermitted, LedgerUnreachable.
    """
    try:
        connection = await asyncpg.connect(url, server_settings=KEEPALIVE)
    except CANNOT_CONNECT as error:
        raise unreachable(error) from None
    try:
        if not await connection.fetchval(QUERIES["try_leadership_lock"]):
            raise await _taken(connection)
        term = await connection.fetchval(QUERIES["begin_term"], leader, host)
    except asyncpg.PostgresError as error:
        await connection.close()
        raise translated(error) from error
    except BaseException:
        await connection.close()
        raise
    return Leadership(connection, term)


async def _taken(connection: asyncpg.Connection[asyncpg.Record]) -> AnotherLeader:
    head = await connection.fetchrow(QUERIES["head"])
    if head is None or head["leader"] is None:
        return AnotherLeader("another process", "an unknown host", "just now")
    return AnotherLeader(
        head["leader"], head["leader_host"], head["leader_since"].isoformat(timespec="seconds")
    )
