"""A read-only look at a target: who it is, what its journal says, what we may do there.

Nothing is written and, but for a look at rest, no lock is taken; the journal need not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from math import inf

import asyncpg

from migrations.acquire import (
    Facts,
    facts_of,
    facts_statement,
    identity_of,
    refuse_unsuitable,
)
from migrations.adoption.still_in_use import refuse_in_use
from migrations.backfill.backups import backups
from migrations.backfill.run import what_is_half_done
from migrations.chance import SYSTEM_CHANCE, Chance
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.errors import (
    ClockApart,
    PoolerRefused,
    Refused,
    SchemaRefused,
    StandbyRefused,
    StillInUse,
    Unreachable,
)
from migrations.model.attempt import (
    Backup,
    DatabasePlace,
    Epoch,
    Failure,
    HalfDone,
    Identity,
    Rights,
)
from migrations.model.clocks import ComparedClock
from migrations.model.work import Observer
from migrations.printable import escaped
from migrations.running.plan import left_half_done
from migrations.sql.literals import Expression
from migrations.target import journal
from migrations.target.entries import Entry, State
from migrations.target.failure import from_error
from migrations.target.journal import Record, latest_by_version, statement
from migrations.target.lock import key_for, wait_for_lock
from migrations.target.look import become_owner, fire_triggers, looking, our_path_as_owner
from migrations.target.preconditions import refuse_schema
from migrations.target.refusals import to_grant
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    excess,
    is_connection_lost,
    open_session,
    server_version,
)

APPLICATION_NAME = "migration-ledger check"
"""What `pg_stat_activity` shows."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look found; `failure` says why something is missing.

    `entries` is all that the journal says of migrations and adoptions, oldest first. `identity` is
    `None` without a journal, because a database gets its UUID with the first contact; `place` is
    the server's system identifier and the database's oid, which every database has.
    """

    reachable: bool
    failure: Failure | None = None
    server_version: int | None = None
    tls: bool | None = None
    in_recovery: bool | None = None
    rights: Rights | None = None
    identity: Identity | None = None
    place: DatabasePlace | None = None
    owner: str = ""
    epoch: Epoch | None = None
    journal_head: str | None = None
    entries: tuple[Entry, ...] = ()
    record: Record | None = None
    """The journal itself, with its entries about the target."""
    backups: tuple[Backup, ...] = ()
    """What data migrations have saved there."""
    half_done: tuple[HalfDone, ...] = ()
    """What the journal leaves half done, or in doubt."""
    clocks: Failure | None = None
    """Why the server's clock cannot be believed, or ours, where one was given to compare with."""
    warnings: tuple[str, ...] = ()
    """What in the database reaches our tables and what we do there, and is no reason to stop."""
    in_use: str = ""
    """What to say when somebody goes on with the tool whose history was adopted; of `glance`."""

    @property
    def latest(self) -> dict[str, Entry]:
        """Per migration, the last entry that says what holds."""
        return latest_by_version(self.entries)


async def inspect(
    settings: ConnectionSettings, target: str = "", clock: ComparedClock | None = None
) -> Inspection:
    """Look at a target; what goes wrong is in the answer, not raised."""
    return await _in_session(settings, target, partial(_look, clock=clock))


async def inspect_at_rest(
    settings: ConnectionSettings,
    target: str,
    observer: Observer,
    clock: ComparedClock | None = None,
    *,
    time: Clock = SYSTEM_CLOCK,
    chance: Chance = SYSTEM_CHANCE,
) -> Inspection:
    """As `inspect` while nobody is at work: whoever holds the target's lock is waited for.

    What it finds is the last word on all work that had begun; `observer` hears of the wait.
    """

    async def look(connection: Connection, target: str, settings: ConnectionSettings) -> Inspection:
        await connection.execute(await our_path_as_owner(connection))
        (row,) = await connection.fetch(facts_statement("facts", target, settings))
        try:
            # Behind a pooler or on a standby no lock says whether somebody is at work.
            refuse_unsuitable(facts_of(connection, row))
        except Refused as error:
            return Inspection(reachable=True, failure=from_error(error))
        await wait_for_lock(connection, key_for(target), inf, observer, time, chance)
        return await _look(connection, target, settings, clock=clock)

    return await _in_session(settings, target, look)


async def glance(settings: ConnectionSettings, target: str = "") -> Inspection:
    """As `inspect` without rights and TLS, and with one question where there is a journal."""
    return await _in_session(settings, target, _glance)


