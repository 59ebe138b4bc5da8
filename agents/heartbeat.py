"""Signs of life, every two seconds: who the agent is, what it works on. Nothing of it is kept."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from agents.scheduler import Scheduler
from agents.settings import AgentSettings
from ledger.bus.port import Bus, BusUnavailable, Message
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.statements import HEARTBEAT
from ledger.contracts.wire import encode_heartbeat
from ledger.signing.seal import Signer
from migrations.clock import Clock

logger = logging.getLogger(__name__)

EVERY_S = 2.0
BUSY_MAX = 500
"""Entries of one heartbeat: what runs first; a message has a size limit."""


class HeartbeatSender:
    """Sends heartbeats; a bus that does not take one gets the next."""

    def __init__(
        self,
        bus: Bus,
        settings: AgentSettings,
        version: str,
        scheduler: Scheduler,
        clock: Clock,
        signer: Signer | None = None,
        refuses: Callable[[], str] = str,
    ) -> None:
        self._bus = bus
        self._refuses = refuses
        self._signer = signer
        self._settings = settings
        self._version = version
        self._scheduler = scheduler
        self._clock = clock
        self._started_at = clock.now()
        self.failing = ""
        """Why the broker hears nothing of it at the moment, if so."""

    async def run(self) -> None:
        """Send until cancelled, through every outage. Raises `BusMisconfigured`.

        A heartbeat that is late is worth nothing, so none is sent again. That the broker is away is
        told once, and how many it missed when it is back: an agent at rest says nothing else to it.
        """
        missed = 0
        while True:
            try:
                await self._bus.publish(self.messages())
            except BusUnavailable as error:
                self.failing = str(error)
                if not missed:
                    logger.warning("the broker does not hear this agent: %s", error)
                missed += 1
            else:
                if missed:
                    logger.warning("the broker hears this agent again, after %d tries", missed)
                self.failing, missed = "", 0
            await self._clock.sleep(EVERY_S)

    def messages(self) -> list[Message]:
        """What is sent: one message, signed if the agent has a key."""
        messages = [encode_heartbeat(self.heartbeat())]
        if self._signer is None:
            return messages
        return self._signer.several(HEARTBEAT, self._settings.name, messages)

    def heartbeat(self) -> Heartbeat:
        """The agent as it is now."""
        jobs = sorted(self._scheduler.jobs(), key=lambda job: job.phase == "queued")
        return Heartbeat(
            agent=self._settings.name,
            pool=self._settings.pool,
            host=socket.gethostname(),
            version=self._version,
            started_at=self._started_at,
            at=self._clock.now(),
            insecure=self._settings.insecure,
            refuses=self._refuses(),
            busy=tuple(job.busy() for job in jobs[:BUSY_MAX]),
            lives_in_leader=self._settings.lives_in_leader,
        )
