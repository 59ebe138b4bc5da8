"""Stored bytes are what was hashed, and who changes them is found out."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import TailMissing
from ledger.store.connections import Pool
from ledger.store.log.chain import Broken, ChainRow, Link, genesis, leaf
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from tests.fixtures.ledger import LEDGER_ID
from tests.support.log_events import an_event, some_events

VECTORS = json.loads(
    (Path(__file__).parents[2] / "unit" / "store" / "vectors.json").read_text("utf-8")
)

SQL_LEAF = """
    SELECT ledger.leaf($1, ledger.field($2, '\\x00000008'), $3, $4,
        ledger.field($5, '\\x00000004'), $6,
        ledger.circumstances(
            'epoch'::timestamptz + ($7::bigint / 1000000) * interval '1 second'
                + ($7::bigint % 1000000) * interval '1 microsecond',
            $8), $9, $10)
"""
SQL_LINK = "SELECT ledger.link($1, $2)"

CHANGES = {
    "an edited body": ("UPDATE ledger.log SET body = body || ' ' WHERE position = 6", 6),
    "edited metadata": ("UPDATE ledger.log SET metadata = '{}' WHERE position = 6", 6),
    "another author": ("UPDATE ledger.log SET recorded_by = 'x' WHERE position = 6", 6),
    "another time": (
        "UPDATE ledger.log SET recorded_at = recorded_at + interval '1 us' WHERE position = 6",
        6,
    ),
    "another stream": ("UPDATE ledger.log SET stream = 'r2' WHERE position = 6", 6),
    "another leaf": ("UPDATE ledger.log SET leaf = sha256(leaf) WHERE position = 6", 6),
    "another chain value": ("UPDATE ledger.log SET chain = sha256(chain) WHERE position = 6", 6),
    "a deleted event": ("DELETE FROM ledger.log WHERE position = 6", 6),
    "two deleted events": ("DELETE FROM ledger.log WHERE position IN (1, 6)", 1),
    "two swapped events": (
        """
        UPDATE ledger.log SET position = 100 WHERE position = 6;
        UPDATE ledger.log SET position = 6 WHERE position = 8;
        UPDATE ledger.log SET position = 8 WHERE position = 100
        """,
        6,
    ),
    "a gap that was closed": (
        """
        DELETE FROM ledger.log WHERE position = 6;
        UPDATE ledger.log SET position = position + 1000 WHERE position > 6;
        UPDATE ledger.log SET position = position - 1001 WHERE position > 1000;
        UPDATE ledger.head SET position = position - 1
        """,
        6,
    ),
    "a tail that was cut off": ("DELETE FROM ledger.log WHERE position > 9", 10),
    "everything deleted": ("DELETE FROM ledger.log", 1),
    "an event behind the head": ("UPDATE ledger.head SET position = 9", 10),
}


@pytest.mark.parametrize("vector", VECTORS["events"], ids=lambda vector: str(vector["type"]))
async def test_the_database_hashes_as_the_vectors_say(
    pool: Pool, vector: dict[str, str | int]
) -> None:
    hashed = await pool.fetchval(
        SQL_LEAF,
        vector["position"],
        vector["stream"],
        vector["stream_version"],
        UUID(str(vector["event_id"])),
        vector["type"],
        vector["schema_version"],
        vector["recorded_at_us"],
        vector["recorded_by"],
        bytes.fromhex(str(vector["metadata"])),
        bytes.fromhex(str(vector["body"])),
    )
    assert hashed.hex() == vector["leaf"]


async def test_the_database_chains_as_the_vectors_say(pool: Pool) -> None:
    value = bytes.fromhex(VECTORS["genesis"])
    for vector in VECTORS["events"]:
        value = await pool.fetchval(SQL_LINK, value, bytes.fromhex(vector["leaf"]))
        assert value.hex() == vector["chain"]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(
    st.integers(1, 2**63 - 1),
    TEXT,
    st.integers(1, 2**63 - 1),
    st.uuids(),
    TEXT,
    st.integers(-(2**31), 2**31 - 1),
    st.one_of(st.integers(-(10**14), 10**14), st.integers(10**16, 10**17)),
    TEXT,
    st.binary(max_size=200),
    st.binary(max_size=200),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_database_and_python_hash_alike(
    pool: Pool,
    position: int,
    stream: str,
    version: int,
    event_id: UUID,
    type_: str,
    schema_version: int,
    at_us: int,
    by: str,
    metadata: bytes,
    body: bytes,
) -> None:
    what = (type_, schema_version, at_us, by, metadata, body)
    row = ChainRow(position, stream, version, event_id.bytes, *what, b"", b"")
    assert await pool.fetchval(SQL_LEAF, position, stream, version, event_id, *what) == leaf(row)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.10,"b":1e400,"c":-0.0,"d":0.1e1}',
        '{"ü":"é e\u0301 🚀 \u2028","z":1,"a":2}'.encode(),
        b'{"a":1,"a":2, "b" :\t3}\r\n',
        b"",
        bytes(range(256)),
        b"x" * 3_000_000,
    ],
    ids=["floats", "unicode", "duplicate keys and spaces", "empty", "no text", "large"],
)
async def test_stored_bytes_are_the_bytes_that_were_hashed(
    log: EventLog, body: bytes, size: int
) -> None:
    events = [an_event(body) for _ in range(size)]
    await log.append("rollout-1/reports", events)
    assert [row.body for row in await log.tail(1, 10)] == [body] * size
    assert isinstance(await log.verify(), Link)


async def test_a_log_that_nobody_touched_verifies_to_its_head(log: EventLog, pool: Pool) -> None:
    for size in (1, 2, 1, 30):
        await log.append("rollout-1/reports", some_events(size))
    reached = await log.verify()
    last = await pool.fetchval("SELECT chain FROM ledger.log ORDER BY position DESC LIMIT 1")
    assert reached == Link(35, last)


async def test_the_first_event_hangs_on_the_ledgers_id(log: EventLog, pool: Pool) -> None:
    first = await pool.fetchrow("SELECT leaf, chain FROM ledger.log WHERE position = 1")
    assert first is not None
    assert first["chain"] == await pool.fetchval(SQL_LINK, genesis(LEDGER_ID).chain, first["leaf"])
    assert (await log.head()).ledger_id == LEDGER_ID


@pytest.mark.parametrize(("change", "position"), CHANGES.values(), ids=CHANGES)
async def test_a_superusers_change_is_found_at_its_first_position(
    log: EventLog,
    owner: asyncpg.Connection[asyncpg.Record],
    change: str,
    position: int,
) -> None:
    await log.append("rollout-1/reports", some_events(11))
    await owner.execute("ALTER TABLE ledger.log DISABLE TRIGGER ALL")
    await owner.execute(change)
    broken = await log.verify()
    assert isinstance(broken, Broken)
    assert broken.position == position


@pytest.mark.parametrize("count", [1, 2])
async def test_nothing_is_appended_behind_a_tail_that_was_cut_off(
    log: EventLog, owner: asyncpg.Connection[asyncpg.Record], count: int
) -> None:
    await log.append("rollout-1/reports", some_events(3))
    await owner.execute("ALTER TABLE ledger.log DISABLE TRIGGER ALL")
    await owner.execute("DELETE FROM ledger.log WHERE position > 3")
    with pytest.raises(TailMissing) as missing:
        await log.append("rollout-2/reports", some_events(count))
    assert missing.value.position == 4


@pytest.mark.parametrize("table", ["log", "content"])
@pytest.mark.parametrize(
    "change", ["UPDATE ledger.{} SET body = ''", "DELETE FROM ledger.{}", "TRUNCATE ledger.{}"]
)
async def test_what_is_recorded_is_not_changed_even_by_the_owner(
    owner: asyncpg.Connection[asyncpg.Record], table: str, change: str
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(change.format(table))
    assert refused.value.sqlstate == "LG006"


async def test_the_head_row_is_not_deleted_and_has_no_second(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    for change in ("DELETE FROM ledger.head", "TRUNCATE ledger.head"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await owner.execute(change)
        assert refused.value.sqlstate == "LG006"
    with pytest.raises(asyncpg.UniqueViolationError):
        await owner.execute("INSERT INTO ledger.head (ledger_id) VALUES (gen_random_uuid())")


async def test_verification_reads_the_columns_that_the_hashes_cover(pool: Pool) -> None:
    rows = await pool.fetch(QUERIES["chain_rows"], 0, 1)
    assert len(rows[0]) == len(ChainRow._fields)
