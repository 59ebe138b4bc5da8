"""A read-only look at the histories that other tools left, before anything is adopted."""

from __future__ import annotations

import asyncpg

from migrations.adoption.history import History
from migrations.adoption.reading import histories
from migrations.errors import Unreachable
from migrations.session import ConnectionSettings, close_session, open_session

APPLICATION_NAME = "migration-ledger look"
"""What `pg_stat_activity` shows."""


async def histories_in(settings: ConnectionSettings, target: str = "") -> tuple[History, ...]:
    """The histories of a target, over a session that can write nothing; none when it has none."""
    try:
        connection = await open_session(
            settings, application_name=APPLICATION_NAME, search_path=target, read_only=True
        )
    except Unreachable:
        return ()
    try:
        return await histories(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return ()
    finally:
        await close_session(connection)
