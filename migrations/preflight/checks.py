"""The checks: what each measures in the answers, and what to do when it does not pass. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from migrations.model.preflight import (
    PreflightCheck,
    PreflightPolicy,
    PreflightResult,
    TableSize,
    judged,
)
from migrations.model.windows import minutes_until_open, window_text
from migrations.preflight.questions import Answers, PreflightQuestion
from migrations.target.holder import MODES, conflicting

SHOWN = 3
"""Names in one sentence."""
APPLICATIONS = 4
"""Programs with connections that are named."""
MB = 2**20
SEE_ALL = "grant pg_read_all_stats or pg_monitor to our login"
NEVER_SAID = "no backup_query is set, and this server archives nothing"

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the checks look at."""

    answers: Answers
    policy: PreflightPolicy
    now: datetime

    def of(self, question: PreflightQuestion) -> _Row:
        """What the server said; nothing of what was not asked, because nothing is touched."""
        return self.answers.said.get(question, {})


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, `None` where it cannot be known, with the evidence and what to do."""

    value: float | None
    said: str = ""
    tables: tuple[TableSize, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckDeclaration:
    """One check: what it needs to have been asked, and what it makes of it."""

    check: PreflightCheck
    needs: PreflightQuestion | None
    measure: Callable[[Situation], Measured]


def results(situation: Situation) -> tuple[PreflightResult, ...]:
    """What every check comes to, in their order."""
    return tuple(_result(one, situation) for one in CHECKS)


def _result(one: CheckDeclaration, situation: Situation) -> PreflightResult:
    bounds = situation.policy.bounds_of(one.check)
    if one.needs is not None and (why := situation.answers.refused.get(one.needs)):
        return judged(one.check, None, f"{why}; {_remedy(one.needs)}", bounds)
    measured = one.measure(situation)
    found = judged(one.check, measured.value, measured.said, bounds)
    return replace(found, tables=measured.tables) if measured.tables else found


def _remedy(question: PreflightQuestion) -> str:
    match question:
        case PreflightQuestion.BACKUP:
            return "correct preflight.backup_query: it selects when the last backup ended"
        case PreflightQuestion.SPACE:
            return "correct preflight.space_query: it selects how many bytes are free"
        case PreflightQuestion.LOCKS | PreflightQuestion.SNAPSHOTS | PreflightQuestion.CONNECTIONS:
            return f"{SEE_ALL}, and SELECT on pg_stat_activity"
        case _:
            return f"{SEE_ALL}, or what the server names"


def _rights(situation: Situation) -> Measured:
    said = situation.of(PreflightQuestion.SERVER)
    role, lacks = said["role"], []
    if said["role_missing"]:
        return Measured(1, f"there is no role {role} here")
    if said["role_closed"]:
        lacks.append(f"its login may not become {role}: GRANT {role} to it")
    if not said["may_keep_journal"]:
        lacks.append("its login lacks CREATE on the database, for the journal")
    if situation.answers.touched.creates and not said["may_make"]:
        where = said["makes_in"] or "any schema of its search_path"
        lacks.append(f"{role} lacks CREATE in {where}")
    others = [f"{table} belongs to {owner}" for table, owner in sorted(said["others"] or ())]
    if others:
        shown = _listed(others)
        lacks.append(f"{shown}: GRANT the owner to {role}")
    return Measured(len(lacks), "; ".join(lacks))


def _primary(situation: Situation) -> Measured:
    standby = situation.of(PreflightQuestion.SERVER)["standby"]
    return Measured(int(standby), "the server is a standby; register the primary's host and port")


def _server_version(situation: Situation) -> Measured:
    major = int(situation.of(PreflightQuestion.SERVER)["version"]) // 10_000
    return Measured(major, "the server is older than what migrations are run on; upgrade it")


def _free_space(situation: Situation) -> Measured:
    if PreflightQuestion.SPACE not in situation.answers.said and not situation.policy.space_query:
        return Measured(None, "no space_query is set, and PostgreSQL does not tell")
    if PreflightQuestion.SPACE not in situation.answers.said:
        return _unanswered(situation, PreflightQuestion.SPACE)
    free = situation.of(PreflightQuestion.SPACE)["free"]
    if free is None:
        return Measured(None, "preflight.space_query found nothing")
    return Measured(float(free) / MB, "make room, or raise the limit")


def _unanswered(situation: Situation, question: PreflightQuestion) -> Measured:
    why = situation.answers.refused.get(question, "it was not asked")
    return Measured(None, f"{why}; {_remedy(question)}")


def _invalid_indexes(situation: Situation) -> Measured:
    names = sorted(situation.of(PreflightQuestion.TABLES).get("invalid") or ())
    return Measured(
        len(names), f"{_listed(names)}; DROP INDEX CONCURRENTLY, or REINDEX INDEX CONCURRENTLY"
    )


def _in_the_way(situation: Situation) -> list[_Row]:
    """The locks that ours would wait for, of whatever is no autovacuum."""
    return [
        row
        for row in _lockers(situation)
        if conflicting(MODES[row["wanted"]], row["mode"]) and not _is_autovacuum(row)
    ]


def _lockers(situation: Situation) -> list[_Row]:
    """Every lock on what is touched, the longest held first, each table's in the order of pids."""
    said = situation.of(PreflightQuestion.LOCKS)
    found = [_aged(row, said["now"]) for row in said.get("lockers") or ()]
    return sorted(found, key=lambda row: (row["age"] is not None, -(row["age"] or 0), row["pid"]))


