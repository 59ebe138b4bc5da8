"""Reports that nobody signed who may speak for the pool: parked, not believed, halting nothing.

The attacker knows every order, its command's id and the words of the agent that was asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from ledger.bus.port import Message
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, encode, report_id
from ledger.contracts.events import (
    KeyRegistered,
    KeyRevoked,
    LeadershipTaken,
    MessageParked,
    RolloutHalted,
)
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.reports import AttemptFinished, MigrationApplied
from ledger.contracts.statements import HEARTBEAT, REPORTS, SIGNATURE, TOGETHER
from ledger.contracts.topics import HEARTBEATS
from ledger.contracts.wire import encode_heartbeat, encode_report
from ledger.domain.keys import InvalidKey, KeyTaken, RevokedKey, UnknownKey
from ledger.domain.refusals import ReasonRequired, RequestRefusal
from ledger.leader.signatures import BusSigning
from ledger.service.request_context import RequestContext
from ledger.signing.key_files import PrivateKey, generate
from ledger.signing.seal import Signer
from tests.integration.leader.conftest import house, house_template
from tests.support.house import POOL, Actor, House, answers, found

__all__ = ["house", "house_template"]

LEADERS, AGENTS, NEXT, OTHERS, STRANGERS = (generate() for _ in range(5))
SIGNS = BusSigning(Signer(LEADERS))
TRIES = BusSigning(None)
"""A leader without a key, on a broker of its own machine."""
ASKED = RequestContext("because")


def said(actor: Actor, command: ApplyCommand, key: str | None = None) -> list[Message]:
    """What an agent says when all went well, unsigned."""
    metadata = Metadata(agent="actor", key=key)
    return [
        encode_report(
            actor.ledger,
            f"{command.stream}/reports",
            encode(one, report_id(one), metadata),
            "actor",
            metadata,
        )
        for one in answers(command)
    ]


def signed(actor: Actor, command: ApplyCommand, key: PrivateKey = AGENTS) -> list[Message]:
    """The same, signed."""
    return Signer(key).several(REPORTS, "actor", said(actor, command, key.id))


def with_header(message: Message, name: str, value: bytes) -> Message:
    headers = tuple((one, value if one == name else old) for one, old in message.headers)
    return replace(message, headers=headers)


def envelope(message: Message) -> bytes:
    return dict(message.headers)[SIGNATURE]


def each(
    change: Callable[[Message], Message],
) -> Callable[[Actor, ApplyCommand], list[Message]]:
    return lambda actor, command: [change(one) for one in signed(actor, command)]


FORGED: dict[str, tuple[Callable[[Actor, ApplyCommand], list[Message]], str]] = {
    "unsigned": (said, "it is not signed"),
    "in the name of a key, unsigned": (
        lambda a, c: said(a, c, AGENTS.id),
        "it is not signed",
    ),
    "signed by a stranger": (lambda a, c: signed(a, c, STRANGERS), "is not known here"),
    "signed by the leader": (lambda a, c: signed(a, c, LEADERS), "is not known here"),
    "signed by a key of another pool": (
        lambda a, c: signed(a, c, OTHERS),
        f"may not speak for the pool {POOL}",
    ),
    "a word more in the body": (
        each(lambda m: replace(m, value=m.value.replace(b'"attempt":1', b'"attempt": 1') + b" ")),
        "what is signed beside it is something else",
    ),
    "other circumstances": (
        each(lambda m: with_header(m, "ledger_metadata", b'{"agent":"somebody"}')),
        "what is signed beside it is something else",
    ),
    "in another agent's name": (
        each(lambda m: with_header(m, "ce_source", b"agent/somebody")),
        "what is signed beside it is something else",
    ),
    "signed as a sign of life": (
        lambda a, c: Signer(AGENTS).several(HEARTBEAT, "actor", said(a, c, AGENTS.id)),
        "it was signed as something else",
    ),
    "in the name of another key": (
        lambda a, c: Signer(AGENTS).several(REPORTS, "actor", said(a, c, NEXT.id)),
        "it names another key than the one that signs it",
    ),
    "in the name of no key": (
        lambda a, c: Signer(AGENTS).several(REPORTS, "actor", said(a, c)),
        "it names another key than the one that signs it",
    ),
}


async def registered(house: House) -> None:
    """The agents of two pools have keys."""
    keys = house.ledger.keys
    await keys.register(AGENTS.public_key, "a1", POOL, ASKED)
    await keys.register(OTHERS.public_key, "o1", "others", ASKED)


async def whys(house: House) -> list[str]:
    return [
        one.event.why
        for one in await house.events(MessageParked)
        if isinstance(one.event, MessageParked)
    ]


@pytest.mark.parametrize(("forge", "why"), FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("signing", [SIGNS, TRIES], ids=["signing", "on loopback"])
async def test_a_report_that_nobody_signed_who_may_is_parked_and_halts_nothing(
    house: House,
    forge: Callable[[Actor, ApplyCommand], list[Message]],
    why: str,
    signing: BusSigning,
) -> None:
    await registered(house)
    rollout = await house.start(select="id in (acme,bolt)")
    async with (
        house.leading(signing=signing, keeps_positions=True) as leading,
        house.actor() as actor,
    ):
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        forged = forge(actor, acme)
        await actor.send(*forged)
        await actor.send(*signed(actor, bolt))
        await leading.leader.drain()
        found = await whys(house)
        assert len(found) == len(forged)
        assert all(why in one for one in found)
        assert all("ledger keys list" in one for one in found if "registered" in one)
        status = await house.ledger.rollouts.status(rollout)
        assert status.counts == {"applied": 1, "ordered": 1}
        # Whoever may speak does so, and the rollout ends.
        await actor.send(*signed(actor, acme))
        await house.becomes(rollout, "completed")
    assert not await house.events(RolloutHalted)
    assert not (await house.ledger.audit.replay()).differences
    recorded = await house.events(MigrationApplied, AttemptFinished)
    assert {one.metadata.key for one in recorded} == {AGENTS.id}


async def test_on_loopback_a_pool_that_never_had_a_key_is_believed_without(house: House) -> None:
    await house.ledger.keys.register(OTHERS.public_key, "o1", "others", ASKED)
    rollout = await house.start(select="id=acme")
    async with house.leading(signing=TRIES), house.actor() as actor:
        await actor.send(*said(actor, await actor.ordered("acme")))
        await house.becomes(rollout, "completed")
    (taken,) = await house.events(LeadershipTaken)
    assert isinstance(taken.event, LeadershipTaken)
    assert taken.event.public_key is None


async def test_a_leader_that_signs_believes_no_pool_without_keys(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(signing=SIGNS) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.send(*said(actor, command), *signed(actor, command))
        await leading.leader.drain()
        assert len(await whys(house)) == 2 * len(answers(command))
    (taken,) = await house.events(LeadershipTaken)
    assert isinstance(taken.event, LeadershipTaken)
    assert taken.event.public_key == LEADERS.public_key


async def test_without_a_broker_nothing_is_signed_and_everything_believed(house: House) -> None:
    await registered(house)
    rollout = await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")


async def test_a_revoked_key_is_believed_up_to_its_revocation_and_no_further(house: House) -> None:
    await registered(house)
    rollout = await house.start(select="id in (acme,bolt)")
    async with house.leading(signing=SIGNS) as leading, house.actor() as actor:
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        await actor.send(*signed(actor, acme))
        await leading.leader.drain()
        await house.ledger.keys.revoke(AGENTS.id[:8], ASKED)
        (revoked,) = await house.events(KeyRevoked)
        await actor.send(*signed(actor, acme))
        # The leader hears of it as of every request: at its next look at the log.
        await house.unsent(actor)
        await actor.send(*signed(actor, bolt))
        await leading.leader.drain()
        assert (await house.ledger.rollouts.status(rollout)).counts == {
            "applied": 1,
            "ordered": 1,
        }
        for one in await house.events(MigrationApplied, AttemptFinished):
            assert one.position < revoked.position
        assert any(f"the key {AGENTS.id} is revoked" in one for one in await whys(house))
    # The pool is believed by keys alone, though it has none: not by whoever comes next.
    async with house.leading(signing=TRIES) as leading, house.actor() as actor:
        await actor.send(*said(actor, bolt))
        await leading.leader.drain()
        assert (await house.ledger.rollouts.status(rollout)).counts["ordered"] == 1
        await house.ledger.keys.register(NEXT.public_key, "a1", POOL, ASKED)
        await house.unsent(actor)
        await actor.send(*signed(actor, bolt, NEXT))
        await house.becomes(rollout, "completed")


async def test_while_a_key_is_replaced_both_are_believed(house: House) -> None:
    await registered(house)
    await house.ledger.keys.rotate(AGENTS.id, NEXT.public_key, ASKED)
    rollout = await house.start(select="id in (acme,bolt)")
    async with house.leading(signing=SIGNS), house.actor() as actor:
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        await actor.send(*signed(actor, acme), *signed(actor, bolt, NEXT))
        await house.becomes(rollout, "completed")
    ring = await house.ledger.keys.ring()
    assert (ring.keys[NEXT.id].agent, ring.keys[NEXT.id].pools) == ("a1", (POOL,))
    assert ring.keys[NEXT.id].replaces == AGENTS.id


def test_reports_share_envelopes_and_each_is_named_in_its_own() -> None:
    messages = [Message("ledger.reports", "s", b"%d" % number) for number in range(TOGETHER + 1)]
    sealed = [envelope(one) for one in Signer(AGENTS).several(REPORTS, "a", messages)]
    assert len(set(sealed)) == 2
    assert len(set(sealed[:TOGETHER])) == 1


async def test_signs_of_life_that_are_not_signed_are_not_kept(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await registered(house)

    def beat(agent: str, pool: str = POOL) -> Message:
        now = datetime.now(UTC)
        return encode_heartbeat(
            Heartbeat(agent=agent, pool=pool, host="h", version="1", started_at=now, at=now)
        )

    def alive(agent: str, key: PrivateKey) -> Message:
        return Signer(key).several(HEARTBEAT, agent, [beat(agent)])[0]

    moved = replace(beat("moved"), headers=alive("a1", AGENTS).headers)
    async with house.leading(signing=SIGNS), house.actor() as actor:
        await actor.bus.ensure_topics([HEARTBEATS])
        await actor.send(
            beat("unsigned"), alive("stranger", STRANGERS), alive("other", OTHERS), moved
        )
        await actor.send(alive("a1", AGENTS))

        async def kept() -> set[str] | None:
            beats = await house.stores.signs.recent(60.0)
            return {one.agent for one in beats} - {""} or None

        assert await found(kept, "a sign of life is kept") == {"a1"}
    for name in ("unsigned", "stranger", "other", "moved"):
        assert f"agent {name} of pool {POOL} is not believed" in caplog.text


async def test_requests_about_keys_that_cannot_be_meant_are_refused(house: House) -> None:
    keys = house.ledger.keys
    await registered(house)
    refused: list[tuple[type[RequestRefusal], object]] = [
        (InvalidKey, keys.register("x", "a1", POOL, ASKED)),
        (InvalidKey, keys.register(NEXT.public_key, "", POOL, ASKED)),
        (InvalidKey, keys.register(NEXT.public_key, "a\x1b[2J", POOL, ASKED)),
        (InvalidKey, keys.register(NEXT.public_key, "a1", "No Pool", ASKED)),
        (KeyTaken, keys.register(AGENTS.public_key, "a2", POOL, ASKED)),
        (KeyTaken, keys.rotate(AGENTS.id, OTHERS.public_key, ASKED)),
        (KeyTaken, keys.rotate(AGENTS.id, AGENTS.public_key, ASKED)),
        (UnknownKey, keys.rotate(NEXT.id, STRANGERS.public_key, ASKED)),
        (UnknownKey, keys.revoke("", ASKED)),
        (UnknownKey, keys.revoke(AGENTS.id[:7], ASKED)),
        (UnknownKey, keys.revoke("%", ASKED)),
        (ReasonRequired, keys.revoke(AGENTS.id, RequestContext())),
    ]
    before = await house.position()
    for kind, request in refused:
        with pytest.raises(kind):
            await request  # type: ignore[misc]
    assert await house.position() == before
    await keys.revoke(AGENTS.id, ASKED)
    await keys.revoke(AGENTS.id, ASKED)
    for request in (
        keys.register(AGENTS.public_key, "a1", POOL, ASKED),
        keys.rotate(AGENTS.id, NEXT.public_key, ASKED),
    ):
        with pytest.raises(RevokedKey):
            await request
    assert await house.position() == before + 1


async def test_the_same_request_again_records_nothing(house: House) -> None:
    await registered(house)
    before = await house.position()
    await registered(house)
    assert await house.position() == before
    await house.ledger.keys.register(AGENTS.public_key, "a1", "second", ASKED)
    ring = await house.ledger.keys.ring()
    assert ring.keys[AGENTS.id].pools == (POOL, "second")


async def test_a_key_in_the_log_that_does_not_fit_its_name_is_nobodys(house: House) -> None:
    """Whoever may append by hand: the key is not taken, and nobody stops."""
    await registered(house)
    forged = KeyRegistered(
        key=AGENTS.id, public_key=STRANGERS.public_key, agent="a1", pool="elsewhere"
    )
    named = KeyRegistered(key=NEXT.id, public_key=STRANGERS.public_key, agent="x", pool="x")
    for number, event in enumerate((forged, named)):
        encoded = encode(event, UUID(int=number + 1), Metadata())
        await house.stores.log.append("keys", [encoded])
    ring = await house.ledger.keys.ring()
    assert ring.keys[AGENTS.id].pools == (POOL,)
    assert NEXT.id not in ring.keys
    rollout = await house.start(select="id=acme")
    async with house.leading(signing=SIGNS), house.actor() as actor:
        await actor.send(*signed(actor, await actor.ordered("acme")))
        await house.becomes(rollout, "completed")


def test_no_private_part_is_in_what_is_sent() -> None:
    message = Message("ledger.reports", "s", b"{}")
    (sealed,) = Signer(AGENTS).several(REPORTS, "a", [message])
    assert json.loads(envelope(sealed))["signatures"][0]["keyid"] == AGENTS.id
    secret = b"".join(AGENTS.pem().splitlines()[1:-1])
    assert secret not in envelope(sealed)
