"""Signs of life that nobody living gives: few are kept, and none steers a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.heartbeat import Busy, Heartbeat
from ledger.contracts.messages import Received
from ledger.contracts.topics import HEARTBEATS
from ledger.contracts.wire import encode_heartbeat
from ledger.leader import heartbeats
from ledger.leader.heartbeats import fresh
from ledger.store.port import Beat
from tests.integration.leader.conftest import house, house_template
from tests.support.house import House, found

__all__ = ["house", "house_template"]

NOW = datetime(2036, 1, 1, tzinfo=UTC)
ESCAPE, TURN, LINE = "\x1b[2J", "\u202e", "\n"


def sign(agent: str, **said: object) -> Heartbeat:
    given = {"pool": "main", "host": "h", "version": "1", "started_at": NOW, "at": NOW, **said}
    return Heartbeat.model_validate({"agent": agent, **given})


def kept(*signs: Heartbeat) -> list[Beat]:
    messages = map(encode_heartbeat, signs)
    received = [Received(one.topic, 0, 0, one.key, one.value, one.headers) for one in messages]
    return fresh(received, NOW - timedelta(minutes=1))


@pytest.mark.parametrize("name", [f"a{ESCAPE}", f"a{TURN}", f"a{LINE}", "a" * 201, "\0", ""])
def test_an_agent_with_such_a_name_is_not_heard(name: str) -> None:
    assert kept(sign(name)) == []


@pytest.mark.parametrize("pool", [ESCAPE, "", "../x", "A"])
def test_a_pool_that_cannot_be_one_is_not_heard_of(pool: str) -> None:
    assert kept(sign("a", pool=pool)) == []


def test_what_an_agent_waits_for_steers_no_terminal() -> None:
    busy = Busy(
        database=f"acme{ESCAPE}",
        command="00000000-0000-0000-0000-000000000007",  # type: ignore[arg-type]
        phase="waiting",
        since=NOW,
        waits_for=f"a lock{TURN}{LINE}{ESCAPE}\0",
    )
    (beat,) = kept(sign("a", host=f"h{ESCAPE}", busy=(busy,)))
    said = json.loads(beat.body)
    shown = said["host"] + said["busy"][0]["database"] + said["busy"][0]["waits_for"]
    assert shown.replace(" ", "") == "h[2Jacme[2Jalock[2J"


def test_a_sign_of_life_that_is_too_long_is_not_kept() -> None:
    assert kept(sign("a", host="h" * heartbeats.BODY_MAX_CHARS)) == []


async def test_the_agents_that_are_kept_are_limited_in_number(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEATS_KEPT", 50)
    forged = [encode_heartbeat(sign(f"ghost-{number}")) for number in range(3_000)]
    async with house.leading() as leading, house.actor() as actor:
        await leading.leader.loaded()
        await actor.bus.ensure_topics([HEARTBEATS])
        await actor.send(*forged)

        async def taken() -> bool | None:
            rows = await house.stores.pool.fetch("SELECT agent FROM ledger.heartbeat")
            names = {row["agent"] for row in rows}
            few = len(names) <= 51 + heartbeats.TRIM_AFTER
            return True if f"ghost-{len(forged) - 1}" in names and few else None

        await found(taken, "the last of them is kept, and few others")
