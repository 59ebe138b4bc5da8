"""Who holds a lock that we want, in words that claim nothing that the server did not show.

A role sees of other roles' sessions that they are there, whose they are, and little else: without
`pg_read_all_stats` their state, their times and their kind are NULL. A prepared transaction holds
locks without a session, a session may end between two looks, and a process of the server belongs
to nobody. Every one of them is told as what it is, and none is a reason to fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import asyncpg

from migrations.printable import escaped
from migrations.target.journal import statement
from migrations.target.session import Connection, is_connection_lost

SHOWN_AT_MOST = 3
"""Sessions in one sentence."""
FINGERPRINT_CHARS = 80
"""Of a query: enough to know it again."""

MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""Weakest first, as `pg_locks` names them."""
_AGAINST = {
    "AccessShareLock": (7,),
    "RowShareLock": (6, 7),
    "RowExclusiveLock": (4, 5, 6, 7),
    "ShareUpdateExclusiveLock": (3, 4, 5, 6, 7),
    "ShareLock": (2, 3, 5, 6, 7),
    "ShareRowExclusiveLock": (2, 3, 4, 5, 6, 7),
    "ExclusiveLock": (1, 2, 3, 4, 5, 6, 7),
    "AccessExclusiveLock": (0, 1, 2, 3, 4, 5, 6, 7),
}
"""Which modes each is in conflict with (documentation, 13.3: Conflicting Lock Modes)."""


@dataclass(frozen=True, slots=True)
class LockSession:
    """One who holds a lock or waits for it: columns of `holder` and `blockers`. Times are ages."""

    pid: int | None
    """Missing, or 0, for a prepared transaction."""
    seen: bool
    """Whether the server still listed the process."""
    role: str | None
    """Missing for a process of the server."""
    application_name: str | None
    backend_type: str | None
    state: str | None
    database: str | None
    session_s: float | None
    """Missing where the session is hidden from us."""
    transaction_s: float | None
    prepared: str | None
    """The name of the prepared transaction."""
    prepared_by: str | None
    prepared_s: float | None


