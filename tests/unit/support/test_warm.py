"""A program that was forked ends as one that was started."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import warm

ROOT = Path(__file__).parents[3]
START = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.unit.support import test_warm
test_warm.{end}()
"""


def wrote_and_registered() -> None:
    atexit.register(sys.stdout.write, ", called at the end")
    sys.stdout.write("not flushed")


def left_a_thread() -> None:
    def late() -> None:
        time.sleep(0.1)
        sys.stdout.write("by a thread")

    threading.Thread(target=late).start()
    sys.exit(3)


def said_why() -> None:
    sys.exit("a sentence")


def said_a_large_number() -> None:
    sys.exit(300)


def raised() -> None:
    raise LookupError("nothing is there")


def was_interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def lost_its_reader() -> None:
    sys.stdout.write("nobody reads this")
    os.close(1)


ENDS: list[Callable[[], None]] = [
    wrote_and_registered,
    left_a_thread,
    said_why,
    said_a_large_number,
    raised,
    was_interrupted,
    lost_its_reader,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_a_program_ends_warm_as_it_ends_cold(end: Callable[[], None]) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables = plain | {"PYTHONPATH": str(ROOT)}
    cold = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START.format(end=end.__name__), cwd=ROOT, env=variables,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    cold_out, cold_err = await cold.communicate()
    started = await warm.start((), ROOT, variables, f"{__name__}:{end.__name__}")
    out, err = await started.communicate()
    assert (started.returncode, out) == (cold.returncode, cold_out)
    # Below a traceback of other files.
    assert err.splitlines()[-1:] == cold_err.splitlines()[-1:]
