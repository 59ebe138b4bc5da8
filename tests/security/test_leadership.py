"""Whoever may connect can take locks, and keeps nobody from leading or planning by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ledger.errors import AnotherLeader, StoreError
from ledger.service.request_context import RequestContext
from ledger.store.leadership import Leadership, current_leader, take, take_over
from ledger.store.log import log
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.support.house import House
from tests.support.log_events import an_event
from tests.support.patience import PATIENCE_S

__all__ = ["house", "house_template", "log_in"]

FIRST_KEY = "SELECT pg_try_advisory_lock(1818584167, 1)"
KEY_IN_USE = """
    SELECT pg_try_advisory_lock(classid::bigint::integer, objid::bigint::integer)
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
WHY = RequestContext("because")
ROLES = ["ledger_viewer", "ledger_operator"]


@asynccontextmanager
async def holding(house: House, lock: str) -> AsyncIterator[None]:
    """A session of this role that has called for the lock."""
    async with house.stores.pool.acquire() as connection:
        await connection.fetch(lock)
        try:
            yield
        finally:
            await connection.execute("SELECT pg_advisory_unlock_all()")


@pytest.mark.parametrize("role", ROLES)
async def test_a_lock_that_a_person_holds_keeps_nobody_from_leading_and_is_no_leader(
    house: House, log_in: LogIn, role: str
) -> None:
    async with log_in(role) as theirs, holding(theirs, FIRST_KEY):
        assert await current_leader(house.stores.pool) is None
        leading = await take(house.url, "real", "here")
        found = await current_leader(theirs.stores.pool)
        assert found is not None
        assert found.name == "real"
        with pytest.raises(AnotherLeader, match="real"):
            await take(house.url, "second", "here")
        await leading.release()


@pytest.mark.parametrize("role", ROLES)
async def test_the_key_that_a_leader_uses_is_of_no_use_to_others(
    house: House, log_in: LogIn, role: str
) -> None:
    async with log_in(role) as theirs, theirs.stores.pool.acquire() as waiting:
        for name in ("first", "second", "third"):
            leading = await take(house.url, name, "here")
            # What pg_locks shows is waited for, and is had as soon as the leader ends.
            wanted = asyncio.create_task(
                waiting.execute(KEY_IN_USE.replace("pg_try_advisory", "pg_advisory"))
            )
            await leading.release()
            await wanted
        leading = await take_over(house.url, "last", "here")
        await leading.release()
        await waiting.execute("SELECT pg_advisory_unlock_all()")


async def test_of_many_who_want_to_lead_beside_a_stranger_one_does(
    house: House, log_in: LogIn
) -> None:
    async with log_in("ledger_viewer") as theirs, holding(theirs, FIRST_KEY):
        wanted = [take(house.url, f"leader {number}", "here") for number in range(8)]
        found = await asyncio.gather(*wanted, return_exceptions=True)
        leading = [one for one in found if isinstance(one, Leadership)]
        assert len(leading) == 1
        assert all(isinstance(one, AnotherLeader | Leadership) for one in found)
        await leading[0].release()


@pytest.mark.parametrize("role", ROLES)
async def test_a_person_cannot_ask_for_leadership(house: House, log_in: LogIn, role: str) -> None:
    async with log_in(role) as theirs:
        for call in ("ledger.try_leadership()", "ledger.begin_term('me', 'here')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await theirs.stores.pool.execute(f"SELECT {call}")
        for lock in ("LOCK TABLE ledger.head IN SHARE MODE", "SELECT FROM ledger.head FOR SHARE"):
            async with theirs.stores.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(lock)
                await transaction.rollback()


EVERY_LOCK = """
    SELECT pg_advisory_lock(1818584167, number) FROM generate_series(0, 99) AS number
    UNION ALL SELECT pg_advisory_lock((1818584167::bigint << 32) + number)
    FROM generate_series(0, 99) AS number
"""


@pytest.mark.parametrize("role", ROLES)
async def test_no_lock_that_anybody_may_take_keeps_others_from_starting_or_taking_back(
    house: House, log_in: LogIn, role: str
) -> None:
    async with log_in(role) as theirs, holding(theirs, EVERY_LOCK):
        async with asyncio.timeout(PATIENCE_S):
            rollout = await house.start(select="id=acme")
            async with house.leading(), house.actor() as actor:
                await actor.ordered("acme")
                await house.ledger.rollouts.pause(rollout, WHY)
                plan = await house.ledger.rollouts.plan_rollback(rollout, WHY)
                assert await house.ledger.rollouts.start(plan) == f"undo-{rollout}"


async def test_a_reader_can_neither_take_nor_hold_a_planners_turn(
    house: House, log_in: LogIn
) -> None:
    async with log_in("ledger_viewer") as theirs, theirs.stores.pool.acquire() as connection:
        for call in (
            "SELECT ledger.await_turn()",
            "SELECT FROM ledger.planning FOR UPDATE",
            "SELECT FROM ledger.planning FOR KEY SHARE",
            "LOCK TABLE ledger.planning IN ROW SHARE MODE",
            "LOCK TABLE ledger.planning IN ACCESS SHARE MODE",
        ):
            transaction = connection.transaction()
            await transaction.start()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(call)
            await transaction.rollback()


async def test_who_waits_for_his_turn_in_vain_is_told_and_the_next_one_has_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "BOUND_TURN", log.BOUND_TURN.replace("45s", "50ms"))
    async with house.stores.log.exclusive():
        with pytest.raises(StoreError, match="nothing was started here"):
            async with house.stores.log.exclusive():
                raise AssertionError("two have the turn")
    async with house.stores.log.exclusive():
        pass


async def test_a_turn_that_ended_by_force_is_the_next_ones_and_undoes_nothing(
    house: House,
) -> None:
    ended = """
        SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'ledger.planning'::regclass
    """
    async with house.stores.log.exclusive():
        await house.stores.log.append("rollout-x/reports", [an_event()], expected_version=0)
        await house.stores.pool.execute(ended)
        async with asyncio.timeout(PATIENCE_S), house.stores.log.exclusive():
            pass
    assert [
        one.stream_version async for one in house.stores.log.read_stream("rollout-x/reports")
    ] == [1]
