"""Replay folds the log beside the live tables: it agrees, or it names what differs."""

from __future__ import annotations

import asyncio
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.contracts import events as e
from ledger.store.log.log import NewEvent
from ledger.store.views.advance import advance, catch_up, rebuild
from ledger.store.views.replay import Difference, DifferenceKind, Replayed, replay
from ledger.store.views.tables import TABLES
from tests.integration.store.views.conftest import Ledger
from tests.support.histories import Move, Story

SMALL = st.integers(0, 11)
MOVES = st.lists(st.tuples(st.integers(0, 25), SMALL, SMALL, SMALL), min_size=5, max_size=60)
NAMES = count()
FULL: list[Move] = [
    (kind, a, b, a + b) for a in range(4) for b in range(12) for kind in (*range(14), 7, 9, 6, 8)
]
"""Every move with many choices: a history that leaves rows in every table."""


async def tell(ledger: Ledger, moves: list[Move]) -> None:
    story = Story(f"s{next(NAMES)}")
    for stream, event in story.tell(moves):
        await ledger.append(stream, event)


async def project(ledger: Ledger, limit: int) -> None:
    async with ledger.pool.acquire() as connection:
        before = -1
        while (reached := await advance(connection, limit)) != before:
            before = reached


async def replayed(ledger: Ledger) -> Replayed:
    async with ledger.pool.acquire() as connection:
        return await replay(connection)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES, limit=st.integers(1, 9))
async def test_whatever_happened_a_replay_agrees_with_what_was_projected_bit_by_bit(
    ledger: Ledger, moves: list[Move], limit: int
) -> None:
    await tell(ledger, moves)
    await project(ledger, limit)

    found = await replayed(ledger)

    assert found.differences == ()
    assert found.position == found.head


REQUESTS = (
    e.RolloutStarted,
    e.RolloutPaused,
    e.RolloutResumed,
    e.RollbackStarted,
    e.RolloutAborted,
    e.RetryRequested,
    e.OutcomeResolved,
    e.CheckRequested,
)
"""What a person asks for."""
BEGUN: list[Move] = [(0, 0, 0, 0)] * 3 + [(3, 2, 1, 1)]
"""Three databases and a rollout on all of them."""


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=st.lists(st.tuples(st.integers(3, 13), SMALL, SMALL, SMALL), max_size=20))
async def test_after_every_request_the_live_tables_are_what_a_replay_makes_of_the_log(
    ledger: Ledger, moves: list[Move]
) -> None:
    waiting = False
    for stream, event in Story(f"s{next(NAMES)}").tell([*BEGUN, *moves]):
        if waiting and not isinstance(event, e.MigrationOrdered | e.RollbackOrdered):
            # What was ordered on a request is projected together with it.
            await ledger.models.caught_up()
            assert (await replayed(ledger)).differences == ()
        waiting = isinstance(event, REQUESTS) or (
            waiting and isinstance(event, e.MigrationOrdered | e.RollbackOrdered)
        )
        await ledger.append(stream, event)
    await ledger.models.caught_up()
    assert (await replayed(ledger)).differences == ()


@pytest.mark.parametrize("databases", [1, 2, 12])
async def test_each_database_of_a_retry_keeps_the_command_of_its_own_order(
    ledger: Ledger, databases: int
) -> None:
    story = Story(f"s{next(NAMES)}")
    told = list(story.tell([(0, 0, 0, 0)] * databases + [(3, databases - 1, 1, 0)]))
    for stream, event in told:
        await ledger.append(stream, event)
    await ledger.models.caught_up()
    for stream, event in story.tell([(13, 0, databases, 0)]):
        await ledger.append(stream, event)
    await ledger.models.caught_up()

    rows = await ledger.pool.fetch("SELECT database, command FROM ledger.planned_database")

    assert {row["database"]: row["command"] for row in rows} == {
        order.database: order.command for order in story.orders
    }
    assert len(story.orders) == databases


@pytest.mark.parametrize("limit", [1, 5, 1000])
async def test_a_long_history_leaves_rows_in_every_table_and_agrees(
    ledger: Ledger, limit: int
) -> None:
    await tell(ledger, FULL)
    await project(ledger, limit)

    found = await replayed(ledger)

    assert found.agrees
    assert {name for name, rows in found.rows.items() if rows == 0} == set()
    assert set(found.rows) == {table.name for table in TABLES}


