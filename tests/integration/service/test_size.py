"""What a request reads depends on what it shows or changes, and not on how large the fleet is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.events import MigrationOrdered
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished, MigrationFailed
from ledger.domain.refusals import AddressTaken
from ledger.domain.rollout import RolloutState, fold
from ledger.domain.selection_words import UnknownInSelection
from ledger.domain.waiting import Reason
from ledger.leader.restoration import restore
from ledger.service import fleet as fleet_service
from ledger.service import registrations
from ledger.service.fleet_reader import FleetPage
from ledger.service.request_context import RequestContext
from ledger.service.rollout_state import whole
from ledger.store.log.streams import read_both
from ledger.store.port import Batch
from migrations.model.attempt import Mode
from ops.bench.answers import POOL, Agents
from tests.support.house import House, answers

SMALL, LARGE = 30, 300
SHOWN = 5
ASKED = RequestContext("because")


class Rows:
    """Counts the rows that come from the server."""

    def __init__(self) -> None:
        self.number = 0

    async def of(self, asked: Callable[[], Awaitable[object]]) -> int:
        """How many rows are read for this."""
        before = self.number
        await asked()
        return self.number - before


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Return what counts every row from now on."""
    counted = Rows()
    connection: Any = asyncpg.Connection
    original = connection._execute

    async def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        result = await original(self, *arguments, **options)
        found = result[0] if isinstance(result, tuple) else result
        counted.number += len(found) if isinstance(found, list) else 0
        return result

    monkeypatch.setattr(connection, "_execute", execute)
    return counted


def entries(first: int, end: int) -> list[FleetFileEntry]:
    return [
        FleetFileEntry(
            f"tenant-{number:04}",
            POOL,
            Connection.at(host="db.internal", database=f"tenant-{number:04}", user="app"),
            {"part": str(number % 2)},
        )
        for number in range(first, end)
    ]


