"""What was shown of a fleet's file is what is recorded, whoever else is at work."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ledger.contracts.events import CheckRequested, DatabaseRelabelled, DatabaseRepointed
from ledger.contracts.registry import Connection
from ledger.domain.fleet_changes import FleetMoved
from ledger.service.request_context import RequestContext
from tests.support.house import House

WHY = RequestContext("the file says so")


@dataclass(frozen=True)
class Line:
    """One entry of a file."""

    database: str
    connection: Connection
    labels: dict[str, str] = field(default_factory=dict)
    pool: str = "default"
    line: int = 0


async def lines(house: House, **labels: str) -> list[Line]:
    """The fleet as it is, with these labels."""
    known = (await house.ledger.fleet.state()).databases.values()
    return [Line(one.database, one.connection, dict(labels), one.pool) for one in known]


async def test_changes_of_others_elsewhere_leave_what_was_shown(house: House) -> None:
    fleet = house.ledger.fleet
    entries = await lines(house, tier="gold")
    shown = await fleet.compare(entries)
    await house.register("dune")
    await fleet.apply(shown, entries, WHY)
    said = [one.event for one in await house.events(DatabaseRelabelled)]
    names = {one.database for one in said if isinstance(one, DatabaseRelabelled)}
    assert names == {one.database for one in entries}


async def test_a_change_of_what_was_shown_refuses_all_of_it(house: House) -> None:
    fleet = house.ledger.fleet
    entries = await lines(house, tier="gold")
    shown = await fleet.compare(entries)
    await fleet.label("acme", {"tier": "tin"}, (), WHY)
    # The same would be recorded still, but nobody was shown that tin becomes gold.
    with pytest.raises(FleetMoved, match=r"\(acme\)"):
        await fleet.apply(shown, entries, WHY)
    shown = await fleet.compare(entries[:1], prune=True)
    await fleet.retire("bolt", WHY)
    with pytest.raises(FleetMoved, match="bolt"):
        await fleet.apply(shown, entries[:1], WHY, prune=True)


async def test_labels_of_a_selection_are_set_where_it_was_shown(house: House) -> None:
    fleet = house.ledger.fleet
    shown = await fleet.compare_labels("id!=acme", {"tier": "gold"}, ())
    await house.register("dune")
    with pytest.raises(FleetMoved, match="dune"):
        await fleet.label_all(shown, "id!=acme", {"tier": "gold"}, (), WHY)


async def test_who_moves_is_looked_at_in_the_same_breath(house: House) -> None:
    fleet = house.ledger.fleet
    entries = await lines(house)
    moved = [
        Line(one.database, Connection.at("elsewhere", one.database, user="app"))
        for one in entries[:2]
    ]
    await fleet.apply(await fleet.compare(moved), moved, WHY)
    places = [one.event for one in await house.events(DatabaseRepointed)]
    names = tuple(one.database for one in places if isinstance(one, DatabaseRepointed))
    (asked,) = await house.events(CheckRequested)
    assert isinstance(asked.event, CheckRequested)
    assert asked.event.databases == names == tuple(one.database for one in moved)
    assert asked.metadata.reason == WHY.reason
    again = await fleet.compare(moved)
    assert again.changes == ()