_Row: TypeAlias = Mapping[str, Any]
_Found: TypeAlias = dict[tuple[int | None, str | None], tuple[LockSession, _Row | None]]
"""Sessions and prepared transactions, each with the lock that says most."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """What we wait for, who stands in the way, and for how long that has been so."""

    what: str
    by: str
    waiting_s: float
    pids: tuple[int, ...] = ()
    """Of the sessions of our own database that hold what we wait for: of others nothing is ended,
    and what they run is not told."""
    running: str = ""
    """What the first of them runs, or ran last, without values; told while we wait, never kept."""
    waits: int | None = None
    """The session that waits: ours, or that of a program beside it."""


async def name_holder(connection: Connection, **lock: int) -> str | None:
    """Who holds the target's lock, given by its halves; `None` when nobody does any more.

    Best effort: a server that refuses the look is told in the answer. Raises only what a lost
    connection raises.
    """
    try:
        row = await connection.fetchrow(statement("holder", **lock))
    except asyncpg.PostgresError as error:
        if is_connection_lost(connection, error):
            raise
        return unseen(error)
    return None if row is None else describe(_session(dict(row)))


def unseen(error: asyncpg.PostgresError) -> str:
    """Who it is where the server refuses the look."""
    return f"a session that could not be looked up (SQLSTATE {error.sqlstate})"


def blocking(rows: Iterable[_Row], database: str) -> Blocking | None:
    """What the rows of `blockers` say; `None` where nobody stands in the way.

    `database` is ours; another one is named. Who waits, too, is told behind whom it waits for.
    """
    rows = list(rows)
    if not rows:
        return None
    first = rows[0]
    holding: _Found = {}
    queued: _Found = {}
    queries: dict[int | None, str | None] = {}
    for row in rows:
        session = _session(row)
        key = (session.pid, session.prepared)
        if row["mode"] is None or not conflicting(row["wanted"], row["mode"]):
            # What was held when the server was asked for the pids may be gone since.
            if session.pid and key not in queued:
                holding.setdefault(key, (session, None))
                queries.setdefault(session.pid, row.get("query"))
        elif row["granted"]:
            _strongest(holding, key, session, row)
            queries.setdefault(session.pid, row.get("query"))
        else:
            _strongest(queued, key, session, row)
    for key in queued:
        holding.pop(key, None)
    told = [_holding(one, lock, database) for one, lock in holding.values()][:SHOWN_AT_MOST]
    before = [_queued(one, lock, database) for one, lock in queued.values()]
    told += before[: SHOWN_AT_MOST - len(told)]
    left = len(holding) + len(queued) - len(told)
    more = [f"{left} more"] if left > 0 else []
    here = [one for one, _ in holding.values() if one.database in (None, database)]
    pids = tuple(one.pid for one in here if one.pid)
    by, waiting_s = "; ".join([*told, *more]), first["waiting_s"] or 0.0
    running = next(filter(None, (fingerprint(queries.get(pid)) for pid in pids)), "")
    return Blocking(_wanted(first), by, waiting_s, pids, running, first.get("waiting"))


def fingerprint(query: str | None) -> str:
    """What a session runs, or ran last, without its literals; nothing where that cannot be known.

    A text that the grammar does not read, one that was cut among them, may hold anything.
    """
    if not query:
        return ""
    # The grammar costs a tenth of a second, and hardly anybody who waits has to pay it.
    from migrations.sql.grammar import GrammarError, parse
    from migrations.sql.summary import normalized

    try:
        parse(query)
        text = " ".join(normalized(query).split())
    except (GrammarError, ValueError):
        return ""
    more = " …" if len(text) > FINGERPRINT_CHARS else ""
    return f"; its query: {escaped(text[:FINGERPRINT_CHARS])}{more}" if text else ""


def conflicting(wanted: str | None, held: str) -> bool:
    """Whether one lock waits for the other; a mode that we do not know may be in conflict."""
    if wanted not in _AGAINST or held not in MODES:
        return True
    return MODES.index(held) in _AGAINST[wanted]


def describe(session: LockSession, database: str | None = None) -> str:
    """A session in words; what the server did not show is left out, or named as hidden.

    Its database is named if it is another than the one that is given.
    """
    if not session.pid:
        return f"{_prepared(session)}; COMMIT PREPARED or ROLLBACK PREPARED ends it"
    parts = [*_who(session, database), *_doing(session)]
    return ", ".join(parts) + _hidden(session)


def _holding(session: LockSession, row: _Row | None, database: str) -> str:
    if not session.pid:
        held = f", holds {_lock(row, 'mode')}" if row is not None else ""
        return f"{_prepared(session)}{held}; COMMIT PREPARED or ROLLBACK PREPARED ends it"
    parts = [*_who(session, database), *_doing(session)]
    if row is not None:
        parts.append(f"holds {_lock(row, 'mode')}")
    return ", ".join(parts) + _hidden(session)


def _queued(session: LockSession, row: _Row | None, database: str) -> str:
    who = ", ".join([*_who(session, database), *_doing(session)])
    waits = f", waits for {_lock(row, 'mode')}" if row is not None else ""
    return f"in between {who}{waits}{_hidden(session)}"


def _who(session: LockSession, database: str | None) -> list[str]:
    name = f" ({escaped(session.application_name)})" if session.application_name else ""
    who = [f"pid {session.pid}{name}"]
    if session.role is not None:
        who.append(f"user {escaped(session.role)}")
    if database is not None and session.database not in (None, database):
        who.append(f"in database {escaped(str(session.database))}")
    return who


def _doing(session: LockSession) -> list[str]:
    if not session.seen:
        return ["which has ended meanwhile"]
    if session.session_s is None:
        return [] if session.role is not None else ["a process of the server itself"]
    parts = [session.state or session.backend_type or "state unknown"]
    if session.transaction_s is not None:
        parts.append(f"{session.transaction_s:.0f} s")
    else:
        parts.append(f"session age {session.session_s:.0f} s")
    return parts


def _hidden(session: LockSession) -> str:
    if not session.seen or session.session_s is not None:
        return ""
    return (
        "; its state and age are hidden from our login: grant it pg_read_all_stats or pg_monitor "
        "to see them"
    )


def _prepared(session: LockSession) -> str:
    name = f" '{escaped(session.prepared)}'" if session.prepared else ""
    by = f", user {escaped(session.prepared_by)}" if session.prepared_by else ""
    age = f", {session.prepared_s:.0f} s" if session.prepared_s is not None else ""
    return f"the prepared transaction{name}{by}{age}"


def _wanted(row: _Row) -> str:
    return _lock(row, "wanted") if row["locktype"] else "a lock"


def _lock(row: _Row, mode: str) -> str:
    """A lock as `pg_locks` names its mode, and what it is on."""
    match row["locktype"]:
        case "relation" | "extend" | "page":
            on = f" on {escaped(row['relation'])}" if row["relation"] else ""
        case "tuple":
            on = f" on a row of {escaped(row['relation'])}" if row["relation"] else " on a row"
        case "transactionid":
            on = " on a transaction that has written the same rows"
        case "virtualxid":
            on = " on a transaction that began before"
        case "advisory":
            on = " on an advisory lock"
        case kind:
            on = f" on {kind}"
    return f"{row[mode]}{on}"


def _strongest(
    found: _Found, key: tuple[int | None, str | None], session: LockSession, row: _Row
) -> None:
    _, before = found.get(key, (session, None))
    known = before["mode"] if before is not None else None
    if known is None or _strength(row["mode"]) > _strength(known):
        found[key] = (session, row)


def _strength(mode: str) -> int:
    return MODES.index(mode) if mode in MODES else -1


def _session(row: _Row) -> LockSession:
    return LockSession(**{field.name: row[field.name] for field in fields(LockSession)})
