"""What the log's functions in the database take, and what they answer; pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID

from ledger.contracts.envelope import StoredEvent
from ledger.domain.premises import Premise
from ledger.store.port import Appended, Placed

_Columns = tuple[list[UUID], list[str], list[int], list[bytes], list[bytes]]


def premise_of(premise: Premise | None) -> tuple[object, object, object, object]:
    """A premise as the database's functions take it."""
    if premise is None:
        return (None, None, None, None)
    return (premise.known, premise.turns, premise.failures, premise.databases)


def columns_of(events: Sequence[StoredEvent]) -> _Columns:
    """What the database's functions take of events: one array for each part of them."""
    return (
        [event.event_id for event in events],
        [event.type for event in events],
        [event.schema_version for event in events],
        [event.body for event in events],
        [event.metadata for event in events],
    )


def appended(ids: Sequence[UUID], answer: Sequence[Any]) -> Appended:
    """What `ledger.append` answered: the first place when all events were new, else every place."""
    if isinstance(answer[0], int):
        position, version = answer
        return Appended(
            first_position=position,
            last_position=position + len(ids) - 1,
            stream_version=version + len(ids) - 1,
            recorded=tuple(map(Placed, ids, count(position), count(version))),
        )
    recorded = tuple(
        Placed(event_id, position, version, bool(known))
        for event_id, (position, version, known) in zip(ids, answer, strict=True)
    )
    return Appended(
        first_position=min(place.position for place in recorded),
        last_position=max(place.position for place in recorded),
        stream_version=max(place.stream_version for place in recorded),
        recorded=recorded,
    )
