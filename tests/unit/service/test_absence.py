"""Whoever only looks waits for a ledger whose database is away, says so, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from ledger.errors import LedgerUnreachable, NoSuchRollout
from ledger.service import absence
from ledger.service.absence import looked_through
from ledger.store.obstacles import said_of
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

AWAY = [
    LedgerUnreachable("is gone", "wait"),
    ConnectionRefusedError(),
    TimeoutError(),
    asyncpg.InterfaceError("the connection is closed"),
    asyncpg.AdminShutdownError("the administrator"),
    asyncpg.CannotConnectNowError("starting up"),
    asyncpg.ConnectionDoesNotExistError("closed"),
    asyncpg.TooManyConnectionsError("full"),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait."""
    monkeypatch.setattr(absence, "WAIT_FIRST_S", 0.0)


def looks(*lives: tuple[int, Exception | None]) -> Callable[[], AsyncIterator[int]]:
    """Begins anew with each life: so many looks, and what ends them."""
    left = iter(lives)

    async def begin() -> AsyncIterator[int]:
        number, end = next(left)
        for look in range(number):
            yield look
        if end is not None:
            raise end

    return begin


async def seen(
    begin: Callable[[], AsyncIterator[int]], said: list[str], patience_s: float = 60.0
) -> list[int]:
    looks = looked_through(begin, said.append, SYSTEM_CLOCK, SYSTEM_CHANCE, patience_s=patience_s)
    return [look async for look in looks]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
async def test_looking_goes_on_when_the_database_is_back(error: Exception) -> None:
    said: list[str] = []
    assert await seen(looks((2, error), (0, error), (3, None)), said) == [0, 1, 0, 1, 2]
    assert [line.split(";")[0] for line in said] == [
        f"The ledger's database is away, it {said_of(error)}",
        "The ledger's database is back.",
    ]


async def test_each_absence_is_said_once() -> None:
    said: list[str] = []
    gone = LedgerUnreachable("is gone", "wait")
    await seen(looks((1, gone), (0, gone), (0, gone), (1, gone), (1, None)), said)
    assert len(said) == 4


async def test_what_stays_away_is_raised_in_the_end() -> None:
    said: list[str] = []

    gone = LedgerUnreachable("is gone", "wait")
    with pytest.raises(LedgerUnreachable):
        await seen(looks((0, gone), (0, gone)), said, patience_s=0.0)
    assert len(said) == 1


async def test_whatever_else_goes_wrong_is_raised_at_once() -> None:
    with pytest.raises(NoSuchRollout):
        await seen(looks((1, NoSuchRollout("r1"))), [])


async def test_a_person_may_leave_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(absence, "WAIT_FIRST_S", 3600.0)
    told = asyncio.Event()

    async def watch() -> None:
        begin = looks((1, LedgerUnreachable("is gone", "wait")))
        looked = looked_through(begin, lambda _: told.set(), SYSTEM_CLOCK, SYSTEM_CHANCE)
        async for _ in looked:
            pass

    watching = asyncio.create_task(watch())
    await told.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