@pytest.mark.parametrize(
    ("damage", "table", "kind", "columns"),
    [
        (
            "DELETE FROM ledger.applied WHERE version = '20260101'",
            "applied",
            DifferenceKind.MISSING,
            (),
        ),
        (
            "UPDATE ledger.applied SET state = 'unknown', at = 'epoch' WHERE state = 'applied'",
            "applied",
            DifferenceKind.CHANGED,
            ("state", "at"),
        ),
        (
            'UPDATE ledger.fleet_database SET labels = \'{"tier": "gold"}\'',
            "fleet_database",
            DifferenceKind.CHANGED,
            ("labels",),
        ),
        (
            "UPDATE ledger.fleet_database SET journal_head = NULL WHERE journal_head IS NOT NULL",
            "fleet_database",
            DifferenceKind.CHANGED,
            ("journal_head",),
        ),
        ("UPDATE ledger.rollout SET why = 'never'", "rollout", DifferenceKind.CHANGED, ("why",)),
        ("DELETE FROM ledger.rollout", "rollout", DifferenceKind.MISSING, ()),
        (
            "INSERT INTO ledger.planned_database (rollout, database, wave) VALUES ('x', 'y', 1)",
            "planned_database",
            DifferenceKind.SURPLUS,
            (),
        ),
        ("UPDATE ledger.attempt SET attempt = 99", "attempt", DifferenceKind.CHANGED, ("attempt",)),
        ("DELETE FROM ledger.inspection", "inspection", DifferenceKind.MISSING, ()),
        ("UPDATE ledger.bundle SET source = 'else'", "bundle", DifferenceKind.CHANGED, ("source",)),
        ("DELETE FROM ledger.database_event", "database_event", DifferenceKind.MISSING, ()),
        (
            "INSERT INTO ledger.database_event VALUES ('y', 1)",
            "database_event",
            DifferenceKind.SURPLUS,
            (),
        ),
        (
            "UPDATE ledger.read_model_position SET position = position + 7",
            "read_model_position",
            DifferenceKind.CHANGED,
            ("position",),
        ),
    ],
)
async def test_damage_is_found_named_and_repaired_by_a_rebuild(
    ledger: Ledger, damage: str, table: str, kind: DifferenceKind, columns: tuple[str, ...]
) -> None:
    await tell(ledger, FULL)
    await ledger.models.caught_up()
    await ledger.pool.execute(damage)

    found = await replayed(ledger)

    assert {difference.table for difference in found.differences} == {table}
    assert {difference.kind for difference in found.differences} == {kind}
    assert {name for one in found.differences for name in one.columns} == set(columns)

    async with ledger.pool.acquire() as connection:
        await rebuild(connection)
    assert (await replayed(ledger)).agrees


async def test_a_difference_names_the_row_by_its_key(ledger: Ledger) -> None:
    await tell(ledger, [(0, 1, 1, 1)])
    await ledger.models.caught_up()
    name = (await ledger.models.records())[0].database
    await ledger.pool.execute("UPDATE ledger.fleet_database SET port = 1, host = 'elsewhere'")

    found = await replayed(ledger)

    assert found.differences == (
        Difference("fleet_database", {"database": name}, DifferenceKind.CHANGED, ("host", "port")),
    )


async def test_more_differences_than_are_listed_are_said_to_exist(ledger: Ledger) -> None:
    await tell(ledger, FULL)
    await ledger.models.caught_up()
    await ledger.pool.execute("DELETE FROM ledger.database_event")

    found = await replayed(ledger)

    assert found.more
    assert len(found.differences) == 100


async def test_a_replay_leaves_nothing_behind_and_changes_nothing(ledger: Ledger) -> None:
    await tell(ledger, FULL[:80])
    await ledger.models.caught_up()
    async with ledger.pool.acquire() as connection:
        await replay(connection)
        await replay(connection)
        left = await connection.fetchval(
            "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname = 'applied'"
        )

    assert left == 0


async def test_events_behind_the_projected_position_are_no_difference(ledger: Ledger) -> None:
    await tell(ledger, FULL[:40])
    await ledger.models.caught_up()
    await tell(ledger, FULL[:40])

    found = await replayed(ledger)

    assert found.agrees
    assert found.position < found.head


async def test_many_processes_may_project_at_once(ledger: Ledger) -> None:
    await tell(ledger, FULL)

    await asyncio.gather(*(project(ledger, 7) for _ in range(4)))

    found = await replayed(ledger)
    assert found.agrees
    assert found.position == found.head


async def test_an_event_that_cannot_be_read_is_marked_and_stops_nothing(ledger: Ledger) -> None:
    await tell(ledger, [(0, 1, 1, 1)])
    known = (await ledger.log.head()).position
    await ledger.pool.execute(
        "INSERT INTO ledger.event_type_permission VALUES ('FromTheFuture', 'ledger_service')"
    )
    await ledger.log.append("fleet", [NewEvent(uuid4(), "FromTheFuture", 1, b"{}", b"{}")])
    await tell(ledger, [(0, 1, 1, 1)])

    async with ledger.pool.acquire() as connection:
        await catch_up(connection)
        await rebuild(connection)

    assert await ledger.models.unreadable() == [known + 1]
    assert await ledger.models.position() == (await ledger.log.head()).position
    assert (await replayed(ledger)).agrees


async def test_a_log_that_is_written_in_many_parts_gives_the_same_rows(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.views.advance.FOLD_BATCH", 7)
    monkeypatch.setattr("ledger.store.views.advance.HELD_ROWS", 30)
    await tell(ledger, FULL)
    await project(ledger, 1000)

    assert (await replayed(ledger)).agrees

    async with ledger.pool.acquire() as connection:
        await rebuild(connection)
    assert (await replayed(ledger)).agrees
