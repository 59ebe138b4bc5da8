"""One call at a time that blocks, in a thread that nothing waits for when the program ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from migrations.clock import Clock

WITHIN_S = 30.0
"""For one message, names and TLS included; what takes longer has failed."""
ABANDONED_S = 600.0
"""A try that has not ended by then keeps no later one back: a receiver may dribble for days."""


class BlockingCall:
    """Calls that block, one after the other; each target has one, so none waits for another."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._busy: asyncio.Future[str] | None = None
        self._began = 0.0

    async def __call__(self, call: Callable[[], str]) -> str:
        """What `call` says; what it comes to when it does not end in time."""
        now = self._clock.monotonic()
        busy = self._busy is not None and not self._busy.done()
        if busy and now - self._began < ABANDONED_S:
            return "the try before has not ended"
        loop = asyncio.get_running_loop()
        self._began = now
        self._busy = answer = loop.create_future()

        def answered(said: str) -> None:
            if not answer.done():
                answer.set_result(said)

        def run() -> None:
            try:
                said = call()
            except Exception as error:
                said = f"it could not be sent ({type(error).__name__})"
            try:
                loop.call_soon_threadsafe(answered, said)
            except RuntimeError:
                # The loop has ended meanwhile, and with it whoever would hear this.
                return

        threading.Thread(target=run, name=f"notify-{self._name}", daemon=True).start()
        try:
            async with self._clock.timeout(WITHIN_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            return f"no answer within {WITHIN_S:.0f} s"
