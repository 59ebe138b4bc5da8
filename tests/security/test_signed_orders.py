"""Orders, looks and cancellations that nobody signed who is trusted: nothing of them is done.

The attacker knows everything that is on the bus, may write to every topic, and has keys of his own.
He never has the leader's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from agents.trust import Trust
from ledger.bus.local import LocalBus
from ledger.bus.port import Message, Reader, Received
from ledger.contracts.commands import ApplyCommand, CancelCommand, Command, InspectCommand
from ledger.contracts.registry import Connection
from ledger.contracts.reports import DatabaseInspected
from ledger.contracts.statements import LOOK, REPORTS, SIGNATURE
from ledger.contracts.topics import CANCELS, PARKED, commands_topic
from ledger.contracts.wire import decode_command, encode_command
from ledger.leader.signatures import BusSigning
from ledger.service.request_context import RequestContext
from ledger.settings import TrustedKey
from ledger.signing.dsse import Envelope, Signature, pae, read, write
from ledger.signing.key_files import PrivateKey, generate
from ledger.signing.seal import Signer
from migrations.model.attempt import Verdict
from tests.integration.agents.conftest import (
    ADD_NOTE,
    SLEEP,
    Desk,
    Place,
    asleep,
    columns,
    connection_of,
    inside,
    inside_desk,
    password,
)
from tests.integration.leader.conftest import house, house_template
from tests.support.house import POOL, House
from tests.support.listener import CLEAR, Listener, always, listening
from tests.support.patience import PATIENCE_S

__all__ = ["house", "house_template", "inside", "inside_desk", "password"]

LEADERS, OLD, STRANGERS = generate(), generate(), generate()


def trusted(ledger: UUID, *keys: PrivateKey) -> tuple[TrustedKey, ...]:
    return tuple(TrustedKey(ledger, key.public_key) for key in keys)


def signed(command: Command, key: PrivateKey = LEADERS) -> Message:
    return Signer(key).command(command, encode_command(command))


def envelope_of(message: Message) -> Envelope:
    return read(dict(message.headers)[SIGNATURE])


def with_header(message: Message, name: str, value: bytes) -> Message:
    headers = tuple((one, value if one == name else old) for one, old in message.headers)
    return replace(message, headers=headers)


def with_envelope(message: Message, envelope: Envelope) -> Message:
    return with_header(message, SIGNATURE, write(envelope))


def unsigned(message: Message) -> Message:
    kept = tuple((name, value) for name, value in message.headers if name != SIGNATURE)
    return replace(message, headers=kept)


def signed_as(command: Command, kind: str) -> Message:
    """What the leader's key signed, as another kind of thing."""
    message = signed(command)
    payload = envelope_of(message).payload
    signature = Signature(LEADERS.id, LEADERS.sign(pae(kind, payload)))
    return with_envelope(message, Envelope(kind, payload, (signature,)))


def called_as_the_leaders(command: Command) -> Message:
    """Signed by a stranger, who says that it was the leader."""
    message = signed(command, STRANGERS)
    envelope = envelope_of(message)
    named = envelope._replace(signatures=(Signature(LEADERS.id, envelope.signatures[0].sig),))
    return with_envelope(message, named)


def of_another(command: ApplyCommand) -> Message:
    """Beside this order the envelope of another one."""
    recorded = replace(command.recorded, position=command.position + 1)
    other = replace(command, recorded=recorded)
    return with_envelope(signed(command), envelope_of(signed(other)))


def repeated(command: Command, name: str, value: bytes) -> Message:
    """With a header that is there once more, behind all others."""
    message = signed(command)
    return replace(message, headers=(*message.headers, (name, value)))


FORGED: dict[str, Callable[[ApplyCommand], Message]] = {
    "unsigned": encode_command,
    "signed by a stranger": lambda c: signed(c, STRANGERS),
    "signed by a stranger in the leader's name": called_as_the_leaders,
    "signed by nobody": lambda c: with_header(signed(c), SIGNATURE, b"{}"),
    "with another order's envelope": of_another,
    "signed as a look": lambda c: signed_as(c, LOOK),
    "signed as reports": lambda c: signed_as(c, REPORTS),
    "one digit of the body": lambda c: replace(
        signed(c), value=signed(c).value.replace(b'"attempt":1', b'"attempt":2')
    ),
    "a later place in the log": lambda c: with_header(signed(c), "ledger_position", b"99999"),
    "another moment": lambda c: with_header(
        signed(c), "ledger_recorded_at", b"%d" % (datetime.now(UTC).timestamp() * 10**6)
    ),
    "another role": lambda c: with_header(signed(c), "ledger_recorded_by", b"somebody"),
    "another event": lambda c: with_header(signed(c), "ce_id", str(uuid4()).encode()),
    "other circumstances": lambda c: with_header(signed(c), "ledger_metadata", b'{"reason":"x"}'),
    "a place in the log that is said twice": lambda c: repeated(c, "ledger_position", b"99999"),
    "a header more": lambda c: repeated(c, "ledger_pool", b"other"),
    "another key of the message": lambda c: replace(signed(c), key="other"),
}


