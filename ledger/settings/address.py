"""The address of the ledger's own database: how far it is trusted, and how it is shown.

Requests, orders and outcomes travel to that server, and its password with them. So the floor is
that of tenants and broker: a server that is not this machine proves who it is (`verify-full`), or
somebody allowed otherwise on purpose. Errors never repeat an address: what cannot be read may be a
password.
"""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ledger.bus.security import is_loopback
from ledger.settings.errors import SettingsError

MASK = "********"
VERIFIED = "verify-full"
_CLEAN = re.compile(
    r"(?P<scheme>postgres(?:ql)?://)"
    r"(?:(?P<user>[\w.~-]+)(?P<password>:[^\s@:/?#]*)?@)?"
    r"(?P<place>(?:[\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[\w.~-]*)?)"
    r"(?P<query>\?[^\s@#]*)?",
    re.ASCII,
)
_UNREADABLE = (
    "the ledger's address cannot be read; write postgresql://user@host:5432/database, and in a "
    "password %2F for /, %23 for #, %3F for ?, %40 for @ and %3A for :"
)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby",
    ),
}  # fmt: skip
"""Parameters of an address that take one of a few words."""
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
"""Parameters of an address that name a file."""
PARAMETERS = (
    *CHOICES, *FILES, "host", "port", "dbname", "database", "user", "password", "service",
    "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib",
    "application_name", "options",
)  # fmt: skip
"""Every parameter that the driver understands; it sends any other as a setting of the session."""
_SERVERS = "write {name} in its place, the setting of the server"
_SSLMODE = "sslmode says how the server is trusted; leave it out"
NOT_TAKEN: Mapping[str, str] = {
    "connect_timeout": "every connection has 10 s; leave it out",
    "keepalives": "they are on; leave it out",
    "keepalives_idle": _SERVERS.format(name="tcp_keepalives_idle"),
    "keepalives_interval": _SERVERS.format(name="tcp_keepalives_interval"),
    "keepalives_count": _SERVERS.format(name="tcp_keepalives_count"),
    "fallback_application_name": "write application_name in its place",
    "gssencmode": _SSLMODE,
    "channel_binding": "sslmode=verify-full proves who answers; leave it out",
    "requiressl": _SSLMODE,
    "ssl": "write sslmode in its place",
    "sslcompression": "nothing is compressed; leave it out",
    "sslcrldir": "write sslcrl in its place, the path of one file",
    "sslsni": "the name of the host is always told; leave it out",
    "sslcertmode": "a certificate is shown where sslcert names one; leave it out",
    "min_protocol_version": "leave it out",
    "max_protocol_version": "leave it out",
    "require_auth": "the server chooses; demand it in pg_hba.conf, and leave it out",
    "requirepeer": "leave it out, or connect by a host name with sslmode=verify-full",
    "hostaddr": "write the address as the host",
    "load_balance_hosts": "hosts are tried in their order; leave it out",
    "gssdelegation": "leave it out",
    "replication": "the ledger needs a usual session; leave it out",
}
"""What other programs take in an address and this one does not, with what is done instead; sent to
a server as a setting, each would be refused there."""
ALIKE = 0.8
"""So near to a parameter's name is a slip, and no setting of a server."""


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """Where an address leads, as far as it may be told: never a password.

    `server` is `host:port`, or a socket's folder; `parameters` are the names of those it gives,
    `files` the paths among them by name.
    """

    server: str
    host: str
    port: str
    database: str
    user: str
    sslmode: str = ""
    parameters: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """Which database it is, in a sentence."""
        return f"{self.database} at {self.server}"


def place_of(url: str, environ: Mapping[str, str] = os.environ) -> LedgerPlace | None:
    """Where `url` leads; `None` for what is not proven clean, or left to a file of services."""
    if _CLEAN.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        host, port = _parted(parts.netloc.rpartition("@")[2])
        query = _query(parts)
    except ValueError:
        return None
    host = host or query.get("host", "")
    if not host and ("service" in query or environ.get("PGSERVICE")):
        return None
    host = host or environ.get("PGHOST", "")
    port = port or query.get("port", "") or environ.get("PGPORT", "") or "5432"
    user = parts.username or query.get("user") or environ.get("PGUSER") or _own_name()
    named = parts.path.lstrip("/") or query.get("dbname") or query.get("database")
    if not host or host.startswith("/"):
        server = f"the socket in {host or 'the usual folder'}, port {port}"
    else:
        server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return LedgerPlace(
        server=server,
        host=host or "localhost",
        port=port,
        database=named or environ.get("PGDATABASE") or user,
        user=user,
        sslmode=query.get("sslmode") or environ.get("PGSSLMODE", ""),
        parameters=tuple(query),
        files={name: query[name] for name in FILES if name in query},
    )


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "of this process"


