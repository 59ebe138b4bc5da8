"""The journal inside a tenant database: its statements, installing it, reading it.

Writing an entry is `migrations.target.target`'s, because an entry is only written under its guards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias
from uuid import UUID

import asyncpg

from migrations.errors import JournalChanged, JournalForged, TooMuch
from migrations.model.attempt import Epoch
from migrations.model.version import VERSION_MOST
from migrations.printable import escaped
from migrations.sql.literals import Expression, SqlValue, bind
from migrations.sql.named_statements import named_statements
from migrations.target.binary_copy import (
    Row,
    copied,
    copied_behind,
    identifier,
    integer,
    json_text,
    moment,
    text,
)
from migrations.target.entries import (
    Entry,
    NewEntry,
    Said,
    entry_of,
    failure_text,
    genesis,
    json_in_one_form,
    next_head,
)
from migrations.target.session import Connection

AnyRow: TypeAlias = "asyncpg.Record | Row"

INSTALL_KEY = 7_091_223_640_115_482_001
"""Advisory lock around installing, one for all targets of a database; any constant will do."""

SHOWN_AT_MOST = 3
"""Reasons in one refusal."""

COLUMNS = {
    "target": text,
    "seq": integer,
    "head": text,
    "command": identifier,
    "rollout": text,
    "migration": text,
    "direction": text,
    "step": integer,
    "state": text,
    "up_checksum": text,
    "down_checksum": text,
    "statements": integer,
    "note": text,
    "failure": json_text,
    "reason": text,
    "database_uuid": identifier,
    "owner": text,
    "epoch_term": integer,
    "epoch_position": integer,
    "finished_at": moment,
    "duration_ms": integer,
    "made_by": text,
}
"""What is read of an entry, and how."""

SHAPE = (
    "target:19,seq:20,head:25,command:2950,rollout:25,migration:25,direction:25,step:23,state:25,"
    "up_checksum:25,down_checksum:25,statements:23,statement:25,note:25,failure:3802,reason:25,"
    "database_uuid:2950,owner:25,epoch_term:20,epoch_position:20,xid:5069,finished_at:1184,"
    "duration_ms:20,made_by:19"
)
"""The table's columns in order with their types, whose numbers are the same on every server."""


_SQL = named_statements("migrations.target", "journal.sql")


@dataclass(frozen=True, slots=True)
class Record:
    """A target's entries, oldest first, and what the last one says of the target."""

    database_uuid: UUID
    owner: str
    epoch: Epoch
    entries: tuple[Entry, ...]

    @property
    def head(self) -> str:
        """The head of the last entry."""
        return self.entries[-1].head


def statement(name: str, /, **values: SqlValue) -> str:
    """The statement of `journal.sql` with this name, its values put in.

    Where it says as whom we go on, that is the login itself unless a value says otherwise.
    """
    return bind(_SQL[name], {"ourselves": Expression("NONE"), **values})


def proven(role: str | None, *, thoroughly: bool = True) -> str:
    """What fails unless the journal is ours at a glance; migrations run as `role`.

    If not `thoroughly`, it is ours only if it is this very login's.
    """
    owned = statement("owned_by_login")
    if thoroughly:
        owned = statement("owned_by_fitting_role", fitting_role=_roles(role)["fitting_role"])
    natts = SHAPE.count(",") + 1
    return statement("proven", columns=SHAPE, natts=natts, owned=Expression(owned))


async def read(connection: Connection, target: str) -> Record | None:
    """The journal of a target; `None` when the target was never met.

    By COPY where the target is the database's default, and so is nearly always the only one; one of
    many schemas asks for its own entries alone.
    """
    if target:
        return record_of(await connection.fetch(statement("read", target=target)), target)
    rows = await copied(connection, "migration_ledger", "journal", COLUMNS)
    return record_of((row for row in rows if row["target"] == target), target)


async def read_behind(connection: Connection, first: str, role: str | None) -> Record | None:
    """The journal of a whole database, with statements before it in the same round trip.

    Raises UndefinedObjectError where it is not proven ours at a glance; see `refuse_foreign`.
    """
    table = "migration_ledger", "journal", COLUMNS
    thoroughly = role is not None
    try:
        both = f"{first};\n{proven(role, thoroughly=thoroughly)}"
        rows = await copied_behind(connection, both, *table)
    except asyncpg.UndefinedObjectError as error:
        if thoroughly or "migration_ledger_owner_is_another" not in str(error):
            raise
        both = f"{first};\n{proven(role, thoroughly=True)}"
        rows = await copied_behind(connection, both, *table)
    return record_of((row for row in rows if row["target"] == ""), "")


