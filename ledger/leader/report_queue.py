"""What arrives on the bus, for one who appends it: gathered, and with a word when all is taken.

```
bus ── poll ──▶ next ── to the log ──▶ taken ──▶ drained, if there was nothing left
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ledger.bus.port import Reader, Received
from migrations.clock import Clock

POLL_S = 0.2
BATCH = 500
PACE_S = 0.02
"""Between two appends: reports of many agents share one. After a silence nobody waits."""


class ReportQueue:
    """Reads one topic for one who takes all of it in turn: `next`, then `taken`.

    With a bus of `this_process` a glance shows all that there is; a broker has to be waited for.
    """

    def __init__(self, clock: Clock, *, this_process: bool) -> None:
        self._clock = clock
        self._this_process = this_process
        self._reader: Reader | None = None
        self._awaited: list[asyncio.Event] = []
        self._asked: tuple[asyncio.Event, ...] = ()
        self._hurry = asyncio.Event()
        self._in_hand = 0
        self._behind_since: float | None = None
        self._next_at = 0.0

    @property
    def untaken(self) -> int:
        """How many messages were delivered, or wait on the bus, and are not taken."""
        return self._in_hand + (self._reader.behind if self._reader is not None else 0)

    @property
    def untaken_s(self) -> float:
        """For how long there have been such without a break, in seconds."""
        since = self._behind_since
        return 0.0 if since is None else self._clock.monotonic() - since

    async def drained(self) -> None:
        """Return when there was nothing left to take, without waiting for more to come."""
        drained = asyncio.Event()
        self._awaited.append(drained)
        self._hurry.set()
        await drained.wait()

    async def next(self, reader: Reader) -> list[Received]:
        """What is there, at a pace that lets reports gather: appends cost more than events.

        Raises what a poll raises.
        """
        self._reader = reader
        # Whoever asks while this looks must wait for the next look.
        self._asked = tuple(self._awaited)
        if self._asked:
            received = list(await reader.poll(0.0 if self._this_process else POLL_S, BATCH))
        else:
            received = list(await self._polled(reader))
        if received and len(received) < BATCH:
            early_s = self._next_at - self._clock.monotonic()
            if early_s > 0:
                await self._clock.sleep(early_s)
                received += await reader.poll(0.0, BATCH)
            self._next_at = self._clock.monotonic() + PACE_S
        self._note_lag(reader, len(received))
        return received

    def taken(self) -> None:
        """What `next` brought last is in the log."""
        if not self._in_hand:
            for drained in self._asked:
                self._awaited.remove(drained)
                drained.set()
            self._asked = ()
        if self._reader is not None:
            self._note_lag(self._reader, 0)

    def _note_lag(self, reader: Reader, in_hand: int) -> None:
        self._in_hand = in_hand
        if not in_hand and not reader.behind:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock.monotonic()

    async def _polled(self, reader: Reader) -> Sequence[Received]:
        """What comes within a poll's time; nothing once somebody waits for all to be taken."""
        self._hurry.clear()
        polling = asyncio.create_task(reader.poll(POLL_S, BATCH), name="reports-poll")
        hurried = asyncio.create_task(self._hurry.wait(), name="reports-hurry")
        try:
            await asyncio.wait([polling, hurried], return_when=asyncio.FIRST_COMPLETED)
            return polling.result() if polling.done() else ()
        finally:
            hurried.cancel()
            # What it would have brought comes with the next one.
            polling.cancel()
