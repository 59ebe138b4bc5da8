"""Signing in to many databases of one server costs the password's hash once, not once for each.

SCRAM-SHA-256 hashes a password 4,096 times with a salt that the server keeps per role (RFC 5802,
SaltedPassword), so the result is the same for all its databases. asyncpg computes it for every
connection (seen: 1.2 to 2.2 ms of processor time, a tenth of a small migration) and takes no
result from outside, as libpq does with `scram_client_key`. So the one function that it calls for
this is given a memory; ops/decisions/0011 says why, and at what price.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from asyncpg.protocol import protocol

KEPT = 1_000
"""Passwords, each with a server's salt, whose hash is remembered: a fleet has few roles."""

remembered = lru_cache(KEPT)(hashlib.pbkdf2_hmac)
"""`hashlib.pbkdf2_hmac`; a changed password or salt is another call, so nothing has to expire."""


class _Hashlib:
    """`hashlib` as asyncpg's protocol sees it, with a memory for one function."""

    pbkdf2_hmac = staticmethod(remembered)

    def __getattr__(self, name: str) -> Any:
        return getattr(hashlib, name)


def remember_salted_passwords() -> bool:
    """Give asyncpg's protocol the memory; again is harmless.

    `False` when this asyncpg does not hash in that way: then it works as it always did.
    """
    found = getattr(protocol, "hashlib", None)
    if found is hashlib:
        setattr(protocol, "hashlib", _Hashlib())  # noqa: B010  no stub names it
        return True
    return isinstance(found, _Hashlib)
