"""A leader that is silent, and one whose clock is wrong: seen by everybody, and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from ledger.domain.surroundings import LEADER_SILENT_AFTER_S, LeadingProcess
from ledger.errors import (
    AnotherLeader,
    LeadershipLost,
    LeadershipNotTaken,
    LedgerUnreachable,
    StaleTerm,
    WrongClock,
)
from ledger.store.connections import Pool, close_pool, open_pool
from ledger.store.leadership import Leadership, current_leader, take, take_over
from ledger.store.log.log import EventLog
from tests.integration.store.conftest import MemberPool
from tests.support.black_hole import BlackHole, black_hole
from tests.support.log_events import some_events
from tests.support.patience import PATIENCE_S
from tests.support.processes import until
from tests.support.wrong_clock import Watch

SILENCED = """
    UPDATE ledger.head SET leader_since = leader_since - interval '1 hour';
    UPDATE ledger.heartbeat SET seen_at = seen_at - interval '1 minute' WHERE agent = '';
"""
"""What the ledger holds of a leader that has been frozen for a minute."""
TWO_HOURS = timedelta(hours=2)


async def known(pool: Pool) -> LeadingProcess:
    """Who leads."""
    found = await current_leader(pool)
    assert found is not None
    return found


async def _is_heard(pool: Pool) -> bool:
    return not (await known(pool)).is_silent


async def _has_beaten(owner: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM ledger.heartbeat"))


@asynccontextmanager
async def watched(leadership: Leadership) -> AsyncIterator[asyncio.Task[None]]:
    """A leader that looks after its leadership, as it does while it is well."""
    watching = asyncio.create_task(leadership.wait_lost())
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await leadership.release()


async def test_a_leader_gives_signs_of_life(
    ledger_url: str, pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with watched(await take(ledger_url, "first", "here")):
        await owner.execute(SILENCED)
        assert (await known(pool)).silent_s > LEADER_SILENT_AFTER_S
        await until(lambda: _is_heard(pool), "it is heard again")
        assert (await known(pool)).led_s > 3000


async def test_the_signs_of_the_leader_before_say_nothing_of_this_one(
    ledger_url: str, pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with watched(await take(ledger_url, "first", "here")):
        await until(lambda: _has_beaten(owner), "it is heard")
    await owner.execute("UPDATE ledger.heartbeat SET seen_at = seen_at - interval '1 hour'")
    second = await take(ledger_url, "second", "here")
    assert not (await known(pool)).is_silent
    await second.release()


async def test_who_is_refused_hears_that_the_leader_is_silent_and_how_to_lead(
    ledger_url: str, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = await take(ledger_url, "first", "host-a")
    await owner.execute(SILENCED)
    with pytest.raises(AnotherLeader) as taken:
        await take(ledger_url, "second", "host-b")
    said = str(taken.value)
    assert "first on host-a leads since 20" in said
    assert "has not given a sign of life since 20" in said
    assert "`ledger serve --take-over`" in said
    await first.release()


async def test_a_silent_leader_is_replaced_and_can_record_nothing(
    ledger_url: str, log: EventLog, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = await take(ledger_url, "first", "here")
    await owner.execute(SILENCED)
    second = await take_over(ledger_url, "second", "there")
    assert second.term == 2
    async with asyncio.timeout(PATIENCE_S):
        await first.wait_lost()
    assert isinstance(first.why, LeadershipLost)
    with pytest.raises(StaleTerm):
        await log.append("rollout-1/reports", some_events(1), term=first.term)
    await first.release()
    await log.append("rollout-1/reports", some_events(1), term=second.term)
    await second.release()


async def test_a_leader_that_is_well_is_not_replaced(ledger_url: str) -> None:
    first = await take(ledger_url, "first", "here")
    with pytest.raises(AnotherLeader, match="stop it first"):
        await take_over(ledger_url, "second", "there")
    async with watched(first) as watching:
        assert not watching.done()


async def test_where_nobody_leads_there_is_nothing_to_replace(ledger_url: str) -> None:
    leadership = await take_over(ledger_url, "first", "here")
    assert leadership.term == 1
    await leadership.release()


async def test_a_role_that_may_not_end_the_session_is_told_who_may(
    ledger_url: str, member_pool: MemberPool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = await take(ledger_url, "first", "here")
    await owner.execute(SILENCED)
    name, theirs = await member_pool("ledger_service")
    async with theirs.acquire() as connection:
        url = urlsplit(ledger_url)
        own = url._replace(netloc=f"{quote(name)}:p@{url.netloc.rpartition('@')[2]}").geturl()
        assert await connection.fetchval("SELECT session_user") == name
    with pytest.raises(LeadershipNotTaken, match=r"superuser .* pg_terminate_backend\(\d+\)"):
        await take_over(own, "second", "there")
    async with watched(first) as watching:
        assert not watching.done()


@pytest.mark.parametrize(("wrong", "how"), [(TWO_HOURS, "ahead of"), (-TWO_HOURS, "behind")])
async def test_nobody_leads_with_a_clock_that_is_not_the_ledgers(
    ledger_url: str, pool: Pool, wrong: timedelta, how: str
) -> None:
    with pytest.raises(WrongClock, match=f"the clock of this host is 2 h {how} the database"):
        await take(ledger_url, "first", "here", Watch(wrong))
    assert await current_leader(pool) is None
    await (await take(ledger_url, "first", "here")).release()


async def test_a_leader_whose_clock_jumps_leads_no_longer(ledger_url: str) -> None:
    watch = Watch(timedelta())
    async with watched(await take(ledger_url, "first", "here", watch)) as watching:
        watch.wrong = TWO_HOURS
        async with asyncio.timeout(PATIENCE_S):
            await watching


@pytest.fixture
async def hole(ledger_url: str) -> AsyncIterator[BlackHole]:
    """Return a way to the ledger's database that may swallow everything."""
    parts = urlsplit(ledger_url)
    async with black_hole(parts.hostname or "localhost", parts.port or 5432) as made:
        yield made


def through(url: str, hole: BlackHole) -> str:
    """The same address by way of the hole."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{credentials}@{hole.host}:{hole.port}").geturl()


async def test_a_leader_whose_database_swallows_everything_notices(
    ledger_url: str, hole: BlackHole
) -> None:
    noticed: list[str] = []
    leadership = await take(through(ledger_url, hole), "first", "here")
    leadership.when_lost(lambda: noticed.append("lost"))
    hole.swallow()
    async with asyncio.timeout(PATIENCE_S):
        await leadership.wait_lost()
        await leadership.release()
    assert noticed == ["lost"]


async def test_a_pool_is_closed_though_nobody_answers(ledger_url: str, hole: BlackHole) -> None:
    pool = await open_pool(through(ledger_url, hole))
    hole.swallow()
    async with asyncio.timeout(PATIENCE_S):
        await close_pool(pool)


async def test_who_wants_to_lead_where_nobody_answers_is_told_so(
    ledger_url: str, hole: BlackHole
) -> None:
    hole.swallow()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(LedgerUnreachable):
            await take(through(ledger_url, hole), "first", "here")
