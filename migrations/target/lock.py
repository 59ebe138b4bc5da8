"""The target's advisory lock: taken by polling, on the connection that runs the SQL.

Polling, because a session blocked in `pg_advisory_lock` holds a snapshot, and CREATE INDEX
CONCURRENTLY in the session that holds the lock waits for that snapshot: a deadlock (seen). Between
two polls no transaction and no portal is open. The lock is politeness and liveness; safety is the
epoch, checked inside every transaction.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock
from migrations.errors import LockUnavailable
from migrations.model.attempt import Identity
from migrations.model.clocks import ANY_TIME
from migrations.model.work import Observer
from migrations.target.holder import name_holder
from migrations.target.journal import statement
from migrations.target.session import Connection

POLL_FIRST_S = 0.02
"""A session that just ended frees its lock within milliseconds."""
POLL_MAX_S = 1.0
"""Nobody notices one second at the end of a migration of minutes."""
_GROWTH = 1.6

_LOCK_DOMAIN = b"migration-ledger/lock/1/"


@dataclass(frozen=True, slots=True)
class LockKey:
    """The 64-bit key of a lock, and its halves as `pg_locks` shows them."""

    value: int

    @property
    def high(self) -> int:
        """`classid`."""
        return (self.value >> 32) & 0xFFFFFFFF

    @property
    def low(self) -> int:
        """`objid`."""
        return self.value & 0xFFFFFFFF

    @property
    def halves(self) -> dict[str, int]:
        """Both, as the statements of the journal name them."""
        return {"lock_high": self.high, "lock_low": self.low}


def key_for(target: str) -> LockKey:
    """The key of a target; advisory locks belong to one database, so its name need not be in it."""
    digest = hashlib.sha256(_LOCK_DOMAIN + target.encode()).digest()
    return LockKey(int.from_bytes(digest[:8], "big", signed=True))


async def try_lock(connection: Connection, key: LockKey) -> bool:
    """Take the lock if it is free and the session direct, without waiting; one round trip.

    A pooler is told by the process id in the connection's key data: behind one it is not the
    backend's. Seeing the same backend before and after a commit proves nothing on an idle pooler.
    """
    told = connection.get_server_pid()
    sql = statement("lock", key_data_pid=told, lock_key=key.value)
    return await connection.execute(sql) == "SELECT 1"


def lock_as_expected(
    connection: Connection,
    key: LockKey,
    identity: Identity,
    between: tuple[str, str] = ANY_TIME,
) -> str:
    """What takes the lock as `try_lock` does, only in the database that `identity` names.

    The server's time is to lie `between` these two moments.

    Statements for the beginning of a simple query. When the lock is held by another, or something
    is not as expected, they raise UndefinedObjectError, and nothing behind them runs.
    """
    return statement(
        "lock_as_expected",
        who=f"{connection.get_server_pid()} f {identity.database_oid} {identity.system_identifier}",
        lock_key=key.value,
        earliest=between[0],
        latest=between[1],
    )


async def still_held(connection: Connection, key: LockKey) -> bool:
    """Whether the lock is ours."""
    return bool(await connection.fetchval(statement("held", lock_key=key.value)))


async def wait_for_lock(
    connection: Connection,
    key: LockKey,
    wait_s: float,
    observer: Observer,
    clock: Clock,
    chance: Chance,
) -> None:
    """Poll until the lock is ours. Raises LockUnavailable after `wait_s` seconds."""
    started = clock.monotonic()
    backoff = Backoff(clock, chance, POLL_FIRST_S, POLL_MAX_S, _GROWTH)
    while not await try_lock(connection, key):
        waited = clock.monotonic() - started
        holder = await _holder(connection, key)
        if waited >= wait_s:
            raise LockUnavailable(
                f"another migrator has held this target's lock for longer than {wait_s:g} s; "
                "wait for it, or end its session",
                blocker=holder,
            )
        sleep = min(backoff.next_s(), wait_s - waited)
        observer.waiting(f"the target's lock, held by {holder}", waited, sleep)
        await clock.sleep(sleep)


async def _holder(connection: Connection, key: LockKey) -> str:
    return await name_holder(connection, **key.halves) or "a session that just ended"
