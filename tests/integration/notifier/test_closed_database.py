"""Whatever keeps a process that stays from the ledger's database, it waits and goes on after it."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote, urlsplit

import pytest

from ledger.service.census import Census
from ledger.store.census import CensusTable
from migrations.clock import SYSTEM_CLOCK
from tests.fixtures.postgres import PostgresServer
from tests.integration.notifier.test_differences import rounds_of
from tests.integration.notifier.test_notifying import came, halted, notifying, record, webhook
from tests.integration.service.conftest import LogIn
from tests.support.house import House, found
from tests.support.receivers import http_receiver

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'"
CLOSED = {
    "it takes no connections": (
        'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false',
        'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true',
    ),
    "it has too many": (
        'ALTER ROLE "{login}" CONNECTION LIMIT 0',
        'ALTER ROLE "{login}" CONNECTION LIMIT -1',
    ),
    "the login is closed": ('ALTER ROLE "{login}" NOLOGIN', 'ALTER ROLE "{login}" LOGIN'),
    "the password is another": (
        "ALTER ROLE \"{login}\" PASSWORD 'another'",
        "ALTER ROLE \"{login}\" PASSWORD 'p'",
    ),
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the webhook, where its reference leads."""
    monkeypatch.setenv("HOOK_KEY", "the key that both know")


class Door:
    """The way of a login into a ledger's database."""

    def __init__(self, server: PostgresServer, url: str, how: str) -> None:
        parts = urlsplit(url)
        names = {"login": unquote(parts.username or ""), "database": parts.path[1:]}
        self._server = server
        self._close, self._open, self._cut = (one.format(**names) for one in (*CLOSED[how], CUT))

    async def close(self) -> None:
        await self._server.execute(self._close)
        await self._server.execute(self._cut)

    async def open(self) -> None:
        await self._server.execute(self._open)


@pytest.mark.parametrize("how", CLOSED)
async def test_a_notifier_waits_for_it_says_why_and_tells_what_came_meanwhile(
    house: House, log_in: LogIn, postgres_server: PostgresServer, how: str
) -> None:
    async with (
        log_in("ledger_notifier") as theirs,
        http_receiver() as receiver,
        notifying(theirs, {"hook": webhook(receiver)}) as notifier,
    ):
        door = Door(postgres_server, theirs.url, how)
        await door.close()
        try:

            async def is_silent() -> bool | None:
                return bool(notifier.silence()) or None

            await found(is_silent, "it says that nobody is told anything")
            assert "Error" not in notifier.silence()
        finally:
            await door.open()
        await record(house, "rollout-r1", halted("r1"))
        await came(receiver, 1)
        assert notifier.silence() == ""


@pytest.mark.parametrize("how", CLOSED)
async def test_an_audit_waits_for_it_and_goes_on(
    log_in: LogIn, postgres_server: PostgresServer, how: str
) -> None:
    async with log_in("ledger_viewer") as theirs:
        door = Door(postgres_server, theirs.url, how)
        rounds = rounds_of(theirs)
        running = asyncio.create_task(rounds.run(0.05))

        async def is_fine() -> bool | None:
            assert not running.done(), running.exception()
            return not rounds.trouble or None

        async def is_in_trouble() -> bool | None:
            assert not running.done(), running.exception()
            return bool(rounds.trouble) or None

        try:
            await found(is_fine, "a round has ended")
            await door.close()
            await found(is_in_trouble, "it says what keeps it")
        finally:
            await door.open()
        await found(is_fine, "the next round has ended")
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("how", CLOSED)
async def test_who_counts_keeps_what_was_counted_last_and_goes_on(
    log_in: LogIn, postgres_server: PostgresServer, how: str
) -> None:
    async with log_in("ledger_service") as theirs:
        door = Door(postgres_server, theirs.url, how)
        stores, ledger = theirs.stores, theirs.ledger
        table = CensusTable(stores.pool)
        census = Census(
            stores.log, stores.reads, table, ledger.status, ledger.lookout, SYSTEM_CLOCK
        )
        await census.count()
        await door.close()
        try:
            await census.try_to_count()
            assert census.trouble
        finally:
            await door.open()
        await census.try_to_count()
        assert census.trouble == ""
