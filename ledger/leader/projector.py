"""Keeps the read models near the end of the log, so that status is current within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ledger.contracts.envelope import Recorded
from ledger.store.views.port import Views
from ledger.telemetry import POSITION, PROJECTION_SPAN, span_of
from migrations.clock import Clock

PAUSE_S = 0.8
"""Between two rounds: what arrives meanwhile is written together, each row once."""


class Projector:
    """Projects whenever something was heard."""

    def __init__(self, reads: Views, clock: Clock) -> None:
        self._clock = clock
        self._reads = reads
        self._heard = asyncio.Event()

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """There is something to project."""
        self._heard.set()

    async def run(self) -> None:
        """Project until cancelled."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            with span_of(PROJECTION_SPAN) as span:
                span.set_attribute(POSITION, await self._reads.caught_up())
            await self._clock.sleep(PAUSE_S)
