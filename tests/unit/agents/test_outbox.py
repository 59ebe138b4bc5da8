"""When reports leave the agent."""

from __future__ import annotations

import asyncio

import pytest

from agents import outbox
from agents.outbox import Outbox
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Message
from ledger.contracts.topics import REPORTS

REPORT = Message(REPORTS, "rollout-1/reports", b"{}")


async def test_reports_gather_while_somebody_is_at_work_and_leave_at_once_when_nobody_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LINGER_S", 3600.0)
    bus = LocalBus(LocalBroker())
    await bus.ensure_topics([REPORTS])
    reports = Outbox(bus)
    running = asyncio.create_task(reports.run())
    try:
        reports.add([REPORT])
        await asyncio.sleep(0.05)
        assert reports.published == 0
        reports.hurry()
        async with asyncio.timeout(5):
            await reports.flush()
        assert reports.published == 1
    finally:
        running.cancel()
