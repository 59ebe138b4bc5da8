"""What a session that was used takes before it is like a new one.

    used ──▶ worn? ──yes──▶ SessionWorn: the next migration begins in a session of its own
              │ no
              ▼
        cursors, LISTEN, temporary objects, sequences' values, prepared statements, settings away

So the result of a migration does not depend on what ran before it in the same session. All of it
goes along with what begins the next one, and a session that begins once pays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from migrations.sql.literals import Expression, quote_ident
from migrations.target.journal import statement
from migrations.target.lock import LockKey
from migrations.target.session import (
    Connection,
    ConnectionSettings,
    raise_if_worn,
    schemas_of,
    set_later,
)
from migrations.target.session_role import ourselves

Freshening: TypeAlias = dict[str, Expression]
"""Parts of `begin`, `alone` and `clear` in `journal.sql`."""


@dataclass(slots=True)
class SessionUse:
    """How a session has been used so far, and what that means for the next beginning."""

    connection: Connection
    key: LockKey
    target: str
    settings: ConnectionSettings
    again: bool = False
    """Whether more than one script may begin in it."""
    begun: bool = False
    """Whether one has."""

    @property
    def schemas(self) -> tuple[str, ...]:
        """Where a script finds its names, and makes things in the first; none for the default."""
        return schemas_of(self.target, self.settings)

    async def open(self, sql: str) -> None:
        """Send what begins with `for_script`. Raises SessionWorn."""
        self.begun = True
        try:
            await self.connection.execute(sql)
        except asyncpg.UndefinedObjectError as error:
            raise_if_worn(error)
            raise

    def for_script(
        self, database_oid: int, role: str | None = None, *, batch: bool = False
    ) -> Freshening:
        """The parts for a beginning of a script, or of a `batch`, that runs as `role`.

        A batch gets only what is cheap: one comes after the other, with a prepared statement of
        ours.
        """
        brought = Expression(statement("brought_along", database_oid=database_oid))
        cleared = []
        if self.begun and not batch:
            worn = statement("worn", brought_along=brought, **self.key.halves)
            cleared += [worn, "DEALLOCATE ALL"]
        if self.begun:
            cleared.append(statement("cleared"))
        selected = [statement("selected", target=self.schemas[0])] if self.schemas else []
        if selected and role:
            selected.insert(0, f"SET LOCAL ROLE {quote_ident(role)}")
        remembered = [statement("remembered", brought_along=brought)] if self.again else []
        return {
            "ourselves": ourselves(self.connection),
            "cleared": Expression("".join(f"{one};\n" for one in cleared)),
            "reset": Expression("RESET ALL;"),
            "pinned": Expression(set_later(self.connection)),
            "remembered": Expression("".join(f"{one};\n" for one in remembered)),
            "selected": Expression("".join(f"{one};\n" for one in selected)),
        }

    def clearing(self, database_oid: int) -> str:
        """What makes a session like a new one for looks of ours."""
        return statement("clear", **self.for_script(database_oid))

    def for_entry(self) -> Freshening:
        """The parts for an entry of ours; what is remembered for the next script outlives it."""
        keeps = self.begun and self.again
        return {
            "cleared": Expression(""),
            "reset": Expression("" if keeps else "RESET ALL;"),
            "pinned": Expression(set_later(self.connection)),
            "remembered": Expression(""),
            "selected": Expression(""),
        }
