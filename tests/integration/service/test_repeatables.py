"""A folder of Flyway across a fleet: repeatables that changed run again, baselines stand in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ledger.contracts.events import RolloutPlanned
from ledger.domain.refusals import EmptySelection
from ledger.runtime import working
from tests.fixtures.postgres import TenantDatabases
from tests.integration.service.test_running import PASSWORD, add, query, settings_of
from tests.support.house import House

ONLY = "id=real"


@pytest.fixture
async def tenant(
    house: House, tenant_databases: TenantDatabases, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the address of a real database, registered as `real`."""
    (url,) = await tenant_databases(1)
    monkeypatch.setenv(PASSWORD, urlsplit(url).password or "")
    await add(house, "real", url)
    return url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a version and a view."""
    found = tmp_path / "flyway"
    found.mkdir()
    (found / "V1__t.sql").write_text("CREATE TABLE t (a int, b int);")
    (found / "R__v.sql").write_text("CREATE OR REPLACE VIEW v AS SELECT a FROM t;")
    return found


async def planned(house: House) -> list[list[str]]:
    events = [one.event for one in await house.events(RolloutPlanned)]
    return [
        [step.version for step in event.steps]
        for event in events
        if isinstance(event, RolloutPlanned)
    ]


async def test_a_repeatable_is_planned_again_when_its_text_changed_and_only_then(
    house: House, tenant: str, folder: Path
) -> None:
    async with working(house.ledger, settings_of(house)):
        await house.becomes(await house.start(select=ONLY, folder=folder), "completed")
        with pytest.raises(EmptySelection):
            await house.start(select=ONLY, folder=folder)
        (folder / "R__v.sql").write_text("CREATE OR REPLACE VIEW v AS SELECT a, b FROM t;")
        await house.becomes(await house.start(select=ONLY, folder=folder), "completed")
        with pytest.raises(EmptySelection):
            await house.start(select=ONLY, folder=folder)

    assert await planned(house) == [["1", "R__v"], ["R__v"]]
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'v'"
    assert await query(tenant, columns) == 2


async def test_a_baseline_stands_in_for_its_versions_and_nothing_is_lacking_afterwards(
    house: House, tenant: str, folder: Path
) -> None:
    (folder / "B1__t.sql").write_text("CREATE TABLE t (a int, b int, c int);")
    async with working(house.ledger, settings_of(house)):
        await house.becomes(await house.start(select=ONLY, folder=folder), "completed")
        with pytest.raises(EmptySelection):
            await house.start(select=ONLY, folder=folder)

    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 't'"
    assert await query(tenant, columns) == 3
