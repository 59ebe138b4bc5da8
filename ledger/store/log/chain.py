"""Leaf and chain hashes: what `ledger.append` computes in SQL, computed again in Python.

Defined once and for all in ops/decisions/0001-the-log.md, with test vectors. In short, with
`field(x)` for the length of `x` as four bytes, most significant first, and then `x`:

    leaf  = SHA-256(0x00, field(position), field(stream), field(stream version), field(event id),
                    field(type), field(schema version), field(recorded_at), field(recorded_by),
                    field(SHA-256(metadata)), field(SHA-256(body)))
    chain = SHA-256(0x01, chain before, leaf)          before the first event: SHA-256(ledger's id)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import NamedTuple
from uuid import UUID


class ChainRow(NamedTuple):
    """What the hashes cover, and the hashes as they are stored.

    `event_id` is the id's 16 bytes, `recorded_at_us` counts microseconds since 1970, UTC. Rows of
    the query `chain_rows` have the same order.
    """

    position: int
    stream: str
    stream_version: int
    event_id: bytes
    type: str
    schema_version: int
    recorded_at_us: int
    recorded_by: str
    metadata: bytes
    body: bytes
    leaf: bytes
    chain: bytes


class Link(NamedTuple):
    """A place in the log up to which the chain holds, and its value there."""

    position: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The first position at which the log is not what was recorded, and what is wrong there."""

    position: int
    why: str


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk along the chain ended, and the chain's value at the places asked for.

    A place has no value that lies behind the end of the walk, be that the log's or a break.
    """

    end: Link | Broken
    values: Mapping[int, bytes]


def genesis(ledger_id: UUID) -> Link:
    """The chain before the first event."""
    return Link(0, sha256(ledger_id.bytes).digest())


def leaf(row: ChainRow) -> bytes:
    """An event's own hash; its stored `leaf` and `chain` are not looked at."""
    pack, stream, type_, by = _layout(row.stream, row.type, row.recorded_by)
    place = (_BEGIN, row.position, stream, row.stream_version, _ID, row.event_id)
    what = (type_, row.schema_version, _AT, row.recorded_at_us, by)
    hashes = sha256(row.metadata).digest() + _HASH + sha256(row.body).digest()
    return sha256(pack(*place, *what) + hashes).digest()


def chain(before: bytes, leaf_hash: bytes) -> bytes:
    """The chain's value after an event."""
    return sha256(b"\x01" + before + leaf_hash).digest()


def follow(rows: Iterable[ChainRow], start: Link) -> Link | Broken:
    """Verify `rows`, in order of position, behind `start`: where the chain holds to, or breaks.

    One loop that says again what `leaf` and `chain` say, because calling them for each event would
    take a third longer, and this is how long an audit of the whole log takes.
    """
    position, before = start
    layouts: dict[tuple[str, str, str], _Layout] = {}
    for at, stream, version, id_, type_, schema, us, by, meta, body, leaf_, chain_ in rows:
        position += 1
        if at != position:
            return Broken(position, f"no event is here; the next one is at position {at}")
        layout = layouts.get((stream, type_, by))
        if layout is None:
            layout = layouts[stream, type_, by] = _layout(stream, type_, by)
        pack, s, t, b = layout
        metadata_hash, body_hash = sha256(meta).digest(), sha256(body).digest()
        expected = sha256(
            pack(_BEGIN, at, s, version, _ID, id_, t, schema, _AT, us, b)
            + (metadata_hash + _HASH + body_hash)
        ).digest()
        if expected != leaf_:
            return Broken(position, "the event is not the one that was recorded")
        before = sha256(b"\x01" + before + expected).digest()
        if before != chain_:
            return Broken(position, "the chain does not continue from the event before")
    return Link(position, before)


_BEGIN = b"\x00\x00\x00\x00\x08"
"""The leaf's 0x00, and the length of the position that follows."""
_ID = b"\x00\x00\x00\x10"
_AT = b"\x00\x00\x00\x08"
_HASH = b"\x00\x00\x00\x20"
"""The lengths of the fields that follow: event id, recorded_at, a SHA-256."""

_Layout = tuple[Callable[..., bytes], bytes, bytes, bytes]
"""How to put a leaf together up to its two hashes, and its texts as fields, each with the length of
the field that follows it."""


def _layout(stream: str, type_: str, by: str) -> _Layout:
    stream_field = _field(stream) + b"\x00\x00\x00\x08"
    type_field = _field(type_) + b"\x00\x00\x00\x04"
    by_field = _field(by) + b"\x00\x00\x00\x20"
    layout = f">5sq{len(stream_field)}sq4s16s{len(type_field)}si4sq{len(by_field)}s"
    return Struct(layout).pack, stream_field, type_field, by_field


def _field(text: str) -> bytes:
    content = text.encode()
    return len(content).to_bytes(4, "big") + content
