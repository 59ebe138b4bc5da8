"""What keeps us from the ledger's database: one table from an error to a sentence with the remedy.

    the operating system's number   OS_ERRORS        nobody listens, no such name, no way there
    the number of a certificate     CERTIFICATES     not trusted, another name, expired
    the word of the TLS library     TLS_REASONS      wants our certificate, no version in common
    SQLSTATE, and where it arose    SQLSTATES        refused by the server, or its session ended

Texts of the driver and of the server are not repeated: they may quote an address. What the table
says of host, user and database comes from the address itself, where that is proven clean.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from ledger.errors import LedgerIsStandby, LedgerUnreachable
from ledger.settings.address import LedgerPlace
from migrations.sql.literals import quote_ident

SETTINGS = "`ledger config show` names the address"
_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")
CONNECT_WITHIN_S = 10.0
"""Name look-up, TCP, TLS and authentication together."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is the case, said behind "the ledger's database …", and what to do about it.

    Both may name `{host}`, `{user}` and `{database}`; the latter two as SQL writes them.
    """

    said: str
    remedy: str


_CUT = Obstacle(
    "cut the connection",
    "see whether it restarts, and what stands before it; then try again",
)
_ABSENT = Obstacle(
    f"did not answer within {CONNECT_WITHIN_S:.0f} s",
    f"check that it runs and that nothing on the way drops the connection; {SETTINGS}",
)
_NO_WAY = Obstacle(
    "cannot be reached: no way in the network leads to {host}",
    f"check the network and the host; {SETTINGS}",
)
_NO_NAME = Obstacle("cannot be reached: no host is called {host}", f"correct the host; {SETTINGS}")
OS_ERRORS: Mapping[int, Obstacle] = {
    errno.ECONNREFUSED: Obstacle(
        "cannot be reached: nobody listens there",
        f"start the server, or correct host and port; {SETTINGS}",
    ),
    errno.ENOENT: Obstacle(
        "cannot be reached: there is no such socket",
        f"start the server, or correct the folder of its socket and the port; {SETTINGS}",
    ),
    errno.EACCES: Obstacle(
        "cannot be reached: this user may not use its socket",
        "give this user the right to it, or connect by a host name",
    ),
    errno.ECONNRESET: _CUT,
    errno.ECONNABORTED: _CUT,
    errno.EPIPE: _CUT,
    errno.ETIMEDOUT: _ABSENT,
    errno.EHOSTUNREACH: _NO_WAY,
    errno.EHOSTDOWN: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    socket.EAI_NONAME: _NO_NAME,
    socket.EAI_NODATA: _NO_NAME,
    socket.EAI_FAIL: _NO_NAME,
    socket.EAI_AGAIN: Obstacle(
        "cannot be reached: the name {host} cannot be looked up now",
        f"check the name, and the name servers of this host; {SETTINGS}",
    ),
}

_NOT_TRUSTED = Obstacle(
    "shows a certificate that nobody signed who is trusted here",
    "name the certificate of its authority: ?sslrootcert=FILE in the address",
)
_OTHER_NAME = Obstacle(
    "shows a certificate for another name than {host}",
    "connect by a name that stands in the certificate, or have one issued for {host}",
)
CERTIFICATES: Mapping[int, Obstacle] = {
    2: _NOT_TRUSTED,
    18: _NOT_TRUSTED,
    19: _NOT_TRUSTED,
    20: _NOT_TRUSTED,
    21: _NOT_TRUSTED,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
    9: Obstacle("shows a certificate that is not valid yet", "compare the clocks, or renew it"),
    10: Obstacle("shows a certificate that has expired", "renew it on the server"),
    23: Obstacle("shows a certificate that was revoked", "renew it on the server"),
}
"""By OpenSSL's number for what is wrong with a certificate."""

_CLIENT_CERTIFICATE = Obstacle(
    "wants a certificate of whoever connects, and refuses this one or its absence",
    "name one that it trusts: sslcert=FILE and sslkey=FILE in the address",
)
_NO_COMMON_VERSION = Obstacle(
    "has no version of TLS in common with this program, or speaks none",
    "check host and port, and the versions of TLS that the server allows",
)
TLS_REASONS: Mapping[str, Obstacle] = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _CLIENT_CERTIFICATE,
    "WRONG_VERSION_NUMBER": _NO_COMMON_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _NO_COMMON_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_COMMON_VERSION,
    "KEY_VALUES_MISMATCH": Obstacle(
        "is not asked: sslcert and sslkey do not belong together",
        "name the key of that certificate",
    ),
}
"""By the word of the TLS library; what it said of files that are no certificates: `_UNFIT`."""
_UNFIT = ("NO_START_LINE", "NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB", "BAD_BASE64_DECODE")

