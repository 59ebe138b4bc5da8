"""The record audited again and again: its chain, its end of the round before, and what is shown.

Who keeps the end of the chain himself notices a log that was hashed again, as long as he lives.

```
round ──▶ what differs ──▶ measured, and a line of the log
                     └───▶ DifferenceFound, once a day ──▶ notifier ──▶ people
```

Whoever may only read records nothing; then its measurements and its lines are all that is said.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from ledger import instruments
from ledger.contracts.events import Audited, DifferenceFound
from ledger.domain.differences import Replayed
from ledger.errors import LedgerError, LedgerUnreachable, NotPermitted
from ledger.instruments import Value
from ledger.service.audit import ChainVerdict, Comparison, KeptEnd
from ledger.store.connections import DATABASE_TROUBLE
from ledger.store.refusals import trouble_of
from migrations.clock import Clock

logger = logging.getLogger(__name__)

AS_IT_WAS = (Comparison.SAME, Comparison.UNREACHED)
"""Of an end that lies behind a break nothing can be said; the break is told by itself."""
AGAIN_S: Final = 60.0
"""A round that came to nothing is begun again after this."""
PLACE_CHARS: Final = 200


class RecordAudit(Protocol):
    """What is asked of the record: `ledger.service.audit.AuditService`."""

    async def verify(self, kept: tuple[KeptEnd, ...] = ()) -> ChainVerdict:
        """Walk the chain, and compare it with what was kept."""

    async def replay(self) -> Replayed:
        """Fold the log, and compare what is shown."""

    async def record(self, found: DifferenceFound) -> None:
        """Have it recorded what differs, once in a day."""


class AuditRounds:
    """Audits, and keeps what was found last."""

    def __init__(self, audit: RecordAudit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._kept: KeptEnd | None = None
        self._done_at: float | None = None
        self.differences: Mapping[str, int] = MappingProxyType({})
        """How much differs, by what is compared; nothing before the first round has ended."""
        self._refused = False
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
            except (LedgerError, *DATABASE_TROUBLE) as error:
                said = trouble_of(error)
                if self.trouble != said:
                    logger.warning("the record cannot be audited for the moment: %s", said)
                self.trouble = said
                await self._clock.sleep(min(AGAIN_S, every_s))
            else:
                await self._clock.sleep(every_s)

    async def audit(self) -> None:
        """One round. Raises `LedgerError`, or one of `DATABASE_TROUBLE`."""
        verdict = await self._audit.verify((self._kept,) if self._kept else ())
        replayed = await self._audit.replay()
        found = found_in(verdict, replayed)
        if verdict.chain is not None and Audited.KEPT_END not in found:
            self._kept = KeptEnd(verdict.position, verdict.chain)
        for one in found.keys() - {one for one, number in self.differences.items() if number}:
            logger.error("the record differs (%s): %s", one, COMMANDS[one])
        self.differences = {one: found[one].differences if one in found else 0 for one in Audited}
        self._done_at = self._clock.monotonic()
        for difference in found.values():
            await self._record(difference)
        self.trouble = ""

    async def _record(self, found: DifferenceFound) -> None:
        try:
            await self._audit.record(found)
        except LedgerUnreachable:
            raise
        except LedgerError as refused:
            if not self._refused:
                why = GRANT if isinstance(refused, NotPermitted) else refused
                logger.warning("what differs cannot be recorded, so nobody is notified: %s", why)
            self._refused = True


def found_in(verdict: ChainVerdict, replayed: Replayed) -> dict[Audited, DifferenceFound]:
    """What differs, by what was compared."""
    found = {}
    if not verdict.whole:
        found[Audited.CHAIN] = (f"position {verdict.position}", 1)
    other = [one.kept.position for one in verdict.compared if one.comparison not in AS_IT_WAS]
    if other:
        found[Audited.KEPT_END] = (f"up to position {min(other)}", len(other))
    if replayed.differences:
        tables = ", ".join(sorted({one.table for one in replayed.differences}))
        found[Audited.ROWS] = (tables[:PLACE_CHARS], len(replayed.differences))
    return {
        audited: DifferenceFound(audited=audited, place=place, differences=number)
        for audited, (place, number) in found.items()
    }


COMMANDS: Final = {
    Audited.CHAIN: "`ledger audit verify` names the first position",
    Audited.KEPT_END: (
        "the log was hashed again behind the round before; compare ends that were kept elsewhere"
    ),
    Audited.ROWS: "`ledger replay` names the rows",
}
GRANT: Final = "give this login the role ledger_auditor too"
