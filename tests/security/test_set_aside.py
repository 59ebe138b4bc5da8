"""An event that nobody can read is set aside by an event; one that can be read, by nothing."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from ledger.contracts.actor import Actor
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import EventSetAside, RolloutPaused
from ledger.domain.differences import OtherEvent, ReadableEvent, UnreadablePlan
from ledger.domain.refusals import ReasonRequired
from ledger.errors import NoSuchEvent, NoSuchRollout, ReadModelsBehind, RequestUnfit
from ledger.service.request_context import RequestContext
from ledger.store.views.advance import rebuild
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.security.test_poison import POISONS, recorded, usable
from tests.support.house import House
from tests.support.raw_event import NewEvent

__all__ = ["house", "house_template", "log_in"]

ADA = Actor(name="ada", source="system", host="h", program="ledger 1", run="")
ASKED = RequestContext("written by hand", "OPS-1", ADA)
READABLE = 2
"""The house's first registration."""


async def poisoned(house: House, name: str = "garbage") -> int:
    """Where an event stands that nobody can read."""
    return await recorded(house, POISONS[name])


async def hash_of(house: House, position: int) -> str:
    (raw,) = await house.stores.log.tail(position - 1, 1)
    return raw.leaf.hex()


async def shown(house: House) -> tuple[list[int], list[int]]:
    """What status says cannot be read, and what it says was set aside."""
    overview = await house.ledger.status.overview()
    return list(overview.unreadable), [one.position for one in overview.set_aside]


@pytest.mark.parametrize("name", ["garbage", "a NUL", "a newer version", "no UTF-8", "too deep"])
async def test_what_nobody_can_read_is_set_aside_and_everything_goes_on(
    house: House, name: str
) -> None:
    position = await poisoned(house, name)
    assert await shown(house) == ([position], [])
    (listed,) = await house.ledger.audit.unreadable()
    assert (listed.event.position, listed.leaf) == (position, await hash_of(house, position))
    assert listed.why

    await house.ledger.audit.put_aside(position, "", ASKED)

    assert await shown(house) == ([], [position])
    assert not await house.ledger.audit.unreadable()
    (aside,) = await house.ledger.audit.set_aside()
    assert (aside.aside_who, aside.aside_reason) == ("ada", "written by hand")
    assert aside.aside_at is not None
    assert aside.aside_by
    assert (await house.ledger.audit.verify()).whole
    await usable(house)


async def test_it_stays_set_aside_when_the_tables_are_built_again(house: House) -> None:
    first, second = await poisoned(house), await poisoned(house, "a NUL")
    await house.ledger.audit.put_aside(first, "", ASKED)
    async with house.stores.pool.acquire() as connection:
        await rebuild(connection)
    assert await shown(house) == ([second], [first])
    assert (await house.ledger.audit.replay()).agrees


async def test_a_person_without_the_right_to_append_sets_it_aside(
    house: House, log_in: LogIn
) -> None:
    position = await poisoned(house)
    async with log_in("ledger_operator") as theirs, house.leading():
        await theirs.ledger.audit.put_aside(position, "", ASKED)
        assert await shown(house) == ([], [position])
    (recorded,) = await house.events(EventSetAside)
    assert recorded.recorded_by.count("ledger_operator") == 1


async def test_nobody_sets_aside_what_whoever_leads_has_not_come_to(
    house: House, log_in: LogIn
) -> None:
    position = await poisoned(house)
    async with log_in("ledger_operator") as theirs:
        with pytest.raises(ReadModelsBehind):
            await theirs.ledger.audit.put_aside(position, "", ASKED)


async def test_again_and_at_once_it_is_said_once(house: House) -> None:
    position = await poisoned(house)
    await asyncio.gather(
        *(house.ledger.audit.put_aside(position, "", RequestContext(f"{n}")) for n in range(4))
    )
    await house.ledger.audit.put_aside(position, "", RequestContext())
    assert len(await house.events(EventSetAside)) == 1
    assert await shown(house) == ([], [position])


async def test_it_needs_a_reason(house: House) -> None:
    position = await poisoned(house)
    with pytest.raises(ReasonRequired):
        await house.ledger.audit.put_aside(position, "", RequestContext(" "))
    assert await shown(house) == ([position], [])


async def test_an_event_that_can_be_read_is_refused(house: House) -> None:
    with pytest.raises(ReadableEvent):
        await house.ledger.audit.put_aside(READABLE, "", ASKED)
    assert not await house.events(EventSetAside)


