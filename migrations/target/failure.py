"""From an error to a `Failure`: what may be kept of it, and what must not leave the database.

- In SQLSTATE classes 22 (data exception) and 23 (integrity violation) the message may hold values:
  whatever stands in double quotes is masked, unless the server names it as an object (its fields
  for constraint, table, column, type and schema) or the word before it says that a name follows.
- What code raised (RAISE, ASSERT, other languages, foreign servers) is composed and may hold any
  value: it is kept where the migration itself holds it, word by word.
- In classes 0A, 2B, 3F, 42 and 55 DETAIL and HINT hold names of objects, which view, which
  constraint, and are kept with the message.
- From inside a body (there is a CONTEXT) names may be values: then only those are kept that stand
  in the migration.

Of CONTEXT only the function and its line are kept; for a DO block it is the line of the file.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace

import asyncpg

from migrations.errors import RunError
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Direction, Migration, Statement
from migrations.sql import summary
from migrations.sql.literals import quote_literal

MASK = '"***"'
MESSAGE_MAX_CHARS = 2000
"""A failure travels in an event; more of a message helps nobody."""
RAISED = "its code raised an error, whose text stays in the server's log, as it may hold data"

_POLICY_CHECK = "check_enable_rls"
"""The server's function that refuses what a policy would filter; its message may be translated."""
_POLICY_REMEDY = (
    "; its row level security would leave rows out unsaid: let the role that migrations run as see "
    "them all (ALTER ROLE … BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY where it owns "
    "the table), or write SET row_security = on above the statement in Up or Down, where its "
    "policies are meant; then order it again"
)

_NOT_SELECTED = "migration_ledger_schema_is_not_selected"
"""How `selected` of `journal.sql` fails."""
_SCHEMA_GONE = (
    "the target's schema is gone, or closed to the role that this runs as, and what it makes would "
    "go elsewhere; create it, or grant the role USAGE on it"
)

_LACKING_REMEDY = (
    "; that is the character {0}: take it out of the migration, or move the database to UTF8"
)

_MASKED_CLASSES = ("22", "23")
_OF_NAMES_CLASSES = ("0A", "2B", "3F", "42", "55")
_OURS = "ML"
"""The class of what our own statements raise, in words of ours."""
_COMPOSED_CLASSES = ("P0", "38", "39", "HV")
_RAISING = ("exec_stmt_raise", "exec_stmt_assert")
"""Functions of PL/pgSQL's executor that raise what a script composed (`pl_exec.c`)."""
_OBJECT_FIELDS = (
    "constraint_name", "table_name", "column_name", "data_type_name", "schema_name",
)  # fmt: skip
_OBJECT_WORDS = (
    "table|relation|column|constraint|index|schema|function|partition|domain|view|role|encoding"
    "|extension|language|sequence|database|parameter|collation|publication|trigger|policy"
)
_NAMED = re.compile(rf'\b(?:{_OBJECT_WORDS}) "[^"]*"')
_QUOTED = re.compile(r'"([^"]*)"')
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_WORD = re.compile(r"\w+")
_LOOK_UPS = ("0A000", "3F000", "42601", "42602", "42704", "42725", "42883", "42P01")
_COMPUTES = re.compile(
    r"(?:SELECT|WITH|VALUES|INSERT|UPDATE|DELETE|MERGE|CALL"
    r"|CREATE\s+(?:\w+\s+)?(?:TABLE|MATERIALIZED\s+VIEW)\b[^;(]*?\bAS)\b",
    re.IGNORECASE,
)
"""Statements that may look a value up as a name, as `value::regclass` does."""
_RAW_BYTES = re.compile(r"(?:0x[0-9a-fA-F]{2}\s*)+")
_HOLE = re.compile("\0(\\d+)\0")
_BODY = re.compile(r"\bDO\b[^$']*(?:\$\w*\$|')", re.IGNORECASE)
_AT = re.compile(r"^PL/pgSQL\W\S+ (?P<function>.+?) \w+ (?P<line>\d+)\b", re.MULTILINE)
"""Where in a function it was, in any language: `PL/pgSQL function f() line 3 at …`."""
_DO = "inline_code_block"


def from_error(error: BaseException, text: str = "") -> Failure:
    """What may be reported of `error`, which SQL of the author's raised: `text`."""
    match error:
        case RunError():
            return Failure(error.kind, error.message, blocker=error.blocker)
        case asyncpg.PostgresError():
            state = str(error.sqlstate or "")
            kind = FailureClass.LOCK_TIMEOUT if state == "55P03" else FailureClass.SQL
            message = masked_message(error, text)
            if _NOT_SELECTED in str(error):
                message = _SCHEMA_GONE
            if lacking := _lacking(error, text):
                message += _LACKING_REMEDY.format(lacking)
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
        line=failure.line or statement.line,
        blocker=failure.blocker,
        batch=failure.batch,
    )


