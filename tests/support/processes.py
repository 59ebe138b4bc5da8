"""Real processes of ours, as people start them: started, stopped, killed, waited for."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.support import warm
from tests.support.patience import PATIENCE_S

POLL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


class Process:
    """A program that runs until it is told otherwise; what it writes goes to `log`."""

    def __init__(
        self, program: str, arguments: tuple[str, ...], env: Mapping[str, str], log: Path
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._env = dict(env)
        self.log = log
        self._child = self._start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; `None` while it runs."""
        return self._child.poll()

    def said(self) -> str:
        """Everything it wrote so far, in all its lives."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL, and wait until the system has taken everything back."""
        self._child.kill()
        self._child.wait()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._child.send_signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._child.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code, once it ended."""
        await until(lambda: self._child.poll() is not None, "the process ends", within_s)
        return self._child.wait()

    def start_again(self) -> None:
        """Start it anew, after it ended."""
        assert self._child.poll() is not None, "it still runs"
        self._child = self._start()

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def _start(self) -> warm.WarmChild:
        return warm.start_into(self.log, self._arguments, Path.cwd(), self._env, self._program)


async def run(
    program: str, *arguments: str, env: Mapping[str, str], within_s: float = PATIENCE_S
) -> Answer:
    """Run a command to its end; it is killed when it takes too long."""
    child = await warm.start(arguments, Path.cwd(), env, program)
    try:
        async with asyncio.timeout(within_s):
            out, err = await child.communicate()
    except TimeoutError:
        child.kill()
        out, err = await child.communicate()
        raise AssertionError(
            f"{program} {' '.join(arguments)} did not end in {within_s:.0f} s: "
            f"{out.decode()}{err.decode()}"
        ) from None
    return Answer(child.returncode or 0, out.decode(), err.decode())


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that its parent has not heard of it yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


async def until(
    holds: Callable[[], bool | Awaitable[bool]], what: str, within_s: float = PATIENCE_S
) -> None:
    """Return when `holds` says so; it may be a coroutine."""

    async def look() -> bool | None:
        answer = holds()
        return (answer if isinstance(answer, bool) else await answer) or None

    await found(look, what, within_s)


async def found(
    look: Callable[[], Awaitable[T | None]], what: str, within_s: float = PATIENCE_S
) -> T:
    """The first answer of `look` that is not `None`."""
    deadline = time.monotonic() + within_s
    while (answer := await look()) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s:.0f} s in vain until {what}")
        await asyncio.sleep(POLL_S)
    return answer
