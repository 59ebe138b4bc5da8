"""A scratch database, as a test reaches it."""

from __future__ import annotations

import asyncpg

from migrations.scratch.database import ScratchDatabase


async def connected(database: ScratchDatabase) -> asyncpg.Connection[asyncpg.Record]:
    """A session of the login that owns it."""
    at = database.settings
    assert at.password is not None
    return await asyncpg.connect(
        host=at.host,
        port=at.port,
        user=at.user,
        password=at.password.reveal(),
        database=at.database,
    )
