"""A fresh database to run migrations on."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import FreshDatabase
from tests.integration.migrations.world import World


@pytest.fixture
async def world(fresh_database: FreshDatabase) -> World:
    """An empty database of a fleet."""
    return World(await fresh_database())
