"""A session with a tenant database: direct, verified, and dead when its owner dies.

Facts this module relies on, measured: the backend of a killed client kept its locks for 3.6 s and
committed; with `client_connection_check_interval` at 500 ms the locks were free after 0.1 s and
nothing was committed. asyncpg's own default (`ssl='prefer'`) falls back to plain text silently.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from migrations.errors import PoolerRefused, TooMuch, Unreachable
from migrations.model.folder_history import schema_of
from migrations.model.migration import Statement
from migrations.printable import why_unreadable
from migrations.sql.literals import quote_ident
from migrations.target.login import logging_in
from migrations.target.no_session import no_session
from migrations.target.password_file import ambient_password
from migrations.target.scram import LoginRefused
from migrations.target.session_role import OwnSession, own

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_TIMEOUT_S = 10.0
"""Name look-up, TCP, TLS and authentication together."""

CLOSE_TIMEOUT_S = 2.0
"""Longer than a healthy server takes to say good-bye; then the socket is cut."""

VERIFIED_TLS = "verify-full"
PLAINTEXT_MODES = ("disable", "allow", "prefer", "require", "verify-ca")
"""Modes that can be talked out of encryption or of checking who answers: for development."""

SESSION_SETTINGS = {
    "client_connection_check_interval": "500ms",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # As long as the keepalives take to give up, for a peer that dies while an answer is under way.
    "tcp_user_timeout": "30000",
    # A database or a login may bring along limits, and other meanings of the same text.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "escape_string_warning": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "xmloption": "content",
    "xmlbinary": "base64",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "gin_fuzzy_search_limit": "0",
    "exit_on_error": "off",
    "check_function_bodies": "on",
    "timezone_abbreviations": "Default",
    # A role that policies hold would change and read fewer rows, and nobody would hear of it.
    "row_security": "off",
    # Without ASSERT no Verify in a DO block finds anything.
    "plpgsql.check_asserts": "on",
    "plpgsql.extra_errors": "none",
}
"""Sent with the start-up packet, so that they cost nothing and RESET ALL returns to them. The
grammar that reads migrations assumes the server's own defaults, so does whoever wrote them; and
text forms are kept: of keys, of saved rows."""

UNFILTERED = "SET LOCAL row_security TO off"
"""Behind statements that may have set it otherwise, as is set for every session of ours: the server
refuses to read or change a table where a policy would leave rows out unsaid."""

TRANSACTION_TIMEOUT_SINCE = 170000
"""The first release with `transaction_timeout`, which older ones refuse to start with."""

DRIVER_ERRORS = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a call of the driver raises. The last one is what it says when the server's farewell comes
at the moment at which the session is used."""


class LostAt(Exception):
    """A session was gone when this statement ran; `cause` is what the driver said of it."""

    def __init__(self, cause: BaseException, statement: Statement | None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.statement = statement


class SessionWorn(Exception):
    """Scripts before have left in the session what only a new one does not have."""


class Password:
    """A secret that shows itself only when asked."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text; never log it."""
        return self._text

    def __repr__(self) -> str:
        return "Password(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where a database is and how to get in. `role` is set while migrations run, if given.

    A host that starts with `/` is the folder of a Unix socket, where TLS does not apply.
    """

    host: str
    port: int
    database: str
    user: str
    password: Password | None = field(default=None, repr=False)
    sslmode: str = VERIFIED_TLS
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    allow_plaintext: bool = False
    """For development: accept modes that do not prove who answers."""
    role: str | None = None
    further_schemas: tuple[str, ...] = ()
    """Where names are looked up behind the target's schema; nothing is made there."""

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        allow_plaintext: bool | Callable[[str], bool] = False,
        environ: Mapping[str, str] = os.environ,
    ) -> ConnectionSettings:
        """Read a `postgresql://` connection string. Raises ValueError, which never shows it.

        A person's own address: a password that is not in it is looked for where libpq does. What
        `allow_plaintext` asks is asked of the host that it really leads to, wherever that stands.
        """
        try:
            parts = urlsplit(url)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            port = parts.port or int(query.get("port", 5432))
        except ValueError:
            raise ValueError(
                "the connection string cannot be read; write postgresql://user@host:5432/database"
            ) from None
        user = unquote(parts.username or query.get("user", ""))
        if parts.scheme not in ("postgresql", "postgres") or not user:
            raise ValueError("write the connection string as postgresql://user@host:5432/database")
        host = query.get("host") or unquote(parts.hostname or "localhost")
        plain = allow_plaintext if isinstance(allow_plaintext, bool) else allow_plaintext(host)
        database = unquote(parts.path.lstrip("/")) or user
        password = unquote(parts.password) if parts.password else query.get("password")
        password = password or ambient_password(host, port, database, user, environ)
        return cls(
            host=host,
            port=port,
            database=database,
            user=user,
            password=Password(password) if password else None,
            sslmode=query.get("sslmode", "prefer" if plain else VERIFIED_TLS),
            sslrootcert=query.get("sslrootcert"),
            sslcert=query.get("sslcert"),
            sslkey=query.get("sslkey"),
            allow_plaintext=plain,
        )

    @property
    def place(self) -> str:
        """`host:port/database`, for messages; without user and secret."""
        return f"{self.host}:{self.port}/{self.database}"


def milliseconds(seconds: float) -> int:
    """A limit as the server takes it, rounded up: 0 would mean no limit at all."""
    return ceil(seconds * 1000)


