"""What the description of a database may look like; each check raises `InvalidDatabase`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ledger.contracts.registry import Connection, TargetName
from ledger.contracts.topics import valid_pool
from ledger.domain.refusals import InvalidDatabase, LiteralPassword
from migrations.model.folder_history import JOURNAL_SCHEMA, KEY_MAX_BYTES, NAME, journal_key
from migrations.printable import PROBLEM, is_safe

ID_LENGTH = 200
"""Longest id, in characters; it stands in keys, file names of secrets and span attributes."""
RESERVED_LABELS = frozenset({"id", "pool", "status"})
"""Selections read these as the database's id, pool and status."""
SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
"""The values of libpq's `sslmode`."""
NAME_BYTES = 63
"""PostgreSQL cuts longer names off (NAMEDATALEN - 1), so two could become one."""

# Starting with a letter or digit keeps `..` and options (`-x`) out of paths and command lines.
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_LENGTH - 1}}}")
_HISTORY = re.compile(NAME)
_LABEL_KEY = re.compile(r"[A-Za-z][A-Za-z0-9._/-]{0,62}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,199}")
_REFERENCE = re.compile(
    r"env:[A-Za-z_{][A-Za-z0-9_{}]*|file:[^\s\x00-\x1f](?:[^\x00-\x1f]*[^\s\x00-\x1f])?"
)


def faults(
    database: str, pool: str, connection: Connection, labels: Mapping[str, str]
) -> list[InvalidDatabase]:
    """Everything that is wrong with a description; each part is named with its first fault."""
    found: list[InvalidDatabase] = []
    checks: list[Callable[[], None]] = [
        partial(check_id, database),
        partial(check_pool, database, pool),
        *(partial(check_labels, database, {key: labels[key]}) for key in labels),
        *connection_checks(database, connection),
    ]
    for check in checks:
        try:
            check()
        except InvalidDatabase as fault:
            found.append(fault)
    return found


def check_id(database: str) -> None:
    """Ids are 1 to 200 of letters, digits, `.`, `_`, `-`."""
    if not _ID.fullmatch(database):
        raise InvalidDatabase(
            database[:ID_LENGTH],
            "id",
            f"must be 1 to {ID_LENGTH} letters, digits, `.`, `_` or `-`, "
            "and start with a letter or digit; choose another id",
        )


def check_pool(database: str, pool: str) -> None:
    """Pools become part of a topic's name."""
    if not valid_pool(pool):
        raise InvalidDatabase(
            database,
            "pool",
            f"{pool!r} must be 1 to 63 lower-case letters, digits, `_` or `-`, "
            "and start with a letter or digit; choose another name",
        )


def check_labels(database: str, labels: Mapping[str, str]) -> None:
    """Labels are words that selections can name."""
    for key, value in labels.items():
        if key in RESERVED_LABELS:
            raise InvalidDatabase(
                database, f"label {key!r}", "is reserved for selections; choose another name"
            )
        if not _LABEL_KEY.fullmatch(key):
            raise InvalidDatabase(
                database,
                f"label {key!r}",
                "must be 1 to 63 letters, digits, `.`, `_`, `/` or `-`, and start with a letter",
            )
        if not _LABEL_VALUE.fullmatch(value):
            raise InvalidDatabase(
                database,
                f"label {key!r}",
                f"has the value {value!r}; use 1 to 200 letters, digits or `._/:@+-`, "
                "starting with a letter or digit",
            )


def check_connection(database: str, connection: Connection) -> None:
    """Where the database is must be complete, and its secret only named."""
    for check in connection_checks(database, connection):
        check()


def connection_checks(database: str, connection: Connection) -> Iterator[Callable[[], None]]:
    """A check for each part of a connection."""
    target = connection.target
    yield partial(_check_host, database, target.server.host)
    yield partial(_check_name, database, "dbname", target.database, empty_allowed=False)
    yield partial(_check_name, database, "user", connection.user, empty_allowed=False)
    yield partial(_check_name, database, "schema", target.schema, empty_allowed=True)
    yield partial(_check_further_schemas, database, connection)
    yield partial(_check_history, database, target)
    if connection.role is not None:
        yield partial(_check_name, database, "role", connection.role, empty_allowed=False)
    yield partial(_check_port, database, target.server.port)
    yield partial(_check_sslmode, database, connection.sslmode)
    yield partial(check_password, database, connection.password)


def _check_port(database: str, port: int) -> None:
    if not 1 <= port <= 65535:
        raise InvalidDatabase(database, "port", f"is {port}; write one from 1 to 65535")


def _check_sslmode(database: str, sslmode: str | None) -> None:
    if sslmode is not None and sslmode not in SSL_MODES:
        raise InvalidDatabase(
            database, "sslmode", f"is {sslmode!r}; write one of {', '.join(sorted(SSL_MODES))}"
        )


def _check_further_schemas(database: str, connection: Connection) -> None:
    """Schemas stand behind one that is the target, each once, and none is the journal's."""
    schemas = (connection.target.schema, *connection.further_schemas)
    if JOURNAL_SCHEMA in schemas:
        raise InvalidDatabase(
            database,
            "schema",
            f"is {JOURNAL_SCHEMA}, where the journal stands; write the application's own",
        )
    for name in connection.further_schemas:
        _check_name(database, "schema", name, empty_allowed=False)
    if connection.further_schemas and not connection.target.schema:
        raise InvalidDatabase(
            database, "schema", "begins with an empty name; write the target's own schema first"
        )
    if len(set(schemas)) < len(schemas):
        raise InvalidDatabase(database, "schema", "has a name twice; write each once")


def _check_history(database: str, target: TargetName) -> None:
    """The history's name stands in the key of its journal, before the schema."""
    if target.history and not _HISTORY.fullmatch(target.history):
        raise InvalidDatabase(
            database,
            "history",
            "must be 1 to 40 letters, digits, `.`, `_` or `-`, and start with a letter or digit",
        )
    key = journal_key(target.schema, target.history)
    if key != target.schema and len(key.encode()) > KEY_MAX_BYTES:
        raise InvalidDatabase(
            database,
            "history" if target.history else "schema",
            f"and an @ make a key of more than {KEY_MAX_BYTES} bytes for the journal; shorten it",
        )


def check_password(database: str, password: str | None) -> None:
    """Raise `LiteralPassword` for anything but a reference; none at all is fine (peer, certs)."""
    if password is None:
        return
    if not _REFERENCE.fullmatch(password) or not is_safe(password):
        raise LiteralPassword(database)


def _check_host(database: str, host: str) -> None:
    if not host:
        raise InvalidDatabase(database, "host", "is empty; write a host name or an address")
    if "://" in host or "@" in host:
        # The text may hold a password, so the message does not repeat it.
        raise InvalidDatabase(
            database,
            "host",
            "looks like a connection string; write host, port, dbname and user one by one, "
            "and the password as env:NAME or file:PATH",
        )
    if " " in host:
        raise InvalidDatabase(database, "host", "holds spaces; remove them")
    if not is_safe(host):
        raise InvalidDatabase(database, "host", f"{PROBLEM}; remove them")


def _check_name(database: str, field: str, name: str, *, empty_allowed: bool) -> None:
    if not name and not empty_allowed:
        raise InvalidDatabase(database, field, "is empty; write its name")
    if not is_safe(name):
        raise InvalidDatabase(database, field, f"{PROBLEM}; remove them")
    if len(name.encode()) > NAME_BYTES:
        raise InvalidDatabase(
            database, field, f"is longer than PostgreSQL's {NAME_BYTES} bytes; shorten it"
        )
