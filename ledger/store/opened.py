"""Opens what the log returned: bytes become an event, or it is said that they cannot be read."""

from __future__ import annotations

from ledger.contracts.envelope import Recorded, decode, decode_metadata
from ledger.store.log import RecordedEvent


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
        event=decode(raw.type, raw.schema_version, raw.body),
        metadata=decode_metadata(raw.metadata),
        recorded_by=raw.recorded_by,
        recorded_at=raw.recorded_at,
    )
