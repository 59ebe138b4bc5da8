"""A program that has read `ledger` once and forks for each command: no start waits for imports.

    test ──words, folder, environment, a terminal──▶ typist ──fork──▶ the command, at that terminal
    test ◀─────────────── how it ended ─────────────────────┘

What is forked is a process of its own, in a session of its own, as a shell would start it. What an
interpreter decides when it starts, its alphabet above all, needs one of its own
(`tests.support.terminal`).
"""

from __future__ import annotations

import atexit
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from migrations.clock import SystemClock

MOST_BYTES = 1_000_000
LATER = "TYPIST_LATER_S"
"""The variable that sets a command's clock so many seconds ahead of the host's."""
_running: list[Typist] = []


class Typist:
    """The program, and where it is asked."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="typist-")
        self._door = str(Path(self._folder.name) / "door")
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.support.typist", self._door],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._program.stdout is not None
        assert self._program.stdout.readline(), "it did not begin"
        atexit.register(self.end)

    def end(self) -> None:
        """Let it go."""
        self._program.communicate()
        self._folder.cleanup()

    def type(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], terminal: int
    ) -> int:
        """Run `ledger` with these words at this terminal; its exit code. Blocks until it ends."""
        asked = [list(words), str(folder), dict(environment)]
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(self._door)
            socket.send_fds(way, [json.dumps(asked).encode()], [terminal])
            os.close(terminal)
            way.shutdown(socket.SHUT_WR)
            return int(way.recv(100) or b"-9")


def typist() -> Typist:
    """The one of this process."""
    if not _running:
        _running.append(Typist())
    return _running[0]


def serve(door: str) -> None:
    """Fork for each one that asks, until nobody is there to ask."""
    _read_all()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(door)
        listening.listen(50)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            way, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(way)
            way.close()


def _answer(way: socket.socket) -> None:
    """Run what is asked for in a child, and say how that ended; does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, (terminal, *_), _, _ = socket.recv_fds(way, MOST_BYTES, 1)
    while more := way.recv(MOST_BYTES):
        text += more
    words, folder, environment = json.loads(text)
    child = os.fork()
    if child == 0:
        way.close()
        _run(terminal, words, folder, environment)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    way.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(terminal: int, words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be the program; does not return."""
    os.login_tty(terminal)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=True)
        setattr(sys, name, stream)
    sys.argv = ["ledger", *words]
    if later := environment.get(LATER):
        _set_clock(timedelta(seconds=float(later)))
    from ledger.cli.app.start import main

    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _set_clock(ahead: timedelta) -> None:
    """Have everything that asks for the time told a later one."""
    now = SystemClock.now
    host: Any = SystemClock
    host.now = lambda clock: now(clock) + ahead


def _read_all() -> None:
    """Import what commands import."""
    from ledger.cli.app.lazy import ROOMS

    for name in ("app.main", *ROOMS):
        import_module(f"ledger.cli.{name}")
    for name in ("ledger.runtime", "asyncpg", "rich.progress", "rich.console", "yaml"):
        import_module(name)


if __name__ == "__main__":
    serve(sys.argv[1])
