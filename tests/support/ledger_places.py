"""Where a ledger is kept, by each adapter: its stores, and somebody who leads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from ledger.store.leadership import Leadership, take
from ledger.store.port import LeadingTerm, LedgerStores, Log
from ledger.store.stores import Stores
from migrations.clock import SYSTEM_CLOCK
from tests.support.memory_stores import LEDGER, MemoryLeadership, MemoryStores

LEDGER_ID: UUID = LEDGER


class LedgerPlace(Protocol):
    """A ledger, and who leads it."""

    @property
    def stores(self) -> LedgerStores:
        """What it is kept in."""

    async def lead(self, name: str) -> LeadingTerm:
        """Lead under the next term. Raises AnotherLeader."""

    async def nobody_leads(self) -> None:
        """End whatever leadership there is."""


@dataclass
class PostgresPlace:
    """A ledger in a database."""

    stores: Stores
    url: str
    leading: list[Leadership] = field(default_factory=list)

    async def lead(self, name: str) -> LeadingTerm:
        """As `LedgerPlace.lead`."""
        self.leading.append(await take(self.url, name, "here", SYSTEM_CLOCK))
        return self.leading[-1]

    async def nobody_leads(self) -> None:
        """As `LedgerPlace.nobody_leads`."""
        while self.leading:
            await self.leading.pop().release()


@dataclass
class MemoryPlace:
    """A ledger in this process."""

    stores: MemoryStores
    leading: list[MemoryLeadership] = field(default_factory=list)

    async def lead(self, name: str) -> LeadingTerm:
        """As `LedgerPlace.lead`."""
        self.leading.append(self.stores.lead(name))
        return self.leading[-1]

    async def nobody_leads(self) -> None:
        """As `LedgerPlace.nobody_leads`."""
        while self.leading:
            self.leading.pop().lose()


async def memory_place() -> LedgerPlace:
    """A ledger in memory that was just made."""
    stores = MemoryStores(SYSTEM_CLOCK)
    await stores.initialise()
    return MemoryPlace(stores)


def log_of(place: LedgerPlace) -> Log:
    """Its log."""
    return place.stores.log
