"""Addresses of brokers as people write them: `host:port`, several by comma, `[::1]:9092`."""

from __future__ import annotations

import re
from typing import Final

FORM: Final = "write HOST:PORT, for example 127.0.0.1:9092, several with commas"
PORT_MOST: Final = 65_535
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9:.%]+\]")
_FOREIGN: Final = {
    r".*://.*": "has a scheme, which brokers have not: kafka.security_protocol says how",
    r".*[; ].*": "is more than one address",
    r".*/.*": "has a path, which brokers have not",
    r"[^\[].*:.*:.*|:.*:.*": "is an IPv6 address without brackets, as in [::1]:9092",
    r"[^:]*:?|\[.*\]:?": "has no port",
    r":.*": "has no host",
}
"""What else people write, by its form: what is wrong with it."""


def brokers_in(text: str) -> list[str]:
    """The addresses one by one; a comma at the end says nothing."""
    return [part.strip() for part in text.removesuffix(",").split(",")] if text.strip(" ,") else []


def check_brokers(text: str) -> str:
    """The same text. Raises `ValueError` with what is wrong in which of its addresses."""
    for address in brokers_in(text) or [""]:
        if problem := _problem(address):
            raise ValueError(f"{problem}; {FORM}")
    return text


def _problem(address: str) -> str:
    """What is wrong with one address; empty if nothing is."""
    if "@" in address:
        # A password may stand before it.
        return "an address carries a login, which has settings of its own (kafka.sasl_username)"
    if not address:
        return "an address is empty"
    shown = ascii(address)
    for form, said in _FOREIGN.items():
        if re.fullmatch(form, address):
            return f"{shown} {said}"
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:9]) <= PORT_MOST):
        return f"{shown} has a port that is none, it can be 1 to {PORT_MOST:,}"
    return "" if _HOST.fullmatch(host) else f"{shown} has a host that can be none"
