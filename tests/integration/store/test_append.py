"""Appending: one result per event id, versions that are taken once, positions without gaps."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from ledger.store.connections import Pool, open_pool
from ledger.store.log.chain import Link
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from tests.integration.store.conftest import cutting_proxy
from tests.support.log_events import an_event, some_events


async def test_rolled_back_appends_leave_no_gaps(pool: Pool, log: EventLog) -> None:
    async def write(number: int) -> None:
        event = an_event(b"%d" % number)
        arguments = ([event.event_id], [event.type], [1], [event.body], [event.metadata])
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetchval(
                QUERIES["append"], "rollout-1/reports", None, *arguments, False, None, None, None
            )
            await (transaction.rollback() if number % 5 == 0 else transaction.commit())

    await asyncio.gather(*(write(number) for number in range(200)))
    rows = await pool.fetch(
        "SELECT position, stream_version FROM ledger.log WHERE stream LIKE 'rollout-%'"
    )
    assert sorted(row["position"] for row in rows) == list(range(2, 162))
    assert sorted(row["stream_version"] for row in rows) == list(range(1, 161))
    assert isinstance(await log.verify(), Link)


async def test_a_reader_misses_nothing_while_slow_and_fast_writers_commit(
    ledger_url: str, log: EventLog
) -> None:
    writers, each = 16, 25
    pool = await open_pool(ledger_url, max_size=writers)
    slow_append = f"SELECT {QUERIES['append'].partition('SELECT')[2].rstrip().rstrip(';')}"

    async def write(writer: int) -> None:
        for number in range(each):
            event = an_event(b"%d" % number)
            given_ = ([event.event_id], [event.type], [1], [event.body], [event.metadata])
            async with pool.acquire() as connection, connection.transaction():
                await connection.fetchval(
                    slow_append, f"rollout-{writer}/reports", None, *given_, False, None, None, None
                )
                if (writer + number) % 20 == 0:
                    await asyncio.sleep(0.02)

    async def read() -> list[int]:
        seen: list[int] = [1]
        while len(seen) < 1 + writers * each:
            seen += [event.position for event in await log.tail(seen[-1], 1000)]
        return seen

    seen, *_ = await asyncio.gather(read(), *(write(writer) for writer in range(writers)))
    await pool.close()
    assert seen == list(range(1, 2 + writers * each))


@pytest.mark.parametrize("count", [1, 4])
async def test_an_append_whose_answer_is_lost_returns_the_first_result_when_tried_again(
    ledger_url: str, count: int
) -> None:
    async with cutting_proxy(ledger_url) as proxy:
        pool = await open_pool(proxy.url, max_size=2)
        log = EventLog(pool)
        await log.append("rollout-1/reports", some_events(count), expected_version=0)
        proxy.deaf = True
        appended = await log.append("rollout-1/reports", some_events(count), expected_version=count)
        await pool.close()
    assert proxy.cut == 1
    assert [place.known for place in appended.recorded] == [True] * count
    assert (appended.first_position, appended.stream_version) == (2 + count, 2 * count)


async def test_an_append_survives_a_session_that_an_administrator_ends(
    log: EventLog, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    appended = await log.append("rollout-1/reports", some_events(1), expected_version=0)
    assert appended.first_position == 2
