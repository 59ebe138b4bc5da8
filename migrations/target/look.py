"""Looks: questions in one explicit transaction that can write nothing.

`default_transaction_read_only` is a default, which code of a tenant could set back before it
writes. A transaction that has begun READ ONLY and has answered its first question stays so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from migrations.target.journal import statement
from migrations.target.session import Connection, timeless


@asynccontextmanager
async def looking(connection: Connection, *, as_the_script: bool = False) -> AsyncIterator[None]:
    """Everything within is one look, with our search_path, or the one that a script begins with.

    Nothing is left of it in the session, settings included. Raises what the server raises.
    """
    look = statement("look_as_the_script" if as_the_script else "look")
    await connection.execute(timeless(connection) + look)
    try:
        yield
    finally:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")


async def go_on_as_ourselves(connection: Connection) -> None:
    """Give the rest of a look that began as a script our own role and search_path."""
    await connection.execute(statement("go_on_as_ourselves"))
