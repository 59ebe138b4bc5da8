"""Every number that is counted for whoever watches, after work whose numbers are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from ledger import telemetry
from ledger.contracts.heartbeat import Heartbeat
from ledger.domain.tally import STATES
from ledger.errors import LedgerUnreachable
from ledger.instruments import (
    AGENTS,
    BEHIND,
    BUDGET,
    BUDGET_USED,
    CLOCK_APART,
    DATABASES,
    DRIFTED,
    EVENTS,
    IN_FLIGHT_LIMIT,
    PROJECTION_LAG,
    ROLLOUT_AGE,
    ROLLOUT_DATABASES,
    ROLLOUTS,
    TERM,
    TROUBLED,
    UNREADABLE,
    Instrument,
)
from ledger.service import census as module
from ledger.service.census import COUNTED, Census
from ledger.service.request_context import RequestContext
from ledger.store.port import Beat, Head
from migrations.clock import SYSTEM_CLOCK
from tests.support.house import POOL, House

NO_LABELS: frozenset[tuple[str, str]] = frozenset()


def counting(house: House) -> Census:
    ledger, stores = house.ledger, house.stores
    return Census(stores.log, stores.reads, ledger.status, ledger.lookout, SYSTEM_CLOCK)


def numbers(census: Census, one: Instrument) -> dict[frozenset[tuple[str, str]], float]:
    """The values of an instrument by their attributes; each set of attributes once."""
    values = census.values(one)
    found = {frozenset(told.items()): value for value, told in values}
    assert len(found) == len(values)
    return found


def by(census: Census, one: Instrument, attribute: str) -> dict[str, float]:
    return {told[attribute]: value for value, told in census.values(one)}


async def test_where_nothing_happened_there_are_zeros_and_not_nothing(house: House) -> None:
    census = counting(house)
    await census.count()
    head = await house.stores.log.head()
    assert numbers(census, EVENTS) == {NO_LABELS: head.position}
    assert by(census, ROLLOUTS, telemetry.STATE) == {
        "planned": 0,
        "running": 0,
        "paused": 0,
        "halted": 0,
    }
    behind = by(census, BEHIND, telemetry.VERSIONS_BEHIND)
    assert behind == {"0": 3, "1": 0, "2": 0, "3-5": 0, "6-10": 0, "11+": 0}
    assert numbers(census, TROUBLED) == numbers(census, DRIFTED) == {NO_LABELS: 0}
    assert numbers(census, UNREADABLE) == {NO_LABELS: 0}
    assert census.values(ROLLOUT_DATABASES) == ()


async def test_a_rollout_that_halted_is_counted_in_every_number(house: House) -> None:
    await house.register("d", "e")
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=3, budget="1")
        for database in ("acme", "bolt", "crane"):
            command = await actor.ordered(database)
            await (actor.applies(command) if database == "acme" else actor.fails(command))
        await house.becomes(rollout, "halted")
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
        ((age_s, told),) = census.values(ROLLOUT_AGE)
        assert told == {telemetry.ROLLOUT_ID: rollout, telemetry.STATE: "halted"}
        assert 0 <= age_s < 600
        assert numbers(census, DATABASES) == {
            frozenset({(telemetry.STATE, "active"), (telemetry.POOL, POOL)}): 5,
            frozenset({(telemetry.STATE, "active"), (telemetry.POOL, "other")}): 1,
            frozenset({(telemetry.STATE, "retired"), (telemetry.POOL, POOL)}): 1,
        }
        behind = by(census, BEHIND, telemetry.VERSIONS_BEHIND)
        assert {called: number for called, number in behind.items() if number} == {"0": 1, "2": 5}
        assert numbers(census, TROUBLED) == {NO_LABELS: 2}
        assert by(census, AGENTS, telemetry.POOL) == {POOL: 1, "other": 0}
        assert by(census, CLOCK_APART, telemetry.POOL)[POOL] < 60
        head = await house.stores.log.head()
        assert numbers(census, TERM) == {NO_LABELS: head.term}
        assert numbers(census, EVENTS) == {NO_LABELS: head.position}
        assert numbers(census, PROJECTION_LAG)[NO_LABELS] >= 0


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
    census = counting(house)
    await census.count()
    before = census.values(EVENTS)

    async def head() -> Head:
        raise LedgerUnreachable("does not answer", "start it")

    monkeypatch.setattr(house.stores.log, "head", head)
    for _ in range(3):
        await census.try_to_count()
    assert census.trouble
    assert census.values(EVENTS) == before
    assert census.age_s > 0
    assert len(caplog.records) == 1