async def parked(reader: Reader, number: int) -> list[str]:
    """Why so many messages were put aside."""
    why: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(why) < number:
            why += [
                (one.header("parked_why") or b"").decode() for one in await reader.poll(0.2, 100)
            ]
    return why


@asynccontextmanager
async def elsewhere(desk: Desk, url: str) -> AsyncIterator[tuple[Listener, ApplyCommand]]:
    """A server of the attacker's, and an order that leads to it."""
    async with listening(always(CLEAR)) as listener:
        place = {"host": "127.0.0.1", "port": listener.port}
        there = Connection.at(**connection_of(url).parts | place)
        yield listener, desk.apply(url, [SLEEP], connection=there)


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_an_order_that_nobody_trusted_signed_leads_nowhere(
    inside: Place,
    inside_desk: Desk,
    tenant_database: str,
    forge: Callable[[ApplyCommand], Message],
) -> None:
    desk = inside_desk
    own = desk.apply(tenant_database, [ADD_NOTE])
    aside = await desk.bus.read(PARKED, {})
    async with (
        elsewhere(desk, tenant_database) as (listener, strange),
        inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)),
    ):
        await desk.send(files=[SLEEP, ADD_NOTE])
        # One lane: had the first been taken, it would have run before the second.
        await desk.bus.publish([forge(strange), signed(own)])
        assert (await desk.finished(own)).verdict is Verdict.DONE
        assert await parked(aside, 1)
        assert listener.contacts == 0
    assert not [one for one in desk.heard if one.report.command == strange.command]


async def test_the_same_order_as_it_was_signed_is_followed(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    """Or the test above would show nothing."""
    desk = inside_desk
    async with (
        elsewhere(desk, tenant_database) as (listener, order),
        inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)),
    ):
        await desk.send(files=[SLEEP])
        await desk.bus.publish([signed(order)])
        await desk.finished(order)
        assert listener.contacts > 0


async def test_the_key_of_another_ledger_signs_nothing_of_this_one(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    strange = replace(desk.apply(tenant_database, [SLEEP]), ledger=uuid4())
    own = desk.apply(tenant_database, [ADD_NOTE])
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[SLEEP, ADD_NOTE])
        # The very key that is trusted, which two ledgers share against all advice.
        relabelled = with_header(signed(strange), "ce_source", f"ledger/{desk.ledger}".encode())
        await desk.bus.publish([signed(strange), relabelled, signed(own)])
        assert (await desk.finished(own)).verdict is Verdict.DONE
    assert "slept" not in await columns(tenant_database)


async def test_an_order_for_another_pool_is_put_aside(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    strange = desk.apply(tenant_database, [SLEEP], pool="elsewhere")
    own = desk.apply(tenant_database, [ADD_NOTE])
    aside = await desk.bus.read(PARKED, {})
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[SLEEP, ADD_NOTE])
        here = replace(signed(strange), topic=commands_topic(desk.pool))
        await desk.bus.publish([here, signed(own)])
        assert (await desk.finished(own)).verdict is Verdict.DONE
        assert "elsewhere" in (await parked(aside, 1))[0]
    assert "slept" not in await columns(tenant_database)


LOOKS: dict[str, Callable[[InspectCommand], Message]] = {
    "unsigned": encode_command,
    "signed by a stranger": lambda c: signed(c, STRANGERS),
    "another connection": lambda c: replace(
        signed(c), value=signed(c).value.replace(b'"sslmode":"disable"', b'"sslmode":"prefer"')
    ),
}


@pytest.mark.parametrize("forge", LOOKS.values(), ids=LOOKS)
async def test_a_look_that_nobody_trusted_signed_connects_to_nothing(
    inside: Place,
    inside_desk: Desk,
    tenant_database: str,
    forge: Callable[[InspectCommand], Message],
) -> None:
    desk = inside_desk
    own = desk.inspect(tenant_database)
    strange = desk.inspect(tenant_database)
    aside = await desk.bus.read(PARKED, {})
    async with listening(always(CLEAR)) as listener:
        place = {"host": "127.0.0.1", "port": listener.port}
        there = Connection.at(**strange.connection.parts | place)
        order = strange.order.model_copy(update={"connection": there, "command": uuid4()})
        recorded = replace(strange.recorded, event=order, event_id=uuid4(), encoded=None)
        strange = InspectCommand(desk.ledger, recorded, order)
        async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
            await desk.bus.publish([forge(strange), signed(own)])
            await desk.until(lambda one: one.report.command == own.command)
            assert await parked(aside, 1)
            assert listener.contacts == 0
    looked = [one.report for one in desk.heard if isinstance(one.report, DatabaseInspected)]
    assert [one.command for one in looked] == [own.command]