def record_of(rows: Iterable[AnyRow], target: str) -> Record | None:
    """The journal in the rows of what reads it; `None` without an entry.

    Every entry is held against the chain. Raises JournalChanged, and TooMuch for names of a length
    that no report can have.
    """
    ordered = sorted((row for row in rows if row["seq"] is not None), key=itemgetter("seq"))
    if not ordered:
        return None
    uuid, entries = ordered[0]["database_uuid"], []
    head = genesis(uuid, target) if isinstance(uuid, UUID) else ""
    for number, row in enumerate(ordered, start=1):
        try:
            entry = entry_of(row)
            said = Said(entry.command, entry.rollout, row["owner"], entry.epoch)
            head = next_head(head, said, entry, failure=_stored(row["failure"]))
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            raise _changed(number) from None
        if (row["seq"], row["head"], row["database_uuid"]) != (number, head, uuid):
            raise _changed(number)
        _check_length(number, entry)
        entries.append(entry)
    last = ordered[-1]
    return Record(uuid, last["owner"], entries[-1].epoch, tuple(entries))


def _check_length(number: int, entry: Entry) -> None:
    longest = max(entry.migration, entry.rollout, key=len)
    if len(longest) > VERSION_MOST:
        raise TooMuch(
            f"entry {number} of the journal names a migration or rollout of {len(longest):,} "
            f"characters, and {VERSION_MOST} is the most; find out who wrote it, put the journal "
            "back from a backup, or take it away with `ledger db remove-journal`, accept that with "
            "`ledger fleet reinstate`, and say with `ledger adopt` or `ledger baseline` what is "
            "applied"
        )


def _changed(number: int) -> JournalChanged:
    return JournalChanged(
        f"entry {number} of the journal is not as migration-ledger wrote it: it, or what stood "
        "before it, was edited, taken out or put in; put it back from a backup, or take the "
        "journal away with `ledger db remove-journal`, accept that with `ledger fleet reinstate`, "
        "and say with `ledger adopt` or `ledger baseline` what is applied"
    )


async def refuse_foreign(connection: Connection, role: str | None) -> None:
    """Raise JournalForged unless schema and journal, where they are there, are ours.

    `role` is the one that migrations run as. The session has our search_path.
    """
    rows = await connection.fetch(statement("foreign", columns=SHAPE, role=role, **_roles(role)))
    if rows:
        why = _some([row["why"] for row in rows])
        remedies = [row["remedy"] for row in rows if row["remedy"] is not None]
        yours = f"if it is yours, say {_some(remedies)}; if it is not, " if remedies else ""
        raise JournalForged(
            f"migration_ledger.journal is not ours ({why}), so nothing was read from it and "
            f"nothing written; find out who made that; {yours}DROP SCHEMA migration_ledger CASCADE"
            f"; then order this again{_EARLIER_LOGIN if 'the schema belongs to' in why else ''}"
        )


def _some(found: Sequence[str]) -> str:
    """The first of these, escaped, and how many more there are."""
    more = f"; and {len(found) - SHOWN_AT_MOST:,} more" if len(found) > SHOWN_AT_MOST else ""
    return "; ".join(map(escaped, found[:SHOWN_AT_MOST])) + more


def journal_owner(role: str | None) -> Expression:
    """The question whose the journal is to be, if there is none."""
    return Expression(statement("journal_owner", **_roles(role, made_for_it=True)))


def _roles(role: str | None, *, made_for_it: bool = False) -> dict[str, SqlValue]:
    """Questions inside of questions about owners, where migrations run as `role`.

    Whose the schema is decides, unless it is a login's, which a tenant may have made for himself.
    """
    become = Expression(statement("become"))
    named = Expression(statement("set_to")) if role is None else role
    among_all, among_mine = (
        Expression(statement("fitting_role", roles=Expression(roles), named=named, become=become))
        for roles in ("pg_catalog.pg_roles", "mine")
    )
    counts = True if made_for_it else Expression(_NO_LOGINS)
    values = {"role": role, "fitting_role": among_mine, "become": become, "made_for_it": counts}
    return {"fitting_role": among_all, "kept_for": Expression(statement("kept_for", **values))}


