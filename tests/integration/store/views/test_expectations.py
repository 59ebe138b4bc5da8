"""What the next order expects is the same in the leader's memory and in the read models."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import command_id
from ledger.leader.fleet_cache import Roster
from ledger.store.log.decode import open_event
from ledger.store.views.advance import advance
from migrations.model.attempt import Expectation, Mode, Verdict
from tests.integration.store.views.conftest import Ledger
from tests.integration.store.views.test_queries import fleet_of, order, plan
from tests.support.histories import Story, connection

CHOICE = st.integers(0, 11)
# Databases come and move, a rollout, orders, reports, looks: in any order.
MOVES = st.lists(
    st.tuples(st.sampled_from([1, 1, 5, 7, 8, 9, 11, 12]), CHOICE, CHOICE, CHOICE),
    min_size=3,
    max_size=40,
)
BEGINNING = [(0, 1, 1, 1), (0, 1, 1, 1), (3, 1, 1, 0)]
NAMES = count()


async def project(ledger: Ledger, limit: int) -> None:
    async with ledger.pool.acquire() as connection_:
        before = -1
        while (reached := await advance(connection_, limit)) != before:
            before = reached


async def expected(ledger: Ledger) -> dict[str, Expectation]:
    return {record.database: record.expected for record in await ledger.models.records()}


def finished(rollout: str, database: str, head: str) -> r.AttemptFinished:
    return r.AttemptFinished(
        database=database,
        command=command_id(rollout, database, "up", 1),
        attempt=1,
        mode=Mode.UP,
        verdict=Verdict.DONE,
        changed=1,
        journal_head=head,
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES, limit=st.integers(1, 9))
async def test_the_roster_in_memory_expects_what_the_read_models_expect(
    ledger: Ledger, moves: list[tuple[int, int, int, int]], limit: int
) -> None:
    story = Story(f"s{next(NAMES)}")
    before = (await ledger.log.head()).position
    for stream, event in story.tell([*BEGINNING, *moves]):
        await ledger.append(stream, event)
    await project(ledger, limit)
    roster = Roster()
    roster.saw([open_event(raw) for raw in await ledger.log.tail(before, 1000)])

    found = await expected(ledger)

    assert {name: roster[name].expected for name in story.databases} == {
        name: found[name] for name in story.databases
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES, cut=st.integers(1, 30))
async def test_a_roster_that_starts_in_the_middle_learns_what_one_from_the_beginning_does(
    ledger: Ledger, moves: list[tuple[int, int, int, int]], cut: int
) -> None:
    story = Story(f"s{next(NAMES)}")
    before = (await ledger.log.head()).position
    told = list(story.tell([*BEGINNING, *moves]))
    for stream, event in told[:cut]:
        await ledger.append(stream, event)
    await project(ledger, 1000)
    middle = (await ledger.log.head()).position
    restarted, steady = Roster(), Roster()
    restarted.load(await ledger.models.fleet_entries())
    for stream, event in told[cut:]:
        await ledger.append(stream, event)
    restarted.saw([open_event(raw) for raw in await ledger.log.tail(middle, 1000)])
    steady.saw([open_event(raw) for raw in await ledger.log.tail(before, 1000)])

    assert [restarted[name] for name in story.databases] == [
        steady[name] for name in story.databases
    ]


@pytest.mark.parametrize("limit", [1, 1000])
@pytest.mark.parametrize(
    "moved",
    [
        e.DatabaseReinstated(database="acme"),
        e.DatabaseRepointed(database="acme", pool="main", connection=connection(2)),
    ],
)
async def test_an_answer_to_what_was_ordered_before_a_move_says_nothing_of_the_new_journal(
    ledger: Ledger, moved: r.Event, limit: int
) -> None:
    await fleet_of(ledger, "acme")
    await plan(ledger, "r1", "acme")
    await order(ledger, "r1", "acme")
    await ledger.append("fleet", moved)
    await ledger.append("rollout-r1/reports", finished("r1", "acme", "old"))
    await project(ledger, limit)
    assert (await expected(ledger))["acme"] == Expectation()

    await plan(ledger, "r2", "acme")
    await order(ledger, "r2", "acme")
    await ledger.append("rollout-r2/reports", finished("r2", "acme", "new"))
    await project(ledger, limit)

    assert (await expected(ledger))["acme"] == Expectation(journal_head="new")
