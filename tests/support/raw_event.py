"""Events as bytes, also such as no program of ours would write."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append."""

    event_id: UUID
    type: str
    schema_version: int
    body: bytes
    metadata: bytes
