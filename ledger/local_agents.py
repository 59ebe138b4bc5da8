"""The agents of single-process mode: they live in the ledger's own process, without a broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.bus.local import LocalBroker, LocalBus
from ledger.settings import Settings
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from agents.runtime import Agent
    from ledger.leader.supervisor import Supervisor

HIRE_EVERY_S = 1.0
"""How soon a pool that is new in the fleet gets its agent."""


class LocalAgents:
    """One for each pool, also for pools that come later."""

    def __init__(self, broker: LocalBroker, settings: Settings, ledger: UUID) -> None:
        self._broker = broker
        self._ledger = ledger
        self._settings = settings
        self._agents: dict[str, Agent] = {}
        self._working: list[asyncio.Task[None]] = []

    async def start(self, leader: Supervisor) -> None:
        """Start an agent for every pool that has none, until cancelled; raises what breaks one.

        When cancelled because the leader failed, the agents finish what they have in hand: the
        journals keep what cannot be reported now.
        """
        async with asyncio.TaskGroup() as group:
            try:
                await leader.loaded()
                while True:
                    wanted = leader.pools() | {self._settings.pool}
                    for pool in sorted(wanted - self._agents.keys()):
                        agent = self._agents[pool] = self._agent(pool)
                        self._working.append(group.create_task(agent.run(), name=f"agent-{pool}"))
                    await SYSTEM_CLOCK.sleep(HIRE_EVERY_S)
            except asyncio.CancelledError:
                await self.stop()
                raise

    def cut_short(self) -> None:
        """Have every agent cancel what it has in hand."""
        for agent in self._agents.values():
            agent.stop()
            agent.stop()

    async def stop(self) -> None:
        """Let every agent finish what it has in hand, within its grace period; again forces."""
        for agent in self._agents.values():
            agent.stop()
        if self._working:
            await asyncio.wait(self._working)

    def _agent(self, pool: str) -> Agent:
        from agents.runtime import Agent
        from agents.settings import agent_settings, default_name
        from migrations.engine import PostgresEngine

        # Nobody else is on this bus, whatever the settings say of agents elsewhere.
        alone = {"ledger": self._ledger, "trust": (), "key_file": None}
        section = self._settings.agent.model_copy(update=alone)
        name = f"{section.name or default_name()}-{pool}"
        settings = agent_settings(section, pool, name=name, lives_in_leader=True)
        engine = PostgresEngine(SYSTEM_CLOCK, SYSTEM_CHANCE)
        return Agent(LocalBus(self._broker), settings, SYSTEM_CLOCK, engine)
