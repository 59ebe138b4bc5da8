"""What the relay sends again, and when it is done with an order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Reader
from ledger.contracts.registry import MigrationRef
from ledger.contracts.topics import commands_topic
from ledger.leader.relay import Relay
from ledger.store.bundles import BundleTexts
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SystemClock
from migrations.model.attempt import Mode
from tests.support.spec import (
    Story,
    adopted,
    finished,
    given,
    ordered,
    planned,
    step_applied,
    wave_opened,
)
from tests.support.story import EXPIRY_S, MIGRATIONS, START

RESEND_S = 0.05
TOPIC = commands_topic("main")


class Stopped(SystemClock):
    """A clock that stands still while people and machines go on."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class Texts:
    """The bundle of the stories; its texts are empty."""

    async def refs(self, digest: str) -> Mapping[str, MigrationRef]:
        return MIGRATIONS

    async def text(self, sha256: str) -> bytes:
        return b""


@asynccontextmanager
async def relaying(story: Story, now: datetime) -> AsyncIterator[tuple[Relay, Reader]]:
    """A relay that has seen the story, and a reader of the commands that it sends."""
    broker = LocalBroker()
    bus = LocalBus(broker)
    relay = Relay(
        bus, cast(BundleTexts, Texts()), UUID(int=7), RESEND_S, Stopped(now), SYSTEM_CHANCE
    )
    relay.saw(story.log)
    await bus.ensure_topics([TOPIC])
    running = asyncio.create_task(relay.run())
    try:
        yield relay, await LocalBus(broker).read(TOPIC, {})
    finally:
        running.cancel()
        await asyncio.wait([running])


async def sent(reader: Reader) -> int:
    """How many commands come within several resend intervals."""
    await asyncio.sleep(RESEND_S * 6)
    return len(await reader.poll(0.01, 100))


async def test_an_order_is_sent_again_until_it_is_answered() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    async with relaying(story, START) as (relay, reader):
        assert await sent(reader) > 1
        before = len(story.log)
        story.say([step_applied("a", "1"), finished("a", changed=1)])
        relay.saw(story.log[before:])
        await sent(reader)
        assert await sent(reader) == 0


async def test_an_adoption_is_answered_by_what_it_took_over() -> None:
    story = given(planned(["a"], mode=Mode.ADOPT), wave_opened(0), ordered("a"))
    async with relaying(story, START) as (relay, reader):
        assert await sent(reader) > 1
        before = len(story.log)
        story.say([adopted("a", "1", released=("2",)), finished("a", changed=2)])
        relay.saw(story.log[before:])
        await sent(reader)
        assert await sent(reader) == 0


async def test_an_answer_whose_reports_were_lost_is_asked_for_again() -> None:
    """A broker that came back empty may lose what stood before the answer."""
    story = given(planned(["a"]), wave_opened(0), ordered("a"), finished("a", changed=1))
    async with relaying(story, START) as (relay, reader):
        assert await sent(reader) > 1
        before = len(story.log)
        story.say([step_applied("a", "1")])
        relay.saw(story.log[before:])
        await sent(reader)
        assert await sent(reader) == 0


async def test_what_was_answered_is_not_sent_again_after_its_expiry() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), finished("a", changed=1))
    async with relaying(story, START + timedelta(seconds=2 * EXPIRY_S)) as (_, reader):
        assert await sent(reader) == 0
