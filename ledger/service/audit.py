"""Whether the record is whole: its chain of hashes, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain.differences import Replayed
from ledger.service.catch_up import as_near_as_may_be
from ledger.store.log.chain import Broken
from ledger.store.log.log import EventLog
from ledger.store.port import Views


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Where the chain ends, and its value there; or where it breaks first, and why."""

    position: int
    chain: bytes | None
    why: str = ""

    @property
    def whole(self) -> bool:
        """Whether every event is the one that was recorded."""
        return self.chain is not None


class AuditService:
    """Checks the record. Nothing is changed by it."""

    def __init__(self, log: EventLog, reads: Views) -> None:
        self._log = log
        self._reads = reads

    async def verify(self) -> ChainVerdict:
        """Walk the whole log and compute every hash again.

        Whoever can change the log and its head together can re-hash unseen by this; only a copy
        of the chain's end, kept elsewhere, shows it.
        """
        end = await self._log.verify()
        if isinstance(end, Broken):
            return ChainVerdict(end.position, None, end.why)
        return ChainVerdict(end.position, end.chain)

    async def replay(self) -> Replayed:
        """Fold the whole log beside the live read models; what differs."""
        from ledger.store.views.replay import replay

        await as_near_as_may_be(self._reads, self._log)
        async with self._log.connection() as connection:
            return await replay(connection)
