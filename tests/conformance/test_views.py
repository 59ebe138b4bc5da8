"""What every view answers: the rows in memory and PostgreSQL's tables say the same of one log.

The log is that of a simulated ledger with everything in it that changes a row; its bytes are
appended to each adapter's log, so both fold the same events at the same positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from ledger.contracts.events import Budget
from ledger.domain.selection import parse
from ledger.domain.selection_words import SelectedWord, words
from ledger.store.port import RecordedEvent
from ledger.store.views.columns import belief_in, registered_in
from ledger.store.views.port import Views
from ledger.store.views.rows import RolloutRow
from migrations.target.entries import State
from tests.support.engine_places import migration, table
from tests.support.ledger_places import LedgerPlace
from tests.support.manual_clock import simulate
from tests.support.memory_engine import MemoryDatabase
from tests.support.memory_stores import MemoryViews
from tests.support.simulated_house import WHY, SimulatedHouse

USERS, GROUPS = table("001", "users"), table("002", "groups")
BROKEN = migration("003", "SELECT 1/0", down="SELECT 1")
FLEET = tuple(f"db{number}" for number in range(6))
SOME = parse("id in (db1,db5),pool!=other")
OTHERS = parse("id!=db1,tier!=gold")
GLOBS = parse("id in (d*1,db?),id!=db_,status!=susp*,!tier,pool=*")
EXISTS = parse("tier")
WORDS = words(parse("id in (db1,db77,db5,d*,x*,d%),pool!=defualt,pool=*,tier,tier=gold,!none"))
VERSIONS = ["001", "002", "003"]


async def lived(house: SimulatedHouse) -> None:
    """Rollouts that end in every way, checks, and a fleet that changes."""
    await house.stores.initialise()
    await house.register(*FLEET)
    async with house.at_work():
        first = await house.start(USERS, wave_spec="2,rest")
        await house.becomes(first, "completed")
        second = await house.start(USERS, GROUPS, BROKEN, select="id=db1", budget=Budget(count=0))
        await house.becomes(second, "halted")
        await house.becomes(await house.undo(second), "completed")
        house.engine.named("db2").reachable = False
        third = await house.start(USERS, GROUPS, select="id=db2")
        await house.becomes(third, "halted")
        await house.fleet.suspend("db3", WHY)
        await house.fleet.retire("db5", WHY)
        begin_by_hand(house.engine.named("db4"))
        await house.checks.answers(await house.fleet.check("", WHY), 600.0)
        await house.fleet.reinstate("db3", WHY)
        await house.fleet.suspend("db2", WHY)
        await house.fleet.reinstate("db2", WHY)
        await house.fleet.label("db1", {"tier": "gold", "region": "eu"}, (), WHY)
        await house.fleet.label("db4", {"tier": "sil_ver"}, (), WHY)
        fourth = await house.start(GROUPS, select="id=db4")
        await house.rollouts.abort(fourth, WHY)


def begin_by_hand(database: MemoryDatabase) -> None:
    """Leave something half done there, which only a look can find."""
    (journal,) = database.journals.values()
    journal.append(replace(journal[-1], migration="9", step=-1, state=State.INTENT))


@pytest.fixture(scope="module")
def history() -> list[RecordedEvent]:
    """What was recorded in that life."""
    house = SimulatedHouse()
    simulate(house.clock, lived(house))
    return house.stores.log.events


@pytest.fixture
async def told(ledger_place: LedgerPlace, history: list[RecordedEvent]) -> tuple[Views, Views]:
    """The adapter's views, and those in memory, of a log with that history in it."""
    return await both(ledger_place, history)


async def both(ledger_place: LedgerPlace, history: list[RecordedEvent]) -> tuple[Views, Views]:
    """The adapter's views, and those in memory, once they have read the same log."""
    log = ledger_place.stores.log
    assert (await log.tail(0, 10))[0].type == "LedgerInitialised"
    for one in history[1:]:
        await log.append(one.stream, [one])
    reads = ledger_place.stores.reads
    assert await reads.caught_up() == len(history)
    house = SimulatedHouse()
    for one in await log.tail(0, len(history)):
        house.clock.start, house.stores.log.role = one.recorded_at, one.recorded_by
        await house.stores.log.append(one.stream, [one])
    memory = MemoryViews(house.stores.log, house.clock)
    assert await memory.caught_up() == len(history)
    return reads, memory


