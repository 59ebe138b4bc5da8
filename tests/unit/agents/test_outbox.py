"""When reports leave the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agents import outbox
from agents.outbox import Outbox
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Message
from ledger.contracts.statements import SIGNATURE
from ledger.contracts.topics import PARKED, REPORTS
from ledger.signing.key_files import generate
from ledger.signing.seal import Signer
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from tests.support.patience import PATIENCE_S
from tests.support.turns import settled

REPORT = Message(REPORTS, "rollout-1/reports", b"{}")


class Slow(LocalBus):
    """Takes each request only when it is let go on."""

    def __init__(self) -> None:
        super().__init__(LocalBroker(SYSTEM_CLOCK))
        self.requests: asyncio.Queue[int] = asyncio.Queue()
        self.go_on = asyncio.Semaphore(0)

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.requests.put(len(messages))
        await self.go_on.acquire()
        await super().publish(messages)


@asynccontextmanager
async def running(bus: LocalBus) -> AsyncIterator[Outbox]:
    """An outbox at work."""
    await bus.ensure_topics([REPORTS])
    reports = Outbox(bus, SYSTEM_CLOCK, SYSTEM_CHANCE)
    sending = asyncio.create_task(reports.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reports
    finally:
        sending.cancel()


async def test_reports_gather_while_somebody_is_at_work_and_leave_at_once_when_nobody_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LINGER_S", 3600.0)
    async with running(LocalBus(LocalBroker(SYSTEM_CLOCK))) as reports:
        reports.add([REPORT])
        await settled()
        assert reports.published == 0
        reports.hurry()
        await reports.flush()
        assert reports.published == 1


async def test_reports_that_come_while_others_are_sent_gather_for_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LINGER_S", 3600.0)
    monkeypatch.setattr(outbox, "BATCH", 2)
    bus = Slow()
    async with running(bus) as reports:
        reports.add([REPORT] * 3)
        reports.hurry()
        assert await bus.requests.get() == 2
        reports.add([REPORT] * 2)
        bus.go_on.release()
        assert await bus.requests.get() == 1
        bus.go_on.release()
        await settled()
        assert (reports.published, bus.requests.empty()) == (3, True)
        reports.hurry()
        assert await bus.requests.get() == 2
        bus.go_on.release()
        await reports.flush()


async def test_reports_are_signed_where_they_leave_and_what_is_put_aside_is_not() -> None:
    bus = LocalBus(LocalBroker(SYSTEM_CLOCK))
    await bus.ensure_topics([REPORTS, PARKED])
    reports = Outbox(bus, SYSTEM_CLOCK, SYSTEM_CHANCE, Signer(generate()), "a1")
    sending = asyncio.create_task(reports.run())
    aside = Message(PARKED, "acme", b"x", ((SIGNATURE, b"theirs"),))
    try:
        async with asyncio.timeout(PATIENCE_S):
            reports.add([REPORT, aside, REPORT])
            await reports.flush()
    finally:
        sending.cancel()
    reader = await bus.read(REPORTS, {})
    sent = await reader.poll(1.0, 10)
    assert [one.header(SIGNATURE) is not None for one in sent] == [True, True]
    assert sent[0].header(SIGNATURE) == sent[1].header(SIGNATURE)
    (kept,) = await (await bus.read(PARKED, {})).poll(1.0, 10)
    assert kept.headers == aside.headers
