"""How often a database is waited for: counted on the line, without a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import pytest

from migrations.model.attempt import Mode, Verdict
from migrations.model.preflight import PreflightPolicy
from migrations.runner import run
from migrations.running.transactional import TOGETHER
from migrations.target.pipeline import asked_together
from migrations.target.session import close_session, open_session
from ops.bench.contest.line import Line, delayed_line
from ops.bench.contest.workload import CREATE_USERS, WORKS
from tests.integration.migrations.world import (
    IMPATIENT,
    OUR_BACKENDS,
    Hearing,
    World,
    expecting,
    migration,
    smuggled,
    until,
    users,
)

AT_MOST = 8
"""Connecting, SCRAM and saying good-bye included."""

OWNED = "SELECT count(*) FROM pg_tables WHERE tablename ~ '^t[0-9]*$' AND tableowner = '{role}'"

FIRST, SECOND = (
    migration(work.version, ";\n".join(work.up), ";\n".join(work.down)) for work in WORKS
)


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[tuple[World, Line]]:
    """The same database over a line that counts."""
    parts = urlsplit(world.url)
    assert parts.hostname
    async with delayed_line(parts.hostname, parts.port or 5432, 0, noted=True) as line:
        login = parts.netloc.rpartition("@")[0]
        url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{line.port}"))
        yield replace(world, url=url), line


@pytest.fixture
async def counted(world: World) -> AsyncIterator[tuple[World, Line]]:
    """A database with users, over a line that counts."""
    await world.execute(CREATE_USERS)
    async with watched(world) as found:
        yield found


async def test_first_and_later_migrations_take_eight_round_trips(
    counted: tuple[World, Line],
) -> None:
    world, line = counted
    first = await world.up(FIRST)
    second = await world.up(FIRST, SECOND, expectation=expecting(first))
    assert first.verdict is second.verdict is Verdict.DONE
    trips = [session.round_trips for session in line.sessions]
    assert len(trips) == 2
    assert max(trips) <= AT_MOST, trips


async def test_what_is_asked_before_takes_one_round_trip_more(
    counted: tuple[World, Line],
) -> None:
    world, line = counted
    asking = replace(IMPATIENT, preflight=PreflightPolicy())
    first = await world.do(world.work(Mode.UP, FIRST), asking)
    later = world.work(Mode.UP, FIRST, SECOND, expectation=expecting(first))
    assert (await world.do(later, asking)).verdict is first.verdict is Verdict.DONE
    assert max(session.round_trips for session in line.sessions) <= AT_MOST + 1


async def test_more_statements_a_role_and_a_second_migration_wait_no_longer(
    counted: tuple[World, Line],
) -> None:
    world, line = counted
    tables = ";\n".join(f"CREATE TABLE t{number} ()" for number in range(TOGETHER - 1))
    many = migration("20260401090000", tables)
    role = world.owner
    outcome = await run(
        replace(world.settings, role=role),
        world.work(Mode.UP, many, migration("20260402090000", "CREATE TABLE t ()")),
        IMPATIENT,
        world.hearing,
    )
    assert outcome.verdict is Verdict.DONE
    assert [session.round_trips for session in line.sessions] == [AT_MOST + 2]
    assert await world.value(OWNED.format(role=role)) == TOGETHER


async def test_a_journal_of_the_registered_role_is_read_in_as_few(
    counted: tuple[World, Line],
) -> None:
    world, line = counted
    settings = replace(world.settings, role=world.owner)
    one, two = (migration(number, f"CREATE TABLE t{number} ()") for number in ("001", "002"))
    first = await run(settings, world.work(Mode.UP, one), IMPATIENT, world.hearing)
    later = world.work(Mode.UP, one, two, expectation=expecting(first))
    assert (await run(settings, later, IMPATIENT, world.hearing)).verdict is Verdict.DONE
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'journal'"
    assert await world.value(owner) == world.owner
    assert max(session.round_trips for session in line.sessions) <= AT_MOST


async def test_every_statement_is_heard_when_it_ends(counted: tuple[World, Line]) -> None:
    world, _ = counted
    await world.up(FIRST)
    assert [heard.split()[0] for heard in world.hearing.statements] == ["1/4", "2/4", "3/4", "4/4"]


async def test_more_than_are_sent_at_once_run_in_order_and_in_one_transaction(
    world: World,
) -> None:
    count = 2 * TOGETHER + 1
    steps = [
        f"INSERT INTO seen SELECT count(*) FROM seen HAVING count(*) = {n}" for n in range(count)
    ]
    many = migration("001", ";\n".join(["CREATE TABLE seen (n int)", *steps]))
    outcome = await world.up(many)
    assert outcome.verdict is Verdict.DONE
    assert await world.value("SELECT count(DISTINCT xmin::text) FROM seen") == 1
    assert await world.value("SELECT array_agg(n ORDER BY ctid) FROM seen") == list(range(count))


@pytest.mark.parametrize("wrong", [1, 2, TOGETHER, TOGETHER + 1, TOGETHER + 30])
async def test_the_statement_that_fails_is_named_wherever_it_stands(
    world: World, wrong: int
) -> None:
    statements = [f"CREATE TABLE t{number} ()" for number in range(1, TOGETHER + 40)]
    statements[wrong - 1] = "SELECT 1/0"
    outcome = await world.up(migration("001", ";\n".join(statements)))
    assert outcome.failure is not None
    assert (outcome.failure.sqlstate, outcome.failure.line) == ("22012", wrong + 1)
    assert len(world.hearing.statements) == wrong - 1
    assert not await world.has("t1" if wrong > 1 else "t2")
    assert not await world.has(f"t{TOGETHER + 39}")


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK", "ABORT", "END"])
async def test_nothing_runs_behind_the_end_of_our_transaction(world: World, ending: str) -> None:
    later = [f"CREATE TABLE later{number} ()" for number in range(3)]
    outcome = await world.up(smuggled(users(), "SELECT 1", ending, *later))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert [await world.has(f"later{number}") for number in range(3)] == [False] * 3


async def test_nothing_runs_where_our_transaction_could_not_begin(world: World) -> None:
    settings = replace(world.settings, role="nobody_of_this_name")
    outcome = await run(settings, world.work(Mode.UP, users()), IMPATIENT, world.hearing)
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "22023"
    assert (outcome.failure.file, outcome.failure.line) == ("001_m.sql", 2)
    assert "before the first statement" in outcome.failure.message
    assert not await world.has("users")


async def test_what_only_the_server_refuses_to_read_stops_what_stands_behind_it(
    world: World,
) -> None:
    outcome = await world.up(smuggled(users(), "CREATE TABLE", "CREATE TABLE later ()"))
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42601"
    assert not await world.has("later")


async def _is_left_alone(world: World) -> bool:
    # A cancellation that comes between two statements is lost; the server looks for us soon after.
    return bool(await world.value(OUR_BACKENDS) == 0)


async def test_a_cancelled_migration_stops_the_statements_that_were_sent(world: World) -> None:
    slow = migration("001", "CREATE TABLE a (); SELECT pg_sleep(600); CREATE TABLE b ()")
    running = asyncio.create_task(world.do(world.work(Mode.UP, slow)))
    await until(world.heard_statement)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await world.has("a")
    assert not await world.has("b")
    assert await world.journal() == [("001", "up", 0, "failed")]
    await until(partial(_is_left_alone, world))


async def test_a_session_that_is_ended_between_statements_is_asked_again(world: World) -> None:
    await world.execute("CREATE SEQUENCE ended")
    kill = "SELECT pg_terminate_backend(pg_backend_pid()) FROM nextval('ended') AS n WHERE n = 1"
    change = migration("001", f"CREATE TABLE a (); {kill}; CREATE TABLE b ()")
    outcome = await world.up(change)
    assert outcome.verdict is Verdict.DONE
    assert await world.has("b")


async def test_who_listens_may_fail_and_nothing_stays_open(world: World) -> None:
    class Broken(Hearing):
        def statement_finished(self, *_: object) -> None:
            raise RuntimeError("nobody reads this any more")

    world.hearing = Broken()
    slow = migration("001", "CREATE TABLE a (); SELECT pg_sleep(600)")
    with pytest.raises(RuntimeError, match="nobody reads"):
        await world.do(world.work(Mode.UP, slow))
    await until(partial(_is_left_alone, world))
    assert not await world.has("a")


async def test_an_answer_that_is_not_waited_for_does_not_meet_the_next_question(
    world: World,
) -> None:
    connection = await open_session(world.settings, application_name="t")
    try:
        async with asked_together(connection, ["BEGIN", "SELECT pg_sleep(600)"]) as answer:
            assert await answer()
        await connection.execute("ROLLBACK")
        assert await connection.fetchval("SELECT 7") == 7
        async with asked_together(connection, ["BEGIN", "SELECT 1"]) as answer:
            assert await answer()
            assert await answer()
        assert connection.is_in_transaction()
    finally:
        await close_session(connection)
