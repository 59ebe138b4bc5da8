"""Who asks, why, and in which trace: what every request carries into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.contracts.actor import Actor
from ledger.contracts.envelope import Encoded, Metadata, encode_all
from ledger.contracts.reports import Event
from ledger.telemetry import current_context
from migrations.chance import Chance
from migrations.clock import Clock

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


@dataclass(frozen=True, slots=True)
class RequestEncoder:
    """Makes events of requests: gives them ids, and says when it was."""

    clock: Clock
    chance: Chance

    def encode(
        self,
        events: Sequence[Event],
        asked: RequestContext,
        *,
        correlation: str | None = None,
        ids: Sequence[UUID] | None = None,
        at: datetime | None = None,
    ) -> list[Encoded]:
        """The events of one request, with new ids unless they have some, and the caller's trace.

        What is encoded in several calls and is one request all the same says one moment, `at`: by
        its metadata, which are alike, a request is known in the log.
        """
        traceparent, tracestate = current_context()
        metadata = Metadata(
            actor=asked.actor,
            reason=asked.reason,
            ticket=asked.ticket,
            correlation=correlation,
            traceparent=traceparent,
            tracestate=tracestate,
            occurred_at=at or self.clock.now(),
        )
        given = ids if ids is not None else [self.chance.ordered_uuid() for _ in events]
        return encode_all(events, given, metadata)

    def new_id(self) -> str:
        """A short id for a rollout or a check, easy to type."""
        return self.chance.text(ID_ALPHABET, ID_LENGTH)
