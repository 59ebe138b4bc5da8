"""Changes in phases over a fleet: contract waits until it is asked for."""

from __future__ import annotations

import asyncio

from ledger.contracts.reports import MigrationApplied
from ledger.runtime import working
from migrations.model.phases import Phase
from tests.integration.service.test_programs import settings_of, tenant
from tests.support.house import House

__all__ = ["tenant"]

FILES = {
    "5_split.expand.sql": "-- +migrate Up\nCREATE TABLE fresh (id int);\n",
    "5_split.migrate.sql": "-- +migrate Up\nINSERT INTO fresh VALUES (1);\n",
    "5_split.contract.sql": "-- +migrate Up\nDROP TABLE IF EXISTS stale;\n",
}
LATER = "-- +migrate Up\nCREATE TABLE later (id int);\n"


def write(house: House, files: dict[str, str]) -> None:
    for other in house.folder.iterdir():
        other.unlink()
    for name, text in files.items():
        (house.folder / name).write_text(text)


async def applied(house: House) -> list[str]:
    events = [one.event for one in await house.events(MigrationApplied)]
    return [event.version for event in events if isinstance(event, MigrationApplied)]


async def test_a_rollout_stops_before_contract_and_says_so(house: House, tenant: str) -> None:
    await asyncio.to_thread(write, house, FILES)
    preview = await house.ledger.rollouts.plan(house.request(select="id=real"))
    assert [step.label for step in preview.steps] == ["5.1_split.expand", "5.2_split.migrate"]
    assert [note for note in preview.notes if "5.3_split.contract is held back" in note]
    async with working(house.ledger, settings_of(house, ())):
        await house.becomes(await house.start(select="id=real"), "completed")
        assert await applied(house) == ["5.1", "5.2"]


async def test_contract_follows_newer_migrations_when_it_is_asked_for(
    house: House, tenant: str
) -> None:
    await asyncio.to_thread(write, house, FILES)
    async with working(house.ledger, settings_of(house, ())):
        first = await house.start(select="id=real", phase=Phase.EXPAND)
        await house.becomes(first, "completed")
        assert await applied(house) == ["5.1"]
        await asyncio.to_thread(write, house, FILES | {"6_later.sql": LATER})
        await house.becomes(await house.start(select="id=real"), "completed")
        assert await applied(house) == ["5.1", "5.2", "6"]
        last = await house.start(select="id=real", phase=Phase.CONTRACT)
        await house.becomes(last, "completed")
        assert await applied(house) == ["5.1", "5.2", "6", "5.3"]
    preview = await house.ledger.rollouts.plan(house.request(select="id=real"))
    assert (preview.databases, [n for n in preview.notes if "held back" in n]) == ((), [])
