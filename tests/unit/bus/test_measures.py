"""What the transport measures, by the conventions for messaging, with their buckets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import instruments
from ledger.bus import tracing
from ledger.bus.tracing import Client
from ledger.contracts.messages import Message, Received
from tests.support.manual_clock import ManualClock
from tests.support.measurements import Measurements, measured

CLIENT = Client.of("client", ["broker:9092"], "agents.eu")


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measurements]:
    """Those of the transport."""
    with measured(monkeypatch) as taken:
        taken.of(
            tracing,
            _sent=instruments.SENT,
            _consumed=instruments.CONSUMED,
            _duration=instruments.OPERATION,
        )
        yield taken


async def test_messages_and_the_time_that_the_broker_took_are_measured_by_topic_and_operation(
    measurements: Measurements,
) -> None:
    clock = ManualClock()
    messages = [Message(topic, "k", b"") for topic in ("a", "a", "b")]
    async with tracing.sending(messages, CLIENT, clock):
        clock.advance(2)
    with tracing.receiving("a", CLIENT, clock) as delivered:
        delivered += [Received("a", 0, at, "k", b"", ()) for at in range(5)]
        clock.advance(0.25)
    with tracing.settling("a", CLIENT, clock):
        clock.advance(0.5)
    assert measurements.values(instruments.SENT) == {("kafka", "a"): 2, ("kafka", "b"): 1}
    assert measurements.values(instruments.CONSUMED) == {("kafka", "a"): 5}
    assert measurements.durations(instruments.OPERATION) == {
        ("kafka", "a", "send"): (1, 2.0),
        ("kafka", "b", "send"): (1, 2.0),
        ("kafka", "a", "poll"): (1, 0.25),
        ("kafka", "a", "commit"): (1, 0.5),
    }


async def test_what_was_not_sent_and_a_poll_that_delivered_nothing_are_not_measured(
    measurements: Measurements,
) -> None:
    clock = ManualClock()
    with pytest.raises(OSError, match="down"):
        async with tracing.sending([Message("a", "k", b"")], CLIENT, clock):
            raise OSError("down")
    with tracing.receiving("a", CLIENT, clock):
        clock.advance(1)
    assert measurements.values(instruments.SENT) == {}
    assert measurements.values(instruments.CONSUMED) == {}
    assert measurements.durations(instruments.OPERATION) == {}
