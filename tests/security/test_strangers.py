"""Commands of a ledger that an agent does not serve: nothing runs, nothing stops, nothing is asked.

Whoever knows the ledger's id and may write to its topics still can give orders in its name: that is
the matter of signatures.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from uuid import uuid4

import pytest

from agents.texts import ENTRY_BYTES, Texts
from ledger.bus.port import Message, Received
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import DatabaseInspected
from ledger.contracts.topics import CHUNK_BYTES, CONTENT
from ledger.contracts.wire import encode_command, encode_content
from migrations.model.attempt import Verdict
from tests.integration.agents.conftest import (
    ADD_NOTE,
    SLEEP,
    Desk,
    Place,
    asleep,
    columns,
    inside,
    inside_desk,
    password,
)

__all__ = ["inside", "inside_desk", "password"]


def at(command: ApplyCommand, position: int) -> ApplyCommand:
    """The same order, elsewhere in the log."""
    return replace(command, recorded=replace(command.recorded, position=position))


async def test_orders_of_another_ledger_are_not_followed(
    inside: Place, inside_desk: Desk, tenant_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = inside_desk
    strange = replace(desk.apply(tenant_database, [SLEEP]), ledger=uuid4())
    own = desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(desk.pool, ledger=desk.ledger):
        # One lane: had the first been taken, it would have run before the second.
        await desk.send(strange, own, files=[SLEEP, ADD_NOTE])
        assert (await desk.finished(own)).verdict is Verdict.DONE
    assert {"note"} <= await columns(tenant_database)
    assert "slept" not in await columns(tenant_database)
    assert not [one for one in desk.heard if one.report.command == strange.command]
    assert f"commands of ledger {strange.ledger} are passed over" in caplog.text


async def test_looks_of_another_ledger_are_not_made(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    strange = replace(desk.inspect(tenant_database), ledger=uuid4())
    own = desk.inspect(tenant_database)
    async with inside.agent(desk.pool, ledger=desk.ledger):
        await desk.send(strange, own)
        await desk.until(lambda one: one.report.command == own.command)
    looked = [one.report for one in desk.heard if isinstance(one.report, DatabaseInspected)]
    assert [one.command for one in looked] == [own.command]


@pytest.mark.parametrize("told", [True, False], ids=["told", "first heard"])
async def test_a_cancellation_of_another_ledger_stops_nothing(
    inside: Place, inside_desk: Desk, tenant_database: str, told: bool
) -> None:
    desk = inside_desk
    command = desk.apply(tenant_database, [SLEEP])
    settings = {"ledger": desk.ledger} if told else {}
    async with inside.agent(desk.pool, **settings):
        await desk.send(command, files=[SLEEP])
        await asleep(tenant_database)
        await desk.send(replace(desk.cancel(command), ledger=uuid4()))
        assert (await desk.finished(command)).verdict is Verdict.DONE


async def test_without_settings_the_first_ledger_is_the_only_one_and_that_is_said(
    inside: Place, inside_desk: Desk, tenant_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = inside_desk
    own, strange = desk.apply(tenant_database, [ADD_NOTE]), uuid4()
    after = replace(desk.apply(tenant_database, [SLEEP]), ledger=strange)
    last = desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(desk.pool):
        await desk.send(own, after, last, files=[ADD_NOTE, SLEEP])
        await desk.finished(last)
    assert "slept" not in await columns(tenant_database)
    assert f"set LEDGER_AGENT_LEDGER={desk.ledger}" in caplog.text


@pytest.mark.parametrize("epoch", [(2**62, 1), (2**80, 1), (1, 2**63), (-1, 1)])
async def test_an_epoch_that_no_ledger_reaches_keeps_no_order_out(
    inside: Place, inside_desk: Desk, tenant_database: str, epoch: tuple[int, int]
) -> None:
    desk = inside_desk
    term, position = epoch
    forged = at(desk.apply(tenant_database, [ADD_NOTE], term=term), position)
    own = desk.apply(tenant_database, [SLEEP])
    async with inside.agent(desk.pool, ledger=desk.ledger):
        await desk.bus.publish([encode_command(forged)])
        await desk.send(own, files=[ADD_NOTE, SLEEP])
        assert (await desk.finished(own)).verdict is Verdict.DONE
    assert "note" not in await columns(tenant_database)


async def test_an_order_that_is_refused_is_not_remembered_as_the_latest(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    own = desk.apply(tenant_database, [ADD_NOTE])
    nowhere = own.connection.model_copy(update={"password": "env:NO_TENANT_HAS_THIS"})
    later = desk.apply(tenant_database, [SLEEP], term=7, connection=nowhere)
    forged = at(later, 2**40)
    async with inside.agent(desk.pool, ledger=desk.ledger):
        await desk.send(forged, files=[SLEEP])
        assert (await desk.finished(forged)).verdict is Verdict.REFUSED
        await desk.send(own, files=[ADD_NOTE])
        assert (await desk.finished(own)).verdict is Verdict.DONE


async def test_unreadable_commands_are_parked_only_while_they_are_few(
    inside: Place, inside_desk: Desk, tenant_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk = inside_desk
    own = desk.apply(tenant_database, [ADD_NOTE])
    good = encode_command(own)
    async with inside.agent(desk.pool, ledger=desk.ledger):
        await desk.bus.publish([replace(good, value=b"{%d" % number) for number in range(500)])
        await desk.send(own, files=[ADD_NOTE])
        assert (await desk.finished(own)).verdict is Verdict.DONE
    assert caplog.text.count("parked the message") == 20


def piece(message: Message) -> Received:
    return Received(CONTENT, 0, 0, message.key, message.value, message.headers)


def test_pieces_of_texts_that_never_come_are_bounded_in_number() -> None:
    texts = Texts(1024 * 1024)
    first, last = encode_content("0" * 64, b"x" * (CHUNK_BYTES + 1))
    for number in range(10_000):
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        headers = (("sha256", digest.encode()), *last.headers[1:])
        texts.take(piece(replace(last, headers=headers)))
        texts.take(piece(replace(first, headers=(headers[0], *first.headers[1:]), value=b"")))
    assert texts.pieces <= 1024 * 1024 // ENTRY_BYTES
    wanted = b"SELECT 1"
    texts.take(piece(encode_content(hashlib.sha256(wanted).hexdigest(), wanted)[0]))
    assert hashlib.sha256(wanted).hexdigest() in texts
