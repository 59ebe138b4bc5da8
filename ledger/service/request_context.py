"""Who asks, why, and in which trace: what every request carries into the log."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from ledger.contracts.actor import Actor
from ledger.contracts.envelope import Encoded, Metadata, encode_all
from ledger.contracts.reports import Event
from ledger.telemetry import current_context

ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""Digits and letters that are not mistaken for each other when read aloud."""
ID_LENGTH = 8
"""30^8 ids; a clash is refused by the log, for a new stream is expected."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A person's reason and ticket, and who that is as far as the program was told.

    Who acted by the database's own word is not said here: the log stamps the role.
    """

    reason: str | None = None
    ticket: str | None = None
    actor: Actor | None = None


def encode_request(
    events: Sequence[Event],
    asked: RequestContext,
    *,
    correlation: str | None = None,
    ids: Iterable[UUID] | None = None,
) -> list[Encoded]:
    """The events of one request, with new ids or these, and the caller's trace context."""
    traceparent, tracestate = current_context()
    metadata = Metadata(
        actor=asked.actor,
        reason=asked.reason,
        ticket=asked.ticket,
        correlation=correlation,
        traceparent=traceparent,
        tracestate=tracestate,
        occurred_at=utc_now(),
    )
    return encode_all(events, ids or (uuid7() for _ in events), metadata)


def new_id() -> str:
    """A short id for a rollout or a check, easy to type."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


def utc_now() -> datetime:
    """The ledger's own clock."""
    return datetime.now(UTC)
