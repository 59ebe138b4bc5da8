"""The second session: who blocks a statement, whom it blocks, how far it is; and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg
import pytest

from migrations.model.attempt import (
    FailureClass,
    Limits,
    Mode,
    Verdict,
    WatchdogPolicy,
    WhenBlocked,
)
from migrations.model.work import Outcome
from migrations.runner import run
from tests.integration.migrations.world import Hearing, World, migration, session, until

ALTER = migration("002", "ALTER TABLE users ADD email text")
PATIENT = Limits(lock_timeout_s=60, retry_budget=1, retry_for_s=60, advisory_wait_s=30)
LOOKOUTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger lookout'
"""


@dataclass(slots=True)
class Listening(Hearing):
    """Remembers also how statements stood."""

    stood: list[str] = field(default_factory=list)

    cancelled: list[str] = field(default_factory=list)

    def standing(self, said: str) -> None:
        if said:
            self.stood.append(said)

    def blocker_cancelled(self, by: str, waiting_s: float, said: str) -> None:
        self.cancelled.append(f"{by}: {said}")


@pytest.fixture
async def tenant(world: World) -> World:
    await world.execute(f"SET ROLE {world.owner}; CREATE TABLE users (id int, name text)")
    world.hearing = Listening()
    return world


def heard(world: World) -> Listening:
    assert isinstance(world.hearing, Listening)
    return world.hearing


@asynccontextmanager
async def running(
    world: World, limits: Limits = PATIENT, **more: object
) -> AsyncIterator[asyncio.Task[Outcome]]:
    work = replace(world.work(Mode.UP, ALTER), **more)  # type: ignore[arg-type]
    task = asyncio.create_task(run(world.settings, work, limits, world.hearing))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def when(what: WhenBlocked) -> Limits:
    return replace(PATIENT, watchdog=WatchdogPolicy(what, 1.0))


async def test_a_blocker_is_told_with_what_it_ran_and_none_of_its_values(tenant: World) -> None:
    secret = "SELECT count(*) FROM users WHERE name = 'secret-value' /* hint */"

    async def told() -> bool:
        return bool(tenant.hearing.waits)

    async with session(tenant.url, "BEGIN", secret), running(tenant) as task:
        await until(told)
        said = tenant.hearing.waits[-1]
        assert "(shop)" in said
        assert "its query: SELECT count(*) FROM users WHERE name = $1" in said
        assert "secret-value" not in said
        assert "hint" not in said
    assert task.done()


async def test_whom_a_statement_keeps_waiting_is_told(tenant: World) -> None:
    async def told() -> bool:
        return any("2 sessions wait for it, the longest for" in one for one in heard(tenant).stood)

    async def waits() -> bool:
        return bool(tenant.hearing.waits)

    async with (
        session(tenant.url, "BEGIN", "SELECT * FROM users"),
        running(tenant),
        session(tenant.url) as one,
        session(tenant.url) as other,
    ):
        await until(waits)
        read = [asyncio.create_task(each.execute("TABLE users")) for each in (one, other)]
        await until(told)
        for task in read:
            task.cancel()
        await asyncio.gather(*read, return_exceptions=True)


async def test_how_far_an_index_is_comes_from_the_server(tenant: World) -> None:
    slow = "CREATE FUNCTION slow(int) RETURNS int LANGUAGE sql IMMUTABLE AS"
    body = "'SELECT $1 FROM (SELECT pg_sleep(0.01)) AS s'"
    await tenant.execute(
        f"SET ROLE {tenant.owner}; {slow} {body}; "
        "INSERT INTO users SELECT n FROM generate_series(1, 600) AS n"
    )
    index = migration("003", "CREATE INDEX CONCURRENTLY by_id ON users (slow(id))", stepwise=True)
    outcome = await run(tenant.settings, tenant.work(Mode.UP, index), PATIENT, tenant.hearing)
    assert outcome.verdict is Verdict.DONE
    stood = [one for one in heard(tenant).stood if "CREATE INDEX CONCURRENTLY: building" in one]
    assert stood
    assert any(one.endswith(" %") for one in stood)


async def test_a_statement_is_given_up_when_the_policy_says_so(tenant: World) -> None:
    async with (
        session(tenant.url, "BEGIN", "SELECT * FROM users"),
        running(tenant, when(WhenBlocked.GIVE_UP)) as task,
    ):
        outcome = await task
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.LOCK_TIMEOUT
    assert "given up after waiting" in outcome.failure.message
    assert "(shop)" in outcome.failure.message
    assert await tenant.journal() == [("002", "up", 0, "failed")]


async def test_a_blocker_is_cancelled_only_where_the_agent_allows_it(tenant: World) -> None:
    async with session(tenant.url, "BEGIN", "SELECT * FROM users") as busy:
        working = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))
        async with running(tenant, when(WhenBlocked.CANCEL)):

            async def told() -> bool:
                return any("LEDGER_AGENT_CANCEL_BLOCKERS" in one for one in tenant.hearing.waits)

            await until(told)
            assert not working.done()
        async with running(tenant, when(WhenBlocked.CANCEL), may_cancel=True) as task:
            with pytest.raises(asyncpg.QueryCanceledError):
                await working
            await busy.execute("ROLLBACK")
            outcome = await task
    (said,) = heard(tenant).cancelled
    assert said.startswith("pid ")
    assert "what pid" in said
    assert outcome.verdict is Verdict.DONE


async def test_who_may_not_cancel_is_told_what_to_grant(tenant: World) -> None:
    async def told() -> bool:
        return any("grant pg_signal_backend" in one for one in tenant.hearing.waits)

    async with (
        session(tenant.superuser_url, "BEGIN", "SELECT * FROM users"),
        running(tenant, when(WhenBlocked.CANCEL), may_cancel=True),
    ):
        await until(told)


async def test_what_is_through_within_a_second_costs_no_second_session(tenant: World) -> None:
    many = migration("003", ";\n".join("SELECT pg_sleep(0.3)" for _ in range(8)))
    seen = []

    async def done() -> bool:
        seen.append(await tenant.value(LOOKOUTS))
        return task.done()

    task = asyncio.create_task(
        run(tenant.settings, tenant.work(Mode.UP, many), PATIENT, tenant.hearing)
    )
    await until(done)
    assert (await task).verdict is Verdict.DONE
    assert set(seen) == {0}
    assert heard(tenant).stood == []
