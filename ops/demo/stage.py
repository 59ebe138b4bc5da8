"""Where the demo takes place: one folder, commands typed into it, programs beside it, an end.

Every command is shown as a person would type it, and that very command runs. Programs that go on
(`&`) are sessions of their own, so that Ctrl-C reaches the demo alone, which ends them in order.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

END_S = 40.0
"""How long a program may take to end when asked; an agent's grace period fits in."""
POLL_S = 0.05
LAST_LINES = 15
BOLD, DIM, GREEN, PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[0m"


class DemoFailed(Exception):
    """Something went another way than the demo tells."""


class Stage:
    """A folder of the demo's own and the programs that run for it; gone when the block ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="migration-ledger-demo-"))
        # The server's own account has to pass through when root runs the demo.
        self.folder.chmod(0o711)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._started = time.monotonic()
        self._step = 0
        self._begun = self._started
        self._exported: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # From here on nothing may interrupt: what was started is ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.say("Cleaning up ...")
        for name, process in reversed(self._running):
            _end(name, process)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.say(f"{self.folder} is deleted.")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the curtain rose."""
        return time.monotonic() - self._started

    def title(self, text: str) -> None:
        """Begin a part."""
        self.end_part()
        self._step += 1
        self._begun = time.monotonic()
        self._print(f"\n{self._step}. {text}", BOLD)

    def end_part(self) -> None:
        """Say how long the part took that ends here, if one does."""
        if self._step:
            self._print(f"── {self._step}. took {time.monotonic() - self._begun:.0f} s", DIM)

    def say(self, text: str) -> None:
        """Tell what is seen, or what comes."""
        self._print(text, DIM)

    def export(self, variables: Mapping[str, str], *, secret: bool = False) -> None:
        """Set variables for what is typed from now on; of a `secret` one only the name shows."""
        for name, value in variables.items():
            self._show(f"export {name}={'...' if secret else shlex.quote(value)}")
            self._exported[name] = value

    def type(self, line: str, *, ends_with: int = 0) -> None:
        """Run a command and wait. Raises `DemoFailed` on another exit code than `ends_with`.

        Words like NAME=VALUE before it are variables for this command alone.
        """
        self._show(line)
        arguments, alone = shlex.split(line), {}
        while re.fullmatch(r"[A-Z_]+=.*", arguments[0]):
            name, _, value = arguments.pop(0).partition("=")
            alone[name] = value
        ended = subprocess.run(
            [self._program(arguments[0]), *arguments[1:]],
            cwd=self.folder,
            env=self._environment(self._exported | alone),
            check=False,
        )
        if ended.returncode != ends_with:
            raise DemoFailed(f"`{line}` ended with {ended.returncode}, expected {ends_with}")

    def leave_running(
        self,
        line: str,
        until: Callable[[str], bool],
        timeout_s: float,
        variables: Mapping[str, str] | None = None,
        *,
        loud: bool = False,
        alone: bool = False,
    ) -> None:
        """Start a program and return when `until` likes what it has written so far.

        Its words go to a file; of a `loud` one the progress goes to the terminal, and its data, a
        throw-away password among it, nowhere. One that is `alone` gets no
        variable but its own. Raises `DemoFailed` when it ends or takes longer
        than `timeout_s`.
        """
        shown = [f"{name}={value}" for name, value in (variables or {}).items()]
        self._show(" ".join([*shown, line, "&"]))
        arguments = shlex.split(line)
        log = self.folder / f"program-{len(self._running) + 1}.log"
        with log.open("wb") as words:
            process = subprocess.Popen(
                [self._program(arguments[0]), *arguments[1:]],
                cwd=self.folder,
                env=self._environment({**({} if alone else self._exported), **(variables or {})}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if loud else words,
                stderr=None if loud else words,
                start_new_session=True,
            )
        self._running.append((line, process))
        deadline = time.monotonic() + timeout_s
        while not until(log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"`{line}` is not ready:\n{self.last_words()}")
            time.sleep(POLL_S)

    def last_words(self) -> str:
        """The ends of all programs' logs."""
        logs = sorted(self.folder.glob("program-*.log"))
        ends = (log.read_text(errors="replace").splitlines()[-LAST_LINES:] for log in logs)
        return "\n".join(line for end in ends for line in end)

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """A shell's, without what the person at it has set for ledgers of their own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
        programs = str(Path(sys.executable).parent)
        path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
        return {**kept, "PATH": path, "XDG_CONFIG_HOME": str(self.folder / "config"), **variables}

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._environment({})["PATH"])
        if found is None:
            raise DemoFailed(f"{name} is not installed; start the demo with `make demo`")
        return found

    def _show(self, line: str) -> None:
        self._print(f"\n$ {line}", GREEN)

    def _print(self, text: str, style: str) -> None:
        print(f"{style}{text}{PLAIN}" if self._colour else text, flush=True)


def _end(name: str, process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end; kill it, and say so, when it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        print(f"`{name}` did not end within {END_S:.0f} s and was killed", file=sys.stderr)
        process.kill()
        process.wait()
