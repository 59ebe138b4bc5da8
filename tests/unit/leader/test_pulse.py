"""Which signs of life are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger.bus.port import Received
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.wire import decode_heartbeat, encode_heartbeat
from ledger.leader.heartbeats import Living, fresh
from ledger.service.liveness import LEADER_BEAT

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def received(at: datetime, agent: str = "a1", value: bytes | None = None) -> Received:
    heartbeat = Heartbeat(agent=agent, pool="main", host="h", version="1", started_at=NOW, at=at)
    message = encode_heartbeat(heartbeat)
    return Received(
        message.topic, 0, 1, message.key, message.value if value is None else value, message.headers
    )


def test_a_sign_of_life_is_kept_with_its_agent_and_pool() -> None:
    (beat,) = fresh([received(NOW)], NOW)
    assert (beat.agent, beat.pool) == ("a1", "main")
    assert Heartbeat.model_validate_json(beat.body).at == NOW


def test_what_was_left_on_the_topic_by_an_agent_long_gone_is_no_sign_of_life() -> None:
    assert fresh([received(NOW - timedelta(seconds=1))], NOW) == []


def test_what_cannot_be_read_or_kept_is_left_out() -> None:
    naive = received(NOW).value.replace(b'"at":"2026-11-23T09:00:00Z"', b'"at":"2026-11-23T09:00"')
    assert naive != received(NOW).value
    odd = [received(NOW, value=b"?"), received(NOW, agent="a\0b"), received(NOW, value=naive)]
    assert fresh([*odd, received(NOW)], NOW) == fresh([received(NOW)], NOW)


def test_no_agent_can_speak_for_the_leader() -> None:
    (beat,) = fresh([received(NOW, agent="leader"), received(NOW, agent="")], NOW)
    assert beat.agent == "leader" != LEADER_BEAT


def heard_after(seconds: list[float], said: list[float]) -> list[bool]:
    """Whether an agent lives, heard at these moments saying it is these moments."""
    living = Living()
    moments = [
        (NOW + timedelta(seconds=ours), NOW + timedelta(seconds=theirs))
        for ours, theirs in zip(seconds, said, strict=True)
    ]
    return [living.hears(decode_heartbeat(received(theirs)), now=ours) for ours, theirs in moments]


def test_an_agent_whose_clock_is_hours_behind_lives_when_it_is_heard_again() -> None:
    assert heard_after([0, 2, 4], [-7200, -7198, -7196.3]) == [False, True, True]


def test_what_was_said_over_hours_and_is_read_at_once_is_no_life() -> None:
    assert heard_after([0, 0.1, 1.6, 1.7], [-9000, -8000, -700, -500]) == [False] * 4


def test_a_clock_that_is_set_is_learned_anew() -> None:
    assert heard_after([0, 2, 4, 6], [-7200, -7198, 4, 6]) == [False, True, False, True]


def test_an_agent_that_lives_is_kept_though_its_clock_is_behind() -> None:
    old = received(NOW - timedelta(hours=2))
    assert [one.agent for one in fresh([old], NOW, lambda _: True)] == ["a1"]
