"""From an error to a `Failure`: what may be kept of it, and what must not leave the database.

DETAIL, HINT and CONTEXT carry row values and are dropped. In SQLSTATE classes 22 (data exception)
and 23 (integrity violation) the MESSAGE does too: there, whatever stands in double quotes is
masked, unless the server names it as an object (its fields for constraint, table, column, type and
schema) or the word before it says that a name follows.
"""

from __future__ import annotations

import re
from dataclasses import replace

import asyncpg

from migrations.errors import RunError
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Direction, Migration, Statement
from migrations.sql import summary

MASK = '"***"'
MESSAGE_MAX_CHARS = 2000
"""A failure travels in an event; more of a message helps nobody."""

_POLICY_CHECK = "check_enable_rls"
"""The server's function that refuses what a policy would filter; its message may be translated."""
_POLICY_REMEDY = (
    "; its row level security would leave rows out unsaid: let the role that migrations run as see "
    "them all (ALTER ROLE … BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY where it owns "
    "the table), then order it again"
)

_MASKED_CLASSES = ("22", "23")
_OBJECT_FIELDS = (
    "constraint_name",
    "table_name",
    "column_name",
    "data_type_name",
    "schema_name",
)
_OBJECT_WORDS = "table|relation|column|constraint|index|schema|function|partition|domain|view"
_NAMED = re.compile(rf'\b(?:{_OBJECT_WORDS}) "[^"]*"')
_RAW_BYTES = re.compile(r"(?:0x[0-9a-fA-F]{2}\s*)+")
_HOLE = re.compile("\0(\\d+)\0")


def from_error(error: BaseException) -> Failure:
    """What may be reported of `error`."""
    match error:
        case RunError():
            return Failure(error.kind, error.message, blocker=error.blocker)
        case asyncpg.PostgresError():
            state = str(error.sqlstate or "")
            kind = FailureClass.LOCK_TIMEOUT if state == "55P03" else FailureClass.SQL
            message = masked_message(error)
            if getattr(error, "server_source_function", None) == _POLICY_CHECK:
                message += _POLICY_REMEDY
            return Failure(kind, message, sqlstate=state or None)
        case asyncpg.InterfaceError():
            return Failure(
                FailureClass.INTERNAL, "the driver refused a call; report this as a defect"
            )
        case _:
            name = type(error).__name__
            return Failure(FailureClass.INTERNAL, f"unexpected {name}; report this as a defect")


def located(
    failure: Failure, migration: Migration, direction: Direction, statement: Statement | None
) -> Failure:
    """The same failure with the statement, file and line where it happened."""
    if statement is None:
        return failure
    return Failure(
        failure.kind,
        failure.message,
        sqlstate=failure.sqlstate,
        statement=summary.normalized(statement.text),
        file=_file_of(migration, direction, statement),
        line=statement.line,
        blocker=failure.blocker,
    )


def in_file(failure: Failure, migration: Migration, direction: Direction) -> Failure:
    """The same failure with the file that it is about, where no statement of it is."""
    return replace(failure, file=failure.file or _file_of(migration, direction, None))


def _file_of(migration: Migration, direction: Direction, statement: Statement | None) -> str | None:
    """The file that the statement stands in, of those that its migration was read from."""
    for section in (migration.section(direction), migration.verify):
        if section and section.file and any(one is statement for one in section.statements):
            return section.file
    files = migration.files
    return (files[-1] if direction is Direction.DOWN else files[0]).name if files else None


def masked_message(error: asyncpg.PostgresError) -> str:
    """The server's message without tenant data."""
    message = str(error.args[0]) if error.args else ""
    if str(error.sqlstate or "").startswith(_MASKED_CLASSES):
        message = _mask(message, _object_names(error))
    return message[:MESSAGE_MAX_CHARS]


def _object_names(error: asyncpg.PostgresError) -> list[str]:
    found = (getattr(error, field, None) for field in _OBJECT_FIELDS)
    return [f'"{name}"' for name in found if name]


def _mask(message: str, names: list[str]) -> str:
    """Everything between the first and the last quote that do not belong to a name is masked.

    A value may hold quotes itself, so that pairs of quotes cannot be told apart: too much is masked
    then, never too little.
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found.group())
        return f"\0{len(kept) - 1}\0"

    text = message.replace("\0", "")
    known = [re.escape(name) for name in names]
    # A value that imitates a name is kept here, and dropped with the quotes that surround it.
    pattern = re.compile("|".join([*known, _NAMED.pattern]))
    text = pattern.sub(keep, text)
    first, last = text.find('"'), text.rfind('"')
    if first >= 0:
        text = text[:first] + MASK + text[last + 1 :]
    text = _RAW_BYTES.sub("*** ", text).rstrip()
    return _HOLE.sub(lambda hole: kept[int(hole[1])], text)