_NO_ENTRY = "ClientAuthentication"
_ROLE = "InitializeSessionUserId"
_DATABASE = "CheckMyDatabase"
"""Functions of the server in which it refuses for a line of pg_hba.conf, a role, a database."""
_WAITING = "wait until it is through; if that does not end, see the log of the server"
SQLSTATES: Mapping[tuple[str, str], Obstacle] = {
    ("28P01", ""): Obstacle(
        "refuses the password of role {user}",
        "correct it in the address or in ~/.pgpass; a role that is not there, and a password that "
        "has expired, are refused in the same words: then CREATE ROLE {user} LOGIN, or ALTER ROLE "
        "{user} VALID UNTIL 'infinity'",
    ),
    ("28000", _NO_ENTRY): Obstacle(
        "has no line in pg_hba.conf that lets role {user} from this host into {database}",
        "add one and reload the server; if its lines ask for TLS (hostssl), end the address with "
        "?sslmode=verify-full&sslrootcert=FILE",
    ),
    ("28000", _ROLE): Obstacle(
        "has no role {user} that may log in",
        "correct the user, or CREATE ROLE {user} LOGIN, or ALTER ROLE {user} LOGIN",
    ),
    ("28000", ""): Obstacle(
        "does not let role {user} in",
        "check the user, and the method that its line in pg_hba.conf asks for",
    ),
    ("3D000", ""): Obstacle(
        "is not there: the server has no database {database}",
        "correct the name, or CREATE DATABASE {database} and run `ledger init`",
    ),
    ("42501", _DATABASE): Obstacle(
        "does not let role {user} connect", "GRANT CONNECT ON DATABASE {database} TO {user}"
    ),
    ("42501", ""): Obstacle(
        "was reached, and role {user} has no rights in this ledger",
        "GRANT ledger_viewer TO {user} to look, ledger_operator to ask, ledger_service to lead",
    ),
    ("42704", ""): Obstacle(
        "refuses a parameter of the address, which it does not know",
        f"leave it out or correct its name; {SETTINGS}",
    ),
    ("55P02", ""): Obstacle(
        "refuses a parameter of the address, which no session can set",
        f"leave it out; {SETTINGS}",
    ),
    ("22023", ""): Obstacle(
        "refuses the value of a parameter of the address", f"correct it; {SETTINGS}"
    ),
    ("53300", _ROLE): Obstacle(
        "has no session left for role {user}",
        "end sessions of it that nobody needs, or ALTER ROLE {user} CONNECTION LIMIT -1",
    ),
    ("53300", _DATABASE): Obstacle(
        "takes no more sessions",
        "end some that nobody needs, or ALTER DATABASE {database} CONNECTION LIMIT -1",
    ),
    ("53300", ""): Obstacle(
        "has no free slot for a session (too many connections)",
        "end sessions that nobody needs, or raise max_connections; then try again",
    ),
    ("53", ""): Obstacle(
        "has no room: its disk or its memory is full", "make room; see the log of the server"
    ),
    ("55000", ""): Obstacle(
        "takes no connections", "ALTER DATABASE {database} ALLOW_CONNECTIONS true"
    ),
    ("57P03", ""): Obstacle("is starting, stopping or recovering", _WAITING),
    ("57P04", ""): Obstacle("was dropped while it was used", f"restore it; {SETTINGS}"),
    ("57014", ""): Obstacle(
        "cancelled a statement, for a limit of its own or a person",
        "ALTER ROLE {user} RESET statement_timeout, if that is set; then try again",
    ),
    ("57P01", ""): Obstacle("ended the session: it stops, or somebody ended it", _WAITING),
    ("57", ""): Obstacle("ended the session", _WAITING),
    ("25P", ""): Obstacle("ended the session for a time-out of its own", "try again"),
    ("08P01", ""): Obstacle(
        "answers in no words of PostgreSQL", f"check host and port; {SETTINGS}"
    ),
    ("08", ""): _CUT,
}
"""By SQLSTATE, or by its beginning, and by the function of the server if that tells more."""

_REFUSED_PARAMETERS: Mapping[str, Obstacle] = {
    **{state: SQLSTATES[state, ""] for state in ("42704", "22023", "55P02")},
    "42501": Obstacle(
        "refuses a parameter of the address, which role {user} may not set",
        f"leave it out; {SETTINGS}",
    ),
}
"""By SQLSTATE, of an answer that names one of the parameters."""

_TLS_WANTED = Obstacle(
    "does not let role {user} from this host into {database} without TLS",
    "end the address with ?sslmode=verify-full&sslrootcert=FILE; if that is refused, too, add a "
    "line to pg_hba.conf",
)
_NO_ROOT = Obstacle(
    "is to prove who it is, and nothing says whose signature is believed",
    "add &sslrootcert=FILE to the address, or put the certificate of the authority into "
    "~/.postgresql/root.crt",
)
_NO_TLS = Obstacle(
    "does not offer TLS",
    "switch it on there (ssl = on); on a machine of your own, sslmode=prefer goes without",
)
_ADDRESS = Obstacle(
    "has an address that cannot be used",
    "write postgresql://user@host:port/database; with sslmode=verify-full also sslrootcert=FILE, "
    f"or have ~/.postgresql/root.crt; {SETTINGS}",
)


