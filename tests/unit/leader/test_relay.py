"""What the relay sends again, and when it is done with an order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast
from uuid import UUID

from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Reader
from ledger.contracts.registry import MigrationRef
from ledger.contracts.topics import commands_topic
from ledger.leader.relay import Relay
from ledger.store.bundles import BundleTexts
from migrations.model.attempt import Mode
from tests.support.manual_clock import ManualClock, SeededChance, simulate
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
from tests.support.story import EXPIRY_S, MIGRATIONS, START, Saying

RESEND_S = 0.05
TOPIC = commands_topic("main")


class Texts:
    """The bundle of the stories; its texts are empty."""

    async def refs(self, digest: str) -> Mapping[str, MigrationRef]:
        return MIGRATIONS

    async def text(self, sha256: str) -> bytes:
        return b""


@asynccontextmanager
async def relaying(story: Story, clock: ManualClock) -> AsyncIterator[tuple[Relay, Reader]]:
    """A relay that has seen the story, and a reader of the commands that it sends."""
    bus = LocalBus(LocalBroker(clock))
    texts = cast(BundleTexts, Texts())
    relay = Relay(bus, texts, UUID(int=7), RESEND_S, clock, SeededChance())
    relay.saw(story.log)
    await bus.ensure_topics([TOPIC])
    running = asyncio.create_task(relay.run())
    try:
        yield relay, await bus.read(TOPIC, {})
    finally:
        running.cancel()
        await asyncio.wait([running])


async def sent(reader: Reader, clock: ManualClock) -> int:
    """How many commands come within several resend intervals."""
    await clock.sleep(RESEND_S * 6)
    return len(await reader.poll(0.0, 100))


def assert_answered(story: Story, *answers: Saying) -> None:
    """The order of the story is sent again and again, and no more when these answers are there."""
    clock = ManualClock(START)

    async def happens() -> None:
        async with relaying(story, clock) as (relay, reader):
            assert await sent(reader, clock) > 1
            before = len(story.log)
            story.say(answers)
            relay.saw(story.log[before:])
            await sent(reader, clock)
            assert await sent(reader, clock) == 0

    simulate(clock, happens())


def test_an_order_is_sent_again_until_it_is_answered() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    assert_answered(story, step_applied("a", "1"), finished("a", changed=1))


def test_an_adoption_is_answered_by_what_it_took_over() -> None:
    story = given(planned(["a"], mode=Mode.ADOPT), wave_opened(0), ordered("a"))
    assert_answered(story, adopted("a", "1", released=("2",)), finished("a", changed=2))


def test_an_answer_whose_reports_were_lost_is_asked_for_again() -> None:
    """A broker that came back empty may lose what stood before the answer."""
    story = given(planned(["a"]), wave_opened(0), ordered("a"), finished("a", changed=1))
    assert_answered(story, step_applied("a", "1"))


def test_what_was_answered_is_not_sent_again_after_its_expiry() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"), finished("a", changed=1))
    clock = ManualClock(START + timedelta(seconds=2 * EXPIRY_S))

    async def happens() -> None:
        async with relaying(story, clock) as (_, reader):
            assert await sent(reader, clock) == 0

    simulate(clock, happens())
