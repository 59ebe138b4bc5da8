"""One database, visited for its snapshot: what goes wrong is an answer, and is not raised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import asyncpg

from migrations.catalog.snapshot import Snapshot, take
from migrations.errors import LockUnavailable, PoolerRefused, Refused, Unreachable
from migrations.model.attempt import Failure
from migrations.target.failure import from_error
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    excess,
    is_connection_lost,
    open_session,
)

APPLICATION_NAME = "migration-ledger drift"
"""What `pg_stat_activity` shows."""

_MAY_NOT_READ = (
    "; everybody may read PostgreSQL's own catalogs unless somebody has revoked it: grant SELECT "
    "on this one to the migrating login"
)
_HELD = (
    "somebody changes a table or a catalog and holds its lock, so there is no state to take a "
    "fingerprint of; look again when that work is done"
)
_TOO_LONG = (
    "the server took longer than two minutes to say what its catalog is, so no fingerprint was "
    "taken; look again when it has less to do"
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A snapshot, or why there is none."""

    snapshot: Snapshot | None = None
    failure: Failure | None = None


async def visit(settings: ConnectionSettings, target: str = "", *, keep: bool = True) -> Visit:
    """Take the snapshot of a database, or of the schema that is the target, in a session of its
    own; `keep` says whether more than its hash is wanted.
    """
    try:
        connection = await open_session(
            settings, application_name=APPLICATION_NAME, target=target, read_only=True
        )
    except (PoolerRefused, Unreachable) as error:
        return Visit(failure=from_error(error))
    try:
        return await visit_in(connection, target, keep=keep)
    finally:
        await close_session(connection)


async def visit_in(connection: Connection, target: str = "", *, keep: bool = True) -> Visit:
    """As `visit`, in a session that is open and in no transaction."""
    try:
        return Visit(snapshot=await take(connection, target, keep=keep))
    except (Refused, LockUnavailable) as error:
        return Visit(failure=from_error(error))
    except (asyncpg.LockNotAvailableError, asyncpg.UndefinedObjectError):
        return Visit(failure=from_error(LockUnavailable(_HELD)))
    except asyncpg.QueryCanceledError:
        return Visit(failure=from_error(LockUnavailable(_TOO_LONG)))
    except DRIVER_ERRORS as error:
        if (too_much := excess(connection)) is not None:
            return Visit(failure=from_error(too_much))
        if is_connection_lost(connection, error):
            lost = Unreachable("the connection was lost while the schema was read; look again")
            return Visit(failure=from_error(lost))
        failure = from_error(error)
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            failure = replace(failure, message=failure.message + _MAY_NOT_READ)
        return Visit(failure=failure)
