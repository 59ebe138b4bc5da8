"""As whom we ask and write in a session: the login itself, or a role that it must become for it.

A login that is a member of the journal's owner and does not inherit its rights (NOINHERIT, or a
membership WITH INHERIT FALSE) can do nothing in our schema before SET ROLE. It becomes that role in
every statement of ours, so that its journal is the group's like that of any other login. Who we are
is known to the session, and learned where the server refuses, so that nobody else pays for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import asyncpg

from migrations.sql.literals import Expression

if TYPE_CHECKING:
    _Session = asyncpg.Connection[asyncpg.Record]
else:
    _Session = asyncpg.Connection


class OwnSession(_Session):
    """A session of ours; `own_role` is the role, quoted, that its login must become."""

    own_role: str | None = None
    fires_triggers: bool = False
    """Whether the database or the login has switched triggers off for it, and it on again."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        _MADE.add(self)


_MADE: WeakSet[OwnSession] = WeakSet()


def open_sessions() -> int:
    """How many sessions with databases this process has now."""
    return sum(not session.is_closed() for session in tuple(_MADE))


def own(connection: _Session) -> OwnSession | None:
    """The session as one of ours, if it is; the driver answers `isinstance` for any with yes."""
    return cast(OwnSession, connection) if OwnSession in type(connection).__mro__ else None


def ourselves(connection: _Session) -> Expression:
    """What stands behind SET ROLE in statements of ours."""
    session = own(connection)
    return Expression((session and session.own_role) or "NONE")
