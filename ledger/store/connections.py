"""Connections to the ledger's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from ledger.errors import LedgerIsStandby, LedgerUnreachable
from ledger.settings.address import place_of
from ledger.store.obstacles import CONNECT_WITHIN_S, unreachable
from ledger.store.queries import QUERIES

# Strings, because the classes take parameters only in the eyes of the type checker.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

COMMAND_TIMEOUT_S = 60.0
"""No statement of the store takes this long; a server that says nothing for so long is lost."""
IDLE_IN_TRANSACTION = "30s"
"""Whoever is frozen in the middle of a transaction keeps its locks no longer than this. Between two
statements of ours lie seconds at most; what folds a whole log has no such end (`views.advance`)."""
MAX_CONNECTIONS = 10
"""Appends wait for each other anyway; these are for readers beside them."""
CLOSE_WITHIN_S = 3.0
"""A good-bye takes milliseconds."""
APPLICATION_NAME = "migration-ledger"

CONNECTION_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,
)
"""Nobody knows whether the statement was committed; a later connection may know. Time-outs are
OSErrors. InternalClientError is what asyncpg says when the server's farewell reaches an idle
connection at the moment at which it is used."""
DATABASE_TROUBLE = (*CONNECTION_LOST, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What the ledger's database answers while it is not as it should be: a process that stays, and has
nothing to finish, waits and asks again, whatever the reason is."""
CANNOT_CONNECT = (*DATABASE_TROUBLE, ValueError, OverflowError)
"""What connecting raises, a wrong address included."""


_ARRAYS = tuple(
    {"oid": oid, "ns": "pg_catalog", "name": name, "kind": b"b", "elemtype": element}
    | {"elemdelim": ",", "basetype": None, "range_subtype": None, "attrtypoids": None}
    for name, oid, element in (
        ("_bool", 1000, 16),
        ("_bytea", 1001, 17),
        ("_int2", 1005, 21),
        ("_int4", 1007, 23),
        ("_int8", 1016, 20),
        ("_float8", 1022, 701),
        ("_timestamptz", 1185, 1184),
        ("_uuid", 2951, 2950),
        ("_jsonb", 3807, 3802),
    )
)
"""The arrays that our statements take, as the server describes them; the same on every server."""


class LedgerConnection(asyncpg.Connection):
    """A pooled connection that knows our types, and is handed back as it is.

    asyncpg asks each new session for the arrays that it meets, six round trips and a large question
    every time. And it resets a session when it returns to the pool, one more round trip for each
    append. The store leaves nothing behind in a session: no settings, no locks, no cursors.
    """

    def __init__(self, protocol: Any, *rest: Any) -> None:
        super().__init__(protocol, *rest)
        protocol.get_settings().register_data_types(_ARRAYS)

    def get_reset_query(self) -> str:
        """Nothing to reset."""
        return ""


async def open_pool(url: str, *, max_size: int = MAX_CONNECTIONS) -> Pool:
    """Open a pool on the ledger's database.

    Raises LedgerUnreachable, LedgerIsStandby. Whether a ledger is in it, and of this program's
    version: `ledger.store.install.check`.
    """
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=max_size,
            timeout=CONNECT_WITHIN_S,
            command_timeout=COMMAND_TIMEOUT_S,
            connection_class=LedgerConnection,
            init=_refuse_standby,
            server_settings={
                "application_name": APPLICATION_NAME,
                "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
            },
        )
    except CANNOT_CONNECT as error:
        raise unreachable(error, place_of(url)) from None


@asynccontextmanager
async def opened_pool(url: str, *, max_size: int = MAX_CONNECTIONS) -> AsyncIterator[Pool]:
    """A pool as `open_pool` opens it, closed behind the block.

    What is lost inside of the block is told with the place where that was. Errors of files are
    nobody's but the file's: they alone have a name.
    """
    pool = await open_pool(url, max_size=max_size)
    try:
        yield pool
    except LedgerUnreachable as lost:
        if lost.place or (place := place_of(url)) is None:
            raise
        raise LedgerUnreachable(lost.said, lost.remedy, place.told) from lost
    except CONNECTION_LOST as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise unreachable(error, place_of(url)) from error
    finally:
        await close_pool(pool)


async def close_pool(pool: Pool) -> None:
    """Close it within `CLOSE_WITHIN_S`: a server that does not answer is not waited for."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await pool.close()
    except (*CONNECTION_LOST, asyncpg.InterfaceError):
        pool.terminate()


async def _refuse_standby(connection: Connection) -> None:
    """A copy may be behind: no decision, and no reading that leads to one, is made from it."""
    row = await connection.fetchrow(QUERIES["usable"])
    if row is not None and row["standby"]:
        raise LedgerIsStandby