async def _in_session(
    settings: ConnectionSettings,
    target: str,
    look: Callable[[Connection, str, ConnectionSettings], Awaitable[Inspection]],
) -> Inspection:
    try:
        connection = await open_session(
            settings, application_name=APPLICATION_NAME, target=target, read_only=True
        )
    except PoolerRefused as error:
        return Inspection(reachable=True, failure=from_error(error))
    except Unreachable as error:
        return Inspection(reachable=False, failure=from_error(error))
    try:
        return await look(connection, target, settings)
    except DRIVER_ERRORS as error:
        if not is_connection_lost(connection, error):
            return Inspection(reachable=False, failure=from_error(error))
        if (too_much := excess(connection)) is not None:
            return Inspection(reachable=True, failure=from_error(too_much))
        lost = Unreachable(f"{settings.place}: the connection was lost in a look; look again")
        return Inspection(reachable=False, failure=from_error(lost))
    finally:
        await close_session(connection)


async def _glance(connection: Connection, target: str, settings: ConnectionSettings) -> Inspection:
    try:
        async with looking(connection):
            found = await _glanced(connection, target, settings)
    except (asyncpg.PostgresError, Refused):
        # Named by the longer look.
        found = None
    return found or await _look(connection, target, settings)


async def _glanced(
    connection: Connection, target: str, settings: ConnectionSettings
) -> Inspection | None:
    """What a glance finds where the journal is proven ours; `None` where there is none.

    Raises what the server raises, also where the journal is not proven.
    """
    await connection.execute(journal.proven(settings.role))
    query = facts_statement("glance", target, settings, target=target, **_published(connection))
    rows = await connection.fetch(query)
    record = journal.record_of(rows, target)
    if record is None or (facts := facts_of(connection, rows[0])).silent:
        return None
    found = Inspection(
        reachable=True,
        server_version=server_version(connection),
        warnings=tuple(_warnings(rows[0])),
    )
    try:
        refuse_schema(facts.target_problem)
        refuse_unsuitable(facts)
    except (PoolerRefused, SchemaRefused) as error:
        return replace(found, failure=from_error(error))
    except StandbyRefused:
        # Reading is what a standby is for.
        found = replace(found, in_recovery=True)
    found = await _with_remains(connection, target, _with_record(found, facts, record))
    return replace(found, in_use=await _in_use(connection, found.entries, target))


async def _in_use(connection: Connection, entries: Sequence[Entry], target: str) -> str:
    """Why nothing would be applied here; empty also where the other table may not be read."""
    try:
        await refuse_in_use(connection, entries, target)
    except StillInUse as error:
        return str(error)
    except asyncpg.PostgresError:
        return ""
    return ""


async def _look(
    connection: Connection,
    target: str,
    settings: ConnectionSettings,
    clock: ComparedClock | None = None,
) -> Inspection:
    async with looking(connection):
        found = await _looked(connection, target, settings, clock)
    if found.failure is not None and found.failure.sqlstate == "42501":
        if await become_owner(connection):
            return await _look(connection, target, settings, clock)
        try:  # Another's schema may be closed to us; then it is named.
            async with looking(connection):
                await journal.refuse_foreign(connection, settings.role)
        except Refused as error:
            message = f"{found.failure.message}; {error}"
            return replace(found, failure=replace(found.failure, message=message))
    return found


async def _looked(
    connection: Connection,
    target: str,
    settings: ConnectionSettings,
    clock: ComparedClock | None,
) -> Inspection:
    found = Inspection(reachable=True, server_version=server_version(connection))
    try:
        asked_at = clock.now() if clock else None
        (row,) = await connection.fetch(facts_statement("facts", target, settings))
        if clock is not None and asked_at is not None:
            found = replace(found, clocks=_apart(clock, row["clock"], asked_at))
        facts = facts_of(connection, row)
        if not facts.direct:
            refuse_unsuitable(facts)
        if facts.silent and await fire_triggers(connection):
            return await _looked(connection, target, settings, clock)
        (row,) = await connection.fetch(statement("rights", **_published(connection)))
        rights = Rights(
            create_schema=row["create_schema"],
            create_in_target=await _may_create_as(settings.role, connection),
            superuser=row["superuser"],
            create_role=row["create_role"],
            reaches=tuple(row["reaches"]),
            reaches_more=row["reaches_more"],
        )
        found = replace(
            found,
            tls=bool(row["tls"]),
            in_recovery=facts.in_recovery,
            place=DatabasePlace(facts.system_identifier, facts.database_oid),
            rights=rights,
            warnings=tuple(_warnings(row)),
        )
        refuse_schema(facts.target_problem)
        if facts.schema_there:
            await journal.refuse_foreign(connection, settings.role)
            strays = await journal.strays(connection, settings.role)
            found = replace(found, warnings=found.warnings + _stray_warnings(strays))
        record = await journal.read(connection, target) if facts.installed else None
    except Refused as error:
        return replace(found, failure=from_error(error))
    except asyncpg.PostgresError as error:
        if is_connection_lost(connection, error):
            raise
        failure = from_error(error)
        message = failure.message + to_grant(error)
        return replace(found, failure=replace(failure, message=message))
    if record is None:
        return found
    return await _with_remains(connection, target, _with_record(found, facts, record))


