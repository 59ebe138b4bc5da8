"""What a broker's answers about a new topic mean."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    NoError,
    NotControllerError,
    PolicyViolationError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from ledger.bus.kafka_topics import check_created
from ledger.bus.port import BusError, BusMisconfigured, BusUnavailable


@pytest.mark.parametrize(
    ("answer", "enough", "meaning", "advice"),
    [
        (TopicAuthorizationFailedError, True, BusMisconfigured, "grant this program CREATE"),
        (PolicyViolationError, True, BusMisconfigured, "with 24 partitions"),
        (InvalidReplicationFactorError, False, BusMisconfigured, "REPLICATION_FACTOR"),
        # As many brokers as copies are known: one of them is starting.
        (InvalidReplicationFactorError, True, BusUnavailable, "tried again"),
        (NotControllerError, True, BusUnavailable, "tried again"),
        (RequestTimedOutError, True, BusUnavailable, "tried again"),
    ],
)
def test_only_what_a_person_has_to_mend_is_called_misconfigured(
    answer: type[KafkaError], enough: bool, meaning: type[BusError], advice: str
) -> None:
    with pytest.raises(BusError, match=advice) as raised:
        check_created("ledger.commands.main", answer, enough=enough)
    assert type(raised.value) is meaning


@pytest.mark.parametrize("answer", [NoError, TopicAlreadyExistsError])
def test_a_topic_that_somebody_else_made_meanwhile_is_there(answer: type[KafkaError]) -> None:
    check_created("ledger.commands.main", answer, enough=True)
