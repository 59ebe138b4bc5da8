"""Signing messages, and finding out by whom one was signed.

An envelope over several messages is checked once: who comes next with it finds it known.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ledger.contracts.commands import Command
from ledger.contracts.messages import Message
from ledger.contracts.public_keys import KEY_ID_PATTERN, key_bytes
from ledger.contracts.statements import SIGNATURE, TOGETHER, SignedStatement, of_command, of_several
from ledger.signing.dsse import Envelope, EnvelopeUnreadable, Signature, pae, read, write
from ledger.signing.errors import NotSigned

if TYPE_CHECKING:
    from ledger.signing.key_files import PrivateKey

KNOWN = 256
"""Envelopes that are known to be good: a few batches of reports."""
_KEY_ID = re.compile(KEY_ID_PATTERN)


class VerifyingKey(Protocol):
    """A public key that is ready for use."""

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise what the library raises if `signature` is not of this key under `data`."""


class Signer:
    """Signs with one key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.key = key.id
        self.public_key = key.public_key

    def command(self, command: Command, message: Message) -> Message:
        """`message`, which carries `command`, signed."""
        return _with(message, self._sealed(of_command(command, message)))

    def several(self, payload_type: str, agent: str, messages: Sequence[Message]) -> list[Message]:
        """These messages of an agent, signed, `TOGETHER` by one envelope."""
        return list(self._several(payload_type, agent, messages))

    def _several(
        self, payload_type: str, agent: str, messages: Sequence[Message]
    ) -> Iterator[Message]:
        for start in range(0, len(messages), TOGETHER):
            some = messages[start : start + TOGETHER]
            sealed = self._sealed(of_several(payload_type, agent, some))
            for message in some:
                yield _with(message, sealed)

    def _sealed(self, statement: SignedStatement) -> bytes:
        signature = Signature(self.key, self._key.sign(pae(*statement)))
        return write(Envelope(*statement, (signature,)))


class SignatureCheck:
    """Says by which key an envelope is signed."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[str, Envelope]] = OrderedDict()

    def opened(
        self, raw: bytes | None, payload_type: str, keys: Mapping[str, VerifyingKey]
    ) -> tuple[str, bytes]:
        """The id of the key of `keys` that signed an envelope, and what it signed.

        Raises `NotSigned`. An unknown signature beside a known one is passed over; a known one that
        does not fit spoils the envelope.
        """
        if raw is None:
            raise NotSigned("it is not signed")
        key, envelope = self._known.get(raw) or self._checked(raw, keys)
        if envelope.payload_type != payload_type:
            raise NotSigned("it was signed as something else")
        if key not in keys:
            raise NotSigned(f"it is signed by the key {key}, which is not known here")
        return key, envelope.payload

    def _checked(self, raw: bytes, keys: Mapping[str, VerifyingKey]) -> tuple[str, Envelope]:
        from cryptography.exceptions import InvalidSignature

        try:
            envelope = read(raw)
        except EnvelopeUnreadable as unreadable:
            raise NotSigned(f"its signature cannot be read: {unreadable}") from None
        content = pae(envelope.payload_type, envelope.payload)
        signed_by = [one.keyid for one in envelope.signatures if one.keyid in keys]
        if not signed_by:
            raise NotSigned(
                f"it is signed by {_called(envelope.signatures[0].keyid)}, which is not known here"
            )
        for one in envelope.signatures:
            if one.keyid not in keys:
                continue
            try:
                keys[one.keyid].verify(one.sig, content)
            except InvalidSignature:
                raise NotSigned(f"its signature by the key {one.keyid} does not fit") from None
        self._known[raw] = signed_by[0], envelope
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return self._known[raw]


def verifying_key(text: str) -> VerifyingKey:
    """The key that is written so, ready to check signatures. Raises `ValueError`."""
    # Who signs nothing, as in one process, need not wait for the library.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key_bytes(text))


def _called(keyid: str) -> str:
    """A key's name as somebody told it, if it can be one."""
    return f"the key {keyid}" if _KEY_ID.match(keyid) else "a key without an id"


def _with(message: Message, envelope: bytes) -> Message:
    return replace(message, headers=(*message.headers, (SIGNATURE, envelope)))