async def open_session(
    settings: ConnectionSettings,
    *,
    application_name: str,
    target: str = "",
    lock_timeout_s: float = 0.0,
    read_only: bool = False,
) -> Connection:
    """Connect. `target` is a journal's key; its schema, if it has one, is where names are found.

    Raises Unreachable with a message that holds no secrets, and PoolerRefused.
    """
    path = search_path_of(target, settings)
    server_settings = {
        **SESSION_SETTINGS,
        "application_name": application_name,
        "lock_timeout": str(milliseconds(lock_timeout_s)),
        **({"search_path": path} if path else {}),
        **({"default_transaction_read_only": "on"} if read_only else {}),
    }
    encryption = _encryption(settings)
    try:
        with logging_in(settings.password.reveal() if settings.password else None):
            return await asyncpg.connect(
                host=settings.host,
                port=settings.port,
                database=settings.database,
                user=settings.user,
                # Empty, so that the driver looks for none in our environment; ours logs in.
                password="",
                ssl=encryption,
                timeout=CONNECT_TIMEOUT_S,
                statement_cache_size=0,
                server_settings=server_settings,
                connection_class=OwnSession,
            )
    except (*DRIVER_ERRORS, ValueError, LoginRefused) as error:
        if "unsupported startup parameter" in str(error):
            raise pooler_refused() from None
        raise no_session(settings.place, error, CONNECT_TIMEOUT_S) from None


def schemas_of(target: str, settings: ConnectionSettings) -> tuple[str, ...]:
    """The schemas in which a target's sessions look names up, its own first; none for whatever the
    database says.
    """
    schema = schema_of(target)
    return (schema, *settings.further_schemas) if schema else ()


def search_path_of(target: str, settings: ConnectionSettings) -> str:
    """The search_path of a target's sessions; empty for the database's own."""
    return ", ".join(map(quote_ident, schemas_of(target, settings)))


async def close_session(connection: Connection) -> None:
    """Say good-bye within a bounded time, else cut the socket; never raises for a lost peer."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except DRIVER_ERRORS:
        connection.terminate()
    except asyncio.CancelledError:
        connection.terminate()
        raise


def server_version(connection: Connection) -> int:
    """The server's version as one number, 180006 for 18.6."""
    version = connection.get_server_version()
    return version.major * 10_000 + (version.micro or version.minor)


def later_settings(connection: Connection) -> dict[str, str]:
    """What belongs to `SESSION_SETTINGS` and not every server, or login, may start with."""
    found = {}
    if server_version(connection) >= TRANSACTION_TIMEOUT_SINCE:
        found["transaction_timeout"] = "0"
    session = own(connection)
    if session is not None and session.fires_triggers:
        found["session_replication_role"] = "origin"
    return found


def set_later(connection: Connection) -> str:
    """The statements of `later_settings`, in front of others: behind each reset, too."""
    pairs = later_settings(connection).items()
    return "".join(f"SET {name} TO {value};\n" for name, value in pairs)


def pooler_refused() -> PoolerRefused:
    """The refusal of what is no server."""
    return PoolerRefused(
        "a connection pooler stands between us and PostgreSQL; register the server's own "
        "host and port, because session locks and settings do not survive a pooler"
    )


def is_connection_lost(connection: Connection, error: BaseException) -> bool:
    """Whether `error` means that the session is gone, not that a statement was wrong.

    A statement may fail because another server, that it wanted to reach, is gone: that is an ERROR.
    """
    if getattr(error, "severity_en", None) == "ERROR":
        return connection.is_closed()
    gone = (
        LostAt,
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.CannotConnectNowError,
        asyncpg.InternalClientError,
    )
    return isinstance(error, gone) or connection.is_closed()


def raise_if_worn(error: asyncpg.PostgresError) -> None:
    """Raise SessionWorn if this is how the statement `worn` of `journal.sql` fails."""
    if "migration_ledger_needs_a_new_session" in str(error):
        raise SessionWorn from None


def excess(connection: Connection) -> TooMuch | None:
    """Why a lost session was cut by us, if it was: its server said too much."""
    found = getattr(getattr(connection, "_protocol", None), "excess", None)
    if found is None:
        return None
    return TooMuch(
        f"{found}, so the session was cut; look at what the statement returns, and at triggers and "
        "functions of the tenant that it calls; read large tables in pages"
    )


def _encryption(settings: ConnectionSettings) -> Any:
    if settings.host.startswith("/"):
        return False
    if settings.sslmode == VERIFIED_TLS:
        return _verified(settings)
    if settings.sslmode not in PLAINTEXT_MODES:
        raise Unreachable(f"unknown sslmode {settings.sslmode!r}; write {VERIFIED_TLS}")
    if not settings.allow_plaintext:
        raise Unreachable(
            f"{settings.place}: sslmode {settings.sslmode} does not prove who answers; use "
            f"{VERIFIED_TLS}, or allow plain text for development "
            "(LEDGER_AGENT_INSECURE_POSTGRES=true, or --insecure with `ledger db`)"
        )
    return settings.sslmode


def _verified(settings: ConnectionSettings) -> ssl.SSLContext:
    try:
        return _tls_context(settings.sslrootcert, settings.sslcert, settings.sslkey)
    except OSError as error:
        raise Unreachable(
            f"{settings.place}: the TLS files cannot be read ({why_unreadable(error)}); "
            "check sslrootcert, sslcert and sslkey"
        ) from None


@lru_cache(maxsize=64)
def _tls_context(root: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """A context per set of files: reading them again for every database costs milliseconds."""
    context = ssl.create_default_context(cafile=root)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