@asynccontextmanager
async def working(house: House) -> AsyncIterator[None]:
    """Lead, with agents that answer every order with success."""
    async with house.leading():
        agents = Agents(house.broker, house.ledger.id)
        agents.per_second = 1e9
        task = asyncio.create_task(agents.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_look_reads_what_it_shows_however_large_the_fleet_is(
    house: House, rows: Rows
) -> None:
    ledger = house.ledger
    read: dict[str, list[int]] = {}

    async def look(rollout: str) -> None:
        looks: dict[str, Callable[[], Awaitable[object]]] = {
            "rollout status": lambda: ledger.rollouts.status(rollout, limit=SHOWN),
            "summary": lambda: ledger.rollouts.summary(rollout),
            "failed": lambda: ledger.rollouts.listing(rollout, ["failed"], limit=SHOWN),
            "numbers": lambda: ledger.status.numbers(),
            "pools": lambda: ledger.status.pools(),
            "watch": lambda: anext(ledger.rollouts.watch(rollout)),
            "find": lambda: ledger.rollouts.find(rollout),
            "list": lambda: ledger.rollouts.list(),
            "status": lambda: ledger.status.overview(limit=SHOWN),
            "fleet list": lambda: ledger.fleet.page(limit=SHOWN),
            "selected": lambda: ledger.fleet.page("part=1", limit=SHOWN),
            "suspend": lambda: ledger.fleet.check_suspend("tenant-0001"),
            "repoint": lambda: ledger.fleet.check_repoint(
                "tenant-0001", None, {"database": "elsewhere"}, ASKED
            ),
            "add": lambda: ledger.fleet.preview_import(entries(9_000, 9_001)),
        }
        for name, asked in looks.items():
            read.setdefault(name, []).append(await rows.of(asked))

    async with working(house):
        await ledger.fleet.import_(entries(0, SMALL), ASKED)
        first = await house.start(select=f"pool={POOL}")
        await house.becomes(first, "completed")
        await look(first)
        await ledger.fleet.import_(entries(SMALL, LARGE), ASKED)
        house.migration("3")
        second = await house.start(select=f"pool={POOL}")
        await house.becomes(second, "completed")
        await look(second)
    # One more rollout is one more row of the list of rollouts, with its counts.
    grown = {name: after - before for name, (before, after) in read.items() if after > before + 3}
    assert grown == {}


async def test_of_databases_that_matter_a_page_is_read_and_the_others_are_counted(
    house: House, rows: Rows
) -> None:
    await house.ledger.fleet.import_(entries(0, LARGE), ASKED)
    rollout = await house.start(select=f"pool={POOL}")
    status = await house.ledger.rollouts.status(rollout, limit=SHOWN)
    assert (len(status.databases), status.more) == (SHOWN, LARGE - SHOWN)
    assert status.counts == {"pending": LARGE}
    assert {one.waits_for for one in status.databases} == {"no leader"}
    whole = await house.ledger.rollouts.status(rollout)
    assert (len(whole.databases), whole.more) == (LARGE, 0)


async def test_what_is_selected_on_the_server_is_what_the_rule_selects(house: House) -> None:
    fleet = house.ledger.fleet
    await fleet.import_(entries(0, 6), ASKED)
    await fleet.retire("tenant-0003", ASKED)
    await house.stores.reads.caught_up()
    for selection in (
        "", "part=1", "part!=1", "id=tenant-0002", "id!=tenant-0002", f"pool={POOL}",
        "pool!=main", "part in (0,2)", "part not in (0,2)", "absent=x", "absent!=x",
        "part=0,id in (tenant-0000,acme)",
    ):  # fmt: skip
        answers: list[FleetPage | str] = []
        for limit in (None, 1_000):
            try:
                answers.append(await fleet.page(selection, limit=limit))
            except UnknownInSelection as refused:
                answers.append(str(refused))
        by_rule, on_server = answers
        assert on_server == by_rule, selection


async def test_what_came_since_the_rows_were_projected_is_seen_all_the_same(house: House) -> None:
    fleet = house.ledger.fleet
    await house.stores.reads.caught_up()
    await fleet.suspend("acme", ASKED)
    await fleet.add("dove", POOL, Connection.at(host="h", database="dove", user="u"), {}, ASKED)
    (dove, acme) = (await fleet.page("id in (acme,dove)", limit=9)).databases[::-1]
    assert (acme.status, dove.status) == ("suspended", "active")
    other = Connection.at(host="h", database="dove", user="u")
    with pytest.raises(AddressTaken, match="dove"):
        await fleet.add("eagle", POOL, other, {}, ASKED)


async def test_an_import_says_little_at_a_time_and_all_or_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrations, "PART", 10)
    said = list[int]()

    def parts(*asked: Any) -> Iterator[Batch]:
        for part in registrations.parts(*asked):
            said.append(len(part.events))
            if len(said) == 3:
                raise RuntimeError("the power is gone")
            yield part

    monkeypatch.setattr(fleet_service, "parts", parts)
    before = await house.position()
    with pytest.raises(RuntimeError):
        await house.ledger.fleet.import_(entries(0, 25), ASKED)
    assert await house.position() == before
    result = await house.ledger.fleet.import_(entries(0, 25), ASKED)
    assert len(result.added) == 25
    assert said == [10, 10, 5, 10, 10, 5]
    assert await house.position() == before + 25


async def test_what_is_restored_from_rows_is_what_the_history_folds_to(house: House) -> None:
    await house.ledger.fleet.import_(entries(0, 8), ASKED)
    house.migration("3")
    async with house.leading(), house.actor(POOL) as agents:
        rollout = await house.start(select=f"pool={POOL}", in_flight=3, budget="5", waves="3,rest")
        await same(house, rollout)
        await agents.commands(3)
        names = [f"tenant-{number:04}" for number in range(3)]
        first, second, third = [await agents.ordered(name) for name in names]
        await agents.applies(first)
        await agents.say(second.stream, *answers(second)[:1])
        await same(house, rollout)
        await agents.fails(second)
        await house.at_least(1, MigrationFailed)
        await same(house, rollout)
        await house.ledger.rollouts.pause(rollout, ASKED)
        await same(house, rollout)
        await house.ledger.rollouts.resume(rollout, ASKED)
        await agents.applies(third)
        await agents.commands(6)
        await same(house, rollout)


