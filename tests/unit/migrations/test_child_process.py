"""A program that we started ends when we say so, whatever becomes of its output."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from migrations.child_process import end_group, wait_unheard
from tests.support.patience import PATIENCE_S
from tests.support.processes import found, is_gone, until

WITHOUT_END = "import os\nwhile True: os.write(1, b'x' * 2**16)"
LEFT_BEHIND = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    with open(sys.argv[1] + '.new', 'w') as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + '.new', sys.argv[1])
time.sleep(600)
"""


async def started(program: str, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *words,
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


async def full(process: asyncio.subprocess.Process) -> None:
    """Return when so much was written that nothing further is read."""
    assert process.stdout is not None
    await until(lambda: process.stdout._paused, "its reader has enough")  # type: ignore[union-attr]


async def test_one_that_writes_without_end_is_ended_though_nobody_reads() -> None:
    process = await started(WITHOUT_END)
    await full(process)
    async with asyncio.timeout(PATIENCE_S):
        await end_group(process)
    assert process.returncode == -signal.SIGKILL


async def test_one_that_is_not_killed_ends_when_it_writes_and_nobody_reads() -> None:
    process = await started(WITHOUT_END)
    await full(process)
    async with asyncio.timeout(PATIENCE_S):
        await wait_unheard(process)
    assert process.returncode is not None
    assert is_gone(process.pid)


async def test_who_left_its_group_and_holds_its_output_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    process = await started(LEFT_BEHIND, str(file))

    async def read() -> int | None:
        return int(file.read_text()) if file.exists() else None

    left = await found(read, "it has left")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await end_group(process)
        assert not is_gone(left)
    finally:
        os.kill(left, signal.SIGKILL)
