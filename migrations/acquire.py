"""Arriving at a target: prove who answers, take its lock, read or install its journal, check.

Nothing is written before every check has passed; the advisory lock ends with the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

import asyncpg

from migrations.adoption.marker import marker_in
from migrations.adoption.still_in_use import refuse_in_use
from migrations.chance import Chance
from migrations.clock import Clock
from migrations.errors import (
    GuardsReset,
    IdentityMismatch,
    StandbyRefused,
    TooLate,
)
from migrations.model.attempt import Identity, Limits, Mode
from migrations.model.clocks import ANY_TIME, ComparedClock
from migrations.model.folder_history import is_named, journal_key, schema_of
from migrations.model.work import Observer, Work
from migrations.running.other_history import refuse_other_history, refuse_second_journal
from migrations.running.prerequisites import refuse_behind
from migrations.sql.literals import Expression, SqlValue
from migrations.target import journal
from migrations.target.binary_copy import boolean, integer, moment, queried_behind, text
from migrations.target.entries import Key, NewEntry, State, entry_about_target, genesis, said_by
from migrations.target.journal import (
    AnyRow,
    Circumstances,
    Record,
    install_statements,
    statement,
)
from migrations.target.lock import LockKey, key_for, lock_as_expected, wait_for_lock
from migrations.target.look import (
    become_owner,
    fire_triggers,
    looking,
    our_path,
    owner_to_be,
    surroundings,
    surroundings_at_a_glance,
)
from migrations.target.preconditions import (
    check_epoch,
    check_head,
    check_identity,
    outside_changes,
    refuse_schema,
)
from migrations.target.session import (
    Connection,
    ConnectionSettings,
    is_connection_lost,
    milliseconds,
    pooler_refused,
    schemas_of,
    set_later,
)
from migrations.target.session_role import ourselves
from migrations.target.target import Target

LOCK_WITH_FACTS = {
    "locked": boolean,
    "backend_pid": integer,
    "in_recovery": boolean,
    "system_identifier": integer,
    "catalog_path": text,
    "installed": boolean,
    "schema_there": boolean,
    "target_problem": text,
    "clock": moment,
    "journal_owner": text,
    "default_grants": text,
    "event_triggers": boolean,
    "out_of_the_ordinary": boolean,
}
"""The columns of the statement `lock_with_facts`, and how they are read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says of itself and of the session."""

    direct: bool
    in_recovery: bool
    system_identifier: str
    database_oid: int
    installed: bool
    schema_there: bool
    """The journal's, with or without one in it."""
    target_problem: str = ""
    """Why one of the target's schemas cannot be used, and which."""
    around: Circumstances = field(default_factory=Circumstances)

    @property
    def silent(self) -> bool:
        """Whether triggers would not fire; nothing else is known of the target then."""
        return self.target_problem.startswith("silent ")


async def acquire(
    connection: Connection,
    settings: ConnectionSettings,
    work: Work,
    limits: Limits,
    observer: Observer,
    *,
    allow_outside: bool,
    time: Clock,
    chance: Chance,
    may_begin: Callable[[], bool] = lambda: True,
) -> Target:
    """The target, locked and checked. Raises Refused and LockUnavailable.

    Clocks that are apart (`migrations.model.clocks`) are a ClockApart before anything else.
    """
    key = key_for(work.target)
    facts, record = await _look(connection, settings, work, key, limits, observer, time, chance)
    _check(record, facts, work, allow_outside)
    if record is not None and (not work.owner or record.owner != work.owner):
        # What a ledger applied itself, it has compared before it ordered.
        refuse_other_history(work, record.entries)
    if record is None and facts.installed and work.folder is not None and is_named(work.target):
        plain = await journal.read(connection, journal_key(schema_of(work.target)))
        refuse_second_journal(work.folder, plain.entries if plain is not None else ())
    said = said_by(work.command_id, record.entries) if record else frozenset[Key]()
    if not said and not may_begin():
        # Asked under the lock: who answered for it before then found that it had not begun.
        raise TooLate("the time in which this order may begin is over; nothing was changed")
    if not said:
        refuse_behind(work, record.entries if record else ())
    if record is not None and work.mode is Mode.UP and marker_in(record.entries).table:
        async with looking(connection):
            await refuse_in_use(connection, record.entries, work.target)
    uuid = record.database_uuid if record else await _database_uuid(connection, facts, chance)
    target = Target(
        clock=time,
        chance=chance,
        connection=connection,
        settings=settings,
        work=work,
        limits=limits,
        observer=observer,
        key=key,
        identity=identity_of(uuid, facts),
        owner=work.owner or (record.owner if record else ""),
        epoch=record.epoch if record and not work.owner else work.epoch,
        head=record.head if record else genesis(uuid, work.target),
        seq=record.entries[-1].seq if record else 0,
        entries=record.entries if record else (),
        epoch_kept=record is not None and (not work.owner or record.epoch == work.epoch),
        outside=outside_changes(record, work.expectation.journal_head),
        recorded_keys=said,
        to_be_owned_by=facts.around.owner,
    )
    if record is not None:
        target.tell_identity(first_contact=False)
        return target
    await _meet(target, facts)
    return target