async def test_a_rollback_and_what_it_undoes_are_restored_and_shown_with_each_other(
    house: House,
) -> None:
    await house.ledger.fleet.import_(entries(0, 8), ASKED)
    rollouts = house.ledger.rollouts
    async with house.leading(), house.actor(POOL) as agents:
        rollout = await house.start(select=f"pool={POOL}", in_flight=3)
        first, second, third = [await agents.ordered(f"tenant-{n:04}") for n in range(3)]
        await agents.applies(first)
        await agents.say(second.stream, *answers(second)[:1])
        await house.at_least(4, MigrationOrdered)
        await rollouts.pause(rollout, ASKED)
        undo = await house.roll_back(rollout)
        back = await agents.ordered("tenant-0000", Mode.ROLLBACK, rollout=undo)
        await same(house, rollout)
        await same(house, undo)
        page = await rollouts.status(undo, limit=SHOWN)
        complete = await rollouts.status(undo)
        glance = await anext(rollouts.watch(undo))
        for status in (page, complete, glance):
            reasons = {one.database: one.reason for one in status.databases}
            for database in ("tenant-0001", "tenant-0002", "tenant-0003"):
                assert reasons[database] is Reason.FINISHING
            assert status.undoes == rollout
        assert (await rollouts.status(rollout, limit=SHOWN)).undone_by == undo
        await agents.applies(back)
        await agents.applies(third)
        await same(house, rollout)
        await agents.applies(await agents.ordered("tenant-0002", Mode.ROLLBACK, rollout=undo))
        await same(house, undo)


async def same(house: House, rollout: str) -> None:
    """A rollout read from rows is the one that its whole history folds to, however old they are."""
    now = await whole(house.stores.log, house.stores.reads, rollout)
    assert now is not None
    await folds_to(house, rollout, now)
    await house.stores.reads.caught_up()
    # And where the log says nothing that the rows lack.
    now = await whole(house.stores.log, house.stores.reads, rollout)
    assert now is not None
    await folds_to(house, rollout, now)
    async with house.stores.reads.snapshot() as reads:
        position = await reads.position()
        restored = await restore(house.stores.log, reads, rollout)
        done = await reads.rollout_done(rollout)
        complete = await restore(house.stores.log, reads, rollout, done)
    assert restored is not None
    assert complete is not None
    assert restored.state.position == position
    await folds_to(house, rollout, restored.state, lean=True)
    await folds_to(house, rollout, complete.state)


async def folds_to(house: House, rollout: str, state: RolloutState, *, lean: bool = False) -> None:
    """Its history, up to where the state says that it is, folds to it."""
    history = await read_both(house.stores.log, f"rollout-{rollout}")
    said = [one for one in history if one.position <= state.position]
    folded = fold(None, said, lean=lean)
    assert folded is not None
    assert list(state.databases()) == list(folded.databases())
    for name in (
        "status", "version", "waves", "wave", "counts", "counted", "failing", "ordered", "cursor",
        "undone_by", "why", "doubted", "where",
    ):  # fmt: skip
        assert getattr(state, name) == getattr(folded, name), name
    for name in ("active", "again", "failures"):
        assert set(getattr(state, name)) == set(getattr(folded, name)), name


async def test_a_leader_reads_no_history_to_go_on(house: House) -> None:
    await house.ledger.fleet.import_(entries(0, LARGE), ASKED)
    async with house.leading(), house.actor(POOL) as agents:
        rollout = await house.start(select=f"pool={POOL}", in_flight=20)
        await agents.commands(20)
        for number in range(15):
            await agents.applies(await agents.ordered(f"tenant-{number:04}"))
        await house.at_least(35, MigrationOrdered)
        await house.at_least(15, AttemptFinished)
    await house.stores.reads.caught_up()
    async with house.stores.reads.snapshot() as reads:
        restored = await restore(house.stores.log, reads, rollout)
    assert restored is not None
    named = {getattr(one.event, "database", None) for one in restored.events} - {None}
    assert named == set(restored.state.active)
    assert len(named) == 20
    kept = [one.database for one in restored.state.databases()]
    assert not [one for one in kept if one < "tenant-0015"], "what is done is only counted"
    assert len(kept) == LARGE - 15
