"""A program at a terminal of some width, and all that it wrote there."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-c", "from ledger.cli.app.start import main; main()")
PATIENCE_S = 60.0
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
    words: tuple[str, ...], columns: int, folder: Path, environment: Mapping[str, str]
) -> Screen:
    """Run `ledger` with stdin, stdout and stderr on a terminal of so many columns."""
    own = {name: value for name, value in environment.items() if name != "COLUMNS"}
    code, output = await run_at_terminal(words, columns, folder, own | {"TERM": "xterm"})
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
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *words,
        cwd=folder,
        env=environment,
        stdin=program,
        stdout=program,
        stderr=program,
    )
    os.close(program)
    async with asyncio.timeout(PATIENCE_S):
        output = await asyncio.to_thread(read or _all_of, terminal)
        code = await process.wait()
    os.close(terminal)
    return code, output


def _alphabet(environment: Mapping[str, str]) -> str:
    return environment.get("PYTHONIOENCODING", "").lower()


def _all_of(terminal: int) -> bytes:
    output = b""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:
            return output
        if not chunk:
            return output
        output += chunk
