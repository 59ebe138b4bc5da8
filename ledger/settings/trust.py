"""Which ledger an agent obeys, and whose signature it takes for that ledger's.

    LEDGER_AGENT_TRUST=<ledger id>:<public key>,<ledger id>:<public key>

Several keys are one ledger's, while one takes the place of another: an agent serves one ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.contracts.public_keys import key_bytes, key_id


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One key, and the ledger for which it signs."""

    ledger: UUID
    public_key: str

    @property
    def key(self) -> str:
        """What the key is called."""
        return key_id(key_bytes(self.public_key))

    def __str__(self) -> str:
        return f"{self.ledger}:{self.public_key}"


def parse_trust(text: str) -> TrustedKey:
    """The key that is written so. Raises `ValueError`, which does not repeat it."""
    ledger, colon, public_key = text.strip().partition(":")
    try:
        if not colon:
            raise ValueError
        id_ = UUID(ledger)
    except ValueError:
        raise ValueError(
            "one of them is not of the form <ledger id>:<public key>; `ledger keys list` prints "
            "it as agents take it"
        ) from None
    try:
        key_bytes(public_key)
    except ValueError as wrong:
        raise ValueError(f"what stands behind a ledger's id {wrong}") from None
    return TrustedKey(id_, public_key)
