"""Looks: questions in one explicit transaction that can write nothing; and as whom we ask them.

`default_transaction_read_only` is a default, which code of a tenant could set back before it
writes. A transaction that has begun READ ONLY and has answered its first question stays so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from migrations.sql.literals import Expression, SqlValue
from migrations.target.journal import journal_owner, statement
from migrations.target.session import Connection, set_later
from migrations.target.session_role import ourselves, own

LET_FIRE = "SET session_replication_role TO origin"


@asynccontextmanager
async def looking(connection: Connection, *, as_the_script: bool = False) -> AsyncIterator[None]:
    """Everything within is one look, with our search_path, or the one that a script begins with.

    Nothing is left of it in the session, settings included. Raises what the server raises.
    """
    if as_the_script:
        look = statement("look_as_the_script", as_whom=Expression(before_the_script(connection)))
    else:
        look = statement("look", ourselves=ourselves(connection))
    await connection.execute(set_later(connection) + look)
    try:
        yield
    finally:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")


async def go_on_as_ourselves(connection: Connection) -> None:
    """Give the rest of a look that began as a script our own role and search_path."""
    await connection.execute(statement("go_on_as_ourselves", ourselves=ourselves(connection)))


def our_path(connection: Connection) -> str:
    """What stands in front of the first question of a session."""
    return statement("our_path", ourselves=ourselves(connection))


def as_ourselves(connection: Connection) -> str:
    """What stands between statements of a script and what we write in the same transaction."""
    return statement("as_ourselves", ourselves=ourselves(connection))


def before_the_script(connection: Connection) -> str:
    """What gives up a script's role: back to what the database and the login's role say."""
    role = ourselves(connection)
    return "RESET ROLE" if role == "NONE" else f"SET LOCAL ROLE {role}"


async def become_owner(connection: Connection) -> bool:
    """Go on as whom our schema belongs to, where the login is in it and may do nothing by itself.

    Whether that is somebody else than before; it takes effect with the next statement of ours that
    says as whom it runs.
    """
    found = await connection.fetchval(statement("own_role", become=Expression(statement("become"))))
    session = own(connection)
    if session is None or found == session.own_role:
        return False
    session.own_role = found
    return found is not None


async def fire_triggers(connection: Connection) -> bool:
    """Let triggers fire from here on, in the place of what the database or the login brings along.

    Whether the login may. It takes effect with the next statements that begin a look or a script.
    """
    in_a_look = connection.is_in_transaction()
    try:
        await connection.execute(statement("firing") if in_a_look else LET_FIRE)
    except asyncpg.InsufficientPrivilegeError:
        if in_a_look:
            await connection.execute(statement("back_to_the_look"))
        return False
    if (session := own(connection)) is not None:
        session.fires_triggers = True
    return session is not None


def owner_to_be(connection: Connection, answer: str | None) -> str | None:
    """Whose the journal will be, quoted, in an answer to `journal_owner`; the login's for `None`.

    The session goes on as him if the login may do nothing there by itself.
    """
    how, _, owner = (answer or "").partition(" ")
    if how == "becomes" and (session := own(connection)) is not None:
        session.own_role = owner
    return owner or None


def surroundings(role: str | None) -> dict[str, SqlValue]:
    """Questions about what has a say in tables of ours; migrations run as `role`."""
    return {
        "journal_owner": journal_owner(role),
        "default_grants": Expression(statement("default_grants")),
        "event_triggers": Expression(statement("event_triggers")),
    }


def surroundings_at_a_glance(role: str | None) -> dict[str, SqlValue]:
    """The same; without a role, only whether any of it is out of the ordinary."""
    if role is not None:
        return {**surroundings(role), "out_of_the_ordinary": False}
    return {
        "journal_owner": None,
        "default_grants": None,
        "event_triggers": False,
        "out_of_the_ordinary": Expression(statement("out_of_the_ordinary")),
    }


async def become_registered(connection: Connection, role: str | None) -> None:
    """Look from here on as the role that migrations run as, if its rights are not the login's."""
    values = {"role": role, "become": Expression(statement("become"))}
    if role is not None and (session := own(connection)) is not None:
        session.own_role = await connection.fetchval(statement("registered_role", **values))


async def our_path_as_owner(connection: Connection) -> str:
    """As `our_path`, where what follows may read the journal and nobody counts round trips."""
    await become_owner(connection)
    return our_path(connection)
