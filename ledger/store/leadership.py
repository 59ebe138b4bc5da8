"""Who leads: at most one process per ledger decides, publishes and takes reports in.

    asking ──lock free──▶ leading under term n + 1 ──connection lost, or released──▶ no longer
       └──lock held──▶ LeadershipTaken, with the leader's name
                          │ it is silent, and a person says so: its session is ended (`take_over`)
                          ▼
                       leading under term n + 1

The lock is a session-level advisory lock on a connection of its own: it ends with that connection,
whatever ends it. It is for liveness only. Safety is the term: it rises with each leader, and
`ledger.append` refuses a leader's call under an earlier one, so a process that was stopped, and
goes on after another has taken over, can record nothing.

A leader proves itself every two seconds on that connection: a row outside the log, which everybody
may read, and the server's time, which must be its own. One whose connection does not answer has
lost leadership; one that is frozen notices nothing, keeps the lock, and is silent.

Whoever takes leadership appends LeadershipTaken as its first act under the new term.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from ledger.domain.surroundings import LeadingProcess
from ledger.errors import (
    AnotherLeader,
    LeadershipLost,
    LeadershipNotTaken,
    StoreError,
    WrongClock,
)
from ledger.settings.address import place_of
from ledger.store.connections import (
    APPLICATION_NAME,
    CANNOT_CONNECT,
    CONNECTION_LOST,
    Connection,
    Pool,
)
from ledger.store.obstacles import CONNECT_WITHIN_S, unreachable
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated
from migrations.backoff import Backoff
from migrations.chance import SYSTEM_CHANCE, Chance
from migrations.clock import SYSTEM_CLOCK, Clock, happens_within
from migrations.errors import ClockApart
from migrations.model.clocks import ComparedClock, moment_text

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


TAKE_OVER_WITHIN_S = 10.0
"""How long a session may take to end that was told to."""


async def current_leader(connection: Pool | Connection) -> LeadingProcess | None:
    """Who leads now; `None` when nobody holds the leader's lock, whoever led last."""
    row = await connection.fetchrow(QUERIES["current_leader"])
    return LeadingProcess(*row) if row is not None else None


class Leadership:
    """Leadership under `term`, for as long as the connection lives.

    Once it is lost, `why` says by what.
    """

    def __init__(
        self, connection: asyncpg.Connection[asyncpg.Record], term: int, clock: Clock
    ) -> None:
        self.term = term
        self.why: StoreError = LeadershipLost()
        self._connection = connection
        self._clock = clock
        self._compared = compared(clock)
        self._lost = asyncio.Event()
        self._proven_at = clock.monotonic()
        self._when_lost: Callable[[], None] | None = None
        connection.add_termination_listener(self._terminated)

    def silence(self) -> str:
        """Why leadership is in doubt: it is lost, or was not proven for a while; else empty."""
        if self._lost.is_set():
            return str(self.why)
        silent_s = self._clock.monotonic() - self._proven_at
        if silent_s <= LOOK_EVERY_S + ANSWER_WITHIN_S / 2:
            return ""
        return f"the ledger's database has not answered for {silent_s:.0f} s"

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call this at the moment at which leadership is lost."""
        self._when_lost = call

    async def wait_lost(self) -> None:
        """Return when leadership is lost.

        The connection ended or does not answer any more, or this host's clock is not the ledger's.
        """
        while not self._lost.is_set():
            if not await happens_within(self._clock, self._lost, LOOK_EVERY_S):
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
        if self._lost.is_set():
            # Whoever does not answer is not asked: this is how long an end may take at most.
            self._connection.terminate()
            return
        self._lost.set()
        try:
            await self._connection.fetchval(
                QUERIES["release_leadership_lock"], timeout=ANSWER_WITHIN_S
            )
            await self._connection.close(timeout=ANSWER_WITHIN_S)
        except (*CONNECTION_LOST, asyncpg.InterfaceError):
            self._connection.terminate()

    async def _look(self) -> None:
        """Prove that we live, and see that the clocks agree."""
        asked_at = self._compared.now()
        try:
            seen_at = await self._connection.fetchval(
                QUERIES["prove_leadership"], timeout=ANSWER_WITHIN_S
            )
            self._compared.check(seen_at, asked_at)
            self._proven_at = self._clock.monotonic()
        except (*CONNECTION_LOST, asyncpg.InterfaceError):
            self._lose()
        except ClockApart as error:
            self.why = WrongClock(error.message)
            self._lose()

    def _terminated(self, _connection: object) -> None:
        self._lose()

    def _lose(self) -> None:
        if not self._lost.is_set():
            self._lost.set()
            if self._when_lost is not None:
                self._when_lost()


def compared(clock: Clock) -> ComparedClock:
    """This host's clock, as messages call it."""
    return ComparedClock(clock.now, "the clock of this host")


