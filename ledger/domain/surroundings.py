"""What explains a wait from outside of a rollout: the leader, the agents, the broker, the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from ledger.contracts.heartbeat import Heartbeat
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.states import RolloutState
from migrations.model.clocks import APART_S, moment_text, span

SILENT_AFTER_S = 30.0
"""An agent not heard of for this long is taken for gone; several heartbeats fit into it."""
LEADER_SILENT_AFTER_S = 15.0
"""A leader without a sign of life for this long does not lead in fact; it gives one every two."""


@dataclass(frozen=True, slots=True)
class LeadingProcess:
    """The process that leads now; the ledger's database says for how long, and how long silent.

    `heard_at` is its last sign of life.
    """

    name: str
    host: str
    since: datetime
    heard_at: datetime | None = None
    silent_s: float = 0.0
    led_s: float = inf

    @property
    def is_silent(self) -> bool:
        """Whether it holds the leadership and does nothing with it."""
        return self.silent_s > LEADER_SILENT_AFTER_S

    @property
    def silence(self) -> str:
        """What to say of it when it is silent."""
        since = f" since {moment_text(self.heard_at)}" if self.heard_at else ""
        return (
            f"has not given a sign of life{since}: it is frozen, or cannot reach the ledger's "
            "database"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent's latest heartbeat, and how long ago it came; one clock says both ends of that.

    The same clock, the ledger's, is behind the agent's by `ahead_s` (negative: it is ahead of it).
    """

    heartbeat: Heartbeat
    age_s: float
    ahead_s: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of lately."""
        return self.age_s <= SILENT_AFTER_S

    @property
    def is_apart(self) -> bool:
        """Whether the agent's clock is so wrong that it refuses work."""
        return abs(self.ahead_s) > APART_S

    @property
    def clock(self) -> str:
        """What is wrong with its clock."""
        agent, host = self.heartbeat.agent, self.heartbeat.host
        apart = f"{span(abs(self.ahead_s))} {'ahead of' if self.ahead_s > 0 else 'behind'}"
        return (
            f"the clock of agent {agent} on {host} is {apart} the ledger's, so it refuses work; "
            "set the one that is wrong"
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the ledger knows beside the rollout. `broker` is `None` where no broker is used.

    It has answered, or not, for `broker_s`: agents are heard of again a while after it is back.

    `records` is the fleet by id; `undone` is what the rollout takes back, while it may wait for
    that.
    """

    leader: LeadingProcess | None
    broker: bool | None
    agents: Sequence[Seen]
    records: Mapping[str, DatabaseRecord]
    undone: RolloutState | None = None
    broker_s: float = inf
    left_alone: Mapping[str, str] = field(default_factory=dict)
    """Rollouts on which the leader decides nothing, because of their plans, and what is wrong."""

    def alive(self) -> list[Seen]:
        """The agents heard of lately."""
        return [seen for seen in self.agents if seen.is_alive]

    def pool_of(self, database: str) -> str:
        """The pool that a database would be ordered in; empty when the fleet does not know it."""
        record = self.records.get(database)
        return record.pool if record else ""
