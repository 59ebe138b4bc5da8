"""Every number that is counted for whoever watches, after work whose numbers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from uuid import uuid4

import pytest

from ledger import instruments, telemetry
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import DatabaseSuspended, MigrationOrdered
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.tally import STATES
from ledger.errors import LedgerUnreachable
from ledger.instruments import (
    AGENTS,
    BACKUP_AGE,
    BEHIND,
    BUDGET,
    BUDGET_USED,
    CLOCK_APART,
    COUNTED_AGE,
    DATABASES,
    DRIFTED,
    EVENTS,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    LOG_SIZE,
    NAMED_BEHIND,
    NAMED_RUN,
    NAMED_RUN_AGE,
    NAMED_STATE,
    PROJECTION_LAG,
    PROJECTION_LAG_AGE,
    ROLLOUT_AGE,
    ROLLOUT_DATABASES,
    ROLLOUTS,
    TERM,
    TROUBLED,
    UNNAMED,
    UNREACHABLE,
    UNREADABLE,
    Instrument,
    Value,
)
from ledger.service import census as module
from ledger.service.census import COUNTED, Census
from ledger.service.request_context import RequestContext
from ledger.store.census import CensusTable
from ledger.store.port import Beat, FoundLook, Head
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.attempt import Failure, FailureClass, Verdict
from tests.support.house import POOL, House, finished, started
from tests.support.manual_clock import ManualClock

NO_LABELS: frozenset[tuple[str, str]] = frozenset()


def counting(house: House, clock: Clock = SYSTEM_CLOCK, named: int = 0) -> Census:
    ledger, stores = house.ledger, house.stores
    table = CensusTable(stores.pool)
    return Census(stores.log, stores.reads, table, ledger.status, ledger.lookout, clock, named)


def numbers(census: Census, one: Instrument) -> dict[frozenset[tuple[str, str]], float]:
    """The values of an instrument by their attributes; each set of attributes once."""
    values = census.values(one)
    found = {frozenset(told.items()): value for value, told in values}
    assert len(found) == len(values)
    return found


def by(census: Census, one: Instrument, attribute: str) -> dict[str, float]:
    return {told[attribute]: value for value, told in census.values(one)}


async def test_where_nothing_happened_there_are_zeros_and_not_nothing(house: House) -> None:
    await house.stores.reads.caught_up()
    census = counting(house)
    await census.count()
    head = await house.stores.log.head()
    assert numbers(census, EVENTS) == {NO_LABELS: head.position}
    assert by(census, ROLLOUTS, telemetry.STATE) == {
        "planned": 0,
        "running": 0,
        "paused": 0,
        "halted": 0,
        "completed": 0,
        "aborted": 0,
    }
    assert by(census, BEHIND, telemetry.VERSIONS_BEHIND) == {
        "0": 3,
        "1": 0,
        "2": 0,
        "3-5": 0,
        "6-10": 0,
        "11+": 0,
    }
    assert numbers(census, TROUBLED) == numbers(census, DRIFTED) == {NO_LABELS: 0}
    assert numbers(census, UNREADABLE) == numbers(census, UNREACHABLE) == {NO_LABELS: 0}
    assert numbers(census, PROJECTION_LAG) == numbers(census, PROJECTION_LAG_AGE) == {NO_LABELS: 0}
    assert census.values(BACKUP_AGE) == ()
    assert census.values(ROLLOUT_DATABASES) == ()


async def test_a_rollout_that_halted_is_counted_in_every_number(house: House) -> None:
    await house.register("d", "e")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=3, budget="1")
        for database in ("acme", "bolt", "crane"):
            command = await actor.ordered(database)
            await (actor.applies(command) if database == "acme" else actor.fails(command))
        await house.becomes(rollout, "halted")
        # One whose order was made before the second failure is still out.
        ordered = len(await house.events(MigrationOrdered))
        beat = Heartbeat(
            agent="one",
            pool=POOL,
            host="h",
            version="0",
            started_at=SYSTEM_CLOCK.now(),
            at=SYSTEM_CLOCK.now(),
            insecure=(),
            refuses="",
            busy=(),
        )
        await house.stores.signs.put([Beat("one", POOL, beat.model_dump_json())])
        # A fleet of two pools, one of which nobody works for; a retired one is told as such.
        await house.register("f", pool="other")
        await house.register("g")
        await house.ledger.fleet.retire("g", RequestContext("gone"))
        position = await house.position()
        assert await house.stores.reads.reached(position) >= position
        census = counting(house)
        await census.count()
        states = by(census, ROLLOUT_DATABASES, telemetry.STATE)
        assert set(states) <= set(STATES)
        assert (states["applied"], states["failed"], sum(states.values())) == (1, 2, 5)
        assert by(census, ROLLOUTS, telemetry.STATE)["halted"] == 1
        assert by(census, BUDGET, telemetry.ROLLOUT_ID) == {rollout: 1}
        assert by(census, BUDGET_USED, telemetry.ROLLOUT_ID) == {rollout: 2}
        assert by(census, IN_FLIGHT_LIMIT, telemetry.ROLLOUT_ID) == {rollout: 3}
        assert by(census, IN_FLIGHT, telemetry.ROLLOUT_ID) == {rollout: ordered - 3}
        ((age_s, told),) = census.values(ROLLOUT_AGE)
        assert told == {telemetry.ROLLOUT_ID: rollout, telemetry.STATE: "halted"}
        assert 0 <= age_s < 600
        assert numbers(census, DATABASES) == {
            frozenset({(telemetry.STATE, "active"), (telemetry.POOL, POOL)}): 5,
            frozenset({(telemetry.STATE, "active"), (telemetry.POOL, "other")}): 1,
            frozenset({(telemetry.STATE, "retired"), (telemetry.POOL, POOL)}): 1,
        }
        assert by(census, BEHIND, telemetry.VERSIONS_BEHIND) == {
            "0": 1, "1": 0, "2": 5, "3-5": 0, "6-10": 0, "11+": 0,
        }  # fmt: skip
        assert numbers(census, TROUBLED) == {NO_LABELS: 2}
        assert by(census, AGENTS, telemetry.POOL) == {POOL: 1, "other": 0}
        head = await house.stores.log.head()
        assert numbers(census, TERM) == {NO_LABELS: head.term}
        assert numbers(census, EVENTS) == {NO_LABELS: head.position}


async def test_events_that_are_not_shown_are_counted_with_the_age_of_the_oldest(
    house: House,
) -> None:
    await house.stores.reads.caught_up()
    lost = [DatabaseSuspended(database=name) for name in ("acme", "bolt", "crane")]
    encoded = [encode(one, uuid4(), Metadata()) for one in lost]
    first = (await house.stores.log.append("fleet", encoded)).first_position
    (oldest, *_) = await house.stores.log.tail(first - 1, 1)
    census = counting(house, ManualClock(oldest.recorded_at + timedelta(seconds=90)))
    await census.count()
    assert numbers(census, PROJECTION_LAG) == {NO_LABELS: 3}
    assert numbers(census, PROJECTION_LAG_AGE) == {NO_LABELS: 90}
    size = await house.stores.pool.fetchval("SELECT pg_total_relation_size('ledger.log')")
    assert numbers(census, LOG_SIZE) == {NO_LABELS: size}
    await house.stores.reads.caught_up()
    await census.count()
    assert numbers(census, PROJECTION_LAG) == numbers(census, PROJECTION_LAG_AGE) == {NO_LABELS: 0}


async def test_rollouts_that_have_ended_are_counted_and_an_age_is_since_the_plan(
    house: House,
) -> None:
    for cancel in (False, True):
        await house.ledger.rollouts.abort(
            await house.start(), RequestContext("no more"), cancel=cancel
        )
    rollout = await house.start()
    await house.stores.reads.caught_up()
    row = await house.stores.reads.rollout(rollout)
    assert row is not None
    census = counting(house, ManualClock(row.planned_at + timedelta(seconds=100)))
    await census.count()
    states = by(census, ROLLOUTS, telemetry.STATE)
    assert {state: number for state, number in states.items() if number} == {
        "aborted": 2,
        row.status: 1,
    }
    assert by(census, ROLLOUT_AGE, telemetry.ROLLOUT_ID) == {rollout: 100}


async def test_how_far_clocks_are_apart_is_that_of_the_furthest_agent_of_a_pool(
    house: House,
) -> None:
    now = SYSTEM_CLOCK.now()
    for agent, ahead_s in (("one", 3), ("two", -7)):
        beat = Heartbeat(
            agent=agent, pool=POOL, host="h", version="0", started_at=now,
            at=now + timedelta(seconds=ahead_s), insecure=(), refuses="", busy=(),
        )  # fmt: skip
        await house.stores.signs.put([Beat(agent, POOL, beat.model_dump_json())])
    await house.stores.pool.execute("UPDATE ledger.heartbeat SET seen_at = $1", now)
    census = counting(house)
    await census.count()
    assert by(census, CLOCK_APART, telemetry.POOL) == {POOL: 7}
    assert by(census, AGENTS, telemetry.POOL) == {POOL: 2}


async def test_the_oldest_backup_of_a_pool_is_told_and_what_was_never_backed_up_is_not(
    house: House,
) -> None:
    now = SYSTEM_CLOCK.now()
    await house.register("d", pool="other")
    await house.register("e", pool="third")
    fleet, context = house.ledger.fleet, RequestContext()
    for database, hours in (("acme", 30), ("acme", 3), ("bolt", 5), ("d", 50)):
        at = now - timedelta(hours=hours)
        await fleet.record_fact(database, "backup", at, context)
    await fleet.record_fact("crane", "backup", now - timedelta(hours=99), context)
    await fleet.suspend("crane", context)
    await house.stores.reads.caught_up()
    census = counting(house, ManualClock(now))
    await census.count()
    hour = 3600
    assert by(census, BACKUP_AGE, telemetry.POOL) == {POOL: 5 * hour, "other": 50 * hour}


def looked_at(database: str, *, reachable: bool, check: str = "one") -> FoundLook:
    failure = None if reachable else Failure(FailureClass.UNREACHABLE, "refused")
    body = DatabaseInspected(
        database=database, command=uuid4(), reachable=reachable, failure=failure
    )
    return FoundLook(f"check-{check}", database, 1, reachable, 1, body.model_dump_json().encode())


async def test_a_database_is_unreachable_until_somebody_reaches_it(house: House) -> None:
    census, looks = counting(house), house.stores.looks
    await looks.put([looked_at("acme", reachable=False), looked_at("bolt", reachable=False)])
    await looks.put([looked_at("crane", reachable=True), looked_at("gone", reachable=False)])
    await census.count()
    assert numbers(census, UNREACHABLE) == {NO_LABELS: 2}
    await looks.put([looked_at("acme", reachable=True, check="two")])
    await census.count()
    assert numbers(census, UNREACHABLE) == {NO_LABELS: 1}
    await house.ledger.fleet.suspend("bolt", RequestContext())
    await house.stores.reads.caught_up()
    await census.count()
    assert numbers(census, UNREACHABLE) == {NO_LABELS: 0}


async def test_a_database_that_a_rollout_could_not_reach_is_unreachable_until_it_has_done_so(
    house: House,
) -> None:
    census = counting(house)
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", budget="0")
        command = await actor.ordered("acme")
        await house.stores.reads.reached(await house.position())
        await census.count()
        assert by(census, IN_FLIGHT, telemetry.ROLLOUT_ID) == {rollout: 1}
        refused = Failure(FailureClass.UNREACHABLE, "refused")
        last = finished(command, Verdict.REFUSED, failure=refused)
        unread = last.model_copy(update={"journal_head": None})
        await actor.say(command.stream, started(command), unread)
        await house.becomes(rollout, "halted")
        await house.stores.reads.reached(await house.position())
        await census.count()
        assert numbers(census, UNREACHABLE) == {NO_LABELS: 1}
        await house.ledger.rollouts.retry(rollout, (), RequestContext("it is back"))
        again = await actor.commands(2)
        assert isinstance(again[-1], ApplyCommand)
        await actor.applies(again[-1])
        await house.becomes(rollout, "completed")
        await house.stores.reads.reached(await house.position())
        await census.count()
        assert numbers(census, UNREACHABLE) == {NO_LABELS: 0}


@pytest.mark.parametrize(
    ("lacking", "called"),
    [(0, "0"), (1, "1"), (2, "2"), (3, "3-5"), (5, "3-5"), (6, "6-10"), (10, "6-10"), (11, "11+")],
)
def test_databases_are_counted_together_that_lack_about_as_much(lacking: int, called: str) -> None:
    assert module.called(lacking) == called


async def test_no_number_names_a_database(house: House) -> None:
    await house.register("secret-tenant")
    async with house.leading():
        await house.start()
        census = counting(house)
        await census.count()
    said: Iterable[Mapping[str, str]] = (told for one in COUNTED for _, told in census.values(one))
    assert not [told for told in said if "secret-tenant" in told.values()]


async def test_a_ledger_that_does_not_answer_leaves_the_last_count_and_its_age(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    census = counting(house, clock)
    readers: dict[Instrument, Callable[[], Iterable[Value]]] = {}
    monkeypatch.setattr(instruments, "observe", readers.__setitem__)
    census.observe()
    await census.count()
    before = census.values(EVENTS)

    async def head() -> Head:
        raise LedgerUnreachable("does not answer", "start it")

    monkeypatch.setattr(house.stores.log, "head", head)
    for _ in range(3):
        await census.try_to_count()
    assert census.trouble
    assert census.values(EVENTS) == before
    clock.advance(33)
    assert list(readers[COUNTED_AGE]()) == [(33, {})]
    assert list(readers[EVENTS]()) == list(before)
    assert len(caplog.records) == 1


async def test_databases_are_named_where_that_is_asked_for_and_nowhere_else(house: House) -> None:
    await house.register("d", "e")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=3, budget="1", select="id in (acme,bolt)")
        await actor.applies(await actor.ordered("acme"))
        await actor.fails(await actor.ordered("bolt"))
        await house.becomes(rollout, "completed")
    await house.ledger.fleet.suspend("crane", RequestContext("a holiday"))
    await house.stores.reads.caught_up()
    census = counting(house)
    await census.count()
    for one in COUNTED:
        assert all(telemetry.DATABASE not in told for _, told in census.values(one))
    assert census.values(UNNAMED) == ()
    census = counting(house, named=5)
    await census.count()
    assert {
        told[telemetry.DATABASE]: told[telemetry.STATE] for _, told in census.values(NAMED_STATE)
    } == {
        "acme": "current",
        "bolt": "troubled",
        "crane": "suspended",
        "d": "behind",
        "e": "behind",
    }
    assert {value for value, _ in census.values(NAMED_STATE)} == {1}
    behind = {"acme": 0, "bolt": 2, "crane": 2, "d": 2, "e": 2}
    assert by(census, NAMED_BEHIND, telemetry.DATABASE) == behind
    assert by(census, NAMED_RUN, telemetry.DATABASE) == {"acme": 0.005}
    outcomes = [("acme", "done"), ("bolt", "failed", "sql")]
    assert [tuple(told.values()) for _, told in census.values(NAMED_RUN_AGE)] == outcomes
    assert [0 <= age_s < 600 for age_s, _ in census.values(NAMED_RUN_AGE)] == [True, True]
    assert numbers(census, UNNAMED) == {NO_LABELS: 0}


async def test_no_more_databases_are_named_than_asked_for_and_that_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.stores.reads.caught_up()
    census = counting(house, named=2)
    for _ in range(2):
        await census.count()
    assert set(by(census, NAMED_STATE, telemetry.DATABASE)) == {"acme", "bolt"}
    assert numbers(census, UNNAMED) == {NO_LABELS: 1}
    (said,) = [one.getMessage() for one in caplog.records]
    assert "1 databases have no figures of their own" in said
    assert "monitoring.named_databases" in said
