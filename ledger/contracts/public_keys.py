"""Public keys as they are written and called: Ed25519, 32 bytes in base64. Pure, no cryptography.

A key is called by its id: the first 32 hexadecimal digits of the SHA-256 of its 32 bytes. Whoever
has the key can compute the id, and nobody can make another key with the same one.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error
from typing import Annotated

from pydantic import StringConstraints

KEY_BYTES = 32
KEY_ID_PATTERN = "^[0-9a-f]{32}$"
PUBLIC_KEY_PATTERN = "^[A-Za-z0-9+/]{43}=$"
SHORT = 8
"""Digits of an id that are enough to mean it, where they mean only one."""

KeyId = Annotated[str, StringConstraints(pattern=KEY_ID_PATTERN)]
PublicKeyText = Annotated[str, StringConstraints(pattern=PUBLIC_KEY_PATTERN)]

_SMALL_ORDER = frozenset(
    bytes.fromhex(one)
    for one in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)
"""The points of small order of the curve (RFC 7748, section 6.1 names the kind): for them anybody
can find a signature, so none of them is anybody's key."""


def key_bytes(text: str) -> bytes:
    """The key that is written so. Raises `ValueError`, saying what a key looks like."""
    try:
        raw = b64decode(text, validate=True)
    except (Error, ValueError):
        raw = b""
    # What decodes to the same bytes may be written in several ways; a key has one.
    if len(raw) != KEY_BYTES or b64encode(raw).decode() != text:
        raise ValueError(
            "is no public key: write the 44 characters that `ledger keys generate` prints"
        )
    if raw in _SMALL_ORDER:
        raise ValueError("is no key: anybody can sign for it; make one with `ledger keys generate`")
    return raw


def key_text(raw: bytes) -> str:
    """How a key is written."""
    return b64encode(raw).decode()


def key_id(raw: bytes) -> str:
    """What a key is called."""
    return hashlib.sha256(raw).hexdigest()[:32]