async def _meet(target: Target, facts: Facts) -> None:
    """The target's first entry, and the journal if there is none.

    A whole database on its way up gets both with its first migration, in one transaction.
    """
    folder = target.work.folder
    met = replace(entry_about_target(State.MET), note=folder.name if folder else "")
    if not (facts.installed or target.work.target) and target.work.mode is Mode.UP:
        target.meet_along(met, _install_statements(target.connection, facts))
        return
    if facts.installed:
        await target.record(met)
    else:
        await _install(target, facts, met)
    target.tell_identity(first_contact=True)


async def _install(target: Target, facts: Facts, met: NewEntry) -> None:
    """Make the journal and write the first entry.

    Two schemas of a database may be met at once, each with a UUID for it: the later one gives way.
    """
    first = [_install_statements(target.connection, facts)]
    if target.work.target:
        first.append(statement("one_uuid", database_uuid=target.identity.uuid))
    try:
        await target.record(met, first=";\n".join(first))
    except (GuardsReset, asyncpg.DuplicateSchemaError, asyncpg.DuplicateTableError):
        await target.rollback()
        await journal.refuse_foreign(target.connection, target.settings.role)
        uuid = await journal.known_uuid(target.connection) or target.identity.uuid
        target.identity = identity_of(uuid, facts)
        target.head = genesis(uuid, target.work.target)
        await target.record(met)


def _install_statements(connection: Connection, facts: Facts) -> str:
    who = ourselves(connection)
    return install_statements(facts.around, schema_there=facts.schema_there, ourselves=who)


def facts_statement(
    name: str, target: str, settings: ConnectionSettings, /, **values: SqlValue
) -> str:
    """A statement with the columns of `facts`, for some schemas or the whole database."""
    problems = [statement("silent")]
    for schema in schemas_of(target, settings):
        problems.append(statement("target_problem", target=schema, role=settings.role))
    values["target_problem"] = Expression(f"coalesce({', '.join(f'({one})' for one in problems)})")
    return statement(name, **{**surroundings(settings.role), **values})


def refuse_unsuitable(facts: Facts) -> None:
    """Raises PoolerRefused and StandbyRefused."""
    if not facts.direct:
        raise pooler_refused()
    if facts.in_recovery:
        raise StandbyRefused("the server is a standby; register the primary's host and port")


def facts_of(connection: Connection, row: AnyRow) -> Facts:
    """The facts in an answer to a statement that has the columns of `facts`."""
    owner = owner_to_be(connection, row["journal_owner"])
    return Facts(
        direct=row["backend_pid"] == connection.get_server_pid(),
        in_recovery=row["in_recovery"],
        system_identifier=str(row["system_identifier"]),
        database_oid=_database_oid(row["catalog_path"]),
        installed=row["installed"],
        schema_there=row["schema_there"],
        target_problem=row["target_problem"] or "",
        around=Circumstances(owner, row["default_grants"], row["event_triggers"]),
    )


def identity_of(database: UUID, facts: Facts) -> Identity:
    """Who the database is."""
    return Identity(database, facts.system_identifier, facts.database_oid)


def _database_oid(path: str) -> int:
    """From base/16384/1259, or pg_tblspc/16385/PG_18_202506291/16386/1259 in a tablespace."""
    return int(path.split("/")[-2])


async def _facts(connection: Connection, target: str, settings: ConnectionSettings) -> Facts:
    try:
        (row,) = await connection.fetch(facts_statement("facts", target, settings))
    except asyncpg.InsufficientPrivilegeError:
        if await become_owner(connection):
            await connection.execute(our_path(connection))
            return await _facts(connection, target, settings)
        # Another's schema may be closed to us; then it is named.
        await journal.refuse_foreign(connection, settings.role)
        raise
    return facts_of(connection, row)


