"""Whether the broker answers: asked twice a second, so that people hear of it within two.

Who sends notices an outage when something is to be sent, and who reads waits in silence. This asks
all the time. What it finds explains waits and decides nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ledger.bus.port import Bus, BusUnavailable
from migrations.clock import Clock

EVERY_S = 0.5


class BrokerWatch:
    """Knows whether the broker `answers`, and for how long it has been so."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._since = clock.monotonic()
        self.answers = True

    @property
    def for_s(self) -> float:
        """For how many seconds it has answered, or has not."""
        return self._clock.monotonic() - self._since

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Ask until cancelled, and call `changed` at once when it is another answer."""
        while True:
            try:
                await self._bus.probe()
                answers = True
            except BusUnavailable:
                answers = False
            if answers != self.answers:
                self.answers, self._since = answers, self._clock.monotonic()
                await changed()
            await self._clock.sleep(EVERY_S)
