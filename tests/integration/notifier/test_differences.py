"""What an audit finds reaches a person: recorded by whoever may, once, and told by the notifier."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import (
    Audited,
    DifferenceFound,
    KeyRevoked,
    LeadershipTaken,
    NotificationFailed,
)
from ledger.contracts.reports import Event
from ledger.domain.routes import Route
from ledger.errors import NotPermitted, RequestUnfit
from ledger.service.audit import AuditService
from ledger.service.audit_rounds import AuditRounds
from ledger.service.request_context import RequestEncoder
from ledger.store.log.log import EventLog
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK, Clock
from tests.integration.notifier.test_notifying import came, notifying, webhook
from tests.integration.service.conftest import LogIn
from tests.support.house import House
from tests.support.manual_clock import ManualClock
from tests.support.receivers import http_receiver

AUDITOR = "ledger_viewer, ledger_auditor"
"""What whoever audits and has it recorded is a member of."""
CHANGED = """
    UPDATE ledger.fleet_database SET pool = 'x' WHERE database = (
        SELECT min(database) FROM ledger.fleet_database)
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the webhook, where its reference leads."""
    monkeypatch.setenv("HOOK_KEY", "the key that both know")


def rounds_of(house: House, clock: Clock = SYSTEM_CLOCK) -> AuditRounds:
    """Rounds of a watch, as `ledger audit watch` has them."""
    encoder = RequestEncoder(clock, SYSTEM_CHANCE)
    log = EventLog(house.stores.pool)
    return AuditRounds(AuditService(log, house.stores.reads, encoder), clock)


async def differ(house: House) -> None:
    """Have a row say what the log does not."""
    await house.stores.reads.caught_up()
    await house.stores.pool.execute(CHANGED)


async def said(house: House) -> list[DifferenceFound]:
    found = [one.event for one in await house.events(DifferenceFound)]
    return [one for one in found if isinstance(one, DifferenceFound)]


async def record(house: House, stream: str, event: Event) -> None:
    encoded = encode(event, SYSTEM_CHANCE.ordered_uuid(), Metadata())
    await house.stores.log.append(stream, [encoded])


async def test_a_row_that_differs_is_told_to_people_with_the_command_that_names_it(
    house: House, log_in: LogIn
) -> None:
    await differ(house)
    async with (
        log_in(AUDITOR) as auditor,
        log_in("ledger_notifier") as theirs,
        http_receiver() as receiver,
        notifying(theirs, {"hook": webhook(receiver)}, (Route(("hook",)),)),
    ):
        assert await auditor.ledger.audit.may_record()
        await rounds_of(auditor).audit()
        (request,) = await came(receiver, 1)
    assert request.json["event"] == "DifferenceFound"
    assert request.json["severity"] == "critical"
    assert request.json["next"] == "ledger replay"
    assert "fleet_database" in request.json["headline"]


async def test_the_same_is_recorded_once_in_a_day_whoever_finds_it_and_however_often(
    house: House, log_in: LogIn
) -> None:
    await differ(house)
    clock = ManualClock()
    async with log_in(AUDITOR) as auditor:
        rounds = rounds_of(auditor, clock)
        for _ in range(2):
            await rounds.audit()
        await rounds_of(auditor, clock).audit()
        assert len(await said(house)) == 1
        await house.stores.pool.execute("UPDATE ledger.fleet_database SET pool = 'x'")
        await rounds.audit()
        assert len(await said(house)) == 1, "more rows are no reason to say it again"
        clock.advance(timedelta(days=1).total_seconds())
        await rounds.audit()
    first, second = await said(house)
    assert first.audited is second.audited is Audited.ROWS
    assert first.differences < second.differences


async def test_a_log_that_is_broken_is_told_though_it_is_that_log_that_says_it(
    house: House, log_in: LogIn
) -> None:
    await house.stores.pool.execute(
        "SET session_replication_role = replica;"
        "UPDATE ledger.log SET recorded_by = 'somebody' WHERE position = 2;"
        "RESET session_replication_role"
    )
    async with log_in(AUDITOR) as auditor:
        await rounds_of(auditor).audit()
    (event,) = await said(house)
    assert (event.audited, event.place) == (Audited.CHAIN, "position 2")


async def test_whoever_may_only_read_audits_all_the_same_and_records_nothing(
    house: House, log_in: LogIn
) -> None:
    await differ(house)
    async with log_in("ledger_viewer") as viewer:
        assert not await viewer.ledger.audit.may_record()
        rounds = rounds_of(viewer)
        await rounds.audit()
        assert rounds.differences[Audited.ROWS] == 1
    assert await said(house) == []


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        ("ledger", LeadershipTaken(term=9, leader="x", host="x")),
        ("keys", KeyRevoked(key="0" * 32)),
        (
            "ledger",
            NotificationFailed(
                target="x", why="x", failing_since=SYSTEM_CLOCK.now(), tries=1, waiting=1
            ),
        ),
    ],
)
async def test_an_auditor_may_say_nothing_but_what_differs(
    log_in: LogIn, stream: str, event: Event
) -> None:
    async with log_in(AUDITOR) as auditor:
        with pytest.raises(NotPermitted):
            await record(auditor, stream, event)


@pytest.mark.parametrize("role", ["ledger_operator", "ledger_notifier"])
async def test_nobody_else_who_may_ask_says_that_the_record_differs(
    log_in: LogIn, role: str
) -> None:
    event = DifferenceFound(audited=Audited.ROWS, place="rollout", differences=1)
    async with log_in(role) as theirs:
        with pytest.raises(NotPermitted):
            await record(theirs, "ledger", event)


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        ("fleet", b'{"audited":"rows","place":"x","differences":1}'),
        ("ledger", b'{"audited":"everything","place":"x","differences":1}'),
        ("ledger", b'{"audited":"rows","place":"x\\ny","differences":1}'),
        ("ledger", b'{"audited":"rows","place":"","differences":1}'),
        ("ledger", b'{"audited":"rows","place":"x","differences":0}'),
        ("ledger", b'{"audited":"rows","place":"x","differences":1.5}'),
        ("ledger", b'{"audited":"rows","place":"x","differences":1,"more":1}'),
        ("ledger", b'{"audited":"rows","place":"x"}'),
    ],
)
async def test_an_auditor_may_not_say_what_no_reader_could_read(
    log_in: LogIn, stream: str, body: bytes
) -> None:
    async with log_in(AUDITOR) as auditor:
        good = DifferenceFound(audited=Audited.ROWS, place="rollout", differences=1)
        encoded = encode(good, SYSTEM_CHANCE.ordered_uuid(), Metadata())
        with pytest.raises(RequestUnfit):
            await auditor.stores.log.append(stream, [replace(encoded, body=body)])