def plain(value: Any) -> Any:
    """The same in lists and texts, for a comparison that names what differs."""
    if isinstance(value, datetime):
        return value.timestamp()
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in sorted(value.items(), key=str)}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    items = [plain(one) for one in value]
    return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items


async def places(views: Views) -> list[tuple[str, int]]:
    """Where two of the databases were last known to be."""
    rows = await views.fleet(["db0", "db1"])
    known = [row.belief.identity for row in rows]
    return [(one.system_identifier, one.database_oid) for one in known if one is not None]


async def parts_of_the_fleet(views: Views) -> dict[str, Any]:
    """What can be asked of some of it."""
    return {
        "named": sorted(
            await views.fleet_named(["db3", "db9"], ["db1", "db7"]),
            key=lambda one: one.registered.database,
        ),
        "a page of the fleet": await views.fleet_page((), retired=False, after="db0", limit=2),
        "some on a page": await views.fleet_page(SOME, retired=True, limit=9),
        "others on a page": await views.fleet_page(OTHERS, retired=False),
        "half done": await views.half_done([f"db{number}" for number in range(10)]),
        "counted": await views.fleet_count((), retired=True),
        "some counted": await views.fleet_count(SOME, retired=False),
        "by globs": await views.fleet_page(GLOBS, retired=True),
        "by globs counted": await views.fleet_count(GLOBS, retired=False),
        "by a label": await views.fleet_page(EXISTS, retired=True),
        "unheard of": await views.unheard(WORDS, retired=False),
        "unheard of with retired ones": await views.unheard(WORDS, retired=True),
        "near ids": [
            await views.near(SelectedWord("id", one), retired=retired)
            for one in ("db", "db33", "DB1", "x5")
            for retired in (False, True)
        ],
        "near pools": await views.near(SelectedWord("pool", "defualt"), retired=False),
        "near labels": await views.near(SelectedWord("none"), retired=False),
        "near values": await views.near(SelectedWord("tier", "golden"), retired=False),
        "pools": await views.fleet_pools(),
        "gaps": await views.fleet_gaps(VERSIONS),
        "standings": await views.fleet_standings(VERSIONS),
        "standings of nothing": await views.fleet_standings([]),
        "lacking": await views.fleet_lacking(VERSIONS, after="db1", limit=2),
        "troubles": await views.fleet_troubles(VERSIONS),
        "troubled by": await views.troubled_by(VERSIONS, limit=5),
        "records at": sorted(
            await views.records_at(["db3"], await places(views)), key=lambda one: one.database
        ),
    }


async def parts_of_rollouts(views: Views, rollouts: Sequence[RolloutRow]) -> dict[str, Any]:
    """What can be asked of their databases."""
    oldest = rollouts[-1]
    return {
        "rollout databases": [await views.rollout_databases(one.rollout) for one in rollouts],
        "a page of them": await views.rollout_databases(oldest.rollout, after=(0, "db1"), limit=2),
        "applied there": await views.rollout_databases(oldest.rollout, ["applied"], limit=1),
        "in trouble": [
            await views.rollout_databases(one.rollout, ["unknown"], troubled=True)
            for one in rollouts
        ],
        "named there": sorted(
            await views.rollout_databases_named(oldest.rollout, ["db1", "db4", "db9"])
        ),
        "nobody there": await views.rollout_databases("nothing"),
        "done": [sorted((await views.rollout_done(one.rollout)).items()) for one in rollouts],
        "not done": [await views.rollout_undone(one.rollout) for one in rollouts],
        "one that is not": [
            await views.rollout_undone(one.rollout, after=(0, ""), limit=1) for one in rollouts
        ],
        "counts": await views.rollout_counts(oldest.rollout),
        "toll": [await views.rollout_toll(one.rollout) for one in rollouts],
        "causes": [await views.rollout_causes(one.rollout) for one in rollouts],
        "some causes": [
            await views.rollout_causes(one.rollout, only=["db1"], limit=1) for one in rollouts
        ],
        "other causes": [
            await views.rollout_causes(one.rollout, without=["db1"]) for one in rollouts
        ],
        "queues": [await views.rollout_queues(one.rollout) for one in rollouts],
        "troubled": [await views.count_troubled(one.rollout, ["failed"]) for one in rollouts],
    }


