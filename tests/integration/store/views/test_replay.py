"""Replay folds the log beside the live tables: it agrees, or it names what differs."""

from __future__ import annotations

import asyncio
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.contracts import events as e
from ledger.contracts.events import (
    CheckFinished,
    DatabaseSuspended,
    RetryRequested,
    RolloutAborted,
    RolloutPaused,
    RolloutStarted,
    WaveOpened,
)
from ledger.contracts.reports import AttemptFinished, DatabaseInspected, Event
from ledger.domain.differences import Difference, DifferenceKind, Replayed
from ledger.domain.rollout import fold
from ledger.domain.states import DatabaseState, DatabaseStatus
from ledger.store.views.advance import advance, catch_up, rebuild
from ledger.store.views.columns import to_state
from ledger.store.views.replay import replay
from ledger.store.views.tables import ROLLOUT_DATABASE, TABLES
from migrations.model.attempt import Mode, Verdict
from tests.integration.store.views.conftest import Ledger
from tests.integration.store.views.test_queries import fleet_of, order, plan
from tests.support.histories import Move, Story
from tests.support.raw_event import NewEvent

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


async def kept(ledger: Ledger, rollout: str) -> dict[str, DatabaseState]:
    """The states of a rollout's databases, as they stand in rows."""
    columns = ROLLOUT_DATABASE.read()
    sql = f"SELECT {columns} FROM ledger.rollout_database AS t WHERE rollout = $1"
    return {row["database"]: to_state(row) for row in await ledger.pool.fetch(sql, rollout)}


async def folded(ledger: Ledger, rollout: str) -> dict[str, DatabaseState]:
    """The same states, as the domain folds them from the log."""
    state = fold(None, await ledger.history.rollout(rollout))
    assert state is not None
    return {one.database: one for one in state.databases()}


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
    e.UndoStarted,
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
        if waiting and not isinstance(event, e.MigrationOrdered):
            # What was ordered on a request is projected together with it.
            await ledger.models.caught_up()
            assert (await replayed(ledger)).differences == ()
        waiting = isinstance(event, REQUESTS) or (waiting and isinstance(event, e.MigrationOrdered))
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

    rows = await ledger.pool.fetch("SELECT database, command FROM ledger.rollout_database")

    assert {row["database"]: row["command"] for row in rows} == {
        order.database: order.command for order in story.orders
    }
    assert len(story.orders) == databases


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES, limit=st.integers(1, 9))
async def test_rows_hold_all_that_the_domain_folds_however_the_log_was_cut(
    ledger: Ledger, moves: list[Move], limit: int
) -> None:
    story = Story(f"s{next(NAMES)}")
    for stream, event in story.tell([(0, 1, 1, 1), (3, 1, 1, 0), *moves]):
        await ledger.append(stream, event)
    await project(ledger, limit)

    for rollout in story.rollouts:
        assert await kept(ledger, rollout) == await folded(ledger, rollout)


@pytest.mark.parametrize("limit", [1, 1000])
async def test_databases_that_are_retried_together_keep_each_its_own_command(
    ledger: Ledger, limit: int
) -> None:
    names = [f"db-{number}" for number in range(6)]
    await fleet_of(ledger, *names)
    await plan(ledger, "r1", *names)
    asked = RetryRequested(rollout="r1", databases=tuple(names))
    await ledger.append("rollout-r1", asked)
    commands = {name: await order(ledger, "r1", name) for name in names}
    await project(ledger, limit)

    rows = await ledger.pool.fetch("SELECT database, command FROM ledger.rollout_database")

    assert {row["database"]: row["command"] for row in rows} == commands
    assert (await replayed(ledger)).agrees


