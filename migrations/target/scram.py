"""SCRAM-SHA-256, our side of it: a password is proven and never sent (RFC 5802, 7677, 5929).

    server: which ways in        ─▶ client_first ─▶
    server: nonce, salt, rounds  ─▶ client_final ─▶      proves that we know the password
    server: its signature        ─▶ check_server         proves that the server knows it too

Inside TLS the proof is bound to the channel (SCRAM-SHA-256-PLUS, `tls-server-end-point`): whoever
passes it on over another connection fails. The salted password is the same for every database of a
server, and hashing it 4,096 times costs as much as connecting: it is remembered, see
ops/decisions/0011.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from functools import lru_cache

PLAIN = b"SCRAM-SHA-256"
BOUND = b"SCRAM-SHA-256-PLUS"
KEPT = 1_000
"""Passwords, each with a server's salt, whose hash is remembered: a fleet has few roles."""
ROUNDS_LEAST = 4_096
"""What the standard asks for. Fewer are a server that wants to guess the password."""
ROUNDS_MOST = 1_000_000
"""Half a second of a core. More are a server that wants to keep us busy."""

_DIGESTS = {
    # The names that certificates give their signatures: what the channel's hash is made with.
    "1.2.840.113549.1.1.4": "sha256",
    "1.2.840.113549.1.1.5": "sha256",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.10045.4.1": "sha256",
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)

salted = lru_cache(KEPT)(hashlib.pbkdf2_hmac)
"""`hashlib.pbkdf2_hmac`; a changed password or salt is another call, so nothing has to expire."""


class LoginRefused(Exception):
    """We do not log in like this; the message says why and what to do, and holds no secret."""


class Scram:
    """One login with one password. `certificate` is the server's, in DER, inside TLS."""

    def __init__(self, password: str, certificate: bytes | None) -> None:
        self._password = _prepared(password)
        self._binding = _end_point(certificate) if certificate is not None else None
        self._encrypted = certificate is not None
        self._nonce = base64.b64encode(secrets.token_bytes(24))
        self._header = b"n,,"
        self._expected: bytes | None = None
        self.proven = False
        """Whether the server has shown that it knows the password too."""

    @property
    def _bare(self) -> bytes:
        # PostgreSQL knows the user from the start-up packet and ignores the name here.
        return b"n=,r=" + self._nonce

    def client_first(self, offered: list[bytes]) -> tuple[bytes, bytes]:
        """The way in that we take of those that are offered, and our first message."""
        if self._binding is not None:
            if BOUND not in offered:
                raise LoginRefused(
                    "the server does not bind the login to its TLS connection; connect to "
                    "PostgreSQL itself, not to a proxy that ends TLS, with a role whose password "
                    "is stored as SCRAM-SHA-256"
                )
            self._header = b"p=tls-server-end-point,,"
            return BOUND, self._header + self._bare
        if PLAIN not in offered:
            raise LoginRefused("the server offers no login by SCRAM-SHA-256; set it up there")
        return PLAIN, self._header + self._bare

    def client_final(self, server_first: bytes) -> bytes:
        """Our proof, made with what the server said first."""
        said = _attributes(server_first)
        try:
            nonce, salt = said[b"r"], base64.b64decode(said[b"s"], validate=True)
            rounds = int(said[b"i"])
        except (KeyError, ValueError):
            raise LoginRefused(_ODD) from None
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not salt:
            raise LoginRefused(_ODD)
        if not ROUNDS_LEAST <= rounds <= ROUNDS_MOST:
            raise LoginRefused(
                f"the server asks for {rounds} rounds of hashing; set scram_iterations there "
                f"between {ROUNDS_LEAST} and {ROUNDS_MOST}, and the role's password anew"
            )
        channel = base64.b64encode(self._header + (self._binding or b""))
        without_proof = b"c=" + channel + b",r=" + nonce
        message = b",".join((self._bare, server_first, without_proof))
        key = salted("sha256", self._password, salt, rounds)
        client = _hmac(key, b"Client Key")
        signature = _hmac(hashlib.sha256(client).digest(), message)
        self._expected = _hmac(_hmac(key, b"Server Key"), message)
        proof = bytes(one ^ other for one, other in zip(client, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)

    def check_server(self, server_final: bytes) -> None:
        """Raise `LoginRefused` unless the server proves that it knows the password."""
        given = _attributes(server_final).get(b"v", b"")
        expected = base64.b64encode(self._expected or b"")
        if self._expected is None or not hmac.compare_digest(given, expected):
            raise LoginRefused(
                "the server could not prove that it knows the password either; somebody else "
                "answers in its place: check host, port and network"
            )
        self.proven = True


_ODD = "the server does not follow SCRAM-SHA-256; check that it is PostgreSQL"


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _attributes(message: bytes) -> dict[bytes, bytes]:
    """`r=…,s=…,i=…`; an attribute that is said twice counts once, as it came first."""
    found: dict[bytes, bytes] = {}
    for part in message.split(b","):
        name, equals, value = part.partition(b"=")
        if equals:
            found.setdefault(name, value)
    return found


def _prepared(password: str) -> bytes:
    """SASLprep as PostgreSQL does it: what it cannot prepare is taken as it is."""
    as_it_is = password.encode()
    if password.isascii():
        return as_it_is
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter
        for letter in password
        if not stringprep.in_table_b1(letter)
    )
    text = unicodedata.normalize("NFKC", mapped)
    if not text or any(prohibited(letter) for letter in text for prohibited in _PROHIBITED):
        return as_it_is
    if any(map(stringprep.in_table_d1, text)):
        ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
        if not ends or any(map(stringprep.in_table_d2, text)):
            return as_it_is
    return text.encode()


def _end_point(certificate: bytes) -> bytes | None:
    """The hash of the server's certificate; `None` where its signature has none that is defined.

    Then (Ed25519, RSA-PSS) servers cannot bind either, and the login is SCRAM without it.
    """
    try:
        digest = _DIGESTS.get(_signature_algorithm(certificate))
    except IndexError:
        raise LoginRefused("the server's certificate cannot be read; renew it") from None
    return hashlib.new(digest, certificate).digest() if digest else None


def _signature_algorithm(certificate: bytes) -> str:
    """The name of the certificate's own signature, from its DER: SEQ { body, SEQ { name … } … }."""
    at, _ = _content(certificate, 0)
    _, after_body = _content(certificate, at)
    at, _ = _content(certificate, after_body)
    start, end = _content(certificate, at)
    numbers: list[int] = []
    value = 0
    for octet in certificate[start:end]:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends."""
    length = der[at + 1]
    begins = at + 2
    if length & 0x80:
        begins += length & 0x7F
        length = int.from_bytes(der[at + 2 : begins], "big")
    return begins, begins + length
