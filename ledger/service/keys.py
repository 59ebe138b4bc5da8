"""Keys: which sign reports, and with which the leader signs its orders."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from ledger.contracts.envelope import leadership_id
from ledger.contracts.events import LeadershipTaken
from ledger.contracts.reports import Event
from ledger.domain import keys as rules
from ledger.domain.keys import KEYS, AgentKey, KeyRing
from ledger.errors import VersionConflict
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.log.decode import open_event
from ledger.store.port import Log

TRIES = 5
"""How often a request is decided again because somebody else changed the keys meanwhile."""


class KeyService:
    """Requests about keys. Every method raises the refusals of `ledger.domain.keys`."""

    def __init__(self, log: Log, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder

    async def ring(self) -> KeyRing:
        """All keys that were ever registered, as the log says it now."""
        events = [open_event(raw) async for raw in self._log.read_stream(KEYS)]
        return rules.fold(KeyRing(), events)

    async def find(self, key: str) -> AgentKey:
        """The key that is called so. Raises `UnknownKey`."""
        return rules.find(await self.ring(), key)

    async def leaders(self) -> tuple[UUID, str | None]:
        """The ledger's id, and the public key of who led last; `None` if nothing was signed."""
        head = await self._log.head()
        for raw in await self._log.by_id([leadership_id(head.ledger_id, head.term)]):
            event = open_event(raw).event
            if isinstance(event, LeadershipTaken):
                return head.ledger_id, event.public_key
        return head.ledger_id, None

    async def register(
        self, public_key: str, agent: str, pool: str, asked: RequestContext
    ) -> AgentKey:
        """Let a key sign what agents of `pool` report."""
        return await self._change(
            lambda ring: rules.register(ring, public_key, agent, pool), public_key, asked
        )

    async def rotate(self, key: str, public_key: str, asked: RequestContext) -> AgentKey:
        """Put a new key beside an old one, which stays valid until it is revoked."""
        return await self._change(
            lambda ring: rules.rotate(ring, key, public_key), public_key, asked
        )

    async def revoke(self, key: str, asked: RequestContext) -> None:
        """Let a key sign nothing any more."""
        await self._append(lambda ring: rules.revoke(ring, key, asked.reason), asked)

    async def check_register(self, public_key: str, agent: str, pool: str) -> None:
        """Raise what `register` would refuse with now; nothing is recorded."""
        rules.register(await self.ring(), public_key, agent, pool)

    async def check_rotate(self, key: str, public_key: str) -> None:
        """Raise what `rotate` would refuse with now; nothing is recorded."""
        rules.rotate(await self.ring(), key, public_key)

    async def check_revoke(self, key: str, asked: RequestContext) -> None:
        """Raise what `revoke` would refuse with now; nothing is recorded."""
        rules.revoke(await self.ring(), key, asked.reason)

    async def _change(
        self,
        decide: Callable[[KeyRing], tuple[Event, ...]],
        public_key: str,
        asked: RequestContext,
    ) -> AgentKey:
        await self._append(decide, asked)
        return next(
            one for one in (await self.ring()).keys.values() if one.public_key == public_key
        )

    async def _append(
        self, decide: Callable[[KeyRing], tuple[Event, ...]], asked: RequestContext
    ) -> None:
        """Decide on the keys as they are and append; again when somebody else was first."""
        for attempt in range(TRIES):
            ring = await self.ring()
            events = self._encoder.encode(decide(ring), asked)
            try:
                await self._log.append(KEYS, events, expected_version=ring.version)
                await self._log.announce()
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return