def in_file(failure: Failure, migration: Migration, direction: Direction) -> Failure:
    """The same failure with the file that it is about, where no statement of it is."""
    return replace(failure, file=failure.file or _file_of(migration, direction, None))


def at_section(failure: Failure, migration: Migration, direction: Direction) -> Failure:
    """As `in_file`, with the line where the section begins, of which nothing has run."""
    failure = in_file(failure, migration, direction)
    if failure.line is not None or failure.file is None:
        return failure
    section = migration.section(direction)
    return replace(
        failure, line=section.statements[0].line if section and section.statements else 1
    )


def _file_of(migration: Migration, direction: Direction, statement: Statement | None) -> str | None:
    """The file that the statement stands in, of those that its migration was read from."""
    for section in (migration.section(direction), migration.verify):
        if section and section.file and any(one is statement for one in section.statements):
            return section.file
    section = migration.section(direction)
    if statement is None and section and section.file:
        return section.file
    files = [one for one in migration.files if not one.name.startswith("beside:")]
    return (files[-1] if direction is Direction.DOWN else files[0]).name if files else None


def line_of(error: BaseException, statement: Statement, before: int = 0) -> int:
    """The line of the file in which a statement failed, as far as the server says.

    `before` are the characters that were sent before the statement, in the same question.
    """
    if not isinstance(error, asyncpg.PostgresError):
        return statement.line
    if inside := _AT.search(error.context or ""):
        body = _BODY.match(statement.text) if inside["function"] == _DO else None
        lines = statement.text.count("\n", 0, body.end()) + int(inside["line"]) - 1 if body else 0
        return statement.line + min(lines, statement.text.count("\n"))
    if lacking := _lacking(error, statement.text):
        return statement.line + statement.text.count("\n", 0, statement.text.index(lacking))
    at = int(error.position or 0) - before
    return statement.line + (statement.text.count("\n", 0, at - 1) if at > 0 else 0)


def _lacking(error: asyncpg.PostgresError, text: str) -> str:
    """The character that the database's encoding lacks, if the author's own `text` has it."""
    found = _RAW_BYTES.search(str(error.args[0])) if error.args else None
    if error.sqlstate != "22P05" or found is None:
        return ""
    raw = bytes.fromhex(found.group().replace("0x", ""))
    character = raw.decode(errors="ignore")
    return character if character in text else ""


def masked_message(error: asyncpg.PostgresError, text: str = "") -> str:
    """What the server says, without tenant data; `text` is the author's SQL that it speaks of."""
    state = str(error.sqlstate or "")
    message = str(error.args[0]) if error.args else ""
    inside, looked_up = bool(error.context), _looks_values_up(error, text)
    # What a DO block puts together for EXECUTE stands in literals.
    code = (looked_up and not inside) or _BODY.match(text)
    own = text if code else _LITERAL.sub("''", text)
    composed = state.startswith(_COMPOSED_CLASSES) or error.server_source_function in _RAISING
    if composed and not state.startswith(_OURS):
        said = message if message and quote_literal(message) in text else RAISED
    elif state.startswith(_MASKED_CLASSES):
        said = _mask(message, _object_names(error))
    else:
        parts: list[tuple[str, str | None]] = [("", message)]
        # The table that a policy is for is there: its name is no value. What helps is our word.
        policed = error.server_source_function == _POLICY_CHECK
        values = (inside or looked_up) and not policed
        if state.startswith(_OF_NAMES_CLASSES) and not policed:
            parts += [("; ", error.detail), ("; hint: ", error.hint)]
        said = "".join(
            lead + " ".join((_mask_unknown(part, own) if values else part).split("\n"))
            for lead, part in parts
            if part
        )
    return (said[:MESSAGE_MAX_CHARS] + _where(error))[: MESSAGE_MAX_CHARS + 200]


def _looks_values_up(error: asyncpg.PostgresError, text: str) -> bool:
    """Whether what the server did not find may be a value, where the author did not write it."""
    return error.sqlstate in _LOOK_UPS and _COMPUTES.match(text) is not None


def _where(error: asyncpg.PostgresError) -> str:
    """The function that failed, and its line; of a DO block the file's line says it."""
    inside = _AT.search(error.context or "")
    if inside is None or inside["function"] == _DO:
        return ""
    return f" (in {inside['function'][:120]}, line {inside['line']})"


def _mask_unknown(message: str, own: str) -> str:
    """Whatever stands in quotes and in nothing that is the author's `own` is masked."""
    words = frozenset(_WORD.findall(own))
    if message.count('"') % 2:
        return _mask(message, [])
    return _QUOTED.sub(lambda found: found[0] if _is_known(found[1], words) else MASK, message)


def _is_known(name: str, words: Container[str]) -> bool:
    return all(word in words for word in _WORD.findall(name))


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
