"""Staying with a rollout: whose patience ends, and what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from ledger.cli.app.command import Session
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.options import WaitOptions
from ledger.cli.app.output import Output, OutputFormat
from ledger.cli.rollout.watch import stay
from ledger.settings import Transport


def session(leader: Callable[[], Awaitable[object]]) -> Session:
    """A ledger over a broker, whose answer to who leads is `leader`."""

    async def status(rollout: str) -> object:
        return SimpleNamespace(status="running", counts={})

    ledger = SimpleNamespace(leader=leader, rollouts=SimpleNamespace(status=status))
    settings = SimpleNamespace(transport=Transport.KAFKA)
    return cast(Session, SimpleNamespace(ledger=ledger, settings=settings))


async def hung() -> object:
    raise TimeoutError


def slow_at_first() -> Callable[[], Awaitable[object]]:
    pauses_s = iter([60.0])

    async def leader() -> object:
        await asyncio.sleep(next(pauses_s, 0.0))
        return None

    return leader


@pytest.mark.parametrize("timeout", [None, 60.0])
async def test_a_ledger_that_does_not_answer_is_not_the_end_of_a_persons_patience(
    timeout: float | None,
) -> None:
    waiting = WaitOptions(wait=True, timeout=timeout)
    with pytest.raises(TimeoutError):
        await stay(session(hung), "r1", waiting, Output(OutputFormat.JSON))


async def test_who_said_how_long_to_wait_is_told_that_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = WaitOptions(wait=True, timeout=0.01)
    code = await stay(session(slow_at_first()), "r1", waiting, Output(OutputFormat.JSON))
    assert code is ExitCode.TIMEOUT
    assert "0.01 s have passed." in capsys.readouterr().err
