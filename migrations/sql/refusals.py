"""SQL that PostgreSQL would accept and a migration must not contain, one named rule each.

Why: transaction control would end the transaction that also holds the journal row (seen: tables of
a half-applied migration stayed, and the driver noticed nothing); some statements would drop the
migrator's advisory lock; some need the client's side of COPY; some cannot run in a transaction and
have no probe that could tell after a crash whether they ran.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import StatementKind
from migrations.sql.classify import reindexes_concurrently
from migrations.sql.grammar import RawStatement, descend, plpgsql, tree, words
from migrations.sql.isolation import USUAL, forbidden, level_in, setting_forbidden
from migrations.sql.own_schema import (
    acts_on_role,
    names_schema,
    script_acts_on_role,
    touches_journal,
)

_LOCK_REMEDY = (
    "Leave it out: it can drop the lock that keeps other migrators away; "
    "for a lock of your own use pg_advisory_xact_lock(), which ends with the transaction"
)
_TRANSACTION_REMEDY = (
    "Leave it out: every migration runs in a transaction of its own, and only plain BEGIN and "
    "COMMIT that belong together are taken off; to commit between statements, mark the section "
    "as one without a transaction (`-- +migrate Up notransaction`)"
)
_WRITES_REMEDY = (
    "Leave it out: the transaction of a migration is READ WRITE, because the row of the journal "
    "that says that it is done is written in it"
)
_FIRST_REMEDY = (
    "Write it as the first statement of a transaction of Up or Down in a SQL file, or as BEGIN "
    "ISOLATION LEVEL …: behind the first query the server takes none; Python modules, Verify and "
    "batches have no level of their own"
)
_SNAPSHOT_REMEDY = "Leave it out: a snapshot belongs to another session, and is gone with it"
_BODY_REMEDY = (
    "Let the caller commit: a body that commits cannot run inside a migration's transaction"
)
_BLOCK_REMEDY = (
    "Let the caller commit: a crash in the middle would leave nobody knowing how far it came; a "
    "loop over rows is a data migration (`-- +migrate Data table=… key=…`, a file of its own in "
    "any folder), which commits each batch with its progress; in a section without a transaction "
    "(`-- +migrate Up notransaction`, or the mark of the folder's tool) a block may commit, and "
    "runs again from its beginning if it breaks off"
)
_VERIFY_REMEDY = (
    "Write a SELECT whose first column is true in every row, or a DO block with ASSERT; "
    "changes belong in Up"
)
_SERVER_WIDE_REMEDY = (
    "Run it by hand or with your provisioning tool: it acts on the whole server, "
    "cannot be undone with the migration and leaves nothing to probe after a crash"
)
_JOURNAL_REMEDY = (
    "Leave it out: the schema holds the proof of what ran here, and belongs to no migration; "
    "`ledger db status` shows it, and `ledger db remove-journal` takes it away"
)
_ROLE_REMEDY = (
    "Run it by hand or with your provisioning tool: roles and who is a member of them belong to "
    "the whole server, and every other database of it relies on this one"
)
_SERVER_WIDE = {
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "alter_system_stmt": "ALTER SYSTEM",
    "alter_database_stmt": "ALTER DATABASE … SET TABLESPACE",
}

_CHANGING_WORD = re.compile(r"insert|update|delete|merge|into", re.IGNORECASE)
"""Without one of these words the tree need not be walked."""
_CHANGES = (
    tree.InsertStmt,
    tree.UpdateStmt,
    tree.DeleteStmt,
    tree.MergeStmt,
    tree.IntoClause,
)


@dataclass(frozen=True, slots=True)
class StatementRefusal:
    """Why a statement is refused and what to write instead; `line` counts from its first line."""

    problem: str
    remedy: str
    line: int = 0


JOURNAL_REFUSAL = StatementRefusal(f"names our own schema {JOURNAL_SCHEMA}", _JOURNAL_REMEDY)
ROLE_REFUSAL = StatementRefusal("changes the role that the migration runs as", _ROLE_REMEDY)


def refusal(
    statement: RawStatement,
    text: str,
    kind: StatementKind,
    verify: bool,
    foreign: bool = False,
    alone: bool = False,
) -> StatementRefusal | None:
    """Why the statement is forbidden; `None` when it may stay.

    `kind` is how the statement must run, `verify` whether it stands in a Verify section, `foreign`
    whether it was written for another tool. Such a file may create a routine that commits: that
    runs nothing, and to call one inside a migration is an error of the server's. `alone` says that
    each statement runs by itself, so that a block may commit, as a procedure that is called may.
    """
    rule = _RULES.get(statement.field, _unlocks)
    if alone and rule is _do_block:
        rule = _unlocks_in_block
    found = _protected(statement.node, text)
    if found is not None:
        return found
    creates = statement.field == "create_function_stmt"
    found = None if foreign and creates else rule(statement.node, text)
    if found is None and kind is StatementKind.OUTSIDE:
        found = _unprovable(statement)
    if found is None and verify:
        found = _changes_in_verify(statement.node, text)
    return found


def _protected(node: Any, text: str) -> StatementRefusal | None:
    """What a migration stands on: in no format, and not in what it defines or runs either."""
    if touches_journal(node, text):
        return JOURNAL_REFUSAL
    return ROLE_REFUSAL if acts_on_role(node, text, ()) else None


def script_refusal(text: str) -> StatementRefusal | None:
    """As `refusal`, of a psql script that the grammar cannot take apart, as far as words tell."""
    if names_schema(text):
        return JOURNAL_REFUSAL
    return ROLE_REFUSAL if script_acts_on_role(text, ()) else None


def _transaction_control(node: Any, text: str) -> StatementRefusal | None:
    if found := forbidden(node.options):
        return StatementRefusal(f"BEGIN … {found} is transaction control", _WRITES_REMEDY)
    if (level := level_in(node.options)) not in ("", USUAL):
        problem = f"BEGIN … ISOLATION LEVEL {level} is transaction control"
        return StatementRefusal(problem, _FIRST_REMEDY)
    word = text.split(maxsplit=1)[0].upper().rstrip(";")
    return StatementRefusal(f"{word} is transaction control", _TRANSACTION_REMEDY)


def _isolates(node: Any, text: str) -> StatementRefusal | None:
    if node.kind != tree.VAR_SET_MULTI:
        found = setting_forbidden(node)
        problem = f"SET {found} is transaction control"
        return StatementRefusal(problem, _WRITES_REMEDY) if found else _unlocks(node, text)
    of_session = node.name == "SESSION CHARACTERISTICS"
    problem = f"SET {'SESSION CHARACTERISTICS AS ' if of_session else ''}TRANSACTION {{}} "
    problem += "is transaction control"
    if node.name == "TRANSACTION SNAPSHOT":
        return StatementRefusal(problem.format("SNAPSHOT"), _SNAPSHOT_REMEDY)
    if found := forbidden(node.args):
        return StatementRefusal(problem.format(found), _WRITES_REMEDY)
    if of_session:
        return _unlocks(node, text)
    if (level := level_in(node.args)) not in ("", USUAL):
        return StatementRefusal(problem.format(f"ISOLATION LEVEL {level}"), _FIRST_REMEDY)
    return None


def _discards_all(node: Any, text: str) -> StatementRefusal | None:
    if node.target == tree.DISCARD_ALL:
        return StatementRefusal("DISCARD ALL is not allowed", _LOCK_REMEDY)
    return None


def _unlocks(node: Any, text: str) -> StatementRefusal | None:
    """Calls of pg_advisory_unlock, pg_advisory_unlock_all and pg_advisory_unlock_shared.

    The tree is walked only when the text can spell the name, plainly or with U& escapes.
    """
    lowered = text.lower()
    if "advisory_unlock" not in lowered and "u&" not in lowered:
        return None
    for call in descend(node):
        if isinstance(call, tree.FuncCall) and call.funcname:
            name = call.funcname[-1].string.sval
            if name.startswith("pg_advisory_unlock"):
                return StatementRefusal(f"{name}() is not allowed", _LOCK_REMEDY)
    return None


def _do_block(node: Any, text: str) -> StatementRefusal | None:
    body = _plpgsql_body(node.args, "plpgsql")
    return _commits(body, text, "a DO block", _BLOCK_REMEDY) or _unlocks_in_block(node, text)


def _function_body(node: Any, text: str) -> StatementRefusal | None:
    where = "a procedure" if node.is_procedure else "a function"
    return _commits(_plpgsql_body(node.options, ""), text, where)


def _commits(
    body: str, text: str, where: str, remedy: str = _BODY_REMEDY
) -> StatementRefusal | None:
    lowered = body.lower()
    if "commit" not in lowered and "rollback" not in lowered:
        return None
    for key, found in _below(plpgsql(text)):
        if key in ("PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"):
            word = key.removeprefix("PLpgSQL_stmt_").upper()
            return StatementRefusal(
                f"{word} inside {where} is transaction control",
                remedy,
                _line_in_body(text, body, found.get("lineno", 1)),
            )
    return None


def _unlocks_in_block(node: Any, text: str) -> StatementRefusal | None:
    body = _plpgsql_body(node.args, "plpgsql")
    lowered = body.lower()
    if "advisory_unlock" not in lowered and "u&" not in lowered:
        return None
    line = 1
    for key, found in _below(plpgsql(text)):
        if isinstance(found, dict):
            line = found.get("lineno", line)
        elif key == "query" and any("pg_advisory_unlock" in word for word in words(found)):
            return StatementRefusal(
                "pg_advisory_unlock inside a DO block is not allowed",
                _LOCK_REMEDY,
                _line_in_body(text, body, line),
            )
    return None


def _copy_through_client(node: Any, text: str) -> StatementRefusal | None:
    if node.filename:
        return None
    if node.is_from:
        return StatementRefusal(
            "COPY … FROM STDIN needs data from a client",
            "Write INSERT INTO … VALUES, or load the data outside of the migration",
        )
    return StatementRefusal(
        "COPY … TO STDOUT sends data to a client",
        "Keep the rows in a table: CREATE TABLE … AS SELECT …",
    )


def _unnamed_index(node: Any, text: str) -> StatementRefusal | None:
    if node.concurrent and not node.idxname:
        return StatementRefusal(
            "CREATE INDEX CONCURRENTLY without a name",
            "Name the index: without a name a half-built one cannot be found after a crash",
        )
    return _unlocks(node, text)


def _several_indexes(node: Any, text: str) -> StatementRefusal | None:
    if node.concurrent and len(node.objects) > 1:
        return StatementRefusal(
            "DROP INDEX CONCURRENTLY of several indexes",
            "Write one DROP INDEX CONCURRENTLY statement per index",
        )
    return None


_RULES: dict[str, Callable[[Any, str], StatementRefusal | None]] = {
    "transaction_stmt": _transaction_control,
    "variable_set_stmt": _isolates,
    "discard_stmt": _discards_all,
    "do_stmt": _do_block,
    "create_function_stmt": _function_body,
    "copy_stmt": _copy_through_client,
    "index_stmt": _unnamed_index,
    "drop_stmt": _several_indexes,
}
"""The rule of each kind of statement; kinds not named must not call the unlock functions."""


def _unprovable(statement: RawStatement) -> StatementRefusal | None:
    """Statements outside a transaction of which a crash leaves no certain trace."""
    if statement.field in _SERVER_WIDE:
        return StatementRefusal(
            f"{_SERVER_WIDE[statement.field]} is not allowed", _SERVER_WIDE_REMEDY
        )
    match statement.node:
        case tree.CreateSubscriptionStmt():
            return StatementRefusal(
                "CREATE SUBSCRIPTION that connects cannot be run safely",
                "Add WITH (connect = false), then enable it by hand",
            )
        case tree.AlterTableStmt():
            return StatementRefusal(
                "ALTER TABLE … DETACH … CONCURRENTLY can leave a half-detached partition",
                "Write DETACH PARTITION without CONCURRENTLY and a short lock_timeout",
            )
        case tree.ReindexStmt() as reindex if reindexes_concurrently(reindex):
            return StatementRefusal(
                "REINDEX CONCURRENTLY leaves an unnamed invalid index if interrupted",
                "Write CREATE INDEX CONCURRENTLY under a new name, then DROP INDEX CONCURRENTLY",
            )
        case _:
            return None


def _changes_in_verify(node: Any, text: str) -> StatementRefusal | None:
    if isinstance(node, tree.DoStmt):
        return None
    if not isinstance(node, tree.SelectStmt):
        return StatementRefusal("Verify takes only SELECT and DO", _VERIFY_REMEDY)
    if not _CHANGING_WORD.search(text):
        return None
    if any(isinstance(part, _CHANGES) for part in descend(node)):
        return StatementRefusal("this SELECT changes data", _VERIFY_REMEDY)
    return None


def _plpgsql_body(options: Iterable[Any], language: str) -> str:
    """The text of a PL/pgSQL body; empty for other languages. `language` is the default one."""
    body = ""
    for option in options:
        if option.def_elem.defname == "language":
            language = option.def_elem.arg.string.sval
        elif option.def_elem.defname == "as":
            value = option.def_elem.arg
            parts = value.list.items if value.HasField("list") else [value]
            body = parts[0].string.sval
    return body if language == "plpgsql" else ""


def _line_in_body(text: str, body: str, line: int) -> int:
    """Line of a place in a body, counted from the statement's first line (0 is that line).

    A body written with escaped quotes is not found again; then the first line has to do.
    """
    at = text.find(body)
    return text.count("\n", 0, at) + line - 1 if at >= 0 else 0


def _below(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value in nested lists and dicts, depth first, in order."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from _below(value)
    elif isinstance(node, list):
        for value in node:
            yield from _below(value)
