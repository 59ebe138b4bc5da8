"""Making the topics of the bus on Apache Kafka, and what its answers about that mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidConfigurationError,
    InvalidReplicationFactorError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from ledger.bus.port import BusMisconfigured, BusUnavailable
from ledger.contracts.topics import CANCELS, HEARTBEATS, partitions_of

COPIES = 3
"""Of each topic that we create, where there are as many brokers."""

SHORT_LIVED = {
    HEARTBEATS: {"retention.ms": "600000", "segment.ms": "600000"},
    CANCELS: {"retention.ms": "86400000", "segment.ms": "86400000"},
}
"""Topics of which nothing is kept for long."""

FINAL = (
    TopicAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    PolicyViolationError,
    InvalidConfigurationError,
)
"""Answers that stay the same until a person changes something."""


async def create_topics(
    options: Mapping[str, Any], topics: Iterable[str], copies: int, brokers: int
) -> None:
    """Create `topics`; one that is there already is fine. `copies` 0 means as many as is usual.

    Raises `BusMisconfigured`, `BusUnavailable`, KafkaError or OSError.
    """
    wanted = copies if copies > 0 else min(COPIES, brokers)
    admin = AIOKafkaAdminClient(**options)
    try:
        await admin.start()
        response = await admin.create_topics(
            [
                NewTopic(topic, partitions_of(topic), wanted, None, SHORT_LIVED.get(topic))
                for topic in topics
            ]
        )
    finally:
        await admin.close()
    for topic, code, *_ in response.topic_errors:
        check_created(topic, for_code(code), enough=wanted <= brokers)


def check_created(topic: str, error: type[KafkaError], *, enough: bool) -> None:
    """Raise what the broker's answer about a new topic means, unless it is there now.

    `enough` says that there are as many brokers as copies: then too few are up at the moment.
    """
    if error.errno == 0 or issubclass(error, TopicAlreadyExistsError):
        return
    problem = f"topic {topic} cannot be created ({error.__name__})"
    if issubclass(error, InvalidReplicationFactorError) and not enough:
        raise BusMisconfigured(
            f"{problem}; set LEDGER_KAFKA_REPLICATION_FACTOR to at most the number of brokers"
        )
    if issubclass(error, FINAL):
        raise BusMisconfigured(
            f"{problem}; grant this program CREATE on it, or create it with "
            f"{partitions_of(topic)} partitions"
        )
    raise BusUnavailable(f"{problem}; it is tried again, look at the broker's log if that goes on")