async def strays(connection: Connection, role: str | None) -> list[Stray]:
    """What of ours belongs to another login that this one may act for."""
    return [
        Stray(**dict(row)) for row in await connection.fetch(statement("strays", **_roles(role)))
    ]


async def known_uuid(connection: Connection) -> UUID | None:
    """The database's UUID, if any of its targets was met."""
    found: UUID | None = await connection.fetchval(statement("database_uuid"))
    return found


@dataclass(frozen=True, slots=True)
class Stray:
    """A thing of ours that belongs to another login, and the statement that gives it back."""

    login: str
    called: str
    remedy: str


_UNFILTERED = "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
_NO_LOGINS = """NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS k
    WHERE k.oid OPERATOR(pg_catalog.=) n.nspowner AND k.rolcanlogin)"""
_EARLIER_LOGIN = (
    "; what an earlier login of yours has made is better given to a role that both logins are in: "
    "register that role, and say it in these statements"
)
PUBLISHED_BY_SCHEMA_SINCE = 150000
"""The first release with publications of whole schemas."""


def publications(server_version: int) -> str:
    """The question which publications send what is made in our schema."""
    by_schema = server_version >= PUBLISHED_BY_SCHEMA_SINCE
    return statement("publications_by_schema" if by_schema else "publications")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What of the database has a say in tables that are made in it."""

    owner: str | None = None
    """Whose the journal is to be, quoted; `None` for the login itself."""
    default_grants: str | None = None
    """To whom default privileges would give it, quoted; `None` where there are none."""
    event_triggers: bool = False
    publications: str | None = None
    """Which ones would send it to their subscribers, quoted; asked where tables hold saved rows."""

    def made_private(self, *tables: str, schema: str = "") -> str:
        """Statements behind those that make tables: theirs are the owner's alone, and whole."""
        parts = []
        if self.default_grants is not None:
            for thing in filter(None, (f"SCHEMA {schema}" if schema else "", *tables)):
                if self.default_grants:
                    parts.append(f"REVOKE ALL ON {thing} FROM {self.default_grants}")
                # They may take rights from the owner, too.
                parts.append(f"GRANT ALL ON {thing} TO {self.owner or 'CURRENT_USER'}")
        if self.event_triggers:
            # Some of them switch it on for every table that is made.
            parts += [f"ALTER TABLE {one} {_UNFILTERED}" for one in tables]
        return "".join(f"{part};\n" for part in parts)


DATA_TABLES = {
    f"migration_ledger.{name}": f"{name}_table" for name in ("progress", "backup", "saved")
}
"""The tables of data migrations, and the statements that make them."""


def install_statements(around: Circumstances, *, schema_there: bool, ourselves: Expression) -> str:
    """What makes all tables; fails where there is one. A schema that is there was proven ours.

    Behind it, the session goes on as `ourselves`.
    """
    schema = "" if schema_there else f"{statement('schema')}\n"
    before = f"{statement('for_ddl')};\n" if around.event_triggers else ""
    before += f"SET LOCAL ROLE {around.owner};\n" if around.owner else ""
    private = "".join(f"{statement(name)}\n" for name in DATA_TABLES.values())
    private += around.made_private(
        "migration_ledger.journal",
        *DATA_TABLES,
        schema="" if schema_there else "migration_ledger",
    )
    return statement(
        "install",
        install_key=INSTALL_KEY,
        before=Expression(before),
        schema=Expression(schema),
        private=Expression(private),
        ourselves=ourselves,
    )


def entry_statement(columns: Mapping[str, SqlValue]) -> str:
    """What writes an entry, however long its texts are."""
    return statement("entry", **columns)


def entry_values(entry: NewEntry) -> dict[str, SqlValue]:
    """The columns of an entry that are its own, as the statement `record` names them."""
    return {
        "migration": entry.migration,
        "direction": entry.direction,
        "step": entry.step,
        "state": entry.state.value,
        "up_checksum": entry.up_checksum,
        "down_checksum": entry.down_checksum,
        "statements": entry.statements,
        "statement": entry.statement,
        "note": entry.note or None,
        "failure": failure_text(entry.failure),
        "duration_ms": entry.duration_ms,
    }


def latest_by_version(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The last entry that says what holds, per migration."""
    return {entry.migration: entry for entry in entries if entry.settles}


def _stored(failure: str | None) -> str | None:
    """A failure as it was hashed: in its own words, also those that a newer program has written."""
    return failure and json_in_one_form(json.loads(failure))
