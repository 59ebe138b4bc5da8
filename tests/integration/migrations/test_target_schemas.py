"""The schema of a target is part of what arrival, a look and a glance check."""

from __future__ import annotations

import pytest

from migrations.inspection import glance, inspect
from migrations.model.attempt import FailureClass, Verdict
from tests.integration.migrations.world import World, migration

MAKES = migration("1", "SET search_path = nosuch, public;\nCREATE TABLE t (id int)")


@pytest.mark.parametrize("met", [False, True])
async def test_a_schema_that_is_not_there_is_refused_by_name_and_nothing_goes_elsewhere(
    world: World, met: bool
) -> None:
    if met:
        await world.up(migration("0", "SELECT 1"))
    before = await world.fetch("SELECT relname FROM pg_class ORDER BY 1")
    outcome = await world.up(MAKES, target="nosuch")
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.IDENTITY
    assert "no schema nosuch" in outcome.failure.message
    assert await world.fetch("SELECT relname FROM pg_class ORDER BY 1") == before


async def test_a_schema_that_went_is_missed_at_the_next_arrival_and_by_looks(world: World) -> None:
    await world.execute('CREATE SCHEMA "Tenant A"')
    assert (
        await world.up(migration("1", "CREATE TABLE t (id int)"), target="Tenant A")
    ).failure is None
    await world.execute('DROP SCHEMA "Tenant A" CASCADE')
    outcome = await world.up(migration("2", "SELECT 1"), target="Tenant A")
    assert outcome.verdict is Verdict.REFUSED
    for look in (inspect, glance):
        found = await look(world.settings, "Tenant A")
        assert found.failure is not None
        assert "no schema Tenant A" in found.failure.message


async def test_a_schema_that_the_migrating_role_may_not_enter_is_refused(world: World) -> None:
    await world.execute_as_superuser("CREATE SCHEMA closed")
    outcome = await world.up(migration("1", "SELECT 1"), target="closed")
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "closed to the role" in outcome.failure.message
    assert "USAGE" in outcome.failure.message
