"""The end of a program that we started, with what it started itself.

asyncio takes a process for ended when its pipes are closed, too. So one whose output nobody reads
any more, or is held open by who has left its group, would be waited for without an end, and no
bound on it would hold.
"""

from __future__ import annotations

import os
import signal
from asyncio.subprocess import Process
from contextlib import suppress

_OUTPUTS = (1, 2)


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to the program, which has a session of its own, and to what is in it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end_group(process: Process) -> None:
    """Kill the program, which has a session of its own, with what is in it; nothing is read."""
    signal_group(process, signal.SIGKILL)
    await wait_unheard(process)


async def wait_unheard(process: Process) -> None:
    """Wait until the program has ended, and read no more of what it or others write to its pipes.

    It ends by that at its next line; who cannot count on one kills it before.
    """
    for number in _OUTPUTS:
        pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
        if pipe is not None:
            pipe.close()
    await process.wait()
