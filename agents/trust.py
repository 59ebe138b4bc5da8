"""Whose orders an agent follows: those that a key of `LEDGER_AGENT_TRUST` signed, and no others.

Orders, looks and cancellations alike, before anything else is done with them: nothing is connected
to, nothing stopped, nothing remembered. An agent that was told no key follows whoever writes to its
topic; it does so on a broker of this machine alone (`ledger.bus.security`), and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from ledger.contracts.commands import Command
from ledger.contracts.messages import Received
from ledger.contracts.statements import SIGNATURE, kind_of, of_command
from ledger.settings import TrustedKey
from ledger.signing.errors import NotSigned
from ledger.signing.seal import SignatureCheck, Signer, verifying_key

NO_TRUST = (
    "this agent would follow whoever writes to its topic; set LEDGER_AGENT_TRUST to what "
    "`ledger keys list` prints of the leader"
)
"""What is to be done before such an agent listens to a broker elsewhere."""


def signer_of(key_file: Path | None) -> Signer | None:
    """What signs this agent's reports; `None` without a key. Raises `KeyUnusable`."""
    if key_file is None:
        return None
    from ledger.signing.key_files import read

    return Signer(read(key_file, "LEDGER_AGENT_KEY_FILE"))


class Trust:
    """The keys that sign for the one ledger that is served; without any, everybody is followed."""

    def __init__(self, trusted: Sequence[TrustedKey]) -> None:
        self._keys = {one.key: verifying_key(one.public_key) for one in trusted}
        self._check = SignatureCheck()
        self.ledger: UUID | None = trusted[0].ledger if trusted else None

    def why_refused(self, command: Command, message: Received) -> str:
        """Why `command`, which came as `message`, is nobody's order; empty if it is to be done."""
        if not self._keys:
            return ""
        kind = kind_of(command)
        try:
            _, payload = self._check.opened(message.header(SIGNATURE), kind, self._keys)
        except NotSigned as why:
            return f"{why}; see LEDGER_AGENT_TRUST"
        if payload != of_command(command, message).payload:
            return "what is signed beside it is something else"
        return ""
