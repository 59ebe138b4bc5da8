"""Why there is no session, in a sentence with what to do about it, and whether that may pass.

Who is away, starting or full is Unavailable: nothing was tried there, so it is waited for.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

import asyncpg

from migrations.errors import Unavailable, Unreachable
from migrations.target.scram import LoginRefused

_CANNOT_BE_RETRIED = ("28", "3D", "42", "55")
"""SQLSTATE classes that stay: authentication, no database, no setting or right, not open."""
_PASSES = ("53", "57P01", "57P02", "57P03")
"""SQLSTATEs of a server that is full, ends its sessions, has crashed, or is not ready yet."""
_AWAY = frozenset(
    {
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT,
        errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENOENT,
        socket.EAI_AGAIN,
    }
)  # fmt: skip
"""What the network says of a server that is not there now: also of a socket's file, of a name."""
_ERRNO = re.compile(r"\[Errno (-?\d+)\]")
_REMEDIES = {
    "28": "check the user, its password and pg_hba.conf",
    "3D": "check the database's name in the reference",
    "42": "check the user's rights in the database: CONNECT, and what its login sets",
    "55": "let the database take connections (ALTER DATABASE … ALLOW_CONNECTIONS true)",
    "53": "end sessions that nobody needs, or raise max_connections and the limits of database and "
    "role (CONNECTION LIMIT)",
    "57": "it shuts down, starts or recovers; see its log if that does not end",
}
"""What to do about a session that was refused, by the class of its SQLSTATE."""


def no_session(place: str, error: Exception, timeout_s: float) -> Unreachable:
    """What is raised in the place of `error`, with which connecting to `place` ended."""
    match error:
        case LoginRefused():
            return Unreachable(f"{place}: {error}")
        case asyncpg.PostgresConnectionError() | asyncpg.InternalClientError():
            # What the driver itself says of a connection that ended before the server had answered.
            return _closed(place)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return _closed(place)
        case asyncpg.PostgresError():
            return _refused(place, error)
        case ssl.SSLError():
            return Unreachable(
                f"{place}: TLS failed ({error.reason or 'no reason given'}); check sslrootcert "
                "and the name in the server's certificate"
            )
        case ConnectionError() if "rejected SSL" in str(error):
            return Unreachable(
                f"{place} does not offer TLS; switch it on there, or allow plain text for "
                "development (LEDGER_AGENT_INSECURE_POSTGRES=true, or --insecure with `ledger db`)"
            )
        case TimeoutError():
            reason = f"no answer within {timeout_s:.0f} s"
            said = f"{place} did not answer within {timeout_s:.0f} s"
            return Unavailable(f"{said}; check host, port and network", reason=reason)
        case OSError():
            numbers = numbers_of(error)
            away = sorted(numbers & _AWAY)
            # The driver's own text names the address instead of the reason.
            known = [os.strerror(number) for number in away if number > 0]
            reason = known[0] if known else error.strerror or "the network gives no reason"
            said = f"{place} cannot be reached ({reason}); check host, port and network"
            if away:
                return Unavailable(said, reason=reason)
            return Unreachable(said, transient=True, reason=reason)
        case _:
            return Unreachable(
                f"{place} cannot be used; check that it is PostgreSQL and that TLS is offered"
            )


def numbers_of(error: OSError) -> frozenset[int]:
    """What failed, as `errno` numbers; a host with several addresses has one error for all."""
    if error.errno is not None:
        return frozenset({error.errno})
    return frozenset(int(number) for number in _ERRNO.findall(str(error)))


def _closed(place: str) -> Unreachable:
    reason = "the connection was reset"
    said = f"{place} cannot be reached ({reason})"
    return Unavailable(f"{said}; check the server, and what stands before it", reason=reason)


def _refused(place: str, error: asyncpg.PostgresError) -> Unreachable:
    """What it means that the server answered with an error instead of a session."""
    state = str(error.sqlstate)
    reason = f"SQLSTATE {state}: {_first_line(error)}"
    said = f"{place} refused the session ({reason})"
    said += f"; {_REMEDIES.get(state[:2], 'see the log of the server')}"
    if state.startswith(_PASSES):
        return Unavailable(said, reason=reason)
    return Unreachable(said, transient=not state.startswith(_CANNOT_BE_RETRIED), reason=reason)


def _first_line(error: asyncpg.PostgresError) -> str:
    return str(error.args[0]).split("\n", 1)[0] if error.args else "no message"
