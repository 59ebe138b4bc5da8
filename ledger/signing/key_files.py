"""Private keys: made, written to a file of their own, and read from one that nobody else can read.

The file is PKCS #8 in PEM, without a password, as `openssl genpkey -algorithm ed25519` writes it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ledger.contracts.public_keys import key_id, key_text
from ledger.signing.errors import KeyUnusable

FILE_MAX_BYTES = 16 * 1024
ROOT = 0
FOR_OWNER = 0o600
FOR_OWNER_AND_GROUP = 0o640
"""What a file of root's may have: secrets are handed to programs so."""


class PrivateKey:
    """An Ed25519 key that can sign. Nothing of it is shown but its public part."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = key_text(raw)
        self.id = key_id(raw)

    def sign(self, content: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(content)

    def pem(self) -> bytes:
        """What stands in its file."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def generate() -> PrivateKey:
    """A new key, from the system's randomness."""
    return PrivateKey(Ed25519PrivateKey.generate())


def write(key: PrivateKey, path: Path) -> None:
    """Write a key to a new file that only its owner can read. Raises `KeyUnusable`."""
    try:
        # Never an old file, nor one that somebody put a link to.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FOR_OWNER)
        with os.fdopen(file, "wb") as out:
            os.fchmod(file, FOR_OWNER)
            out.write(key.pem())
            out.flush()
            os.fsync(file)
    except FileExistsError:
        raise KeyUnusable(
            f"{path} is there already, and a key is never written over; name another file"
        ) from None
    except OSError as error:
        raise KeyUnusable(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that you may "
            "write to"
        ) from None


def read(path: Path, setting: str) -> PrivateKey:
    """The key in a file that nobody else may read; `setting` named it. Raises `KeyUnusable`."""
    content = _content(path, setting)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(
            f"{path} (from {setting}) holds no Ed25519 key without a password; "
            "make one with `ledger keys generate`"
        )
    return PrivateKey(key)


def _content(path: Path, setting: str) -> bytes:
    try:
        # A pipe in its place would be waited for; what is checked is what is read.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            why = _why_not(os.fstat(file))
            content = b"" if why else opened.read(FILE_MAX_BYTES)
    except OSError as error:
        raise KeyUnusable(
            f"{path} (from {setting}) cannot be read ({error.strerror}); correct the path, or make "
            "a key with `ledger keys generate`"
        ) from None
    if why:
        raise KeyUnusable(f"{path} (from {setting}) {why}")
    return content


def _why_not(found: os.stat_result) -> str:
    """Why a key in this file is not secret; empty if it is."""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return "is no file; name one"
    if found.st_uid not in (ROOT, os.geteuid()):
        return "belongs to another user, who can change it; give it to the one who runs this"
    allowed = FOR_OWNER_AND_GROUP if found.st_uid == ROOT else FOR_OWNER
    if mode & ~allowed:
        return f"has the mode {mode:04o}, so others can read it or change it; chmod 600 it"
    return ""
