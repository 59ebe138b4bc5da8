"""Opens what the log returned: bytes become an event, or it is said that they cannot be read.

The log is append-only, so what nobody can read stays in it for ever, and may not stop everybody for
ever: in its place stands `Unreadable`, from which nothing follows, and everybody goes on behind it.
Who leads says so in its log and `ledger status` shows it, until a person sets it aside
(`EventSetAside`). What can be read is never passed over, whoever says what
(ops/decisions/0024-what-can-be-set-aside.md). What the database refuses to record in the first
place stands in schema/0003_requests.sql (`ledger.check_request`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ledger.contracts.envelope import Metadata, Recorded, UnknownMessage, decode, decode_metadata
from ledger.contracts.reports import Event, Unreadable
from ledger.store.port import RecordedEvent

KEPT = 2_000
"""Bodies, and metadata, that are remembered decoded: a few megabytes."""
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; behind an odd number of backslashes. No table can keep it."""

decode_again = lru_cache(KEPT)(decode)
"""`decode` for events that several read: intake, follower and watcher in one process."""
_metadata_again = lru_cache(KEPT)(decode_metadata)


def read(type_: str, schema_version: int, body: bytes) -> Event:
    """The event in `body`, or `Unreadable` in its place."""
    return _readable(decode, type_, schema_version, body)


def read_again(type_: str, schema_version: int, body: bytes) -> Event:
    """As `read`, for events that several read in one process."""
    return _readable(decode_again, type_, schema_version, body)


def read_metadata(metadata: bytes) -> Metadata:
    """The metadata in these bytes, or none where they are not metadata."""
    try:
        return _metadata_again(metadata)
    except UnknownMessage:
        return Metadata()


def open_event(raw: RecordedEvent) -> Recorded:
    """The event in a row of the log, or `Unreadable` in its place."""
    return Recorded(
        position=raw.position,
        stream=raw.stream,
        stream_version=raw.stream_version,
        event_id=raw.event_id,
        event=read_again(raw.type, raw.schema_version, raw.body),
        metadata=read_metadata(raw.metadata),
        recorded_by=raw.recorded_by,
        recorded_at=raw.recorded_at,
        encoded=raw,
        leaf=raw.leaf,
        chain=raw.chain,
    )


def holds_nul(body: bytes) -> bool:
    """Whether a text in this JSON holds a NUL."""
    return b"u0000" in body and NUL.search(body) is not None


def _readable(
    decoder: Callable[[str, int, bytes], Event], type_: str, schema_version: int, body: bytes
) -> Event:
    try:
        if holds_nul(body):
            raise UnknownMessage(type_, schema_version, "a text in it holds a NUL")
        return decoder(type_, schema_version, body)
    except UnknownMessage as unknown:
        return Unreadable(type=type_, schema_version=schema_version, why=unknown.why)
