"""A fresh database to run migrations on."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import AsSuperuser, FreshDatabase
from tests.integration.migrations.world import World


@pytest.fixture
async def world(fresh_database: FreshDatabase, as_superuser: AsSuperuser) -> World:
    """An empty database of a fleet, entered by its migrating login."""
    url = await fresh_database()
    return World(url, superuser_url=as_superuser(url))
