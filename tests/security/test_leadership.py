"""Whoever may connect can take advisory locks, and keeps nobody from leading by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ledger.errors import AnotherLeader
from ledger.store.leadership import Leadership, current_leader, take, take_over
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.support.house import House

__all__ = ["house", "house_template", "log_in"]

FIRST_KEY = "SELECT pg_try_advisory_lock(1818584167, 1)"
KEY_IN_USE = """
    SELECT pg_try_advisory_lock(classid::bigint::integer, objid::bigint::integer)
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
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
