"""Opens what the log returned: bytes become an event, or it is said that they cannot be read."""

from __future__ import annotations

from functools import lru_cache

from ledger.contracts.envelope import Recorded, decode, decode_metadata
from ledger.store.log.log import RecordedEvent

KEPT = 2_000
"""Bodies, and metadata, that are remembered decoded: a few megabytes."""

decode_again = lru_cache(KEPT)(decode)
"""`decode` for events that several read: intake, follower and watcher in one process."""
_metadata_again = lru_cache(KEPT)(decode_metadata)


def open_event(raw: RecordedEvent) -> Recorded:
    """The event in a row of the log.

    Raises `ledger.contracts.envelope.UnknownMessage` for a type or schema version that this program
    does not know: whoever folds the log must stop there, never skip it.
    """
    return Recorded(
        position=raw.position,
        stream=raw.stream,
        stream_version=raw.stream_version,
        event_id=raw.event_id,
        event=decode_again(raw.type, raw.schema_version, raw.body),
        metadata=_metadata_again(raw.metadata),
        recorded_by=raw.recorded_by,
        recorded_at=raw.recorded_at,
        encoded=raw,
    )
