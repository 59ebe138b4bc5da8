"""Requests of the right form that cannot be meant: none of them ends leading, or any command."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ledger.contracts.events import EVENT_TYPES, BundleRegistered, RolloutPlanned
from ledger.contracts.reports import Unreadable
from ledger.errors import RequestUnfit
from ledger.leader.conductor import SENSELESS
from ledger.service.request_context import RequestContext
from ledger.store.log.decode import read
from ledger.store.log.log import EventLog
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.security.test_poison import usable
from tests.support.house import House, found
from tests.support.raw_event import NewEvent

__all__ = ["house", "house_template", "log_in"]

Body = dict[str, Any]
GOLDEN = Path(__file__).parents[1] / "golden" / "events"
LONG = "".join(random.Random(1).choices(string.ascii_letters, k=6000))
"""More than an index holds, and nothing that could be compressed."""
WAVE: tuple[str, Body] = ("WavePlanned", {"wave": 0, "chunk": 0, "databases": ["acme"]})
START: tuple[str, Body] = ("RolloutStarted", {})

ABSURD: dict[str, tuple[Body, Sequence[tuple[str, Body]]]] = {
    "nobody may be in flight": ({"in_flight": 0}, (WAVE, START)),
    "more waves than are planned": ({"waves": 5}, (WAVE, START)),
    "no waves": ({}, (START,)),
    "no limits to what may fail": ({"budget": {"count": 10**40}}, (WAVE, START)),
    "a position that is none": ({"fleet_position": 10**30}, (WAVE, START)),
    "it undoes what is not there": ({"mode": "rollback", "undoes": "none"}, (WAVE, START)),
    "steps that its bundle has not": ({"steps": [{"version": "77", "checksum": "c"}]}, ()),
    "steps with a long name": ({"steps": [{"version": LONG, "checksum": "c"}]}, (WAVE, START)),
    "it expires at once": ({"expiry_s": 0, "deadline_s": 0}, (WAVE, START)),
    "limits without a limit": ({"limits": {"lock_timeout_s": 1e300}}, (WAVE, START)),
    "one database twice in a wave": (
        {},
        (("WavePlanned", {"wave": 0, "chunk": 0, "databases": ["acme", "acme"]}), START),
    ),
    "a database that never joined": (
        {},
        (("WavePlanned", {"wave": 0, "chunk": 0, "databases": ["nobody"]}), START),
    ),
    "a wave beyond its waves": (
        {},
        (("WavePlanned", {"wave": 7, "chunk": 0, "databases": ["acme"]}), START),
    ),
    "a long name is tried again": ({}, (WAVE, START, ("RetryRequested", {"databases": [LONG]}))),
    "a word on a long name": (
        {},
        (
            WAVE,
            START,
            ("OutcomeResolved", {"database": "acme", "version": LONG, "applied": True}),
        ),
    ),
}


def written(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


async def ask(log: EventLog, stream: str, type_: str, body: Body, expected: int | None) -> bool:
    """Whether the database takes this, written by hand."""
    event = NewEvent(uuid4(), type_, EVENT_TYPES[type_].version, written(body), b"{}")
    try:
        await log.append(stream, [event], expected_version=expected)
    except RequestUnfit:
        return False
    return True


async def test_no_plan_that_cannot_be_meant_keeps_anybody_from_leading(
    house: House, log_in: LogIn
) -> None:
    await house.start(select="id=crane")
    (planned,) = await house.events(RolloutPlanned)
    (bundle,) = await house.events(BundleRegistered)
    assert planned.encoded is not None
    assert bundle.encoded is not None
    good = json.loads(planned.encoded.body)
    taken: list[str] = []
    async with log_in("ledger_operator") as theirs:
        log = EventLog(theirs.stores.pool)
        # A bundle whose texts nobody stored.
        other = json.loads(bundle.encoded.body) | {"bundle": "ab" * 32}
        for ref in other["migrations"]:
            ref["version"] = f"9{ref['version']}"
            ref["files"] = [file | {"sha256": "cd" * 32} for file in ref["files"]]
        assert await ask(log, "bundles", "BundleRegistered", other, None)
        steps = [one | {"version": f"9{one['version']}"} for one in good["steps"]]
        unstored: Body = {"bundle": "ab" * 32, "steps": steps}
        cases = {**ABSURD, "texts that nobody stored": (unstored, (WAVE, START))}
        for number, (changes, then) in enumerate(cases.values()):
            rollout = f"absurd-{number}"
            said = [("RolloutPlanned", good | changes), *then]
            for place, (type_, body) in enumerate(said):
                expected = 0 if place == 0 else None
                if not await ask(
                    log, f"rollout-{rollout}", type_, body | {"rollout": rollout}, expected
                ):
                    break
                taken.append(rollout)
        assert not await ask(
            log,
            "rollout-unknown",
            "RolloutPlanned",
            good | {"rollout": "unknown", "bundle": "0" * 64},
            0,
        ), "a plan of a bundle that nobody registered is refused"
    assert len(set(taken)) > len(ABSURD) / 2
    await usable(house)
    reads = house.stores.reads
    for rollout in await reads.unfinished_rollouts():
        await house.ledger.rollouts.abort(rollout, RequestContext("it cannot be meant"))
    await reads.caught_up()
    assert not await reads.unfinished_rollouts()


async def test_a_plan_of_a_bundle_that_cannot_be_found_is_left_alone(house: House) -> None:
    await house.start(select="id=crane")
    (planned,) = await house.events(RolloutPlanned)
    assert planned.encoded is not None
    lost = json.loads(planned.encoded.body) | {"rollout": "lost", "bundle": "0" * 64}
    event = NewEvent(uuid4(), "RolloutPlanned", 1, written(lost), b"{}")
    # By a service, whom the database believes; a bundle may be unreadable as well.
    await house.stores.log.append("rollout-lost", [event])
    await usable(house)


@pytest.mark.parametrize(
    ("changes", "wave", "why"),
    [
        ({"bundle": "0" * 64}, WAVE, "no single bundle is named by '"),
        ({}, ("WavePlanned", {"wave": 0, "chunk": 0, "databases": ["acme"] * 2}), SENSELESS),
    ],
    ids=["lost", "twice"],
)
async def test_status_says_of_a_rollout_that_is_left_alone_why_and_what_ends_it(
    house: House, changes: Body, wave: tuple[str, Body], why: str
) -> None:
    await house.start(select="id=crane")
    (planned,) = await house.events(RolloutPlanned)
    assert planned.encoded is not None
    lost = json.loads(planned.encoded.body) | {"rollout": "lost"} | changes
    said = [("RolloutPlanned", lost), wave, START]
    await house.stores.log.append(
        "rollout-lost",
        [
            NewEvent(uuid4(), type_, 1, written(body | {"rollout": "lost"}), b"{}")
            for type_, body in said
        ],
    )
    rollouts = house.ledger.rollouts

    async def explained() -> bool | None:
        return "the leader leaves it alone" in (await rollouts.status("lost")).why or None

    async with house.leading():
        await found(explained, "the leader does not say that it leaves the rollout alone")
        for status in (await rollouts.summary("lost"), await anext(rollouts.watch("lost"))):
            assert f"because its plan cannot be meant: {why}" in status.why
        (acme,) = (await rollouts.status("lost")).databases
        assert (acme.reason, acme.helps) == ("left_alone", "ledger rollout abort lost")
        await rollouts.abort("lost", RequestContext("it cannot be meant"))
        assert (await rollouts.status("lost")).why == "it cannot be meant"


def leaves(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Every single value in a body, of lists only the first two, with the way to it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value[:2]):
            yield from leaves(part, (*path, index))
    else:
        yield path, value


def changed(body: Body, path: tuple[Any, ...], value: object) -> Body:
    new = deepcopy(body)
    place: Any = new
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return new


ASKED_BY_INDEX = ("database", "version", "direction", "rollout", "history")
COLUMNS = [
    "attempt",
    "chunk",
    "databases",
    "duration_ms",
    "fleet_position",
    "in_flight",
    "line",
    "port",
    "server_version",
    "wave",
    "waves",
]
"""Numbers in events that columns of tables hold."""
MOMENTS = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


def current() -> Iterator[tuple[str, int, Body]]:
    """An example of each type of event, as it is written now."""
    for path in sorted(GOLDEN.glob("*.json")):
        name, version = path.name.split(".")[:2]
        known = EVENT_TYPES[name].version
        if version == f"v{known}":
            yield name, known, json.loads(path.read_text())


def test_no_event_that_can_be_read_says_a_number_that_no_column_holds() -> None:
    found = [
        (name, *place)
        for name, version, body in current()
        for place, old in leaves(body)
        if type(old) is int and place[-1] in COLUMNS
        for new in (10**40, 2**63)
        if not isinstance(read(name, version, written(changed(body, place, new))), Unreadable)
    ]
    assert not found


def test_no_event_that_can_be_read_names_a_moment_without_a_date_in_utc() -> None:
    found = [
        (name, field)
        for name, version, body in current()
        for field in ("at", "failing_since", "checked_at", "cancelled_at")
        for new in MOMENTS
        if field in body
        and not isinstance(read(name, version, written(body | {field: new})), Unreadable)
    ]
    assert not found


def test_no_name_that_tables_are_asked_for_is_longer_than_an_index_holds() -> None:
    found = [
        (name, field)
        for name, version, body in current()
        for field in ASKED_BY_INDEX
        if isinstance(body.get(field), str)
        and not isinstance(read(name, version, written(body | {field: LONG})), Unreadable)
    ]
    assert not found