@pytest.mark.parametrize("beyond", [0, -1, 1, 10**6, 2**63, 10**40])
async def test_a_position_at_which_nothing_stands_is_refused(house: House, beyond: int) -> None:
    await poisoned(house)
    position = beyond if beyond < 1 else await house.position() + beyond
    with pytest.raises(NoSuchEvent):
        await house.ledger.audit.put_aside(position, "", ASKED)


async def test_another_hash_is_refused_and_its_beginning_is_enough(house: House) -> None:
    position = await poisoned(house)
    leaf = await hash_of(house, position)
    for other in ("0" * 64, leaf[:-1] + ("0" if leaf[-1] != "0" else "1"), leaf + "0", "x"):
        with pytest.raises(OtherEvent):
            await house.ledger.audit.put_aside(position, other, ASKED)
    await house.ledger.audit.put_aside(position, leaf[:8].upper(), ASKED)
    assert await shown(house) == ([], [position])


WRITTEN = {
    "a readable event": b'{"position":2,"leaf":"%(readable)s"}',
    "another hash": b'{"position":%(position)d,"leaf":"%(readable)s"}',
    "a hash in capitals": b'{"position":%(position)d,"leaf":"%(CAPITALS)s"}',
    "no hash": b'{"position":%(position)d}',
    "a position as text": b'{"position":"%(position)d","leaf":"%(leaf)s"}',
    "a part of a position": b'{"position":%(position)d.2,"leaf":"%(leaf)s"}',
    "a position beyond all": b'{"position":1e30,"leaf":"%(leaf)s"}',
    "a position below all": b'{"position":-1,"leaf":"%(leaf)s"}',
    "more than there is to say": b'{"position":%(position)d,"leaf":"%(leaf)s","all":true}',
}


@pytest.mark.parametrize("body", WRITTEN.values(), ids=WRITTEN)
async def test_the_database_refuses_who_writes_such_an_event_by_hand(
    house: House, log_in: LogIn, body: bytes
) -> None:
    position = await poisoned(house)
    leaf = (await hash_of(house, position)).encode()
    readable = (await hash_of(house, READABLE)).encode()
    await shown(house)
    said = body % {
        b"position": position, b"leaf": leaf, b"CAPITALS": leaf.upper(), b"readable": readable,
    }  # fmt: skip
    async with log_in("ledger_operator") as theirs:
        event = NewEvent(uuid4(), "EventSetAside", 1, said, b"{}")
        with pytest.raises(RequestUnfit):
            await theirs.stores.log.append("ledger", [event])
        with pytest.raises(RequestUnfit):
            await theirs.stores.log.append("fleet", [event], expected_version=3)
    assert await shown(house) == ([position], [])


async def test_what_can_be_read_stays_in_force_whoever_says_that_it_is_aside(house: House) -> None:
    """The service may append anything, so it may say so; nothing follows from it."""
    rollout = await house.start(select="id=acme")
    paused = encode(RolloutPaused(rollout=rollout), uuid4(), Metadata())
    written = await house.stores.log.append(f"rollout-{rollout}", [paused])
    leaf = await hash_of(house, written.first_position)
    event = EventSetAside(position=written.first_position, leaf=leaf)
    await house.stores.log.append("ledger", [encode(event, uuid4(), Metadata())])
    assert (await house.ledger.rollouts.status(rollout)).status == "paused"
    assert await shown(house) == ([], [])
    assert (await house.ledger.audit.replay()).agrees


async def test_a_rollout_whose_plan_cannot_be_read_says_so_and_what_ends_the_complaints(
    house: House,
) -> None:
    """Also before anybody has projected it."""
    rollouts = house.ledger.rollouts
    other = await house.start(select="id=acme")
    garbled = NewEvent(uuid4(), "RolloutPlanned", 1, b"garbage", b"{}")
    written = await house.stores.log.append("rollout-lost", [garbled])
    for _ in range(2):
        assert await rollouts.current() == other
        with pytest.raises(UnreadablePlan, match=rf"set-aside {written.first_position} --reason"):
            await rollouts.status(await rollouts.find("lost"))
        for ask in (rollouts.pause, rollouts.abort):
            with pytest.raises(UnreadablePlan):
                await ask("lost", ASKED)
        await house.stores.reads.caught_up()

    await house.ledger.audit.put_aside(written.first_position, "", ASKED)
    with pytest.raises(NoSuchRollout):
        await rollouts.find("lost")


async def test_an_event_that_sets_aside_can_itself_be_unreadable_and_set_aside(
    house: House,
) -> None:
    garbled = NewEvent(uuid4(), "EventSetAside", 1, b'{"position":0}', b"{}")
    written = await house.stores.log.append("ledger", [garbled])
    await house.ledger.audit.put_aside(written.first_position, "", ASKED)
    assert await shown(house) == ([], [written.first_position])
