"""Sessions of the store: what they ask the server beside what they are for."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from ledger.store import connections
from ledger.store.connections import LedgerConnection, Pool, opened_pool
from ledger.store.queries import QUERIES
from ledger.store.views.advance import LOCK_POSITION, advance
from ledger.store.views.queries import QUERIES as VIEWS


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the types that sessions of the store ask the server about."""
    asked: list[int] = []
    original = asyncpg.Connection._introspect_types  # type: ignore[attr-defined]

    async def noting(self: Any, types: Any, timeout: Any) -> Any:
        asked.extend(types)
        return await original(self, types, timeout)

    monkeypatch.setattr(LedgerConnection, "_introspect_types", noting, raising=False)
    return asked


async def test_no_session_of_the_store_asks_what_a_type_is(
    pool: Pool, asked_for: list[int]
) -> None:
    async with pool.acquire() as connection:
        for statement in [*QUERIES.values(), *VIEWS.values()]:
            await connection.prepare(statement)
    assert asked_for == []


async def test_a_type_that_the_store_does_not_know_is_asked_for(
    pool: Pool, asked_for: list[int]
) -> None:
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT ARRAY['1 day'::interval]::text[]") == ["1 day"]
        assert asked_for == []
        assert len(await connection.fetchval("SELECT ARRAY['a'::\"char\"]")) == 1
    assert asked_for == [1002]


async def test_arrays_of_the_store_come_back_as_they_went(pool: Pool) -> None:
    values = {
        "bool": [True, None, False],
        "bytea": [b"", b"\0\xff"],
        "smallint": [-1, 2],
        "integer": [7, None],
        "bigint": [2**40],
        "float8": [0.5, -2.0],
    }
    async with pool.acquire() as connection:
        for name, value in values.items():
            assert await connection.fetchval(f"SELECT $1::{name}[]", value) == value


async def test_whoever_is_frozen_inside_a_transaction_keeps_its_locks_for_a_bounded_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, ledger_url: str
) -> None:
    said = await pool.fetchval("SHOW idle_in_transaction_session_timeout")
    assert said == connections.IDLE_IN_TRANSACTION
    monkeypatch.setattr(connections, "IDLE_IN_TRANSACTION", "500ms")
    async with opened_pool(ledger_url) as frozen, frozen.acquire() as session:
        await session.execute("BEGIN")
        await session.execute(LOCK_POSITION)
        # From here on it says nothing more, as a stopped process does.
        async with pool.acquire() as other:
            await advance(other)
