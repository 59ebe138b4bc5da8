"""A program at a terminal of some width, and all that it wrote there."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import PATIENCE_S
from tests.support.typist import typist

PROGRAM = (sys.executable, "-c", "from ledger.cli.app.start import main; main()")
ASKS = (b"]: ", b"ahead: ")
"""How a question ends."""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Screen:
    """What stood on the terminal, and how the program ended."""

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """Its lines, without colours."""
        return CONTROL.sub("", self.raw).replace("\r\n", "\n").splitlines()


async def at_terminal(
    words: tuple[str, ...],
    columns: int,
    folder: Path,
    environment: Mapping[str, str],
    answer: bytes = b"",
) -> Screen:
    """Run `ledger` with stdin, stdout and stderr on a terminal of so many columns.

    What asks for something gets the `answer`.
    """
    own = {name: value for name, value in environment.items() if name != "COLUMNS"}
    code, output = await run_at_terminal(
        words, columns, folder, own | {"TERM": "xterm"}, answering(answer)
    )
    return Screen(code, output.decode("latin-1" if "iso" in _alphabet(own) else "utf-8"))


async def run_at_terminal(
    words: Sequence[str],
    columns: int,
    folder: Path,
    environment: Mapping[str, str],
    read: Callable[[int], bytes] | None = None,
    typed: bytes = b"",
) -> tuple[int, bytes]:
    """How `ledger` ended, and what it wrote; `typed` stands there before it asks for anything.

    `read` takes what comes from the terminal, and may answer.
    """
    terminal, program = os.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    os.write(terminal, typed)
    start = _interpreted if _starts_otherwise(environment) else typist().type
    try:
        async with asyncio.timeout(PATIENCE_S):
            code, output = await asyncio.gather(
                asyncio.to_thread(start, words, folder, environment, program),
                asyncio.to_thread(read or _all_of, terminal),
            )
    except TimeoutError:
        # What hangs there is not waited for by the reading thread for ever.
        os.write(terminal, b"\x03" * 3)
        raise
    finally:
        os.close(terminal)
    return code, output


def answering(answer: bytes) -> Callable[[int], bytes]:
    """Read what comes, and type this at the end of what asks for it."""

    def read(terminal: int) -> bytes:
        output, answered = b"", False
        while chunk := _next(terminal):
            output += chunk
            if not answered and output.endswith(ASKS):
                os.write(terminal, answer)
                answered = True
        return output

    return read


def _starts_otherwise(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter would begin in another way than that of these tests."""
    names = {*environment, *os.environ} - {"PYTHONPATH"}
    return any(
        environment.get(name) != os.environ.get(name)
        for name in names
        if name.startswith(("PYTHON", "LC_", "LANG"))
    )


def _interpreted(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], terminal: int
) -> int:
    """How `ledger` ended, started anew."""
    with subprocess.Popen(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        return process.wait()


def _alphabet(environment: Mapping[str, str]) -> str:
    return environment.get("PYTHONIOENCODING", "").lower()


def _all_of(terminal: int) -> bytes:
    output = b""
    while chunk := _next(terminal):
        output += chunk
    return output


def _next(terminal: int) -> bytes:
    """What is there; nothing when its other side is closed."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
