"""Variables from the plan to the database and back, over the real path."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import pytest

from ledger.contracts.events import MigrationOrdered, RolloutPlanned, WavePlanned
from ledger.contracts.registry import Connection, Variable
from ledger.domain.variables import MissingLabels, UndeclaredVariables
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from migrations.errors import VariableError
from migrations.model.attempt import Mode
from tests.fixtures.postgres import TenantDatabases
from tests.integration.service.test_running import PASSWORD, settings_of
from tests.support.house import House

REGIONAL = """\
-- +migrate Up
CREATE TABLE ${schema}.in_{{.region}} (note text DEFAULT '{{.OTP}}');
-- +migrate Down
DROP TABLE ${schema}.in_{{.region}};
"""
SCHEMA = Variable(name="schema", value="public")
REGION = Variable(name="region", value="sample", label="region")
DECLARED = (REGION, SCHEMA)


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'in!_%' ESCAPE '!'"
        )
    finally:
        await connection.close()
    return {row["relname"] for row in rows}


@pytest.fixture
async def regions(
    house: House, tenant_databases: TenantDatabases, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Return the addresses of two real databases, each with a label of its own."""
    urls = dict(zip(("eu", "us"), await tenant_databases(2), strict=True))
    for region, url in urls.items():
        parts = urlsplit(url)
        monkeypatch.setenv(PASSWORD, parts.password or "")
        connection = Connection.at(
            host=parts.hostname or "",
            port=parts.port or 5432,
            database=parts.path[1:],
            user=parts.username or "",
            password=f"env:{PASSWORD}",
            sslmode="disable",
        )
        labels = {"region": region}
        await house.ledger.fleet.add(
            f"in-{region}", "default", connection, labels, RequestContext()
        )
    (house.folder / "3_regional.sql").write_text(REGIONAL)
    return urls


REAL = "region in (eu,us)"


async def test_each_database_gets_its_own_value_and_the_log_says_which(
    house: House, regions: dict[str, str]
) -> None:
    async with working(house.ledger, settings_of(house)):
        rollout = await house.start(select=REAL, variables=DECLARED)
        await house.becomes(rollout, "completed")

    assert [await tables(regions[one]) for one in ("eu", "us")] == [{"in_eu"}, {"in_us"}]
    ordered = {
        one.event.database: one.event.variables
        for one in await house.events(MigrationOrdered)
        if isinstance(one.event, MigrationOrdered)
    }
    assert ordered == {
        "in-eu": (("region", "eu"), ("schema", "public")),
        "in-us": (("region", "us"), ("schema", "public")),
    }
    (planned,) = [one.event for one in await house.events(RolloutPlanned)]
    assert isinstance(planned, RolloutPlanned)
    assert planned.variables == (REGION, SCHEMA)


async def test_a_rollback_uses_the_values_of_the_up_though_the_label_changed(
    house: House, regions: dict[str, str]
) -> None:
    async with working(house.ledger, settings_of(house)):
        rollout = await house.start(select=REAL, variables=DECLARED)
        await house.becomes(rollout, "completed")
        await house.ledger.fleet.label(
            "in-eu", {"region": "moon"}, [], RequestContext(reason="moved")
        )
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")

    assert [await tables(regions[one]) for one in ("eu", "us")] == [set(), set()]
    orders = [one.event for one in await house.events(MigrationOrdered)]
    values = [
        one.variables
        for one in orders
        if isinstance(one, MigrationOrdered) and one.mode is Mode.ROLLBACK
    ]
    assert {dict(one)["region"] for one in values} == {"eu", "us"}


async def test_going_down_later_uses_the_values_of_the_up_and_not_the_declared_ones(
    house: House, regions: dict[str, str]
) -> None:
    other = (Variable(name="region", value="mars"), Variable(name="schema", value="elsewhere"))
    async with working(house.ledger, settings_of(house)):
        await house.becomes(await house.start(select=REAL, variables=DECLARED), "completed")
        down = await house.start(select=REAL, direction="down", variables=other)
        await house.becomes(down, "completed")

    assert [await tables(regions[one]) for one in ("eu", "us")] == [set(), set()]


async def test_a_database_without_the_label_is_refused_by_name_before_anything_runs(
    house: House, regions: dict[str, str]
) -> None:
    await house.ledger.fleet.label("in-us", {}, ["region"], RequestContext(reason="why not"))

    with pytest.raises(MissingLabels, match=r"region.*in-us"):
        await house.ledger.rollouts.plan(house.request(select="id=in-us", variables=DECLARED))

    assert await house.events(WavePlanned) == []


async def test_a_placeholder_that_nobody_declared_is_refused_by_name(
    house: House, regions: dict[str, str]
) -> None:
    with pytest.raises(VariableError, match=r"3_regional\.sql:2.*variable \w+ is not declared"):
        await house.start(select=REAL)


async def test_a_registered_bundle_needs_its_variables_again(
    house: House, regions: dict[str, str]
) -> None:
    registered = await house.ledger.bundles.register(
        house.folder, RequestContext(), variables=DECLARED
    )

    with pytest.raises(UndeclaredVariables, match=r"3_regional.*schema"):
        await house.start(select=REAL, folder=None, bundle=registered.digest, variables=(REGION,))


async def test_the_plan_shows_what_variables_stand_for(
    house: House, regions: dict[str, str]
) -> None:
    preview = await house.ledger.rollouts.plan(house.request(select=REAL, variables=DECLARED))

    assert preview.variables == {"region": "label region: eu, us", "schema": "public"}
