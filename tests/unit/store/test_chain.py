"""Leaf and chain are what ops/decisions/0001-the-log.md says, and a change shows where it is."""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.store.log.chain import Broken, ChainRow, Link, chain, follow, genesis, leaf

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
LEDGER = UUID("0b7f3a52-6a0e-4a55-9f0f-3d5a7c1e2b40")

ROWS = st.builds(
    ChainRow,
    position=st.integers(1, 2**63 - 1),
    stream=st.text(min_size=1),
    stream_version=st.integers(1, 2**63 - 1),
    event_id=st.uuids().map(lambda uuid: uuid.bytes),
    type=st.text(min_size=1),
    schema_version=st.integers(-(2**31), 2**31 - 1),
    recorded_at_us=st.integers(-(2**62), 2**62),
    recorded_by=st.text(min_size=1),
    metadata=st.binary(),
    body=st.binary(),
    leaf=st.just(b""),
    chain=st.just(b""),
)


def row_of(vector: dict[str, str | int]) -> ChainRow:
    """The vector as a row of the log."""
    return ChainRow(
        position=int(vector["position"]),
        stream=str(vector["stream"]),
        stream_version=int(vector["stream_version"]),
        event_id=UUID(str(vector["event_id"])).bytes,
        type=str(vector["type"]),
        schema_version=int(vector["schema_version"]),
        recorded_at_us=int(vector["recorded_at_us"]),
        recorded_by=str(vector["recorded_by"]),
        metadata=bytes.fromhex(str(vector["metadata"])),
        body=bytes.fromhex(str(vector["body"])),
        leaf=bytes.fromhex(str(vector["leaf"])),
        chain=bytes.fromhex(str(vector["chain"])),
    )


def chained(count: int) -> list[ChainRow]:
    """A log of `count` events whose chain holds."""
    rows, before = [], genesis(LEDGER).chain
    for position in range(1, count + 1):
        event_id = sha256(bytes([position])).digest()[:16]
        place = (position, "rollout-1/reports", position, event_id)
        row = ChainRow(*place, "T", 1, 7, "by", b"{}", b"body %d" % position, b"", b"")
        before = chain(before, leaf(row))
        rows.append(row._replace(leaf=leaf(row), chain=before))
    return rows


def test_the_chain_starts_from_the_hash_of_the_ledgers_id() -> None:
    start = genesis(UUID(VECTORS["ledger_id"]))
    assert start == Link(0, bytes.fromhex(VECTORS["genesis"]))
    assert start.chain == sha256(UUID(VECTORS["ledger_id"]).bytes).digest()


@pytest.mark.parametrize("vector", VECTORS["events"], ids=lambda vector: str(vector["type"]))
def test_a_leaf_is_the_hash_of_the_vectors_bytes(vector: dict[str, str | int]) -> None:
    assert leaf(row_of(vector)).hex() == vector["leaf"]
    assert sha256(bytes.fromhex(str(vector["preimage"]))).hexdigest() == vector["leaf"]


def test_the_chain_runs_through_the_vectors() -> None:
    rows = [row_of(vector) for vector in VECTORS["events"]]
    reached = follow(rows, genesis(UUID(VECTORS["ledger_id"])))
    assert reached == Link(len(rows), bytes.fromhex(VECTORS["events"][-1]["chain"]))


@given(ROWS)
def test_every_field_of_a_leaf_is_preceded_by_its_length(row: ChainRow) -> None:
    fields = [
        struct.pack(">q", row.position),
        row.stream.encode(),
        struct.pack(">q", row.stream_version),
        row.event_id,
        row.type.encode(),
        struct.pack(">i", row.schema_version),
        struct.pack(">q", row.recorded_at_us),
        row.recorded_by.encode(),
        sha256(row.metadata).digest(),
        sha256(row.body).digest(),
    ]
    preimage = b"\x00" + b"".join(struct.pack(">I", len(field)) + field for field in fields)
    assert leaf(row) == sha256(preimage).digest()


@given(ROWS, st.binary(min_size=32, max_size=32))
def test_following_one_event_is_its_leaf_and_its_link(row: ChainRow, before: bytes) -> None:
    whole = row._replace(leaf=leaf(row), chain=chain(before, leaf(row)))
    assert follow([whole], Link(row.position - 1, before)) == Link(row.position, whole.chain)


def test_a_whole_log_is_followed_to_its_end_in_pieces() -> None:
    rows = chained(9)
    half = follow(rows[:4], genesis(LEDGER))
    assert isinstance(half, Link)
    assert follow(rows[4:], half) == Link(9, rows[-1].chain)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "rollout-2/reports"),
        ("stream_version", 99),
        ("event_id", b"\x00" * 16),
        ("type", "U"),
        ("schema_version", 2),
        ("recorded_at_us", 8),
        ("recorded_by", "somebody else"),
        ("metadata", b"{ }"),
        ("body", b"another body"),
        ("leaf", b"\x00" * 32),
        ("chain", b"\x00" * 32),
    ],
)
def test_a_changed_field_is_found_where_it_stands(field: str, value: object) -> None:
    rows = chained(9)
    rows[4] = rows[4]._replace(**{field: value})  # type: ignore[arg-type]
    broken = follow(rows, genesis(LEDGER))
    assert isinstance(broken, Broken)
    assert broken.position == 5


def test_a_deleted_event_is_found_where_it_stood() -> None:
    rows = chained(9)
    del rows[4]
    assert follow(rows, genesis(LEDGER)) == Broken(
        5, "no event is here; the next one is at position 6"
    )


def test_two_events_that_changed_places_are_found_at_the_first() -> None:
    rows = chained(9)
    rows[4], rows[6] = rows[6]._replace(position=5), rows[4]._replace(position=7)
    broken = follow(rows, genesis(LEDGER))
    assert isinstance(broken, Broken)
    assert broken.position == 5


def test_an_event_hashed_anew_breaks_the_link_behind_it() -> None:
    rows = chained(9)
    changed = rows[4]._replace(body=b"another body")
    rows[4] = changed._replace(leaf=leaf(changed), chain=chain(rows[3].chain, leaf(changed)))
    broken = follow(rows, genesis(LEDGER))
    assert isinstance(broken, Broken)
    assert broken.position == 6