def _aged(row: _Row, now: float) -> _Row:
    """A row with how long ago what it says was: `None` where that is hidden."""
    return {
        **row,
        **{
            age: None if row.get(since) is None else now - row[since]
            for age, since in (("age", "since"), ("still", "still_since"))
        },
    }


def _is_autovacuum(row: _Row) -> bool:
    if row["kind"] is not None:
        return bool(row["kind"] == "autovacuum worker")
    return bool(row["seen"] and row["user"] is None and row["gid"] is None)


def _transactions(situation: Situation) -> Measured:
    rows = [row for row in _in_the_way(situation) if not _is_idle(row)]
    return _oldest(rows, "age", "wait for it, or end it with pg_cancel_backend(pid)")


def _idle(situation: Situation) -> Measured:
    rows = [row for row in _in_the_way(situation) if _is_idle(row)]
    return _oldest(rows, "still", "its program forgot it: end it with pg_terminate_backend(pid)")


def _is_idle(row: _Row) -> bool:
    return str(row["state"] or "").startswith("idle in transaction")


def _snapshots(situation: Situation) -> Measured:
    said = situation.of(PreflightQuestion.SNAPSHOTS)
    rows = [_aged(row, said["now"]) for row in said.get("snapshots") or ()]
    return _oldest(rows, "age", "CONCURRENTLY waits for its end")


def _oldest(rows: Sequence[_Row], age: str, remedy: str) -> Measured:
    known = [row for row in rows if row[age] is not None]
    hidden = [row for row in rows if row[age] is None and row.get("seen", True)]
    oldest = max(known, key=lambda row: float(row[age]), default=None)
    if hidden:
        return Measured(None, f"{_who(hidden[0])}, whose age is hidden; {SEE_ALL}")
    if oldest is None:
        return Measured(0)
    more = f" and {len({row['pid'] for row in rows}) - 1:,} more" if len(rows) > 1 else ""
    return Measured(max(float(oldest[age]), 0), f"{_who(oldest)}{more}; {remedy}")


def _who(row: _Row) -> str:
    if row.get("gid"):
        return f"the prepared transaction '{row['gid']}' holds {row['mode']} on {row['table']}"
    name = f" ({row['app']})" if row["app"] else ""
    lock = f" holds {row['mode']} on {row['table']}" if row.get("mode") else " has a snapshot"
    return f"pid {row['pid']}{name}, user {row['user']},{lock}"


def _autovacuums(situation: Situation, *, wraps: bool) -> Measured:
    said = situation.of(PreflightQuestion.LOCKS)
    rows = [
        row
        for row in _lockers(situation)
        if _is_autovacuum(row) and _prevents_wraparound(row, said) is wraps
    ]
    tables = sorted({row["table"] for row in rows})
    given = "it does not give way; wait for its end" if wraps else "it gives way to our lock"
    return Measured(len(tables), f"autovacuum is at work on {_listed(tables)}: {given}")


def _prevents_wraparound(row: _Row, said: _Row) -> bool:
    """Whether an autovacuum on this table does not give way: its text says so, or the ages do."""
    if (row["prevents"] or 0) > 0:
        return True
    if row["relkind"] == "p":
        # It has no rows of its own.
        return False
    options = dict(one.split("=", 1) for one in row["options"] or ())
    freezes_at = int(said["freezes_at"])
    if (own := options.get("autovacuum_freeze_max_age")) is not None:
        freezes_at = min(freezes_at, int(own))
    return bool(row["frozen"] > freezes_at or row["multixacts"] > int(said["multixacts_at"]))


def _slots(situation: Situation) -> Measured:
    rows = situation.of(PreflightQuestion.REPLICATION)["slots"] or ()
    return _most_behind(rows, "slot {0} holds WAL back; let its consumer read, or drop it")


def _lag(situation: Situation) -> Measured:
    rows = situation.of(PreflightQuestion.REPLICATION)["standbys"] or ()
    if any(behind is None for _, behind in rows):
        return Measured(None, f"how far standbys are behind is hidden; {SEE_ALL}")
    return _most_behind(rows, "standby {0} is behind; let it catch up")


def _most_behind(rows: Iterable[Sequence[Any]], said: str) -> Measured:
    known = [(float(amount), name) for name, amount in rows if amount is not None]
    if not known:
        return Measured(0)
    amount, name = max(known)
    return Measured(max(amount, 0) / MB, said.format(name))


