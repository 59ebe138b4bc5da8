"""Envelopes as DSSE 1.0 has them: bytes, what kind they are, and signatures over both. Pure.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and envelope.md. What is signed
is the pre-authentication encoding, so the payload is never read before its signature was checked,
and needs no canonical form.
"""

from __future__ import annotations

from base64 import b64decode, b64encode, urlsafe_b64decode
from binascii import Error
from typing import NamedTuple

from pydantic_core import from_json, to_json

ENVELOPE_MAX_BYTES = 8 * 1024
"""Several times what ours have; nothing longer is read."""
SIGNATURES_MOST = 4
"""Of one envelope: ours have one."""


class EnvelopeUnreadable(ValueError):
    """These bytes are no DSSE envelope."""


class Signature(NamedTuple):
    """One signature; `keyid` is a hint and proves nothing."""

    keyid: str
    sig: bytes


class Envelope(NamedTuple):
    """A payload, its type, and who signed both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def write(envelope: Envelope) -> bytes:
    """The envelope as JSON."""
    return to_json(
        {
            "payload": b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": b64encode(one.sig).decode()}
                for one in envelope.signatures
            ],
        }
    )


def read(raw: bytes) -> Envelope:
    """The envelope in these bytes. Raises `EnvelopeUnreadable`."""
    if len(raw) > ENVELOPE_MAX_BYTES:
        raise EnvelopeUnreadable("it is too long")
    try:
        said = from_json(raw)
        signatures = said["signatures"]
        if not 1 <= len(signatures) <= SIGNATURES_MOST:
            raise EnvelopeUnreadable("it has no signature, or too many")
        return Envelope(
            _text(said["payloadType"]),
            _bytes(said["payload"]),
            tuple(Signature(_text(one.get("keyid", "")), _bytes(one["sig"])) for one in signatures),
        )
    except EnvelopeUnreadable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise EnvelopeUnreadable("it has another form") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(value: object) -> bytes:
    """Base64 of either alphabet, as the specification demands of readers."""
    text = _text(value)
    try:
        return b64decode(text, validate=True)
    except Error:
        if any(one in text for one in "+/"):
            raise
        return urlsafe_b64decode(text)