async def answers(views: Views) -> dict[str, Any]:
    """Everything that can be asked."""
    rollouts = await views.rollouts()
    newest, oldest = rollouts[0], rollouts[-1]
    found: dict[str, Any] = {
        "position": await views.position(),
        "reached": await views.reached(1),
        "fleet": await views.fleet(),
        "what a leader knows": list(map(registered_in, await views.fleet_entries("db0", limit=3))),
        "what it believes": list(map(belief_in, await views.fleet_entries())),
        "some of the fleet": await views.fleet(["db3", "db9", "db1"]),
        "records": await views.records(),
        "expected": await views.expected(["db0", "db1", "db5"]),
        "unmet": await views.unmet(FLEET),
        "latest bundles": await views.latest_bundles(),
        "histories": await views.histories(FLEET),
        "rollouts": rollouts,
        "halted": await views.rollouts(["halted", "aborted"]),
        "a page": await views.rollouts(before=newest.planned_position, limit=1),
        "one": await views.rollout(oldest.rollout),
        "none": await views.rollout("nothing"),
        "unfinished": await views.unfinished_rollouts(),
        "unsettled": await views.unsettled_rollouts(),
        "checks": await views.open_checks(),
        "unread": await views.unread(FLEET),
        "all unread": await views.unread(None),
        "unreadable": await views.unreadable(),
        "set aside": await views.unreadable(aside=True),
        "not set aside": await views.unreadable(aside=False, positions=[1]),
        "busy": await views.busy(FLEET),
        "beginning": await views.beginning(""),
        "beginning so": await views.beginning(oldest.rollout[:3]),
        "applied": await views.applied(),
        "some applied": await views.applied(["db1", "db2"], ["002"]),
        "durations": await views.durations(VERSIONS),
        "held texts": await views.held_texts(VERSIONS),
        "versions": await views.database_versions(VERSIONS),
        "some versions": await views.database_versions(["002"], ["db1", "db5"]),
        "no versions": await views.database_versions([]),
        **await parts_of_the_fleet(views),
        **await parts_of_rollouts(views, rollouts),
    }
    answered = {name: plain(one) for name, one in found.items()}
    async with views.snapshot() as still:
        assert await still.position() == answered["position"]
        assert plain(await still.fleet()) == answered["fleet"]
        assert plain(await still.rollouts()) == answered["rollouts"]
    return answered


async def test_every_question_has_one_answer(told: tuple[Views, Views]) -> None:
    ours, memory = await answers(told[0]), await answers(told[1])
    for name, answer in memory.items():
        assert ours[name] == answer, name


async def test_the_history_has_something_of_everything(told: tuple[Views, Views]) -> None:
    found = await answers(told[0])
    statuses = {one["status"] for one in found["rollouts"]}
    assert statuses == {"completed", "halted", "aborted"}
    empty = [name for name, answer in found.items() if not answer]
    assert sorted(empty) == [
        "no versions",
        "nobody there",
        "none",
        "not set aside",
        "set aside",
        "unreadable",
    ]


async def fail_alike(house: SimulatedHouse) -> None:
    """One rollout that fails in every database for the same cause."""
    await house.stores.initialise()
    await house.register(*FLEET)
    async with house.at_work():
        rollout = await house.start(BROKEN, wave_spec="rest", budget=Budget(count=9))
        await house.becomes(rollout, "completed")


def of_so_many_rows(event: RecordedEvent, rows: int) -> RecordedEvent:
    """The same, of an attempt that committed so many rows."""
    if event.type != "AttemptFinished":
        return event
    body = json.loads(event.body) | {"rows": rows}
    return event._replace(body=json.dumps(body).encode())


@pytest.fixture(scope="module")
def huge() -> list[RecordedEvent]:
    """What was recorded of it, where as many rows as there can be were committed everywhere."""
    house = SimulatedHouse()
    simulate(house.clock, fail_alike(house))
    return [of_so_many_rows(one, 2**63 - 1) for one in house.stores.log.events]


async def test_the_rows_of_a_cause_are_added_up_to_the_largest_number_that_there_is(
    ledger_place: LedgerPlace, huge: list[RecordedEvent]
) -> None:
    for views in await both(ledger_place, huge):
        (rollout,) = await views.rollouts()
        (cause,) = await views.rollout_causes(rollout.rollout)
        assert (cause.databases, cause.rows) == (len(FLEET), 2**63 - 1)
