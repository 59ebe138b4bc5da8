"""What a leader signs with, and whose signatures it believes.

A leader that signs believes what is signed, and nothing else. One that does not, which a broker on
its own machine alone allows, believes whoever writes to the bus, but for pools that ever had a key:
those are believed by their keys. What is not believed is parked like any other report that nobody
asked for (`ledger.leader.parking`), and halts nothing. Without a broker nobody else is on the bus,
and nothing of it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.bus.port import Received
from ledger.contracts.envelope import Recorded
from ledger.contracts.statements import SIGNATURE, covers
from ledger.domain.keys import KEYS, KeyRing, fold, why_not
from ledger.signing.errors import NotSigned
from ledger.signing.seal import SignatureCheck, Signer, VerifyingKey, verifying_key

HELP = "see LEDGER_AGENT_KEY_FILE and `ledger keys list`"
"""Of whoever is not believed and should be."""


@dataclass(frozen=True, slots=True)
class BusSigning:
    """How a bus that others reach too is used: with a signer, or without for trying things."""

    signer: Signer | None


class Speakers:
    """Says who may speak for a pool; hears of keys from the log."""

    def __init__(self, *, every_pool: bool) -> None:
        self._every_pool = every_pool
        self._ring = KeyRing()
        self._keys: dict[str, VerifyingKey] = {}
        self._check = SignatureCheck()

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take note of keys that came and went."""
        if not any(one.stream == KEYS for one in recorded):
            return
        self._ring = fold(self._ring, recorded)
        for key in self._ring.keys.keys() - self._keys.keys():
            self._keys[key] = verifying_key(self._ring.keys[key].public_key)

    def why_unbelieved(
        self, message: Received, kind: str, pool: str, told: str | None = None
    ) -> str:
        """Why this message does not speak for agents of `pool`; empty if it does.

        `kind` is the payload type, `told` the key that the message itself says signs it.
        """
        if not self._every_pool and pool not in self._ring.pools:
            return ""
        try:
            key, payload = self._check.opened(message.header(SIGNATURE), kind, self._keys)
        except NotSigned as why:
            return f"{why}; {HELP}"
        if not covers(payload, message):
            return "what is signed beside it is something else"
        if told is not None and told != key:
            return "it names another key than the one that signs it"
        why_not_they = why_not(self._ring, key, pool)
        return f"{why_not_they}; {HELP}" if why_not_they else ""
