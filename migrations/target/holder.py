"""Who holds a lock that we want, in words that claim nothing that the server did not show.

A role sees of other roles' sessions that they are there, and little else: without
`pg_read_all_stats` their state, their times and their kind are NULL. A prepared transaction holds
locks without a session, a session may end between two looks, and a process of the server belongs
to nobody. Every one of them is told as what it is, and none is a reason to fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from migrations.sql.literals import Expression, printable
from migrations.target.journal import statement
from migrations.target.session import Connection, is_connection_lost


@dataclass(frozen=True, slots=True)
class Holder:
    """A row of the statement `holder`. Times are ages in seconds."""

    pid: int | None
    """Missing for a prepared transaction."""
    seen: bool
    """Whether the server still listed the process."""
    has_user: bool
    """Whether it belongs to a role: to ours, or to one whose sessions may be hidden."""
    application_name: str | None
    backend_type: str | None
    state: str | None
    session_s: float | None
    """Missing where the session is hidden from us."""
    transaction_s: float | None
    prepared: str | None
    """The name of the prepared transaction."""
    prepared_s: float | None


async def name_holder(connection: Connection, which: str, *arguments: object) -> str | None:
    """Who holds the locks that the condition `which` picks; `None` when nobody does any more.

    Best effort: a server that refuses the look is told in the answer. Raises only what a lost
    connection raises.
    """
    query = statement("holder", which=Expression(which))
    try:
        row = await connection.fetchrow(query, *arguments)
    except asyncpg.PostgresError as error:
        if is_connection_lost(connection, error):
            raise
        return f"a session that could not be looked up (SQLSTATE {error.sqlstate})"
    return None if row is None else describe(Holder(**dict(row)))


def describe(holder: Holder) -> str:
    """A holder in words; what the server did not show is left out, or named as hidden."""
    if holder.pid is None:
        return _prepared(holder)
    name = f" ({printable(holder.application_name)})" if holder.application_name else ""
    who = f"pid {holder.pid}{name}"
    if not holder.seen:
        return f"{who}, which has ended meanwhile"
    if holder.session_s is None:
        whose = "another role's session" if holder.has_user else "a process of the server itself"
        return f"{who}, {whose}; grant pg_read_all_stats to see it"
    parts = [who, holder.state or holder.backend_type or "state unknown"]
    if holder.transaction_s is not None:
        parts.append(f"{holder.transaction_s:.0f} s")
    else:
        parts.append(f"session age {holder.session_s:.0f} s")
    return ", ".join(parts)


def _prepared(holder: Holder) -> str:
    name = f" '{printable(holder.prepared)}'" if holder.prepared else ""
    age = f", {holder.prepared_s:.0f} s" if holder.prepared_s is not None else ""
    return f"the prepared transaction{name}{age}; COMMIT PREPARED or ROLLBACK PREPARED ends it"
