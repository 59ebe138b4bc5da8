"""How both programs are stopped: the first signal asks, the second forces.

running ──SIGINT, SIGTERM──▶ asked: finishes what runs ──again──▶ forced: cancels what runs
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar, Token
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what service managers send, and the terminal that is closed.

Under `nohup` the last one goes on to be ignored."""


class Stopper:
    """Listens to signals inside its `with`: calls `ask` at the first, `force` at every later one.

    What is left out is to cancel the task that entered. Stoppers may stand inside one another: the
    innermost listens. Behind the last one, signals do what they did before.
    """

    def __init__(
        self,
        ask: Callable[[], object] | None = None,
        force: Callable[[], object] | None = None,
        signals: Sequence[signal.Signals] = SIGNALS,
    ) -> None:
        self._ask = ask or self._cancel
        self._force = force or self._cancel
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._signals = [one for one in signals if one != signal.SIGHUP or not ignored]
        self._heard = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def forced(self) -> bool:
        """Whether a second signal came."""
        return self._heard > 1

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._token: Token[Stopper | None] = _LISTENING.set(self)
        self._before = {number: signal.getsignal(number) for number in self._signals}
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)
        _LISTENING.reset(self._token)
        if outer := _LISTENING.get():
            outer._listen()

    def _listen(self) -> None:
        for number in self._signals:
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    def _hear(self) -> None:
        self._heard += 1
        if self.forced:
            self._force()
        else:
            self._ask()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def run_until(asked: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """Run `work` until it ends, and raise what it raises; it is cancelled once it is `asked`."""
    running = asyncio.create_task(work, name="work")
    stopping = asyncio.create_task(asked.wait(), name="stop")
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
    running.cancel()
    await asyncio.wait([running])


_LISTENING: ContextVar[Stopper | None] = ContextVar("stopper", default=None)
