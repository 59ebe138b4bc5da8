"""Signatures over a real broker: keys from the command line, a rollout, a rotation, strangers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ledger.contracts.events import KeyRevoked, LeadershipTaken, MessageParked
from ledger.contracts.reports import AttemptFinished, MigrationApplied
from ledger.service.request_context import RequestContext
from ledger.signing.key_files import PrivateKey, generate, read, write
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.processes import Process, found

FIRST, SECOND = "20260101000000", "20260102000000"


async def key(fleet: Fleet, name: str) -> dict[str, Any]:
    """A new key: its id, its public part, and its file."""
    file = fleet.folder.parent / f"{name}.key"
    answer = await fleet.ledger("keys", "generate", str(file), "-o", "json")
    return dict(json.loads(answer.out))


async def rows(fleet: Fleet) -> dict[str, Any]:
    """What `ledger keys list` shows, by key."""
    answer = await fleet.ledger("keys", "list", "-o", "json")
    return {row["key"]: row for row in json.loads(answer.out)["items"]}


async def up(fleet: Fleet) -> None:
    answer = await fleet.ledger("up", "--folder", str(fleet.folder), "--yes")
    assert "6 applied" in answer.out


async def stopped(process: Process) -> None:
    process.ask_to_stop()
    await process.ended()


async def signing(fleet: Fleet) -> tuple[str, PrivateKey, dict[str, str]]:
    """A leader that signs, and agents' keys: trust, the leader's key, and files by name."""
    keys = {name: generate() for name in ("leader", "agent", "stranger")}
    files = {name: str(fleet.folder.parent / f"{name}.key") for name in keys}
    for name, one in keys.items():
        write(one, Path(files[name]))
    async with fleet.opened() as ledger:
        await ledger.keys.register(
            keys["agent"].public_key, "a1", fleet.pool, RequestContext("tests")
        )
        trust = f"{ledger.id}:{keys['leader'].public_key}"
    await fleet.serve(LEDGER_SIGNING_KEY_FILE=files["leader"])
    return trust, keys["leader"], files


async def test_a_rollout_with_signatures(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    trust, _, files = await signing(fleet)
    fleet.agent(LEDGER_AGENT_TRUST=trust, LEDGER_AGENT_KEY_FILE=files["agent"])
    await up(fleet)
    assert len(await fleet.with_effect(FIRST)) == 6
    reports = await fleet.events(MigrationApplied, AttemptFinished)
    key_ = read(Path(files["agent"]), "").id
    assert {one.metadata.key for one in reports} == {key_}
    flags = {flag for one in reports for flag in one.metadata.insecure or ()}
    assert flags == {"postgres"}
    await invariants.hold(fleet)


async def test_agents_that_trust_another_or_are_not_believed_bring_nothing_about(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST)
    trust, leaders, files = await signing(fleet)
    rollout = await fleet.start()
    # It trusts somebody else: it gets orders, and does nothing with them.
    elsewhere = f"{trust.partition(':')[0]}:{generate().public_key}"
    wrong = fleet.agent("wrong", LEDGER_AGENT_TRUST=elsewhere, LEDGER_AGENT_KEY_FILE=files["agent"])

    async def waits() -> bool | None:
        status = await fleet.status(rollout)
        return any("puts orders aside" in line.waits_for for line in status.databases) or None

    await found(waits, "its status says why nobody takes the order")
    assert f"signed by the key {leaders.id}, which is not known here" in wrong.said()
    assert not await fleet.with_effect(FIRST)
    await stopped(wrong)
    # It has a key that is not registered: what it does is not believed.
    fleet.agent("stranger", LEDGER_AGENT_TRUST=trust, LEDGER_AGENT_KEY_FILE=files["stranger"])
    await fleet.at_least(1, MessageParked)
    assert not await fleet.events(MigrationApplied)
    assert (await fleet.status(rollout)).status == "running"


async def test_keys_are_replaced_without_a_gap(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    names = ("leader", "leader2", "agent", "agent2")
    old, new, agents, agents2 = [await key(fleet, name) for name in names]
    await fleet.ledger(
        "keys", "register", agents["public_key"], "--agent", "a1", "--pool", fleet.pool, "--yes"
    )
    leader = await fleet.serve(LEDGER_SIGNING_KEY_FILE=old["file"])
    trust = (await rows(fleet))[old["key"]]["trust"]
    both = f"{trust},{trust.partition(':')[0]}:{new['public_key']}"
    first = fleet.agent("one", LEDGER_AGENT_TRUST=both, LEDGER_AGENT_KEY_FILE=agents["file"])
    await up(fleet)
    await fleet.ledger("keys", "rotate", agents["key"][:8], agents2["public_key"], "--yes")
    await stopped(first)
    await stopped(leader)
    fleet.agent("two", LEDGER_AGENT_TRUST=both, LEDGER_AGENT_KEY_FILE=agents2["file"])
    await fleet.serve(LEDGER_SIGNING_KEY_FILE=new["file"])
    await fleet.ledger("keys", "revoke", agents["key"], "--reason", "replaced", "--yes")
    fleet.migration(SECOND)
    await up(fleet)
    (revoked,) = await fleet.events(KeyRevoked)
    for one in await fleet.events(AttemptFinished):
        expected = agents if one.position < revoked.position else agents2
        assert one.metadata.key == expected["key"]
    taken = [
        one.event.public_key
        for one in await fleet.events(LeadershipTaken)
        if isinstance(one.event, LeadershipTaken)
    ]
    assert taken == [old["public_key"], new["public_key"]]
    shown = await rows(fleet)
    assert {name: row["status"] for name, row in shown.items()} == {
        new["key"]: "signs",
        agents["key"]: "revoked",
        agents2["key"]: "valid",
    }
    await invariants.hold(fleet)


async def test_without_keys_a_broker_on_this_machine_works_loudly_and_on_record(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST)
    leader = await fleet.serve()
    agent = fleet.agent()
    await up(fleet)
    assert "INSECURE: orders are not signed" in leader.said()
    assert "INSECURE: whoever can write to the broker can give this agent orders" in agent.said()
    for one in await fleet.events(MigrationApplied):
        assert {"unsigned orders", "unsigned reports"} <= set(one.metadata.insecure or ())
        assert one.metadata.key is None
    (taken,) = await fleet.events(LeadershipTaken)
    assert isinstance(taken.event, LeadershipTaken)
    assert taken.event.public_key is None
    said = await fleet.ledger("status")
    assert "unsigned" in said.err


ELSEWHERE = {
    "LEDGER_KAFKA_BOOTSTRAP": "broker.invalid:9093",
    "LEDGER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "LEDGER_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "LEDGER_KAFKA_SASL_USERNAME": "ledger",
    "LEDGER_KAFKA_SASL_PASSWORD": "secret",
}


async def test_a_broker_elsewhere_is_refused_without_keys_whatever_is_insecure(
    fleet: Fleet,
) -> None:
    keys = await asyncio.gather(*(key(fleet, name) for name in ("leader", "agent")))
    for insecure in ({}, {"LEDGER_INSECURE_BUS": "true"}):
        more = {**ELSEWHERE, **insecure}
        refused = await fleet.ledger("serve", code=2, **more)
        assert "set LEDGER_SIGNING_KEY_FILE" in refused.err
        agent = fleet.agent(**more)
        assert await agent.ended() == 2
        assert "set LEDGER_AGENT_TRUST" in agent.said()
        trust = f"00000000-0000-0000-0000-000000000001:{keys[0]['public_key']}"
        agent = fleet.agent(LEDGER_AGENT_TRUST=trust, **more)
        assert await agent.ended() == 2
        assert "set LEDGER_AGENT_KEY_FILE" in agent.said()
    assert not await fleet.events(LeadershipTaken)