def masked(secret: str) -> str:
    """`secret` as it may be shown: an address that is proven clean without password and parameters.

    Anything else is masked as a whole: a password with `/`, `#`, `?` or `@` in it reads like
    another part of the address.
    """
    found = _CLEAN.fullmatch(secret)
    if found is None:
        return MASK
    who = found["user"] + (f":{MASK}" if found["password"] else "") + "@" if found["user"] else ""
    return found["scheme"] + who + found["place"] + ("?…" if found["query"] else "")


def check_address(
    url: str, *, insecure: bool = False, environ: Mapping[str, str] = os.environ
) -> None:
    """Raise `SettingsError` for an address that cannot be read, or that trusts whoever answers."""
    try:
        parts = urlsplit(url)
        hosts = list(_hosts(parts, environ))
        query = _query(parts)
    except ValueError:
        raise SettingsError(_UNREADABLE) from None
    if not url.startswith(("postgresql://", "postgres://")) or parts.fragment:
        raise SettingsError(_UNREADABLE)
    for name in filter(NOT_TAKEN.__contains__, query):
        raise _not_taken(name)
    if _CLEAN.fullmatch(url):
        _check_parameters(query)
    # A service file may name any server; only the address itself overrides what it says of TLS.
    service = "service" in query or bool(environ.get("PGSERVICE"))
    mode = query.get("sslmode") or (environ.get("PGSSLMODE") if not service else None)
    here = not service and all(
        not host or host.startswith("/") or is_loopback(host) for host in hosts
    )
    if mode == VERIFIED or here or insecure:
        return
    raise SettingsError(
        "the ledger's database is not on this machine, and nothing proves who answers there; end "
        "its address with ?sslmode=verify-full&sslrootcert=FILE, or allow it for development with "
        "LEDGER_INSECURE_DATABASE=true or --insecure-database"
    )


def _query(parts: SplitResult) -> dict[str, str]:
    """The parameters of an address. Raises ValueError for what is none, as the driver does."""
    found = parse_qs(parts.query, strict_parsing=bool(parts.query))
    return {name: values[-1] for name, values in found.items()}


def _check_parameters(query: Mapping[str, str]) -> None:
    """Refuse a parameter that is written almost like one, and a word that it does not take.

    Of an address that may hold a password in its parameters, none is named: only of a clean one.
    """
    for name, value in query.items():
        known = (*PARAMETERS, *NOT_TAKEN)
        meant = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if name not in known and meant and meant[0] in NOT_TAKEN:
            raise _not_taken(meant[0])
        if name not in known and meant:
            raise SettingsError(
                f"the ledger's address has a parameter {name!r}, which nobody knows; "
                f"write {meant[0]}"
            )
        words = CHOICES.get(name, ())
        if words and value.lower() not in words:
            raise SettingsError(
                f"{name} in the ledger's address is not what it can be; "
                f"write one of {', '.join(words)}"
            )


def _not_taken(name: str) -> SettingsError:
    return SettingsError(
        f"{name} is not taken in the ledger's address: {NOT_TAKEN[name]}; "
        "`ledger config show` names where the address stands"
    )


def _hosts(parts: SplitResult, environ: Mapping[str, str]) -> Iterator[str]:
    """Every server that the address may lead to; an empty one is the driver's choice, a socket.

    Raises ValueError for a port that is none, and where more than one `@` makes it a guess.
    """
    if parts.netloc.count("@") > 1:
        raise ValueError
    query = parse_qs(parts.query)
    named = [parts.netloc.rpartition("@")[2], *query.get("host", [])]
    if not any(named):
        named = [environ.get("PGHOST", "")]
    for place in ",".join(filter(None, map(unquote, named))).split(","):
        if place.startswith("/") or not place:
            yield place
            continue
        host, port = _parted(place)
        if port and not (port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError
        yield host


def _parted(place: str) -> tuple[str, str]:
    if place.startswith("["):
        host, closed, rest = place[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError
        return host, rest[1:]
    host, _, port = place.partition(":")
    return host, port
