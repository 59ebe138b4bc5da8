"""Programs of ours as processes of their own, without the price of their imports.

A start costs 0.7 s of the processor, nearly all of it imports, and the tests start hundreds of
programs. So one process beside each test process imports everything once, and forks for each start:

    test ── descriptors, words, folder, variables ──▶ warm ── fork ──▶ keeper ── fork ──▶ program
         ◀───────────── process id, then how it ended ────────────────────┘

The program has its own words, folder, variables, streams and signals, as after an exec, and it ends
as Python ends, but that nothing is freed: to free what was imported costs more than most programs.
What shows only in a cold start (how long it takes, what it imports, Ctrl-C while it does) is for
tests that start one; so are variables that Python itself reads at its start.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
START = "from tests.support.warm import serve; serve({door})"
PACKAGES = ("ledger", "agents", "migrations")
PROGRAMS = {
    "ledger": "ledger.cli.app.start:main",
    "ledger-agent": "agents.cli:main",
    "ledger that waits": "tests.support.patient:ledger",
    "ledger with a wrong clock": "tests.support.wrong_clock:ledger",
    "ledger-agent with a wrong clock": "tests.support.wrong_clock:agent",
}
"""What can be started, each with its function; another name is the module of a `main`."""

EXAMPLES = "migrations.examples"
"""Migrations as people write them: no modules of ours."""

STREAMS = (("stdin", "r", "strict"), ("stdout", "w", "strict"), ("stderr", "w", "backslashreplace"))
"""What Python opens at its start, each with its mode and what it does with foreign characters."""

NAME_BYTES = 200
DESCRIPTORS = 4
"""Of one start: stdin, stdout, stderr, and the line on which it is kept."""


class WarmProcess:
    """A running program: what tests use of `asyncio.subprocess.Process`."""

    def __init__(
        self,
        pid: int,
        line: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
        reading: asyncio.BaseTransport,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._line = line
        self._writer = writer
        self._reading = reading
        self._ended = asyncio.create_task(self._end())

    @property
    def returncode(self) -> int | None:
        """How it ended; `None` while it runs, negative when a signal ended it."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """How it ended, once it has."""
        return await asyncio.shield(self._ended)

    async def communicate(self) -> tuple[bytes, bytes]:
        """All that it writes until its end."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self._ended.done():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def read_no_more(self) -> None:
        """Close its standard output, as a reader does who has seen enough."""
        self._reading.close()

    async def _end(self) -> int:
        status = await self._line.readline()
        self._writer.close()
        return int(status) if status else -signal.SIGKILL


class WarmChild:
    """A running program whose output goes to a file: what tests use of `subprocess.Popen`."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        # One byte after the other, so that what is not read yet is seen by `select`.
        self._said = line.makefile("rb", buffering=0)
        self.pid = int(self._said.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended; `None` while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """How it ended, once it has."""
        if self.returncode is None:
            status = self._said.readline()
            self.returncode = int(status) if status else -signal.SIGKILL
            self._said.close()
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def start(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], program: str = "ledger"
) -> WarmProcess:
    """Start a program with nobody at the keyboard; what it writes is read through pipes."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    try:
        ours = _ask(program, words, folder, variables, out_end, err_end)
    finally:
        os.close(out_end)
        os.close(err_end)
    line, writer = await asyncio.open_connection(sock=ours)
    stdout, reading = await _reader(out)
    stderr, _ = await _reader(err)
    pid = int(await line.readline())
    return WarmProcess(pid, line, writer, stdout, stderr, reading)


def start_into(
    log: Path, words: Sequence[str], folder: Path, variables: Mapping[str, str], program: str
) -> WarmChild:
    """Start a program with nobody at the keyboard; what it writes is put at the end of `log`."""
    with log.open("ab") as output:
        end = output.fileno()
        return WarmChild(_ask(program, words, folder, variables, end, end))


def _ask(
    program: str,
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    out: int,
    err: int,
) -> socket.socket:
    """Have a program started that writes there; the line on which its end will be told."""
    ours, theirs = socket.socketpair()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        socket.send_fds(_warm(), [program.encode()], [nothing, out, err, theirs.fileno()])
    finally:
        theirs.close()
        os.close(nothing)
    asked = {"words": list(words), "folder": str(folder), "variables": dict(variables)}
    ours.sendall(json.dumps(asked).encode())
    ours.shutdown(socket.SHUT_WR)
    return ours


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe: IO[bytes] = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


@cache
def _warm() -> socket.socket:
    """The door to this test process's warm one, which ends when the door is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", START.format(door=theirs.fileno())],
            cwd=ROOT,
            env=_without_ours(os.environ) | {"PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
        )

    @atexit.register
    def end() -> None:
        ours.close()
        child.wait()

    return ours


def _without_ours(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith("LEDGER_")}


def serve(door: int) -> None:
    """Import everything, fork for each start, and run the program in the last fork."""
    # Ctrl-C is for the tests: it ends the programs by what they do with it, and this by its door.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _import_everything()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=door) as listening:
        while True:
            name, descriptors, _, _ = socket.recv_fds(listening, NAME_BYTES, DESCRIPTORS)
            if not descriptors:
                return
            program = name.decode()
            module, _, function = PROGRAMS.get(program, program).partition(":")
            main = getattr(importlib.import_module(module), function or "main")
            if os.fork() == 0:
                break
            for each in descriptors:
                os.close(each)
    sys.argv = [program.split()[0]]
    _keep(main, descriptors[:-1], socket.socket(fileno=descriptors[-1]))


def _import_everything() -> None:
    from ledger.cli.app.start import main  # noqa: F401, I001 -- what is imported first anyway
    from ledger.cli.app.lazy import ROOMS, room_commands

    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            if not found.name.startswith(EXAMPLES) and not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for room in ROOMS:
        room_commands(room)


def _keep(main: Callable[[], None], streams: Sequence[int], line: socket.socket) -> None:
    """Start the program, say which process it is, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with line.makefile("rb") as request:
        asked = json.loads(request.read())
    program = os.fork()
    if program == 0:
        line.close()
        _prepare(streams, **asked)
        _end(_code_of(main))
    for each in (0, 1, 2, *streams):
        os.close(each)
    line.sendall(b"%d\n" % program)
    _, status = os.waitpid(program, 0)
    line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _code_of(main: Callable[[], None]) -> int:
    """Run the program; the code that it ends with, where that is all there is to say of its end."""
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0
    return 0


def _end(code: int) -> None:
    """End as Python ends: threads are waited for, what is registered is called, and all is written.

    What cannot be written is left to Python, which says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code & 0xFF)


def _prepare(
    streams: Sequence[int], words: Sequence[str], folder: str, variables: Mapping[str, str]
) -> None:
    """Let this process be as if it had been started with all this."""
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Whoever starts the tests with nohup means the tests.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv += words
    for number, (name, mode, errors) in enumerate(STREAMS):
        stream = _stream(number, mode, errors)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(descriptor: int, mode: str, errors: str) -> io.TextIOWrapper[Any]:
    lines = descriptor == 2 or os.isatty(descriptor)
    raw = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115 -- as long as the program
    return io.TextIOWrapper(raw, "utf-8", errors, line_buffering=lines)
