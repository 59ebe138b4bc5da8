"""What people are told of the fleet: its leader and agents, each database, numbers and groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FleetStatus
from ledger.domain.surroundings import LeadingProcess, Seen
from migrations.model.attempt import HalfDone


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events what is shown lacks, and the silent leader, if there is one at all."""

    events: int
    leader: LeadingProcess | None


@dataclass(frozen=True, slots=True)
class DatabaseOverview:
    """A database against the bundle of its own history that was registered last.

    `newest` and `missing` are versions; `unread` says that it was reinstated or repointed and its
    journal not read since; `rollout` is the oldest unfinished one that it is part of. `half_done`
    is what its journal leaves half done or in doubt.
    """

    database: str
    pool: str
    status: FleetStatus
    newest: str | None
    missing: tuple[str, ...]
    unread: bool
    last_contact_at: datetime | None
    rollout: str | None
    half_done: tuple[HalfDone, ...] = ()
    history: str | None = None
    """What the history is called that it belongs to; newest and missing are of that one."""


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """The leader, the bundle registered last, unfinished rollouts, and a page of databases."""

    leader: LeadingProcess | None
    bundle: str | None
    unfinished: tuple[str, ...]
    unreadable: tuple[int, ...]
    """Positions of events that cannot be read and that nobody set aside, the latest first."""
    set_aside: tuple[UnreadableEvent, ...]
    """The events that a person has set aside, the latest first."""
    databases: tuple[DatabaseOverview, ...]
    total: int = 0
    """How many databases were selected, those of other pages included."""
    histories: tuple[str, ...] = ()
    """What the registered histories are called, the one of the latest bundle first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What people call the bundle's migrations, by version."""
    unsigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Agents heard of lately, with what is not signed there."""


@dataclass(frozen=True, slots=True)
class FleetGroup:
    """Databases of which the same can be said; some of them are named.

    `missing` are versions that they lack; `problem` is why a migration failed there, if one did.
    """

    status: FleetStatus
    databases: int
    examples: tuple[str, ...]
    missing: tuple[str, ...] = ()
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """The group for the JSON forms."""
        return {
            "status": self.status,
            "databases": self.databases,
            "examples": list(self.examples),
            "missing": list(self.missing),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """The databases of a pool with one status; some as `examples`."""

    status: str
    pool: str
    databases: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetNumbers:
    """A fleet against the bundle registered last: how many have all of it, and what the rest lack.

    Retired databases are none of these. `behind` lack something, whatever their status; `troubles`
    are failures, and what was lost or is unknown, by cause.
    """

    total: int
    current: int
    suspended: int
    behind: tuple[FleetGroup, ...]
    troubles: tuple[FleetGroup, ...]

    @property
    def lagging(self) -> int:
        """How many lack something."""
        return sum(group.databases for group in self.behind)


@dataclass(frozen=True, slots=True)
class AgentsOverview:
    """The agents of the last day by pool and name, and how many databases each pool has.

    `broker` says whether it answers, and is `None` where none is used.
    """

    leader: LeadingProcess | None
    broker: bool | None
    agents: tuple[Seen, ...]
    pools: Mapping[str, int]

    def has_ended(self, seen: Seen) -> bool:
        """Whether its process is known to be no more: that of who led, and leads no longer.

        It is told apart by the agent's own word, for a ledger without a broker may get one later.
        """
        before = self.leader is None or seen.age_s > self.leader.led_s
        return before and (self.broker is None or seen.heartbeat.lives_in_leader)

    def lonely(self) -> dict[str, int]:
        """Pools without a living agent, with their number of databases."""
        alive = {
            one.heartbeat.pool for one in self.agents if one.is_alive and not self.has_ended(one)
        }
        return {pool: number for pool, number in self.pools.items() if pool not in alive}
