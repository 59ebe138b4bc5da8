"""The record audited again and again: its chain, its end of the round before, and what is shown.

Who keeps the end of the chain himself notices a log that was hashed again, as long as he lives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from ledger import instruments
from ledger.domain.differences import Replayed
from ledger.errors import LedgerError
from ledger.instruments import Value
from ledger.service.audit import ChainVerdict, Comparison, KeptEnd
from ledger.store.connections import CONNECTION_LOST
from migrations.clock import Clock

logger = logging.getLogger(__name__)

CHAIN, KEPT, ROWS = "chain", "kept end", "rows"
"""What is compared: every event with its hash; the end of the round before; what is shown."""
AS_IT_WAS = (Comparison.SAME, Comparison.UNREACHED)
"""Of an end that lies behind a break nothing can be said; the break is told by itself."""
AGAIN_S: Final = 60.0
"""A round that came to nothing is begun again after this."""


class RecordAudit(Protocol):
    """What is asked of the record: `ledger.service.audit.AuditService`."""

    async def verify(self, kept: tuple[KeptEnd, ...] = ()) -> ChainVerdict:
        """Walk the chain, and compare it with what was kept."""

    async def replay(self) -> Replayed:
        """Fold the log, and compare what is shown."""


class AuditRounds:
    """Audits, and keeps what was found last."""

    def __init__(self, audit: RecordAudit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._kept: KeptEnd | None = None
        self._done_at: float | None = None
        self.differences: Mapping[str, int] = MappingProxyType({})
        """How much differs, by what is compared; nothing before the first round has ended."""
        self.trouble = "the first round has not ended"
        """Why nothing is known, or the last round came to nothing; else empty."""

    def observe(self) -> None:
        """Have it all read by whoever takes measurements."""

        def differences() -> list[Value]:
            return [
                (number, {instruments.AUDITED: one}) for one, number in self.differences.items()
            ]

        instruments.observe(instruments.AUDIT_DIFFERENCES, differences)
        instruments.observe(
            instruments.AUDIT_AGE,
            lambda: (
                [] if self._done_at is None else [(self._clock.monotonic() - self._done_at, {})]
            ),
        )

    async def run(self, every_s: float) -> None:
        """Audit until cancelled; from the end of a round to the next are `every_s` seconds."""
        while True:
            try:
                await self.audit()
            except (LedgerError, *CONNECTION_LOST) as error:
                if self.trouble != str(error):
                    logger.warning("the record cannot be audited for the moment: %s", error)
                self.trouble = str(error)
                await self._clock.sleep(min(AGAIN_S, every_s))
            else:
                await self._clock.sleep(every_s)

    async def audit(self) -> None:
        """One round. Raises `LedgerError`, or one of `CONNECTION_LOST`."""
        verdict = await self._audit.verify((self._kept,) if self._kept else ())
        replayed = await self._audit.replay()
        found = {
            CHAIN: int(not verdict.whole),
            KEPT: sum(one.comparison not in AS_IT_WAS for one in verdict.compared),
            ROWS: len(replayed.differences),
        }
        if verdict.chain is not None and not found[KEPT]:
            self._kept = KeptEnd(verdict.position, verdict.chain)
        for one, number in found.items():
            if number and not self.differences.get(one):
                logger.error("the record differs (%s): %s", one, COMMANDS[one])
        self.differences, self.trouble = found, ""
        self._done_at = self._clock.monotonic()


COMMANDS: Final = {
    CHAIN: "`ledger audit verify` names the first position",
    KEPT: "the log was hashed again behind the round before; compare ends that were kept elsewhere",
    ROWS: "`ledger replay` names the rows",
}