def _table_size(situation: Situation) -> Measured:
    rows = situation.of(PreflightQuestion.TABLES).get("largest") or ()
    sizes = [TableSize(name, int(amount)) for name, amount in rows if amount is not None]
    return replace(_largest(rows, MB), tables=tuple(sizes))


def _table_rows(situation: Situation) -> Measured:
    return _largest(situation.of(PreflightQuestion.TABLES).get("longest") or (), 1)


def _largest(rows: Sequence[Sequence[Any]], unit: int) -> Measured:
    known = [(name, float(amount) / unit) for name, amount in rows if amount is not None]
    if not known:
        return Measured(0)
    name, most = max(known, key=lambda one: one[1])
    return Measured(most, f"{name}; plan for a long run, or raise the limit")


def _connections(situation: Situation) -> Measured:
    said = situation.of(PreflightQuestion.CONNECTIONS)
    rows = said["of"] or ()
    share = 100 * sum(row["number"] for row in rows) / max(int(said["at_most"]), 1)
    here = sorted((-row["here"], row["app"] or "no name") for row in rows if row["here"])
    by_name = [f"{-number} of {name}" for number, name in here[:APPLICATIONS]]
    return Measured(share, f"in this database {', '.join(by_name) or 'none'}")


def _backup(situation: Situation) -> Measured:
    """The latest that any source knows of; a source that fails counts where no other knows one."""
    found, word = _asked_backup(situation), situation.policy.backup
    if word is None:
        return found
    if word.at is None:
        return found if found.value is not None else Measured(None, word.said)
    age_h = max((situation.now - word.at).total_seconds(), 0) / 3600
    return found if found.value is not None and found.value <= age_h else Measured(age_h, word.said)


def _asked_backup(situation: Situation) -> Measured:
    if situation.policy.backup_query:
        if PreflightQuestion.BACKUP not in situation.answers.said:
            return _unanswered(situation, PreflightQuestion.BACKUP)
        age = situation.of(PreflightQuestion.BACKUP)["age"]
        if age is None:
            return Measured(None, "preflight.backup_query found no backup")
        return Measured(max(age, 0) / 3600, "as preflight.backup_query says; make one")
    if PreflightQuestion.ARCHIVER not in situation.answers.said:
        return _unanswered(situation, PreflightQuestion.ARCHIVER)
    said = situation.of(PreflightQuestion.ARCHIVER)
    if said["mode"] == "off":
        return Measured(None, NEVER_SAID)
    if said["at"] is None:
        return Measured(None, "this server archives, and has not archived anything yet")
    age_s = max(said["now"] - said["at"], 0)
    return Measured(age_s / 3600, "since the archiver's last file; see archive_command")


def _window(situation: Situation) -> Measured:
    windows = situation.policy.windows
    try:
        wait = minutes_until_open(windows, situation.now)
    except ValueError as error:
        return Measured(None, str(error))
    if wait is None:
        return Measured(0)
    return Measured(wait, f"open {'; '.join(map(window_text, windows[:SHOWN]))}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


CHECKS = (
    CheckDeclaration(PreflightCheck.RIGHTS, PreflightQuestion.SERVER, _rights),
    CheckDeclaration(PreflightCheck.PRIMARY, PreflightQuestion.SERVER, _primary),
    CheckDeclaration(PreflightCheck.SERVER_VERSION, PreflightQuestion.SERVER, _server_version),
    CheckDeclaration(PreflightCheck.FREE_SPACE, None, _free_space),
    CheckDeclaration(PreflightCheck.INVALID_INDEXES, PreflightQuestion.TABLES, _invalid_indexes),
    CheckDeclaration(PreflightCheck.TRANSACTIONS, PreflightQuestion.LOCKS, _transactions),
    CheckDeclaration(PreflightCheck.IDLE, PreflightQuestion.LOCKS, _idle),
    CheckDeclaration(PreflightCheck.SNAPSHOTS, PreflightQuestion.SNAPSHOTS, _snapshots),
    CheckDeclaration(
        PreflightCheck.AUTOVACUUM,
        PreflightQuestion.LOCKS,
        lambda one: _autovacuums(one, wraps=False),
    ),
    CheckDeclaration(
        PreflightCheck.WRAPAROUND,
        PreflightQuestion.LOCKS,
        lambda one: _autovacuums(one, wraps=True),
    ),
    CheckDeclaration(PreflightCheck.SLOTS, PreflightQuestion.REPLICATION, _slots),
    CheckDeclaration(PreflightCheck.LAG, PreflightQuestion.REPLICATION, _lag),
    CheckDeclaration(PreflightCheck.TABLE_SIZE, PreflightQuestion.TABLES, _table_size),
    CheckDeclaration(PreflightCheck.TABLE_ROWS, PreflightQuestion.TABLES, _table_rows),
    CheckDeclaration(PreflightCheck.CONNECTIONS, PreflightQuestion.CONNECTIONS, _connections),
    CheckDeclaration(PreflightCheck.BACKUP, None, _backup),
    CheckDeclaration(PreflightCheck.WINDOW, None, _window),
)
"""All of them, in the order in which they are told."""
