"""One scratch database, from CREATE to DROP.

It is dropped at the end, after errors, and after Ctrl-C; what a killed process leaves behind is
named by the next one, which can tell that nobody is in it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import asyncpg

from migrations.clock import SYSTEM_CLOCK
from migrations.errors import Unreachable
from migrations.printable import escaped
from migrations.scratch.builder import Builder, Lack, Went, said
from migrations.scratch.errors import ScratchRefused
from migrations.scratch.schema import Schema, build
from migrations.sql.literals import quote_ident, quote_literal
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    Password,
    close_session,
    open_session,
    server_version,
)

APPLICATION_NAME = "migration-ledger scratch"
"""What `pg_stat_activity` shows."""
PREFIX = "ledger_scratch_"
"""What the names of our databases and roles begin with; the rest is left to chance."""
DROP_TIMEOUT_S = 30.0
"""For the sessions in it to end, and its files to go."""
_RIGHTS = """
    SELECT r.rolsuper, r.rolcreatedb, r.rolcreaterole, pg_catalog.pg_is_in_recovery() AS standby
    FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) current_user
"""
_LEFT_OVER = """
    SELECT d.datname FROM pg_catalog.pg_database AS d
    WHERE pg_catalog.starts_with(d.datname::pg_catalog.text, $1) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datid OPERATOR(pg_catalog.=) d.oid
    ) ORDER BY d.datname
"""


_END_OURS = """
    SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname OPERATOR(pg_catalog.=) $1 AND a.usename OPERATOR(pg_catalog.=) current_user
"""
_DROPS_MOST = 5
"""How often it is asked, 5 s each, until whoever is not ours to end has gone."""


@dataclass(frozen=True, slots=True)
class ScratchDatabase:
    """A database to try things in. `settings` is how its owner logs in, an ordinary role.

    `lacks` is what of the wanted schema is not there, and why; `left_over` are databases of
    earlier runs that were killed. `version` is the server's, 180006 for 18.6.
    """

    settings: ConnectionSettings
    version: int
    lacks: tuple[Lack, ...] = ()
    left_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rights:
    superuser: bool
    roles: bool
    """Whether it may make roles."""


@asynccontextmanager
async def scratch_database(
    server: ConnectionSettings,
    schema: Schema | None = None,
    went: Went = lambda done, total: None,
) -> AsyncIterator[ScratchDatabase]:
    """A new database on the server, with this schema or none, dropped at the end.

    `went` hears how far its schema is.

    `server` names a database to connect to first, in which nothing is done, and a role with
    CREATEDB. A superuser's stays out of it: then the database belongs to a login that is made for
    it. Raises ScratchRefused, SchemaUnusable, and what `open_session` raises.
    """
    admin = await _first_contact(server)
    try:
        rights = await _rights(admin, server)
        left_over = [row["datname"] for row in await admin.fetch(_LEFT_OVER, PREFIX)]
        settings = _login(server, rights)
        made_roles: list[str] = []
        try:
            async with _kept(admin, server, settings, rights, made_roles) as builder:
                builder.went = went
                lacks = await _built(builder, schema)
                yield ScratchDatabase(
                    settings, server_version(admin), tuple(lacks), tuple(left_over)
                )
        finally:
            await _drop(server, settings.database, made_roles)
    finally:
        await close_session(admin)


async def _built(builder: Builder, schema: Schema | None) -> list[Lack]:
    try:
        return await build(builder, schema) if schema is not None else []
    except asyncpg.PostgresError as error:
        why = said(error)
    except DRIVER_ERRORS:
        why = "the session was lost"
    raise ScratchRefused(
        f"the scratch database cannot be set up with this schema: {why}; correct that, or set it "
        "up otherwise, with --schema-from"
    )


async def _first_contact(server: ConnectionSettings) -> Connection:
    try:
        return await open_session(server, application_name=APPLICATION_NAME)
    except Unreachable as error:
        raise ScratchRefused(
            f"the server for scratch databases cannot be used: {error.message}"
        ) from None


async def _rights(admin: Connection, server: ConnectionSettings) -> _Rights:
    """What its role may do there. Raises ScratchRefused."""
    found = await admin.fetchrow(_RIGHTS)
    role, where = escaped(server.user), f"{escaped(server.host)}:{server.port}"
    if found is None or found["standby"]:
        raise ScratchRefused(
            f"{where} is a standby, on which no database can be made; name the server that it "
            "follows, or another, with --scratch"
        )
    if not (found["rolsuper"] or found["rolcreatedb"]):
        raise ScratchRefused(
            f"the role {role} may not make databases on {where}; run "
            f"`ALTER ROLE {escaped(quote_ident(server.user))} CREATEDB` there, or name another "
            "role or server with --scratch"
        )
    return _Rights(found["rolsuper"], found["rolsuper"] or found["rolcreaterole"])


def _login(server: ConnectionSettings, rights: _Rights) -> ConnectionSettings:
    """How the owner of a new database gets in: as the same role, unless that is a superuser."""
    name = PREFIX + secrets.token_hex(12)
    # A role that the address sets is one of whoever named the server.
    settings = replace(server, database=name, role=None, further_schemas=())
    if not rights.superuser:
        return settings
    return replace(
        settings,
        user=name,
        password=Password(secrets.token_urlsafe(24)),
        sslcert=None,
        sslkey=None,
    )


@asynccontextmanager
async def _kept(
    admin: Connection,
    server: ConnectionSettings,
    settings: ConnectionSettings,
    rights: _Rights,
    made_roles: list[str],
) -> AsyncIterator[Builder]:
    """Make the database; a session of ours stays in it, by which others see that it is in use."""
    name = quote_ident(settings.database)
    try:
        if rights.superuser and settings.password is not None:
            made_roles.append(settings.user)
            await _make_login(admin, settings.user, settings.password)
        await admin.execute(
            f"CREATE DATABASE {name} OWNER {quote_ident(settings.user)} TEMPLATE template0"
        )
        await admin.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
        keeper = await open_session(
            replace(server, database=settings.database), application_name=APPLICATION_NAME
        )
    except asyncpg.PostgresError as error:
        raise ScratchRefused(
            f"{escaped(server.host)}:{server.port} makes no scratch database: "
            f"{escaped(str(error))}; correct that there, or name another server with --scratch"
        ) from None
    try:
        yield Builder(
            keeper,
            settings,
            roles=rights.roles,
            made_roles=made_roles,
        )
    finally:
        await close_session(keeper)


async def _make_login(admin: Connection, name: str, password: Password) -> None:
    """Make an ordinary login; its password does not go into the server's log."""
    async with admin.transaction():
        await admin.execute("SET LOCAL log_statement TO none")
        await admin.execute("SET LOCAL log_min_duration_statement TO -1")
        await admin.execute("SET LOCAL log_min_error_statement TO panic")
        await admin.execute(
            f"CREATE ROLE {quote_ident(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE "
            f"NOREPLICATION NOBYPASSRLS PASSWORD {quote_literal(password.reveal())}"
        )


