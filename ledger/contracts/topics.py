"""Names, keys and partitions of the bus: what goes where."""

from __future__ import annotations

import re

REPORTS = "ledger.reports"
"""Reports of all agents, keyed by stream, so that one rollout's reports keep their order."""
CONTENT = "ledger.content"
"""Migration texts in chunks, keyed by their SHA-256."""
HEARTBEATS = "ledger.heartbeats"
"""Agents' signs of life, keyed by agent; nothing of it is kept."""
CANCELS = "ledger.cancels"
"""Cancellations once more, keyed by database, for every agent to hear: who works on a command need
not own its partition any more."""
PARKED = "ledger.parked"
"""Commands that no agent could read, with their place and the reason, for people to look at."""

COMMANDS_PARTITIONS = 24
"""At least the number of agents in a pool: an agent without a partition gets no work."""
REPORTS_PARTITIONS = 4
CONTENT_PARTITIONS = 1
HEARTBEATS_PARTITIONS = 1
CANCELS_PARTITIONS = 1
PARKED_PARTITIONS = 1

CHUNK_BYTES = 512 * 1024
"""Largest piece of a text in one message; Kafka's default limit for a message is 1 MiB."""

_POOL = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")


def valid_pool(name: str) -> bool:
    """Whether `name` can be a pool: it becomes part of a topic's name."""
    return _POOL.match(name) is not None


def commands_topic(pool: str) -> str:
    """The topic on which the agents of `pool` get their commands, keyed by database."""
    return f"ledger.commands.{pool}"


def agents_group(pool: str) -> str:
    """The consumer group in which the agents of `pool` share its commands."""
    return f"agents.{pool}"


def partitions_of(topic: str) -> int:
    """How many partitions `topic` is created with."""
    fixed = {
        REPORTS: REPORTS_PARTITIONS,
        CONTENT: CONTENT_PARTITIONS,
        HEARTBEATS: HEARTBEATS_PARTITIONS,
        CANCELS: CANCELS_PARTITIONS,
        PARKED: PARKED_PARTITIONS,
    }
    return fixed.get(topic, COMMANDS_PARTITIONS)
