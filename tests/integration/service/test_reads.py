"""What services show is fresh, whole, and comes page by page."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.envelope import Metadata, Recorded, encode
from ledger.contracts.registry import Connection
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.selection_words import UnknownInSelection
from ledger.errors import NothingOfThatName
from ledger.service import fleet_records, registrations
from ledger.service.history import Search
from ledger.service.request_context import RequestContext
from tests.integration.service.conftest import LogIn
from tests.support.house import House
from tests.support.raw_event import NewEvent

TAMPER = """
    SET session_replication_role = replica;
    UPDATE ledger.log SET body = body || ' '::bytea WHERE position = 3;
"""


def database_of(recorded: Recorded) -> str:
    """The database that an event names."""
    return str(recorded.event.model_dump()["database"])


async def test_the_fleet_is_shown_with_what_it_lacks_whole_or_page_by_page(house: House) -> None:
    rollout = await house.start(select="id=acme")
    await house.ledger.fleet.suspend("bolt", RequestContext("because"))
    await house.ledger.fleet.retire("crane", RequestContext("because"))
    status = house.ledger.status
    whole = await status.overview()
    assert [(one.database, one.status, one.rollout) for one in whole.databases] == [
        ("acme", "active", rollout),
        ("bolt", "suspended", None),
    ]
    assert {(one.newest, one.missing) for one in whole.databases} == {(None, ("1", "2"))}
    assert (whole.leader, whole.unfinished) == (None, (rollout,))
    first = await status.overview(limit=1)
    second = await status.overview(after=first.databases[-1].database, limit=1)
    assert (*first.databases, *second.databases) == whole.databases
    assert (await status.overview(after="bolt", limit=1)).databases == ()
    (retired,) = (await status.overview("id=crane")).databases
    assert (retired.status, retired.missing) == ("retired", ())


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        ("tier", "acme"),
        ("!tier", "bolt"),
        ("id=b*,tier!=g*", "bolt"),
        ("status=active", "acme bolt"),
        ("status=retired", ""),
        ("id notin (acme)", "bolt"),
        ("id in (acme,bolr)", "no database has id=bolr (the nearest is bolt)"),
        ("tier=golden", "no database has tier=golden (the nearest is gold)"),
        ("!teir", "no database has the label 'teir' (the nearest is tier)"),
        ("acme", "no database has the label 'acme', but one is called so: write `id=acme`"),
        ("id=crane", "crane is retired"),
        ("pool!=*x", "no database has pool=*x (the nearest is main)"),
    ],
)
async def test_a_selection_means_the_same_whether_rows_or_events_are_asked(
    house: House, selection: str, meant: str, projected: bool
) -> None:
    fleet = house.ledger.fleet
    await fleet.retire("crane", RequestContext("because"))
    await fleet.label("acme", {"tier": "gold"}, (), RequestContext())
    if projected:
        await house.stores.reads.caught_up()
    try:
        page = await fleet.page(selection, retired=False, limit=10)
        found = " ".join(one.database for one in page.databases)
    except UnknownInSelection as refused:
        found = str(refused).partition(": ")[2].partition("; ")[0]
    assert found == meant


async def test_what_an_operator_is_shown_says_how_far_it_is_behind(
    house: House, log_in: LogIn
) -> None:
    assert (await house.ledger.status.overview()).databases
    assert await house.ledger.status.lag() is None
    await house.ledger.fleet.suspend("bolt", RequestContext("because"))
    async with log_in("ledger_viewer") as viewer:
        lag = await viewer.ledger.status.lag()
        assert lag is not None
        assert (lag.events, lag.leader) == (1, None)


async def test_rollouts_are_listed_newest_first_page_by_page(house: House) -> None:
    older = await house.start(select="id=acme")
    newer = await house.start(select="id=bolt")
    (first,) = await house.ledger.rollouts.list(limit=1)
    (second,) = await house.ledger.rollouts.list(before=first.planned_position)
    assert (first.rollout, second.rollout) == (newer, older)
    assert (first.versions, first.counts) == (("1", "2"), {"pending": 1})
    assert (first.tally.of("pending", "failed"), first.tally.of("failed")) == (1, 0)


async def test_a_timeline_is_of_a_database_of_a_rollout_or_of_requests(house: House) -> None:
    rollout = await house.start(select="id=acme")
    history = house.ledger.history
    asked = await history.lines(Search())
    # Newest first; planned and started is one request.
    assert type(asked[0].recorded.event).__name__ == "RolloutPlanned"
    assert (asked[0].events, asked[0].databases) == (2, 1)
    of_bolt = await history.lines(await history.meant("bolt", Search()))
    assert {database_of(one.recorded) for one in of_bolt} == {"bolt"}
    meant = await history.meant(rollout[:4], Search())
    of_rollout = await history.lines(meant)
    assert {one.recorded.stream for one in of_rollout} == {f"rollout-{rollout}"}
    earlier = await history.lines(replace(meant, before=of_rollout[0].last), 1)
    assert earlier == of_rollout[1:2]
    assert await history.lines(meant, oldest_first=True) == of_rollout[::-1]
    with pytest.raises(NothingOfThatName):
        await history.meant("nobody", Search())


async def test_an_import_in_parts_is_one_request_and_two_requests_are_two(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrations, "PART", 2)
    entries = [
        FleetFileEntry(name, "main", Connection.at(host="h", database=name, user="app"), {})
        for name in ("p1", "p2", "p3", "p4", "p5")
    ]
    await house.ledger.fleet.import_(entries, RequestContext("spring"))
    for name in ("p1", "p2"):
        await house.ledger.fleet.suspend(name, RequestContext("same words"))
    lines = await house.ledger.history.lines(Search(), 3)
    assert [(database_of(one.recorded), one.databases) for one in lines] == [
        ("p2", 1),
        ("p1", 1),
        ("p1", 5),
    ]


async def test_a_file_that_is_applied_in_parts_is_one_request_its_looks_included(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_records, "PART", 2)
    fleet = house.ledger.fleet
    for host in ("h1", "h2"):
        entries = [
            FleetFileEntry(name, "main", Connection.at(host=host, database=name, user="app"), {})
            for name in ("p1", "p2", "p3", "p4", "p5")
        ]
        changes = await fleet.compare(entries, prune=False)
        await fleet.apply(changes, entries, RequestContext(host), prune=False)
    moved, added, *_ = await house.ledger.history.lines(Search(), 3)
    assert (database_of(added.recorded), added.databases) == ("p1", 5)
    assert [(type(one.event).__name__, number) for one, number in moved.kinds] == [
        ("DatabaseRepointed", 5),
        ("CheckRequested", 1),
    ]
    await fleet.repoint("p1", None, {"host": "h3"}, RequestContext("one more"))
    newest, before, *_ = await house.ledger.history.lines(Search(), 3)
    assert (database_of(newest.recorded), before.recorded) == ("p1", moved.recorded)


async def test_what_is_written_past_the_program_is_found_by_nobodys_name_and_hides_nothing(
    house: House,
) -> None:
    garbled = NewEvent(uuid4(), "DatabaseSuspended", 1, b"garbage", b"\xff not JSON")
    await house.stores.log.append("fleet", [garbled])
    (line, *_) = await house.ledger.history.lines(Search())
    assert type(line.recorded.event).__name__ == "Unreadable"
    assert await house.ledger.history.lines(Search(by="ada")) == []


async def test_the_log_is_read_from_a_position_by_stream_and_by_type(house: House) -> None:
    history = house.ledger.history
    kind = ["DatabaseRegistered"]
    registered = await history.events(Search(), stream_prefix="fleet", types=kind)
    assert [database_of(one) for one in registered] == ["acme", "bolt", "crane"]
    behind = Search(after=registered[0].position)
    assert await history.events(behind, 1, stream_prefix="fleet", forward=True) == [registered[1]]
    assert await history.events(behind, 1, stream_prefix="fleet") == [registered[2]]


async def test_an_audit_says_where_the_chain_ends_or_where_it_breaks(house: House) -> None:
    audit = house.ledger.audit
    whole = await audit.verify()
    assert whole.whole
    assert whole.position == await house.position()
    connection = await asyncpg.connect(house.url)
    try:
        await connection.execute(TAMPER)
    finally:
        await connection.close()
    broken = await audit.verify()
    assert (broken.whole, broken.position, broken.chain) == (False, 3, None)
    assert broken.why


async def test_a_replay_first_shows_what_is_in_the_log(house: House) -> None:
    found = await house.ledger.audit.replay()
    assert found.agrees
    assert found.position == found.head == await house.position()


async def test_looks_that_found_the_same_are_one_line_of_a_databases_history(
    house: House,
) -> None:
    fleet = house.ledger.fleet
    check = [await fleet.check("id=acme", RequestContext(f"look {n}")) for n in range(4)]
    for number, one in enumerate(check):
        answer = DatabaseInspected(
            database="acme",
            command=uuid4(),
            reachable=number != 3,
            server_version=180_000,
        )
        await house.stores.log.append(
            f"check-{one}/reports", [encode(answer, uuid4(), Metadata())], expected_version=0
        )
    search = await house.ledger.history.meant("acme", Search())
    lines = await house.ledger.history.lines(search)
    kinds = [(type(one.recorded.event).__name__, one.events) for one in lines]
    assert kinds == [
        ("DatabaseInspected", 1),
        ("DatabaseInspected", 3),
        ("DatabaseRegistered", 1),
    ]
    assert [one.asked.reason for one in lines[:2]] == ["look 3", "look 0"]
    raw = await house.ledger.history.events(search)
    assert sum(type(one.event).__name__ == "DatabaseInspected" for one in raw) == 4