CANCELLATIONS: dict[str, Callable[[CancelCommand], Message]] = {
    "unsigned": encode_command,
    "signed by a stranger": lambda c: signed(c, STRANGERS),
    "signed for another database": lambda c: replace(
        signed(replace(c, database="other")), key=c.database
    ),
    "signed for another pool": lambda c: with_header(signed(c), "ledger_pool", b"other"),
    "a later place in the log": lambda c: with_header(signed(c), "ledger_position", b"99999"),
}


@pytest.mark.parametrize("forge", CANCELLATIONS.values(), ids=CANCELLATIONS)
async def test_a_cancellation_that_nobody_trusted_signed_stops_nothing(
    inside: Place,
    inside_desk: Desk,
    tenant_database: str,
    forge: Callable[[CancelCommand], Message],
) -> None:
    desk = inside_desk
    command = desk.apply(tenant_database, [SLEEP])
    aside = await desk.bus.read(PARKED, {})
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[SLEEP])
        await desk.bus.publish([signed(command)])
        await asleep(tenant_database)
        message = forge(desk.cancel(command))
        await desk.bus.publish([message, replace(message, topic=CANCELS)])
        assert await parked(aside, 1)
        assert (await desk.finished(command)).verdict is Verdict.DONE


async def test_a_signed_cancellation_stops_what_runs_and_no_other_database(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    command = desk.apply(tenant_database, [SLEEP])
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[SLEEP])
        await desk.bus.publish([signed(command)])
        await asleep(tenant_database)
        await desk.bus.publish([replace(signed(desk.cancel(command)), topic=CANCELS)])
        assert (await desk.finished(command)).verdict is Verdict.CANCELLED
    assert "slept" not in await columns(tenant_database)


async def test_a_signed_order_that_is_replayed_has_its_effect_once(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    first = desk.apply(tenant_database, [ADD_NOTE])
    second = desk.apply(tenant_database, [ADD_NOTE, SLEEP])
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[ADD_NOTE, SLEEP])
        await desk.bus.publish([signed(first)])
        assert (await desk.finished(first)).verdict is Verdict.DONE
        await desk.bus.publish([signed(second)])
        assert (await desk.finished(second)).verdict is Verdict.DONE
        before = len(desk.heard)
        await desk.bus.publish([signed(first)])
        await desk.until(lambda one: one in desk.heard[before:])
        again = desk.heard[before:]
    assert {one.report.command for one in again} == {first.command}
    assert {"note", "slept"} <= await columns(tenant_database)


async def test_a_signed_order_that_expired_runs_nothing(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    late = desk.apply(tenant_database, [SLEEP], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, LEADERS)):
        await desk.send(files=[SLEEP])
        await desk.bus.publish([signed(late)])
        assert (await desk.finished(late)).verdict is Verdict.EXPIRED
    assert "slept" not in await columns(tenant_database)


async def test_while_a_key_is_replaced_both_are_trusted(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    desk = inside_desk
    first = desk.apply(tenant_database, [ADD_NOTE])
    second = desk.apply(tenant_database, [ADD_NOTE, SLEEP])
    async with inside.agent(desk.pool, trust=trusted(desk.ledger, OLD, LEADERS)):
        await desk.send(files=[ADD_NOTE, SLEEP])
        await desk.bus.publish([signed(first, OLD)])
        assert (await desk.finished(first)).verdict is Verdict.DONE
        await desk.bus.publish([signed(second)])
        assert (await desk.finished(second)).verdict is Verdict.DONE


async def test_whatever_a_leader_sends_is_signed_and_no_key_but_its_own_takes_it(
    house: House,
) -> None:
    rollout = await house.start(select="id=acme")
    check = await house.ledger.fleet.check("id=bolt", RequestContext())
    bus = LocalBus(house.broker)
    await bus.ensure_topics([CANCELS, commands_topic(POOL)])
    topics = [await bus.read(one, {}) for one in (CANCELS, commands_topic(POOL))]
    found: dict[str, Received] = {}
    aborted = False
    async with house.leading(signing=BusSigning(Signer(LEADERS))), asyncio.timeout(PATIENCE_S):
        while len(found) < 4:
            for topic in topics:
                for one in await topic.poll(0.1, 100):
                    kind = type(decode_command(one)).__name__
                    found[f"{kind} on {one.topic}"] = one
            if not aborted and any("ApplyCommand" in one for one in found):
                aborted = True
                await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)
    await bus.close()
    assert {one.split()[0] for one in found} == {"ApplyCommand", "InspectCommand", "CancelCommand"}
    assert check
    own = Trust(trusted(house.ledger.id, LEADERS))
    other = Trust(trusted(house.ledger.id, OLD, STRANGERS))
    for message in found.values():
        command = decode_command(message)
        assert own.why_refused(command, message) == ""
        assert "is not known here" in other.why_refused(command, message)
        bare = tuple(one for one in message.headers if one[0] != SIGNATURE)
        assert "not signed" in own.why_refused(command, replace(message, headers=bare))
