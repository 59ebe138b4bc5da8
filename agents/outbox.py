"""Reports on their way to the bus: collected, sent in batches, in order, until the bus has them.

A report that was not acknowledged is sent again, with everything after it: reports are known by
their ids, so twice is harmless and lost is not. The outbox never loses one while the process lives;
what dies with the process is read again from the databases' journals.

Reports are signed where they leave, several at once, if the agent has a key.

Each message gets a ticket, 1, 2, 3, …; `published` is the highest ticket that the bus holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ledger.bus.port import Bus, BusMisconfigured, BusUnavailable
from ledger.contracts.messages import Message
from ledger.contracts.statements import REPORTS as SIGNED_REPORTS
from ledger.contracts.topics import PARKED, REPORTS
from ledger.signing.seal import Signer
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock, happens_within

logger = logging.getLogger(__name__)

LINGER_S = 0.01
"""How long a report after a silence waits for company."""
PACE_S = 0.1
"""Between two requests while there is work: reports of several workers share one, here, at the
broker and in the log, where a request costs more than what is in it. Nobody at work, nobody waits.
"""
BATCH = 500


class Outbox:
    """The agent's one way to report."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        chance: Chance,
        signer: Signer | None = None,
        agent: str = "",
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._signer = signer
        self._agent = agent
        self._waiting: list[Message] = []
        self._added = 0
        self._something = asyncio.Event()
        self._backoff = Backoff(clock, chance)
        self._moved = asyncio.Event()
        self._hurried = asyncio.Event()
        self.published = 0
        self.failing: str | None = None
        """Why the bus takes nothing at the moment, if so."""

    @property
    def waiting(self) -> int:
        """How many messages the bus has not taken."""
        return len(self._waiting)

    def add(self, messages: Sequence[Message]) -> int:
        """Queue messages; returns the ticket of the last one ever queued."""
        self._waiting += messages
        self._added += len(messages)
        if messages:
            self._something.set()
        return self._added

    def hurry(self) -> None:
        """Let what is queued gather no longer: nobody is at work who could add to it."""
        self._hurried.set()

    async def run(self) -> None:
        """Send until cancelled. Raises `BusMisconfigured`."""
        next_at = self._clock.monotonic()
        while True:
            await self._something.wait()
            await self._gather(max(LINGER_S, next_at - self._clock.monotonic()))
            next_at = self._clock.monotonic() + PACE_S
            await self._send_queued()
            if not self._waiting:
                self._something.clear()

    async def flush(self) -> None:
        """Return when everything queued so far is on the bus; `run` has to be running."""
        goal = self._added
        while self.published < goal:
            self._moved.clear()
            await self._moved.wait()

    async def _gather(self, for_s: float) -> None:
        await happens_within(self._clock, self._hurried, for_s)
        self._hurried.clear()

    async def _send_queued(self) -> None:
        """Send what is queued now; what comes meanwhile gathers for the next request."""
        goal = self._added
        while self.published < goal:
            await self._send(self._waiting[: min(BATCH, goal - self.published)])

    async def _send(self, batch: Sequence[Message]) -> None:
        try:
            if self.failing:
                await self._bus.ensure_topics([REPORTS, PARKED])
            await self._bus.publish(self._signed(batch))
        except BusMisconfigured as error:
            self.failing = str(error)
            raise
        except BusUnavailable as error:
            if self.failing is None:
                logger.warning("reports wait, the bus does not take them: %s", error)
            self.failing = str(error)
            await self._backoff.wait()
            return
        if self.failing:
            logger.warning("the bus takes reports again")
        self.failing = None
        self._backoff.reset()
        del self._waiting[: len(batch)]
        self.published += len(batch)
        self._moved.set()

    def _signed(self, batch: Sequence[Message]) -> Sequence[Message]:
        """These messages; the reports among them are signed."""
        if self._signer is None:
            return batch
        reports = [message for message in batch if message.topic == REPORTS]
        signed = iter(self._signer.several(SIGNED_REPORTS, self._agent, reports))
        return [next(signed) if message.topic == REPORTS else message for message in batch]
