"""The first signal asks, the second forces."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ledger.stopper import Stopper


class Heard(asyncio.Queue[str]):
    """What a stopper called, in order."""

    def ask(self) -> None:
        self.put_nowait("asked")

    def force(self) -> None:
        self.put_nowait("forced")

    async def after(self, number: signal.Signals) -> str:
        os.kill(os.getpid(), number)
        return await self.get()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_asks_and_every_later_one_forces(
    first: signal.Signals, second: signal.Signals
) -> None:
    heard = Heard()
    with Stopper(heard.ask, heard.force) as stopper:
        assert await heard.after(first) == "asked"
        assert stopper.forced is False
        assert await heard.after(second) == "forced"
        assert bool(stopper.forced)
        assert await heard.after(second) == "forced"


async def test_a_terminal_that_is_closed_asks_unless_it_was_to_be_ignored() -> None:
    heard = Heard()
    # Who starts the tests with nohup has it ignored from the beginning.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with Stopper(heard.ask, heard.force):
            assert await heard.after(signal.SIGHUP) == "asked"
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Stopper(heard.ask, heard.force):
            os.kill(os.getpid(), signal.SIGHUP)
            assert await heard.after(signal.SIGTERM) == "asked"
            assert heard.empty()
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_without_anything_to_call_the_task_that_entered_is_cancelled() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with Stopper(signals=(signal.SIGTERM,)):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_two_stoppers_the_inner_one_listens_and_then_the_outer_one_again() -> None:
    outer, inner = Heard(), Heard()
    with Stopper(outer.ask, outer.force, signals=(signal.SIGTERM,)):
        with Stopper(inner.ask, inner.force):
            assert await inner.after(signal.SIGTERM) == "asked"
            assert await inner.after(signal.SIGINT) == "forced"
        assert await outer.after(signal.SIGTERM) == "asked"
    assert outer.empty()
    assert inner.empty()


async def test_behind_a_stopper_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stopper():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_nobody_else_listens_to_signals() -> None:
    root = Path(__file__).parents[2]
    modules = [
        path for room in ("ledger", "agents", "migrations") for path in (root / room).rglob("*.py")
    ]
    listening = [
        str(path.relative_to(root))
        for path in modules
        if "add_signal_handler" in path.read_text("utf-8")
    ]
    assert listening == ["ledger/stopper.py"]
