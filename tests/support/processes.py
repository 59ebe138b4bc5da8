"""Real processes of ours, as people start them: started, stopped, killed, waited for."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PATIENCE_S = 75.0
"""How long something may take that should happen: several times what two busy cores need."""
POLL_S = 0.1
PROGRAMS = {
    "ledger": "from ledger.cli.app.start import main; main()",
    "ledger-agent": "from agents.cli import main; main()",
    "ledger with a wrong clock": "from tests.support.wrong_clock import ledger; ledger()",
    "ledger-agent with a wrong clock": "from tests.support.wrong_clock import agent; agent()",
}
"""The console scripts by what they run, so that a test needs no folder of scripts."""

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
        self._command = command_line(program, *arguments)
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
        return self._child.returncode

    def start_again(self) -> None:
        """Start it anew, after it ended."""
        assert self._child.poll() is not None, "it still runs"
        self._child = self._start()

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._env
            )


def command_line(program: str, *arguments: str) -> list[str]:
    """How a program of ours is started from this environment."""
    return [sys.executable, "-c", PROGRAMS[program], *arguments]


async def run(
    program: str,
    *arguments: str,
    env: Mapping[str, str],
    within_s: float = PATIENCE_S,
    folder: Path | None = None,
) -> Answer:
    """Run a command to its end, in this folder or another; it is killed when it takes too long."""
    child = await asyncio.create_subprocess_exec(
        *command_line(program, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=folder,
    )
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