async def take(url: str, leader: str, host: str, clock: Clock = SYSTEM_CLOCK) -> Leadership:
    """Lead from now on, as `leader` on `host`, under the next term.

    Raises LeadershipTaken, WrongClock, NotPermitted, LedgerUnreachable.
    """
    async with _connected(url) as connection:
        if not await _locked(connection, compared(clock)):
            raise await _taken(connection)
        return await _begun(connection, clock, leader, host)


async def take_over(
    url: str,
    leader: str,
    host: str,
    clock: Clock = SYSTEM_CLOCK,
    chance: Chance = SYSTEM_CHANCE,
) -> Leadership:
    """As `take`, and where another leads that is silent, end its session first.

    That one may be at work still, or go on later: what it began is fenced by its term. Raises
    LeadershipTaken when the other has just given a sign of life, LeadershipNotTaken when its
    session does not end, and what `take` raises.
    """
    async with _connected(url) as connection:
        if not await _locked(connection, compared(clock)):
            found = await current_leader(connection)
            if found is not None and not found.is_silent:
                raise await _taken(connection)
            await _end_leader(connection, clock, chance)
        return await _begun(connection, clock, leader, host)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session that outlives the block if that goes well. Raises LedgerUnreachable."""
    try:
        connection = await asyncpg.connect(
            url,
            server_settings=KEEPALIVE,
            timeout=CONNECT_WITHIN_S,
            command_timeout=CONNECT_WITHIN_S,
        )
    except CANNOT_CONNECT as error:
        raise unreachable(error, place_of(url)) from None
    try:
        yield connection
    except CONNECTION_LOST as error:
        connection.terminate()
        raise unreachable(error, place_of(url)) from error
    except asyncpg.PostgresError as error:
        await connection.close()
        raise translated(error) from error
    except BaseException:
        await connection.close()
        raise


async def _locked(connection: asyncpg.Connection[asyncpg.Record], own: ComparedClock) -> bool:
    """Whether the lock is ours now. Raises WrongClock when it is, and our clock is wrong."""
    asked_at = own.now()
    row = await connection.fetchrow(QUERIES["try_leadership_lock"])
    if row is None or not row["locked"]:
        return False
    try:
        own.check(row["clock"], asked_at)
    except ClockApart as error:
        raise WrongClock(error.message) from None
    return True


async def _begun(
    connection: asyncpg.Connection[asyncpg.Record], clock: Clock, leader: str, host: str
) -> Leadership:
    term = await connection.fetchval(QUERIES["begin_term"], leader, host)
    return Leadership(connection, term, clock)


async def _end_leader(
    connection: asyncpg.Connection[asyncpg.Record], clock: Clock, chance: Chance
) -> None:
    """End the session that holds the lock, and take it. Raises LeadershipNotTaken."""
    session = await connection.fetchrow(QUERIES["leader_session"])
    if session is not None:
        pid, role = session["pid"], str(session["usename"] or "its role")
        try:
            await connection.execute("SELECT pg_terminate_backend($1::integer)", pid)
        except asyncpg.InsufficientPrivilegeError:
            why = f"this role may not end the session of the silent leader (process {pid})"
            raise LeadershipNotTaken(why, pid, role) from None
    until = clock.monotonic() + TAKE_OVER_WITHIN_S
    backoff = Backoff(clock, chance, first_s=0.1)
    while not await _locked(connection, compared(clock)):
        if clock.monotonic() > until:
            if session is None:
                raise await _taken(connection)
            why = f"the session of the silent leader (process {pid}) was ended and goes on"
            raise LeadershipNotTaken(why, pid, role)
        await backoff.wait()


async def _taken(connection: asyncpg.Connection[asyncpg.Record]) -> AnotherLeader:
    found = await current_leader(connection)
    if found is None:
        return AnotherLeader("another process", "an unknown host", "just now")
    since = moment_text(found.since)
    silence = found.silence if found.is_silent else ""
    return AnotherLeader(found.name, found.host, since, silence)