def unreachable(error: BaseException, place: LedgerPlace | None = None) -> LedgerUnreachable:
    """What keeps us from the ledger. Raise it `from None`: the driver's texts quote addresses."""
    found = _file(error, place) or _obstacle(error, place)
    names = {
        "host": place.host if place else "HOST",
        "user": _name(place.user) if place else "ROLE",
        "database": _name(place.database) if place else "DATABASE",
    }
    return LedgerUnreachable(
        found.said.format(**names),
        found.remedy.format(**names),
        place.told if place else "",
    )


def said_of(lost: BaseException) -> str:
    """What is the case, in words that follow "The ledger's database": of whatever was raised."""
    if isinstance(lost, LedgerUnreachable):
        return lost.said
    if isinstance(lost, LedgerIsStandby):
        return "is a standby or read-only"
    return unreachable(lost).said


def _file(error: BaseException, place: LedgerPlace | None) -> Obstacle | None:
    """A file that the address names, and that cannot be read; the driver says only that."""
    if not isinstance(error, OSError | ValueError | asyncpg.InterfaceError):
        return None
    for name, path in (place.files if place else {}).items():
        if not (os.path.isfile(path) and os.access(path, os.R_OK)):
            return Obstacle(
                f"is not asked: {name} in its address names a file that cannot be read",
                f"correct the path, {_plain(path)}, or make it readable",
            )
        if isinstance(error, ssl.SSLError) and error.reason in _UNFIT:
            return Obstacle(
                "is not asked: a file that its address names is no certificate or no key",
                "give " + ", ".join(place.files if place else ()) + " files of the form PEM",
            )
    return None


def _plain(path: str) -> str:
    """A path that can stand in a sentence that is formatted afterwards."""
    return path.replace("{", "{{").replace("}", "}}")


def _obstacle(error: BaseException, place: LedgerPlace | None) -> Obstacle:
    match error:
        case asyncpg.ClientConfigurationError() if place and _lacks_root(place):
            return _NO_ROOT
        case ssl.SSLError():
            return _tls(error)
        case asyncpg.ProtocolViolationError():
            return SQLSTATES["08P01", ""]
        case asyncpg.PostgresConnectionError() | asyncpg.InternalClientError():
            # What the driver itself says of a connection that ended.
            return _CUT
        case asyncpg.PostgresError():
            return _refused(error, place)
        case OSError():
            return _network(error)
        case asyncpg.InterfaceError() if not isinstance(error, ValueError):
            # Of a connection that was closed before it was used, too.
            return _CUT
        case _:
            return _ADDRESS


def _lacks_root(place: LedgerPlace) -> bool:
    return place.sslmode.startswith("verify-") and "sslrootcert" not in place.files


def _name(text: str) -> str:
    """A name as SQL writes it: in quotes where it needs them."""
    return text if _SIMPLE.fullmatch(text) else quote_ident(text)


def _tls(error: ssl.SSLError) -> Obstacle:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATES.get(error.verify_code, _NOT_TRUSTED)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _CUT
    words = (error.reason or "no reason given").replace("_", " ").lower()
    other = Obstacle(f"could not agree on TLS ({words})", _NO_COMMON_VERSION.remedy)
    return TLS_REASONS.get(error.reason or "", other)


def _network(error: OSError) -> Obstacle:
    from migrations.target.no_session import numbers_of

    if isinstance(error, TimeoutError):
        return _ABSENT
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return _NO_TLS
    known = [OS_ERRORS[number] for number in numbers_of(error) if number in OS_ERRORS]
    return known[0] if known else _CUT


def _refused(error: asyncpg.PostgresError, place: LedgerPlace | None) -> Obstacle:
    state = str(error.sqlstate or "")
    where = str(getattr(error, "server_source_function", None) or "")
    said = str(error.args[0]) if error.args else ""
    if (state, where) == ("28000", _NO_ENTRY) and place and place.sslmode == "disable":
        return _TLS_WANTED
    if known := _REFUSED_PARAMETERS.get(state):
        for name in place.parameters if place else ():
            if f'"{name}"' in said:
                return Obstacle(f"{known.said}: {_plain(name)}", known.remedy)
    for length in range(len(state), 1, -1):
        for function in (where, ""):
            if found := SQLSTATES.get((state[:length], function)):
                return found
    return Obstacle(f"refused (SQLSTATE {state})", "see the log of the server")
