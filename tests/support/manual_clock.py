"""A clock that moves when it is told, and a loop that tells it when everybody waits.

`ManualClock` by itself stands still until `advance`. Inside `simulate` there is nobody outside who
could be waited for, so whenever nothing is left to do the clock moves to the next moment that
somebody waits for: hours of backoff and expiry pass in milliseconds, always in the same order. A
wait by the loop's own clock would be a real one there, and is an error; so is a wait that nothing
can end.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class ManualClock:
    """A `migrations.clock.Clock` that somebody moves."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.passed_s = 0.0
        self.wrong = timedelta(0)
        """By how much `now` is off; what is measured is not."""
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def now(self) -> datetime:
        """The moment that it stands at."""
        return self.start + timedelta(seconds=self.passed_s) + self.wrong

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        """Wait until it has moved so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._at(seconds, woken.set)
        await woken.wait()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Bound a block by how far it moves."""
        return self._timeout(seconds)

    @asynccontextmanager
    async def _timeout(self, seconds: float | None) -> AsyncIterator[object]:
        async with asyncio.timeout(None) as limit:
            running = True

            def end() -> None:
                if running:
                    limit.reschedule(asyncio.get_running_loop().time())

            if seconds is not None:
                self._at(seconds, end)
            try:
                yield limit
            finally:
                running = False

    def advance(self, seconds: float) -> None:
        """Move on; who waited for a moment on the way is woken, in the order of these moments."""
        until = self.passed_s + seconds
        while self._timers and self._timers[0][0] <= until:
            self.next()
        self.passed_s = until

    def next(self) -> bool:
        """Move to the next moment that somebody waits for; whether there is one."""
        if not self._timers:
            return False
        moment, _, call = heapq.heappop(self._timers)
        self.passed_s = max(self.passed_s, moment)
        call()
        return True

    def _at(self, in_s: float, call: Callable[[], None]) -> None:
        moment = self.passed_s + max(in_s, 0.0)
        heapq.heappush(self._timers, (moment, next(self._numbers), call))


class SeededChance:
    """A `migrations.chance.Chance` that gives the same again for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._ordered = count(1)

    def uuid(self) -> UUID:
        """Of seeded bits."""
        return UUID(int=self._random.getrandbits(128), version=4)

    def ordered_uuid(self) -> UUID:
        """One after the other."""
        return UUID(int=(next(self._ordered) << 64) | self._random.getrandbits(62))

    def text(self, alphabet: str, length: int) -> str:
        """Seeded characters."""
        return "".join(self._random.choice(alphabet) for _ in range(length))

    def between(self, least: float, most: float) -> float:
        """A seeded number."""
        return self._random.uniform(least, most)


class _Idle(selectors.SelectSelector):
    """Moves the clock where a loop would wait."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.in_threads:
            return super().select(None)
        if timeout is not None:
            raise AssertionError("somebody waits by the loop's own clock")
        if not self._clock.next():
            raise AssertionError("everybody waits, and nothing can end that")
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting."""

    def __init__(self, clock: ManualClock) -> None:
        self._idle = _Idle(clock)
        super().__init__(self._idle)

    def run_in_executor(  # type: ignore[override]  # As asyncio.to_thread calls it.
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """A thread takes real time, which is none here."""
        future = super().run_in_executor(executor, func, *args)
        self._idle.in_threads += 1

        def ended(_: object) -> None:
            self._idle.in_threads -= 1

        future.add_done_callback(ended)
        return future

    async def shutdown_default_executor(self, *limits: Any) -> None:
        """Its threads end in real time, too."""
        self._idle.in_threads += 1
        try:
            await super().shutdown_default_executor(*limits)
        finally:
            self._idle.in_threads -= 1


def simulate(clock: ManualClock, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on this clock, which moves by itself whenever everybody waits."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        return runner.run(main)
