"""What a check says is wrong with a database, each with what to do. Pure.

Of several problems the first is told: nothing could be read; it is another database; it is in the
fleet twice; its journal names an order that was never given, or lost something; something is half
done there; its user may not migrate, or may do more than that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ledger.contracts.events import Purpose
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.fleet import DatabaseRecord, is_beyond
from ledger.domain.half_done import state, way_out
from ledger.domain.outcomes import in_force
from ledger.domain.refusals import listed
from migrations.model.attempt import Epoch, Identity, Rights

SHARED_LOGIN = "shared_login"
"""The label by which somebody accepts a login that reaches further than its database."""
ACCEPTED = "accepted"
SILENT = "no answer came; does `ledger-agent run` work in that pool?"
"""Of a database that has not answered."""
_REACHES = "reaches other databases of its server too"
_SAME_AS = "the same database as"
_OTHERS = re.compile(rf"({_REACHES}) \([^)]*\)|({_SAME_AS}) '[^']*'")
"""Where the names of other databases stand in what is wrong with one."""


def lost(
    purpose: Purpose,
    answer: DatabaseInspected,
    applied: Collection[str],
    known: Identity | None,
) -> tuple[str, ...]:
    """The versions of `applied`, which the log says are in force, that the journal lost.

    A database that was reinstated or repointed is taken as it is. Otherwise only the one that is
    `known` can lose something, and what was undone there is no loss: its journal says so.
    """
    if not answer.reachable or answer.failure is not None:
        return ()
    if purpose is Purpose.REINSTATE:
        held: Collection[str] = in_force(answer.entries)
    elif known is None or answer.identity != known:
        return ()
    else:
        held = {entry.version for entry in answer.entries}
    return tuple(version for version in applied if version not in held)


def twins(
    records: Iterable[DatabaseRecord], answers: Mapping[str, DatabaseInspected]
) -> dict[str, str]:
    """The databases of `answers` that are the same target as another one, and that one's id."""
    first: dict[tuple[str, int, str, str], str] = {}
    found: dict[str, str] = {}
    for record in sorted(records, key=lambda one: one.database):
        target = None if record.retired else _target(record, answers.get(record.database))
        if target is None:
            continue
        other = first.setdefault(target, record.database)
        if other != record.database:
            found[record.database] = other
            found.setdefault(other, record.database)
    return {database: other for database, other in found.items() if database in answers}


def problem(
    answer: DatabaseInspected,
    known: Identity | None,
    twin: str | None,
    missing: Collection[str],
    role: str | None = None,
    *,
    shared_login: bool = False,
    issued: Epoch | None = None,
    busy: str | None = None,
) -> str | None:
    """What is wrong with a database that answered, or `None`; migrations run there as `role`.

    `issued` is how far this ledger has come, where the journal is its own or nobody's. With
    `shared_login` somebody has accepted that the login reaches further than this database. `busy`
    is the unfinished rollout that it is part of: what is half done there is that one's to finish.
    """
    if (nothing := unseen(answer)) is not None:
        return nothing
    if known is not None and answer.identity != known:
        other, gone = "another database answers than the ledger knows", "its journal is gone"
        return (
            f"{other if answer.identity else gone}; if that is meant, accept it with "
            f"`ledger fleet reinstate {answer.database} --reason WHY`"
        )
    if twin is not None:
        return (
            f"{_SAME_AS} {twin!r} under another address; "
            f"keep one of them and `ledger fleet retire` the other"
        )
    if issued is not None and answer.epoch is not None and is_beyond(answer.epoch, issued):
        return (
            f"its journal names order {answer.epoch.term}.{answer.epoch.position}, which this "
            "ledger has never given, so orders may be kept out (a forged entry, or the ledger was "
            "restored); find out why, then let them in with "
            f"`ledger fleet reset-fence {answer.database} --reason WHY`"
        )
    if missing:
        return (
            f"its journal lost {listed(sorted(missing))} (a restore?); accept it as it is with "
            f"`ledger fleet reinstate {answer.database} --reason WHY`"
        )
    if answer.half_done and busy is None:
        (first, *more) = answer.half_done
        further = f"; so are {listed([one.version for one in more])}" if more else ""
        return f"{state(first)}; {way_out(answer.database, first)}{further}"
    return _remedy(answer.rights, role) or (
        None if shared_login else _reaching(answer.rights, answer.database)
    )


def unseen(answer: DatabaseInspected) -> str | None:
    """Why nothing was seen of the database, or `None`: whatever is known of it, that was so."""
    if answer.failure is not None:
        return answer.failure.message
    return None if answer.reachable else "not reachable"


def cause(problem: str, database: str) -> str:
    """What is wrong, in words that are the same for all that have it: without any names."""
    alike = re.sub(rf"(?<![\w-]){re.escape(database)}(?![\w-])", "DATABASE", problem)
    return _OTHERS.sub(lambda found: found[1] or f"{found[2]} another one", alike)


def lacking(rights: Rights, role: str | None) -> tuple[str, ...]:
    """What keeps the user of the migrations from applying any: the rights, each in a few words.

    A superuser needs none, except the ones of the role that migrations run as.
    """
    wanted = (
        ("CREATE on the database", rights.create_schema or rights.superuser),
        (
            f"CREATE in the schema as role {role}" if role else "CREATE in the schema",
            rights.create_in_target or (rights.superuser and not role),
        ),
    )
    return tuple(what for what, there in wanted if not there)


def _reaching(rights: Rights | None, database: str) -> str | None:
    """What whoever gets hold of this database's login could do elsewhere, and the way out.

    The owner of a tenant database can: by a trigger on a table that a migration writes to, and
    SET ROLE does not keep him from it.
    """
    if rights is None:
        return None
    if rights.superuser:
        further = "is a superuser"
    elif rights.create_role:
        further = "has CREATEROLE"
    elif rights.reaches:
        more = f" and {rights.reaches_more:,} more" if rights.reaches_more else ""
        further = f"{_REACHES} ({listed(sorted(rights.reaches))}{more})"
    else:
        return None
    return (
        f"its login {further}, and what runs in a migration can use that, a tenant's trigger among "
        f"it; give it a login of its own (user: mig_{{database}}), or accept it with "
        f"`shared_login: accepted` in the pool or "
        f"`ledger fleet label {database} {SHARED_LOGIN}={ACCEPTED}`"
    )


def _target(
    record: DatabaseRecord, answer: DatabaseInspected | None
) -> tuple[str, int, str, str] | None:
    """Which target the server proved it to be: now, or when it was last met.

    That is the server's system identifier, the database's object id, schema and history.
    """
    place = (answer.place or answer.identity) if answer else record.expected.identity
    if place is None:
        return None
    target = record.connection.target
    return place.system_identifier, place.database_oid, target.schema, target.history


def _remedy(rights: Rights | None, role: str | None) -> str | None:
    """What to do when the user of the migrations could not apply any."""
    missing = lacking(rights, role) if rights is not None else ()
    if not missing:
        return None
    said = f"the user may not migrate here, it lacks {' and '.join(missing)}"
    if role is None:
        return f"{said}; GRANT CREATE on the database and on the schema to it"
    return (
        f"{said}; GRANT CREATE on the database and the role {role} to it, "
        f"and CREATE on the schema to {role}"
    )
