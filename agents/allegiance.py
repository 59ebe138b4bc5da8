"""Which ledger an agent serves: it takes orders, cancellations and looks from that one alone.

Told by its settings, it never serves another. Without them it serves the first ledger whose order
it takes, until it ends: enough to try things, and no protection from whoever is first.
"""

from __future__ import annotations

import logging
from uuid import UUID

logger = logging.getLogger(__name__)

STRANGERS_NAMED = 20
"""Other ledgers that are named in the log, each once: anybody can invent as many as he likes."""


class Allegiance:
    """The one ledger that an agent serves; `None` until it is known."""

    def __init__(self, ledger: UUID | None) -> None:
        self.ledger = ledger
        self._strangers: set[UUID] = set()

    def take_up(self, ledger: UUID) -> None:
        """An order of this ledger is followed; the first one decides, if need be."""
        if self.ledger is None:
            self.ledger = ledger
            logger.warning(
                "orders are taken from ledger %s alone from now on, because it was heard first; "
                "set LEDGER_AGENT_LEDGER=%s so that no other can be first",
                ledger,
                ledger,
            )

    def hears(self, ledger: UUID) -> bool:
        """Whether this is the ledger that is served; another one is named in the log once.

        Before the first order anybody may be: a cancellation may come before what it cancels.
        """
        if self.ledger is None or ledger == self.ledger:
            return True
        if ledger not in self._strangers and len(self._strangers) < STRANGERS_NAMED:
            self._strangers.add(ledger)
            logger.warning(
                "commands of ledger %s are passed over: this agent serves %s; "
                "if that is wrong, correct LEDGER_AGENT_LEDGER",
                ledger,
                self.ledger,
            )
        return False
