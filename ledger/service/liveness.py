"""What surrounds the log and explains a wait: the leader, the agents, the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf

from pydantic import ValidationError

from ledger.contracts.heartbeat import UNSIGNED_ORDERS, UNSIGNED_REPORTS, Heartbeat
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.surroundings import LeadingProcess, Seen, Surroundings
from ledger.store.port import Signs

LEADER_BEAT = ""
"""Under this name, which no agent has, the leader itself says whether it reaches the broker."""
RECENT_S = 60.0
DAY_S = 86_400.0
UNSIGNED = (UNSIGNED_ORDERS, UNSIGNED_REPORTS)


class Liveness:
    """Looks around."""

    def __init__(self, signs: Signs, *, uses_broker: bool) -> None:
        self._signs = signs
        self._uses_broker = uses_broker

    async def look(self, records: Mapping[str, DatabaseRecord]) -> Surroundings:
        """The surroundings as they are now; `records` are the databases that are asked about."""
        return await self._around(records, RECENT_S)

    async def agents(self) -> Surroundings:
        """The surroundings with every agent of the last day, and no databases."""
        return await self._around({}, DAY_S)

    async def _around(self, records: Mapping[str, DatabaseRecord], within_s: float) -> Surroundings:
        beats = await self._signs.recent(within_s)
        agents = []
        broker: bool | None = True if self._uses_broker else None
        broker_s = inf
        left_alone: Mapping[str, str] = {}
        for beat in beats:
            if beat.agent == LEADER_BEAT:
                said = json.loads(beat.body)
                left_alone = said.get("left_alone", {})
                if self._uses_broker:
                    broker = bool(said["broker"])
                    broker_s = float(said.get("for_s", inf)) + beat.age_s
            elif (heartbeat := _heartbeat(beat.body)) is not None:
                seen_at = beat.seen_at or heartbeat.at
                ahead_s = (heartbeat.at - seen_at).total_seconds()
                agents.append(Seen(heartbeat, beat.age_s, ahead_s))
        return Surroundings(
            leader=await self.leader(),
            broker=broker,
            agents=agents,
            records=records,
            broker_s=broker_s,
            left_alone=left_alone,
        )

    async def unsigned(self) -> dict[str, tuple[str, ...]]:
        """Agents heard of lately by name, with what is not signed there."""
        found = {}
        for beat in await self._signs.recent(RECENT_S):
            heartbeat = _heartbeat(beat.body) if beat.agent != LEADER_BEAT else None
            flags = [one for one in UNSIGNED if heartbeat and one in heartbeat.insecure]
            if flags:
                found[beat.agent] = tuple(flags)
        return found

    async def leader(self) -> LeadingProcess | None:
        """Who leads now, or `None` when nobody does."""
        return await self._signs.leader()


def _heartbeat(body: str) -> Heartbeat | None:
    """A sign of life; one of another version may not be readable, and is none then."""
    try:
        return Heartbeat.model_validate_json(body)
    except ValidationError:
        return None