def _published(connection: Connection) -> dict[str, Expression]:
    question = journal.publications(server_version(connection))
    return {"publications": Expression(question), "saved": Expression(statement("saved_before"))}


def _warnings(row: asyncpg.Record) -> Iterator[str]:
    if row["publications"]:
        but = f", but for what is in {escaped(row['saved'] or '')} until `ledger db drop-backups`"
        yield (
            f"what is published with {escaped(row['publications'])} includes "
            "migration_ledger.journal, and a subscriber stops at a table that it lacks: make the "
            "schema and its tables there, or publish named tables or schemas instead; rows that "
            f"data migrations save are not sent{but if row['saved'] else ''}"
        )
    if row["log_statement"] in ("mod", "all"):
        yield (
            f"log_statement is {row['log_statement']} here, so the server's log holds the text of "
            "migrations and the keys of rows that they move; a superuser can quiet it for the "
            "migrating login: ALTER ROLE … SET log_statement = 'ddl'"
        )


def _stray_warnings(found: Sequence[journal.Stray]) -> tuple[str, ...]:
    """What belongs to another login, in one sentence."""
    if not found:
        return ()
    things = ", ".join(escaped(one.called) for one in found[: journal.SHOWN_AT_MOST])
    return (
        f"{things} belong{'s' if len(found) == 1 else ''} to the login {escaped(found[0].login)}, "
        "who may drop what is in it; the next migration takes it over if it may; else say, as a "
        f"superuser: {'; '.join(escaped(one.remedy) for one in found)}",
    )


def _apart(clock: ComparedClock, server: datetime, asked_at: datetime) -> Failure | None:
    try:
        clock.check(server, asked_at)
    except ClockApart as error:
        return from_error(error)
    return None


async def _may_create_as(role: str | None, connection: Connection) -> bool:
    """Whether the user can become this role, if one is named, and may create in the target."""
    parts = [statement("as_a_script_would")]
    if role:
        parts.append(statement("set_role", role=role))
    try:
        await connection.execute(";\n".join(parts))
        return bool(await connection.fetchval(statement("create_in_target")))
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError):
        return False
    finally:
        if not connection.is_closed():
            await connection.execute(statement("back_to_the_look"))


async def _with_remains(connection: Connection, target: str, found: Inspection) -> Inspection:
    """What of it is half done, and what was saved; what costs a round trip only where it may be."""
    found = replace(found, half_done=await what_is_half_done(connection, target, found.entries))
    if not any(entry.state is State.BATCHING for entry in found.entries):
        return found
    try:
        return replace(found, backups=await backups(connection, target))
    except asyncpg.PostgresError as error:
        failure = from_error(error)
        message = failure.message + to_grant(error)
        return replace(found, failure=replace(failure, message=message))


def with_entries(found: Inspection, entries: Sequence[Entry]) -> Inspection:
    """The same look at a journal that ends earlier: with these of its entries."""
    if found.record is None or not entries:
        found = replace(found, identity=None, journal_head=None, record=None, entries=())
        return replace(found, half_done=())
    record = replace(found.record, entries=tuple(entries), epoch=entries[-1].epoch)
    return replace(_as_recorded(found, record), half_done=left_half_done(entries))


def _with_record(found: Inspection, facts: Facts, record: Record) -> Inspection:
    found = replace(found, identity=identity_of(record.database_uuid, facts))
    return _as_recorded(found, record)


def _as_recorded(found: Inspection, record: Record) -> Inspection:
    return replace(
        found,
        owner=record.owner,
        epoch=record.epoch,
        journal_head=record.head,
        record=record,
        entries=tuple(
            entry
            for entry in record.entries
            if not entry.about_target or entry.state is State.ADOPTED
        ),
    )