async def test_a_report_on_a_rollout_that_ended_long_ago_finds_its_state_again(
    ledger: Ledger,
) -> None:
    await fleet_of(ledger, "acme")
    await plan(ledger, "r1", "acme")
    command = await order(ledger, "r1", "acme")
    await ledger.append("rollout-r1", RolloutAborted(rollout="r1", cancel=True))
    await project(ledger, 1000)
    late = AttemptFinished(
        database="acme",
        command=command,
        attempt=1,
        mode=Mode.UP,
        verdict=Verdict.CANCELLED,
        changed=0,
        journal_head="head",
    )
    await ledger.append("rollout-r1/reports", late)
    await project(ledger, 1000)

    assert await kept(ledger, "r1") == await folded(ledger, "r1")
    assert (await kept(ledger, "r1"))["acme"].status is DatabaseStatus.FAILED
    assert (await replayed(ledger)).agrees


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        ("rollout-never-planned", RolloutStarted(rollout="never-planned")),
        ("rollout-r1", WaveOpened(rollout="r1", wave=7)),
        ("rollout-r1", RolloutPaused(rollout="r9")),
        ("fleet", DatabaseSuspended(database="never-registered")),
        ("check-c9/reports", DatabaseInspected(database="acme", command=uuid4(), reachable=True)),
        ("check-c9", CheckFinished(
            check="c9", asked_by="nobody", databases=1, read=0, unread=0, silent=("acme",),
            changed=0, lost=0, duration_ms=0,
        )),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_where_it_stands_stops_no_projection(
    ledger: Ledger, stream: str, event: Event
) -> None:
    await fleet_of(ledger, "acme", "bolt")
    await plan(ledger, "r1", "acme", "bolt")
    await ledger.append(stream, event)
    await order(ledger, "r1", "bolt")
    await project(ledger, 1)

    assert (await kept(ledger, "r1"))["bolt"].status is DatabaseStatus.ORDERED
    assert (await replayed(ledger)).agrees


@pytest.mark.parametrize("limit", [1, 5, 1000])
async def test_a_long_history_leaves_rows_in_every_table_and_agrees(
    ledger: Ledger, limit: int
) -> None:
    await tell(ledger, FULL)
    await project(ledger, limit)

    found = await replayed(ledger)

    assert found.agrees
    # Nothing in a history of ours is unreadable.
    assert {name for name, rows in found.rows.items() if rows == 0} == {"unreadable_event"}
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
            "INSERT INTO ledger.rollout_database VALUES ('x', 'y', 1, 'failed', NULL, false, '{}')",
            "rollout_database",
            DifferenceKind.SURPLUS,
            (),
        ),
        ("UPDATE ledger.attempt SET attempt = 99", "attempt", DifferenceKind.CHANGED, ("attempt",)),
        ("DELETE FROM ledger.requested_check", "requested_check", DifferenceKind.MISSING, ()),
        (
            "UPDATE ledger.requested_check SET finished_position = 1, finished_at = NULL",
            "requested_check",
            DifferenceKind.CHANGED,
            ("finished_position", "finished_at"),
        ),
        ("DELETE FROM ledger.reading", "reading", DifferenceKind.MISSING, ()),
        (
            "UPDATE ledger.fleet_database SET seen = 'x'",
            "fleet_database",
            DifferenceKind.CHANGED,
            ("seen",),
        ),
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
    await ledger.pool.execute("UPDATE ledger.fleet_database SET target_port = 1, target_host = 'x'")

    found = await replayed(ledger)

    assert found.differences == (
        Difference(
            "fleet_database",
            {"database": name},
            DifferenceKind.CHANGED,
            ("target_host", "target_port"),
        ),
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
        "INSERT INTO ledger.event_type VALUES ('FromTheFuture', 1, '^fleet$')"
    )
    await ledger.pool.execute(
        "INSERT INTO ledger.event_type_permission VALUES ('FromTheFuture', 'ledger_service')"
    )
    await ledger.log.append("fleet", [NewEvent(uuid4(), "FromTheFuture", 1, b"{}", b"{}")])
    await tell(ledger, [(0, 1, 1, 1)])

    async with ledger.pool.acquire() as connection:
        await catch_up(connection)
        await rebuild(connection)

    assert [one.position for one in await ledger.models.unreadable()] == [known + 1]
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
