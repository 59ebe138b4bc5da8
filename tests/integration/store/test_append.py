"""Appending: one result per event id, versions that are taken once, positions without gaps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import DuplicateEventDiffers, PartlyKnown, StoreError, VersionConflict
from ledger.store.connections import Pool, open_pool
from ledger.store.log.chain import Link
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from tests.integration.store.conftest import an_event, cutting_proxy, some_events
from tests.support.raw_event import NewEvent


async def test_events_get_the_next_positions_and_the_streams_next_versions(log: EventLog) -> None:
    first = await log.append("rollout-1", some_events(2), expected_version=0)
    other = await log.append("rollout-2", some_events(1), expected_version=0)
    again = await log.append("rollout-1", some_events(3), expected_version=2)
    assert (first.first_position, first.last_position, first.stream_version) == (2, 3, 2)
    assert (other.first_position, other.last_position, other.stream_version) == (4, 4, 1)
    assert [place.stream_version for place in again.recorded] == [3, 4, 5]
    assert [place.position for place in again.recorded] == [5, 6, 7]


@pytest.mark.parametrize("count", [1, 7])
async def test_what_is_read_is_what_was_written(log: EventLog, count: int) -> None:
    events = some_events(count)
    await log.append("rollout-1/reports", events)
    read = [event async for event in log.read_stream("rollout-1/reports")]
    assert [
        NewEvent(event.event_id, event.type, event.schema_version, event.body, event.metadata)
        for event in read
    ] == events
    assert read == await log.tail(1, 100)


async def test_an_unexpected_version_is_refused_with_expected_and_found(log: EventLog) -> None:
    await log.append("rollout-1", some_events(3))
    for wrong, count in ((0, 1), (2, 1), (4, 1), (0, 2), (4, 2)):
        with pytest.raises(VersionConflict) as conflict:
            await log.append("rollout-1", some_events(count), expected_version=wrong)
        assert (conflict.value.expected, conflict.value.found) == (wrong, 3)
    assert (await log.head()).position == 4


async def test_of_many_writers_exactly_one_wins_each_version(log: EventLog) -> None:
    for version in range(20):
        writing = [
            log.append("rollout-1", some_events(1), expected_version=version) for _ in range(10)
        ]
        answers = await asyncio.gather(*writing, return_exceptions=True)
        conflicts = [answer for answer in answers if isinstance(answer, VersionConflict)]
        assert [conflict.found for conflict in conflicts] == [version + 1] * 9
    assert (await log.head()).position == 21


@pytest.mark.parametrize("count", [1, 5])
async def test_the_same_ids_again_return_the_first_result(log: EventLog, count: int) -> None:
    events = some_events(count)
    first = await log.append("rollout-1", events, expected_version=0)
    await log.append("rollout-1", some_events(1), expected_version=count)
    again = await log.append("rollout-1", events, expected_version=0)
    assert again.first_position == first.first_position
    assert again.last_position == first.last_position
    assert again.stream_version == first.stream_version
    assert [place.known for place in again.recorded] == [True] * count
    assert (await log.head()).position == 2 + count


async def test_metadata_may_differ_when_an_event_comes_again(log: EventLog) -> None:
    event = an_event()
    first = await log.append("rollout-1/reports", [event])
    again = await log.append("rollout-1/reports", [replace(event, metadata=b'{"agent":"b"}')])
    assert again.first_position == first.first_position
    assert (await log.tail(1, 1))[0].metadata == event.metadata


@pytest.mark.parametrize(
    "change", [{"body": b"{ }"}, {"type": "MigrationFailed"}, {"schema_version": 2}, {}]
)
@pytest.mark.parametrize("company", [0, 3])
@pytest.mark.parametrize("skip_known", [False, True])
async def test_a_known_id_with_other_content_is_refused(
    log: EventLog, change: dict[str, object], company: int, skip_known: bool
) -> None:
    event = an_event()
    await log.append("rollout-1/reports", [event])
    other = replace(event, **change)  # type: ignore[arg-type]
    stream = "rollout-1/reports" if change else "rollout-2/reports"
    with pytest.raises(DuplicateEventDiffers) as differs:
        await log.append(stream, [*some_events(company), other], skip_known=skip_known)
    assert differs.value.event_id == str(event.event_id)
    assert differs.value.position == 2
    assert (await log.head()).position == 2


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_one_id_is_never_two_bodies(log: EventLog, body: bytes, other: bytes) -> None:
    event = an_event(body)
    await log.append("rollout-1/reports", [event])
    if body == other:
        assert (await log.append("rollout-1/reports", [event])).recorded[0].known
    else:
        with pytest.raises(DuplicateEventDiffers):
            await log.append("rollout-1/reports", [replace(event, body=other)])


async def test_a_batch_that_is_known_in_part_is_refused(log: EventLog) -> None:
    events = some_events(4)
    await log.append("rollout-1", events[:2])
    with pytest.raises(PartlyKnown) as partly:
        await log.append("rollout-1", events)
    assert (partly.value.known, partly.value.given) == (2, 4)
    assert (await log.head()).position == 3


async def test_a_batch_that_repeats_an_event_is_refused(log: EventLog) -> None:
    event = an_event()
    with pytest.raises(PartlyKnown):
        await log.append("rollout-1", [event, *some_events(2), event])
    assert (await log.head()).position == 1


async def test_known_events_are_skipped_when_asked_for(log: EventLog) -> None:
    events = some_events(5)
    await log.append("rollout-1/reports", [events[1], events[3]])
    given_ = [events[0], events[1], events[0], *events[2:]]
    appended = await log.append("rollout-1/reports", given_, skip_known=True)
    assert [place.known for place in appended.recorded] == [False, True, False, False, True, False]
    assert [place.position for place in appended.recorded] == [4, 2, 4, 5, 3, 6]
    assert [place.stream_version for place in appended.recorded] == [3, 1, 3, 4, 2, 5]
    assert (await log.head()).position == 6
    assert isinstance(await log.verify(), Link)


async def test_nothing_is_recorded_when_one_id_has_two_contents_in_a_batch(log: EventLog) -> None:
    event = an_event()
    with pytest.raises(DuplicateEventDiffers) as differs:
        await log.append("r/reports", [event, replace(event, body=b"{ }")], skip_known=True)
    assert differs.value.position is None
    assert (await log.head()).position == 1


async def test_an_append_of_nothing_records_nothing(log: EventLog) -> None:
    appended = await log.append("rollout-1", [])
    assert (appended.last_position, appended.recorded) == (0, ())
    assert (await log.head()).position == 1


async def test_an_append_without_a_stream_is_refused(log: EventLog) -> None:
    with pytest.raises(StoreError, match="needs a stream"):
        await log.append("", some_events(1))


async def test_rolled_back_appends_leave_no_gaps(pool: Pool, log: EventLog) -> None:
    async def write(number: int) -> None:
        event = an_event(b"%d" % number)
        arguments = ([event.event_id], [event.type], [1], [event.body], [event.metadata])
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetchval(
                QUERIES["append"], "r", None, *arguments, False, None, None, None
            )
            await (transaction.rollback() if number % 5 == 0 else transaction.commit())

    await asyncio.gather(*(write(number) for number in range(200)))
    rows = await pool.fetch("SELECT position, stream_version FROM ledger.log WHERE stream = 'r'")
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
                    slow_append, f"r-{writer}", None, *given_, False, None, None, None
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
        await log.append("rollout-1", some_events(count), expected_version=0)
        proxy.deaf = True
        appended = await log.append("rollout-1", some_events(count), expected_version=count)
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
    appended = await log.append("rollout-1", some_events(1), expected_version=0)
    assert appended.first_position == 2


async def test_a_stream_is_read_from_a_version_and_by_type(log: EventLog) -> None:
    events = [an_event(type_=name) for name in ("MigrationApplied", "MigrationFailed") * 3]
    await log.append("rollout-1/reports", events)
    read = [
        event.stream_version
        async for event in log.read_stream("rollout-1/reports", 2, ["MigrationFailed"])
    ]
    assert read == [4, 6]


async def test_a_long_stream_is_read_to_its_end(log: EventLog) -> None:
    await log.append("rollout-1/reports", some_events(2500))
    versions = [event.stream_version async for event in log.read_stream("rollout-1/reports")]
    assert versions == list(range(1, 2501))
