"""A read-only look at the histories that other tools left, before anything is adopted."""

from __future__ import annotations

from migrations.adoption.history_tables import histories, history_for, known_tool
from migrations.errors import AdoptionRefused, Unreachable
from migrations.model.attempt import Adoption
from migrations.model.foreign_history import ForeignHistory
from migrations.target.look import become_registered, looking
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)

APPLICATION_NAME = "migration-ledger look"
"""What `pg_stat_activity` shows."""


async def histories_in(
    settings: ConnectionSettings, target: str = "", adoption: Adoption | None = None
) -> tuple[ForeignHistory, ...]:
    """The histories of a target, over a session that can write nothing; none when it has none.

    Where `adoption` names a table, it is that one, or one with the problem that it is not there.
    """
    try:
        connection = await open_session(
            settings, application_name=APPLICATION_NAME, target=target, read_only=True
        )
    except Unreachable:
        return ()
    try:
        await become_registered(connection, settings.role)
        async with looking(connection, as_the_script=True):
            if adoption is not None and adoption.table:
                return (await _named(connection, adoption),)
            return await histories(connection)
    except DRIVER_ERRORS:
        return ()
    finally:
        await close_session(connection)


async def _named(connection: Connection, adoption: Adoption) -> ForeignHistory:
    try:
        return await history_for(connection, adoption)
    except AdoptionRefused as refused:
        return ForeignHistory(known_tool(adoption.source), adoption.table, (), 0, str(refused))
