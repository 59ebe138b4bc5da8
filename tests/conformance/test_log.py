"""What every log does when it is appended to and read: the one in memory and PostgreSQL's.

One result per event id, versions that are taken once, positions without gaps, one chain of hashes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import (
    AnotherLeader,
    ContentNotFound,
    DuplicateEventDiffers,
    NotPermitted,
    PartlyKnown,
    RequestUnfit,
    StaleTerm,
    StoreError,
    VersionConflict,
)
from ledger.store.log.chain import Link, genesis
from ledger.store.port import Batch, Beat, ConsumerPosition, Log
from tests.support.ledger_places import LEDGER_ID, LedgerPlace
from tests.support.log_events import about, an_event, some_events
from tests.support.manual_clock import ManualClock
from tests.support.memory_log import MemoryLog
from tests.support.patience import PATIENCE_S
from tests.support.raw_event import NewEvent


@pytest.fixture
def log(ledger_place: LedgerPlace) -> Log:
    """The log of a fresh ledger."""
    return ledger_place.stores.log


async def test_events_get_the_next_positions_and_the_streams_next_versions(log: Log) -> None:
    first = await log.append("rollout-1/reports", some_events(2), expected_version=0)
    other = await log.append("rollout-2/reports", some_events(1), expected_version=0)
    again = await log.append("rollout-1/reports", some_events(3), expected_version=2)
    assert (first.first_position, first.last_position, first.stream_version) == (2, 3, 2)
    assert (other.first_position, other.last_position, other.stream_version) == (4, 4, 1)
    assert [place.stream_version for place in again.recorded] == [3, 4, 5]
    assert [place.position for place in again.recorded] == [5, 6, 7]


@pytest.mark.parametrize("count", [1, 7])
async def test_what_is_read_is_what_was_written(log: Log, count: int) -> None:
    events = some_events(count)
    await log.append("rollout-1/reports", events)
    read = [event async for event in log.read_stream("rollout-1/reports")]
    assert [
        NewEvent(event.event_id, event.type, event.schema_version, event.body, event.metadata)
        for event in read
    ] == events
    assert read == await log.tail(1, 100)


async def test_an_unexpected_version_is_refused_with_expected_and_found(log: Log) -> None:
    await log.append("rollout-1/reports", some_events(3))
    for wrong, count in ((0, 1), (2, 1), (4, 1), (0, 2), (4, 2)):
        with pytest.raises(VersionConflict) as conflict:
            await log.append("rollout-1/reports", some_events(count), expected_version=wrong)
        assert (conflict.value.expected, conflict.value.found) == (wrong, 3)
    assert (await log.head()).position == 4


async def test_of_many_writers_exactly_one_wins_each_version(log: Log) -> None:
    for version in range(20):
        writing = [
            log.append("rollout-1/reports", some_events(1), expected_version=version)
            for _ in range(10)
        ]
        answers = await asyncio.gather(*writing, return_exceptions=True)
        conflicts = [answer for answer in answers if isinstance(answer, VersionConflict)]
        assert [conflict.found for conflict in conflicts] == [version + 1] * 9
    assert (await log.head()).position == 21


@pytest.mark.parametrize("count", [1, 5])
async def test_the_same_ids_again_return_the_first_result(log: Log, count: int) -> None:
    events = some_events(count)
    first = await log.append("rollout-1/reports", events, expected_version=0)
    await log.append("rollout-1/reports", some_events(1), expected_version=count)
    again = await log.append("rollout-1/reports", events, expected_version=0)
    assert again.first_position == first.first_position
    assert again.last_position == first.last_position
    assert again.stream_version == first.stream_version
    assert [place.known for place in again.recorded] == [True] * count
    assert (await log.head()).position == 2 + count


async def test_metadata_may_differ_when_an_event_comes_again(log: Log) -> None:
    event = an_event()
    first = await log.append("rollout-1/reports", [event])
    again = await log.append("rollout-1/reports", [replace(event, metadata=b'{"agent":"b"}')])
    assert again.first_position == first.first_position
    assert (await log.tail(1, 1))[0].metadata == event.metadata


@pytest.mark.parametrize("change", [{"body": b"{ }"}, {"type": "MigrationFailed"}, {}])
@pytest.mark.parametrize("company", [0, 3])
@pytest.mark.parametrize("skip_known", [False, True])
async def test_a_known_id_with_other_content_is_refused(
    log: Log, change: dict[str, object], company: int, skip_known: bool
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
async def test_one_id_is_never_two_bodies(log: Log, body: bytes, other: bytes) -> None:
    event = an_event(body)
    await log.append("rollout-1/reports", [event])
    if body == other:
        assert (await log.append("rollout-1/reports", [event])).recorded[0].known
    else:
        with pytest.raises(DuplicateEventDiffers):
            await log.append("rollout-1/reports", [replace(event, body=other)])


async def test_a_batch_that_is_known_in_part_is_refused(log: Log) -> None:
    events = some_events(4)
    await log.append("rollout-1/reports", events[:2])
    with pytest.raises(PartlyKnown) as partly:
        await log.append("rollout-1/reports", events)
    assert (partly.value.known, partly.value.given) == (2, 4)
    assert (await log.head()).position == 3


async def test_a_batch_that_repeats_an_event_is_refused(log: Log) -> None:
    event = an_event()
    with pytest.raises(PartlyKnown):
        await log.append("rollout-1/reports", [event, *some_events(2), event])
    assert (await log.head()).position == 1


async def test_a_walk_along_the_chain_says_its_values_on_the_way(log: Log) -> None:
    await log.append("rollout-1/reports", some_events(5))
    rows = await log.tail(0, 10)
    walked = await log.walk({2, len(rows), 99})
    assert walked.end == await log.verify()
    assert walked.values == {2: rows[1].chain, len(rows): rows[-1].chain}
    start = (await log.walk([0])).values[0]
    assert start == genesis((await log.head()).ledger_id).chain


async def test_known_events_are_skipped_when_asked_for(log: Log) -> None:
    events = some_events(5)
    await log.append("rollout-1/reports", [events[1], events[3]])
    given_ = [events[0], events[1], events[0], *events[2:]]
    appended = await log.append("rollout-1/reports", given_, skip_known=True)
    assert [place.known for place in appended.recorded] == [False, True, False, False, True, False]
    assert [place.position for place in appended.recorded] == [4, 2, 4, 5, 3, 6]
    assert [place.stream_version for place in appended.recorded] == [3, 1, 3, 4, 2, 5]
    assert (await log.head()).position == 6
    assert isinstance(await log.verify(), Link)


async def test_nothing_is_recorded_when_one_id_has_two_contents_in_a_batch(log: Log) -> None:
    event = an_event()
    with pytest.raises(DuplicateEventDiffers) as differs:
        await log.append("rollout-1/reports", [event, replace(event, body=b"{ }")], skip_known=True)
    assert differs.value.position is None
    assert (await log.head()).position == 1


async def test_an_append_of_nothing_records_nothing(log: Log) -> None:
    appended = await log.append("rollout-1/reports", [])
    assert (appended.last_position, appended.recorded) == (0, ())
    assert (await log.head()).position == 1


async def test_an_append_without_a_stream_is_refused(log: Log) -> None:
    with pytest.raises(StoreError, match="needs a stream"):
        await log.append("", some_events(1))


async def test_a_stream_is_read_from_a_version_and_by_type(log: Log) -> None:
    events = [an_event(type_=name) for name in ("MigrationApplied", "MigrationFailed") * 3]
    await log.append("rollout-1/reports", events)
    read = [
        event.stream_version
        async for event in log.read_stream("rollout-1/reports", 2, ["MigrationFailed"])
    ]
    assert read == [4, 6]


async def test_a_long_stream_is_read_to_its_end(log: Log) -> None:
    await log.append("rollout-1/reports", some_events(2500))
    versions = [event.stream_version async for event in log.read_stream("rollout-1/reports")]
    assert versions == list(range(1, 2501))


async def test_a_type_that_is_not_known_is_refused(log: Log) -> None:
    with pytest.raises(NotPermitted) as refused:
        await log.append("rollout-1/reports", [*some_events(2), an_event(type_="Invented")])
    assert refused.value.event_type == "Invented"
    assert (await log.head()).position == 1


@pytest.mark.parametrize("company", [0, 2])
@pytest.mark.parametrize(
    ("stream", "type_", "version", "why"),
    [
        ("rollout-1/reports", "MigrationApplied", 0, "its version 0 is not known here"),
        ("rollout-1/reports", "MigrationApplied", -1, "its version -1 is not known here"),
        ("rollout-1/reports", "MigrationApplied", 99, "its version 99 is not known here"),
        ("rollout-1", "MigrationApplied", 1, "it does not belong into the stream"),
        ("rollout-1/reports", "RolloutPaused", 1, "it does not belong into the stream"),
        ("check-1/reports", "MigrationApplied", 1, "it does not belong into the stream"),
        ("fleet", "BundleRegistered", 1, "it does not belong into the stream"),
        ("fleet/", "DatabaseRetired", 1, "it does not belong into the stream"),
        ("fleet\n", "DatabaseRetired", 1, "it does not belong into the stream"),
        ("rollout-1/reports\n", "MigrationApplied", 1, "it does not belong into the stream"),
        ("rollout-/reports", "MigrationApplied", 1, "it does not belong into the stream"),
        ("rollout-flötë", "RolloutPaused", 1, "it does not belong into the stream"),
        (f"rollout-{'x' * 101}/reports", "MigrationApplied", 1, "it does not belong into"),
    ],
)
async def test_a_version_or_a_stream_that_the_type_does_not_have_is_refused(
    log: Log, company: int, stream: str, type_: str, version: int, why: str
) -> None:
    unfit = replace(an_event(type_=type_), schema_version=version)
    fit = [an_event(type_=type_) for _ in range(company)]
    with pytest.raises(RequestUnfit, match=why) as refused:
        await log.append(stream, [*fit, unfit])
    assert refused.value.event_type == type_
    assert (await log.head()).position == 1


async def test_the_longest_name_of_a_stream_is_taken(log: Log) -> None:
    await log.append(f"rollout-{'x' * 100}/reports", some_events(1))
    assert (await log.head()).position == 2


@pytest.mark.parametrize("count", [1, 3])
async def test_whoever_led_before_can_record_nothing(ledger_place: LedgerPlace, count: int) -> None:
    log = ledger_place.stores.log
    first = await ledger_place.lead("first")
    with pytest.raises(AnotherLeader):
        await ledger_place.lead("second")
    await log.append("rollout-1/reports", some_events(count), term=first.term)
    await ledger_place.nobody_leads()
    second = await ledger_place.lead("second")
    assert second.term == first.term + 1
    for place in (None, ConsumerPosition("intake/0", 5, first.term)):
        with pytest.raises(StaleTerm) as stale:
            await log.append(
                "rollout-1/reports", some_events(count), term=first.term, consumer=place
            )
        assert (stale.value.term, stale.value.current) == (first.term, second.term)
    with pytest.raises(StaleTerm):
        await log.append("", [], consumer=ConsumerPosition("intake/0", 5, first.term))
    head = await log.head()
    assert (head.position, head.term, head.leader) == (1 + count, second.term, "second")
    assert await log.positions() == {}


async def test_a_read_position_moves_with_the_append_or_not_at_all(
    ledger_place: LedgerPlace,
) -> None:
    log, events = ledger_place.stores.log, some_events(3)
    term = (await ledger_place.lead("first")).term
    await log.append("rollout-1/reports", events, consumer=ConsumerPosition("intake/0", 7, term))
    await log.append("rollout-1/reports", [], consumer=ConsumerPosition("intake/1", 2, term))
    place = ConsumerPosition("intake/0", 9, term)
    await log.append("rollout-1/reports", events, skip_known=True, consumer=place)
    assert await log.positions("intake/") == {"intake/0": 9, "intake/1": 2}
    with pytest.raises(VersionConflict):
        await log.append(
            "rollout-1/reports",
            some_events(1),
            expected_version=1,
            consumer=ConsumerPosition("intake/0", 11, term),
        )
    assert await log.positions("intake/0") == {"intake/0": 9}


async def test_an_append_is_told_to_whoever_listens_until_he_does_no_more(log: Log) -> None:
    told: list[int] = []
    with log.telling(lambda: told.append(1)):
        await log.append("rollout-1/reports", some_events(2))
        with pytest.raises(VersionConflict):
            await log.append("rollout-1/reports", some_events(1), expected_version=7)
    await log.append("rollout-1/reports", some_events(1))
    assert told == [1]


async def test_an_announcement_reaches_the_leader(ledger_place: LedgerPlace) -> None:
    leadership, heard = await ledger_place.lead("first"), asyncio.Event()
    await leadership.listen(heard.set)
    await ledger_place.stores.log.announce()
    async with asyncio.timeout(PATIENCE_S):
        await heard.wait()


async def test_planners_queue(log: Log) -> None:
    order: list[str] = []
    inside = asyncio.Event()

    async def second() -> None:
        await inside.wait()
        async with log.exclusive():
            order.append("second")

    queued = asyncio.create_task(second())
    async with log.exclusive():
        inside.set()
        for _ in range(3):
            await log.append("rollout-1/reports", some_events(1))
        order.append("first")
    await queued
    assert order == ["first", "second"]


async def test_turned_rollouts_are_found_the_latest_turn_last(log: Log) -> None:
    for stream, type_ in (
        ("rollout-1", "RolloutPlanned"),
        ("rollout-2", "RolloutPlanned"),
        ("rollout-3", "MigrationOrdered"),
        ("check-1", "CheckRequested"),
        ("rollout-1", "RolloutPaused"),
    ):
        await log.append(stream, [an_event(type_=type_)])
    assert await log.turned_since(1) == ["rollout-2", "rollout-1"]
    assert await log.turned_since(5) == ["rollout-1"]
    assert [one.position for one in await log.turns("rollout-1", 5)] == [2]


async def test_the_latest_reports_of_preflight_are_found_the_latest_first(log: Log) -> None:
    for number in range(3):
        await log.append("rollout-1/reports", [about(f"db{number}", "PreflightChecked")])
        await log.append("rollout-1/reports", [about(f"db{number}", "AttemptStarted")])
    assert [one.position for one in await log.preflights(2)] == [6, 4]


async def test_what_the_fleet_said_behind_a_position_is_found_with_its_version_there(
    log: Log,
) -> None:
    assert await log.fleet_since(0) == (0, [])
    said = [about("a", "DatabaseRegistered"), about("b", "DatabaseRegistered")]
    await log.append("fleet", said)
    await log.append("rollout-1/reports", [about("a")])
    await log.append("fleet", [about("a", "DatabaseRetired")])
    for position, version, found in ((0, 0, [2, 3, 5]), (3, 2, [5]), (4, 2, [5]), (5, 3, [])):
        known, news = await log.fleet_since(position)
        assert (known, [one.position for one in news]) == (version, found)
    assert await log.version_at("fleet", 4) == 2
    assert await log.version_at("rollout-1/reports", 3) == 0
    assert await log.version_at("rollout-1/reports", 9) == 1


async def test_a_frame_is_what_turned_a_rollout_and_became_of_its_waves(log: Log) -> None:
    for stream, type_ in (
        ("rollout-1", "RolloutPlanned"),
        ("rollout-1", "WavePlanned"),
        ("rollout-1", "WaveOpened"),
        ("rollout-1", "MigrationOrdered"),
        ("rollout-2", "RolloutPlanned"),
        ("rollout-1/reports", "AttemptFinished"),
        ("rollout-1/reports", "ReportContradicted"),
        ("rollout-1", "WaveCompleted"),
        ("rollout-1", "RolloutCompleted"),
    ):
        await log.append(stream, [an_event(type_=type_)])

    async def frame(upto: int, *, whole: bool) -> list[int]:
        return [one.position for one in await log.frame("rollout-1", upto, whole=whole)]

    assert await frame(99, whole=False) == [2, 4, 9, 10]
    assert await frame(99, whole=True) == [2, 3, 4, 8, 9, 10]
    assert await frame(8, whole=True) == [2, 3, 4, 8]
    assert [one.position for one in await log.news("rollout-1", 4, 9)] == [5, 7, 8, 9]


async def test_parts_are_appended_all_or_none_and_asked_for_one_at_a_time(log: Log) -> None:
    fleet = [about(name, "DatabaseRegistered") for name in "abcd"]
    first, second = Batch("fleet", fleet[:2], 0), Batch("fleet", fleet[2:3], 2)
    told = list[int]()
    with log.telling(lambda: told.append(1)):
        with pytest.raises(VersionConflict):
            await log.append_parts(lambda: iter([first, Batch("fleet", fleet[3:], 7)]))
        assert (await log.head()).position == 1
        await log.append_parts(lambda: iter([first, second]))
        await log.append_parts(lambda: iter([first, second]))
    assert (await log.head()).position == 4
    assert [one.stream_version async for one in log.read_stream("fleet")] == [1, 2, 3]
    assert told


async def test_events_are_found_by_their_ids(log: Log) -> None:
    events = some_events(3)
    await log.append("rollout-1/reports", events)
    wanted = [events[2].event_id, events[0].event_id, an_event().event_id]
    assert {one.position for one in await log.by_id(wanted)} == {2, 4}


async def test_the_chain_is_the_same_in_every_log(log: Log) -> None:
    """Position, times, roles and bytes given, one log's hashes are the other's, byte for byte."""
    for count, stream in ((1, "rollout-1"), (4, "check-2.b_C"), (2, "rollout-1")):
        bodies = [b"\x00\xff%d" % number for number in range(count)]
        await log.append(
            f"{stream}/reports", [an_event(body, "ReportContradicted") for body in bodies]
        )
    events = await log.tail(0, 100)
    assert [one.position for one in events] == list(range(1, 9))
    clock = ManualClock()
    other = MemoryLog(LEDGER_ID, clock)
    for one in events:
        clock.start, other.role = one.recorded_at, one.recorded_by
        await other.append(one.stream, [one])
    assert other.events == events
    assert await log.verify() == await other.verify() == Link(8, events[-1].chain)


async def test_texts_are_kept_by_their_hash(ledger_place: LedgerPlace) -> None:
    texts = ledger_place.stores.texts
    await texts.put_many([b"one", b"two", b"one"])
    await texts.put_many([b"two"])
    assert await texts.get(sha256(b"two").hexdigest()) == b"two"
    with pytest.raises(ContentNotFound):
        await texts.get(sha256(b"three").hexdigest())


async def test_the_latest_sign_of_life_of_each_agent_is_kept(ledger_place: LedgerPlace) -> None:
    signs = ledger_place.stores.signs
    await signs.put([Beat("b", "p", '{"n": 1}'), Beat("a", "p", "{}"), Beat("a", "q", '{"n": 3}')])
    await signs.put([Beat("b", "p", '{"n": 4}')])
    recent = await signs.recent(60.0)
    assert [(one.agent, one.pool, one.body) for one in recent] == [
        ("a", "q", '{"n": 3}'),
        ("b", "p", '{"n": 4}'),
    ]
    assert all(one.seen_at is not None and 0.0 <= one.age_s < 60.0 for one in recent)
    await signs.trim(1)
    assert [one.agent for one in await signs.recent(60.0)] == ["b"]


async def test_it_is_known_who_leads(ledger_place: LedgerPlace) -> None:
    signs = ledger_place.stores.signs
    assert await signs.leader() is None
    await ledger_place.lead("first")
    found = await signs.leader()
    assert found is not None
    assert (found.name, found.host, found.is_silent) == ("first", "here", False)
    await ledger_place.nobody_leads()
    assert await signs.leader() is None
