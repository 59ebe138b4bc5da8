"""Who may do what in a new database, and statements that are tried until nothing more works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg

from migrations.model.folder_history import schema_of
from migrations.printable import escaped
from migrations.sql.grammar import GrammarError, parse, roles
from migrations.sql.literals import quote_ident, quote_literal
from migrations.target.failure import from_error
from migrations.target.session import Connection, ConnectionSettings

Went: TypeAlias = Callable[[int, int], None]
"""Hears how many statements of a schema were run, and of how many. It never raises."""
AT_ONCE = 50
"""Statements sent together; when one fails, these are sent one by one."""
_ROLE_EXISTS = "SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) $1"
_SCHEMA_EXISTS = (
    "SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) $1"
)


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that the wanted schema has and the scratch database has not. Names are escaped."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement of a schema, and what it makes, in words."""

    sql: str
    what: str


@dataclass(slots=True)
class Builder:
    """A new database and who may do what in it.

    `keeper` is a session of whoever made it, `settings` how its owner logs in. `made_roles` are
    those that were made for its sake, to be dropped with it.
    """

    keeper: Connection
    settings: ConnectionSettings
    roles: bool
    made_roles: list[str] = field(default_factory=list)
    went: Went = lambda done, total: None
    _known_roles: dict[str, bool] = field(default_factory=dict)

    async def extension(self, name: str, schema: str | None, version: str | None) -> str:
        """Make an extension, another version of it if need be; why it is missing, if it is."""
        where = f" SCHEMA {quote_ident(schema)}" if schema else ""
        owner = quote_ident(self.settings.user)
        if schema and await self.keeper.fetchrow(_SCHEMA_EXISTS, schema) is None:
            await self.keeper.execute(f"CREATE SCHEMA {quote_ident(schema)} AUTHORIZATION {owner}")
        why = ""
        for release in dict.fromkeys((version, None)):
            asked = f" VERSION {quote_literal(release)}" if release else ""
            try:
                await self.keeper.execute(
                    f"CREATE EXTENSION IF NOT EXISTS {quote_ident(name)}{where}{asked}"
                )
            except asyncpg.PostgresError as error:
                why = why or said(error)
            else:
                return ""
        return why

    async def has_role(self, name: str) -> bool:
        """Whether a role is there; made, where that is allowed, without any rights."""
        if name not in self._known_roles:
            self._known_roles[name] = await self._role(name)
        return self._known_roles[name]

    async def _role(self, name: str) -> bool:
        if await self.keeper.fetchrow(_ROLE_EXISTS, name) is not None:
            # Nobody becomes a member of a role that others use.
            return True
        if not self.roles:
            return False
        role = quote_ident(name)
        with suppress(asyncpg.PostgresError):
            await self.keeper.execute(f"CREATE ROLE {role} NOLOGIN")
            self.made_roles.append(name)
            await self.keeper.execute(f"GRANT {role} TO {quote_ident(self.settings.user)}")
            return True
        return name in self.made_roles


def said(error: BaseException) -> str:
    """What a server says, in one line that nothing in it can break, and without values."""
    return from_error(error).message


async def make_target(builder: Builder, target: str) -> None:
    """Make the schema that is the target, if there is one."""
    name = schema_of(target)
    if name and await builder.keeper.fetchrow(_SCHEMA_EXISTS, name) is None:
        await builder.keeper.execute(
            f"CREATE SCHEMA {quote_ident(name)} AUTHORIZATION {quote_ident(builder.settings.user)}"
        )


async def play(builder: Builder, session: Connection, pieces: Sequence[Piece]) -> dict[Piece, str]:
    """Run all pieces, again and again while that helps; what failed, and why.

    An order in which everything is there when it is needed is found by trying.
    """
    # A view that is made is computed, and may be written so that this never ends.
    await session.execute("SET check_function_bodies TO off; SET statement_timeout TO '60s'")
    waiting = list(pieces)
    while True:
        failed: dict[Piece, str] = {}
        for at in range(0, len(waiting), AT_ONCE):
            some = waiting[at : at + AT_ONCE]
            try:
                await session.execute("\n".join(one.sql for one in some))
            except asyncpg.PostgresError:
                for piece in some:
                    if why := await tried(builder, session, piece):
                        failed[piece] = why
            builder.went(at + len(some), len(waiting))
        if not failed or len(failed) == len(waiting):
            return failed
        waiting = list(failed)


async def tried(builder: Builder, session: Connection, piece: Piece) -> str:
    """Run one statement, with the roles that it names; why it failed, if it did."""
    try:
        await session.execute(piece.sql)
    except asyncpg.PostgresError as error:
        named = _roles_in(piece.sql)
        absent = [role for role in named if not await builder.has_role(role)]
        if absent:
            return (
                f"the role {escaped(absent[0])} is not on the scratch server; create it there, or "
                "name a role with CREATEROLE with --scratch"
            )
        if not named:
            return said(error)
    else:
        return ""
    try:
        await session.execute(piece.sql)
    except asyncpg.PostgresError as error:
        return said(error)
    return ""


def _roles_in(sql: str) -> list[str]:
    with suppress(GrammarError):
        return list(dict.fromkeys(name for raw in parse(sql) for name in roles(raw.node)))
    return []
