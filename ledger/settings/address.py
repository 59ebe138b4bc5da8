"""The address of the ledger's own database: how far it is trusted, and how it is shown.

Requests, orders and outcomes travel to that server, and its password with them. So the floor is
that of tenants and broker: a server that is not this machine proves who it is (`verify-full`), or
somebody allowed otherwise on purpose. Errors never repeat an address: what cannot be read may be a
password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
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
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    except ValueError:
        raise SettingsError(_UNREADABLE) from None
    if not url.startswith(("postgresql://", "postgres://")) or parts.fragment:
        raise SettingsError(_UNREADABLE)
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