async def _drop(server: ConnectionSettings, database: str, made_roles: list[str]) -> None:
    """Drop all that was made; a second Ctrl-C does not wait for it."""
    task = asyncio.create_task(_dropped(server, database, made_roles), name="drop scratch database")
    with suppress(TimeoutError):
        async with SYSTEM_CLOCK.timeout(DROP_TIMEOUT_S):
            await asyncio.shield(task)


async def _dropped(server: ConnectionSettings, database: str, made_roles: list[str]) -> None:
    # Over a new session, for the old one may be lost. What remains is named by the next run.
    with suppress(Unreachable, *DRIVER_ERRORS):
        admin = await open_session(server, application_name=APPLICATION_NAME)
        try:
            await _drop_database(admin, database)
            for role in reversed(made_roles):
                # One that was used in another database meanwhile stays.
                with suppress(asyncpg.PostgresError):
                    await admin.execute(f"DROP ROLE IF EXISTS {quote_ident(role)}")
        finally:
            await close_session(admin)


async def _drop_database(admin: Connection, database: str) -> None:
    """Drop it, whoever is in it."""
    drop = f"DROP DATABASE IF EXISTS {quote_ident(database)}"
    try:
        await admin.execute(f"{drop} WITH (FORCE)")
    except asyncpg.InsufficientPrivilegeError:
        # A worker of autovacuum is not ours to end. Without FORCE the server ends those itself, and
        # waits a while for all others.
        await admin.execute(_END_OURS, database)
        for _ in range(_DROPS_MOST):
            with suppress(asyncpg.ObjectInUseError):
                await admin.execute(drop)
                return