async def _lock_with_facts(
    connection: Connection,
    key: LockKey,
    clock: ComparedClock | None,
    target: str,
    settings: ConnectionSettings,
) -> tuple[bool, Facts]:
    """Try the lock, and ask who answers and what time it is, in one round trip.

    Raises ClockApart.
    """
    values = surroundings_at_a_glance(settings.role)
    values |= {"key_data_pid": connection.get_server_pid(), "lock_key": key.value}
    query = facts_statement("lock_with_facts", target, settings, **values)
    asked_at = clock.now() if clock else None
    first = f"{set_later(connection)}{our_path(connection)}"
    try:
        (row,) = await queried_behind(connection, first, query, LOCK_WITH_FACTS)
    except asyncpg.InsufficientPrivilegeError:
        if await become_owner(connection):
            return await _lock_with_facts(connection, key, clock, target, settings)
        await connection.execute(our_path(connection))
        await journal.refuse_foreign(connection, settings.role)
        raise
    if clock is not None and asked_at is not None:
        clock.check(row["clock"], asked_at)
    if row["out_of_the_ordinary"] and not row["installed"]:
        around = statement("surroundings", **surroundings(settings.role))
        row |= dict(*await connection.fetch(around))
    return row["locked"], facts_of(connection, row)


async def _look(
    connection: Connection,
    settings: ConnectionSettings,
    work: Work,
    key: LockKey,
    limits: Limits,
    observer: Observer,
    time: Clock,
    chance: Chance,
) -> tuple[Facts, Record | None]:
    """Lock, then read: what another migrator did before has to be seen.

    A database that is known takes one question if all is as expected. Raises PoolerRefused,
    StandbyRefused, SchemaRefused, ClockApart, LockUnavailable and JournalForged.
    """
    known, clock = work.expectation.identity, work.clock
    if known is not None and not work.target:
        try:
            between = clock.bounds() if clock else ANY_TIME
            locking = lock_as_expected(connection, key, known, between)
            locking = f"{set_later(connection)}{our_path(connection)};\n{locking}"
            record = await journal.read_behind(connection, locking, settings.role)
        except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError):
            pass  # Not as expected, or no journal that may be read: see who answers.
        else:
            place = known.system_identifier, known.database_oid
            return Facts(True, False, *place, installed=True, schema_there=True), record
    locked, facts = await _lock_with_facts(connection, key, clock, work.target, settings)
    refuse_unsuitable(facts)
    if not locked:
        await wait_for_lock(connection, key, limits.advisory_wait_s, observer, time, chance)
        facts = await _facts(connection, work.target, settings)
    if facts.silent and await fire_triggers(connection):
        facts = await _facts(connection, work.target, settings)
    refuse_schema(facts.target_problem)
    if facts.schema_there:
        await journal.refuse_foreign(connection, settings.role)
        if await _take_over_strays(connection, settings, limits):
            facts = await _facts(connection, work.target, settings)
    return facts, await journal.read(connection, work.target) if facts.installed else None


async def _take_over_strays(
    connection: Connection, settings: ConnectionSettings, limits: Limits
) -> bool:
    """Give what belongs to another login, an earlier one, to whom it is to belong, if it may be.

    If not, for want of a right or because of an event trigger, looks warn of it.
    """
    found = await journal.strays(connection, settings.role)
    if not found:
        return False
    parts = [
        f"SET LOCAL lock_timeout = {milliseconds(limits.lock_timeout_s)}",
        statement("for_ddl"),
        *(one.remedy for one in found),
    ]
    try:
        async with connection.transaction():
            await connection.execute(";\n".join(parts))
    except asyncpg.PostgresError as error:
        if is_connection_lost(connection, error):
            raise
        return False
    if await become_owner(connection):
        await connection.execute(our_path(connection))
    return True


async def _database_uuid(connection: Connection, facts: Facts, chance: Chance) -> UUID:
    """The UUID that another target gave the database, or a new one."""
    known = await journal.known_uuid(connection) if facts.installed else None
    return known or chance.uuid()


def _check(record: Record | None, facts: Facts, work: Work, allow_outside: bool) -> None:
    _check_owner(record.owner if record else "", work, allow_outside)
    found = identity_of(record.database_uuid, facts) if record else None
    check_identity(found, work.expectation)
    if record is not None:
        # An order that was overtaken cannot know the journal's head.
        if work.owner:
            check_epoch(record, work.epoch, work.expectation.forged)
        check_head(record, work.expectation.journal_head, work.command_id, work.taken_back)


def _check_owner(owner: str, work: Work, allow_outside: bool) -> None:
    if work.owner:
        if owner not in ("", work.owner):
            raise IdentityMismatch(
                f"the database belongs to the fleet of ledger {owner}; retire it there first"
            )
    elif owner and not (allow_outside and work.reason):
        raise IdentityMismatch(
            f"the database belongs to the fleet of ledger {owner}; roll out through it, or say "
            "--outside-ledger --reason WHY"
        )
