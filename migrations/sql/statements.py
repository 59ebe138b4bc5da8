"""Splits a section of SQL into statements, each with its place, its kind and its name.

One section is parsed once. Whatever cannot be a migration is refused here with file, line and
remedy; `migrations.sql.refusals` holds those rules, `migrations.sql.grammar` the parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from migrations.errors import ForbiddenSqlError, LoadError, PsqlScriptError, SqlSyntaxError
from migrations.model.migration import Statement, StatementKind
from migrations.sql.classify import concurrent_index, kind_of
from migrations.sql.grammar import TOO_DEEP, GrammarError, RawStatement, parse, tree
from migrations.sql.isolation import BEGINS, USUAL, asked_for, forbidden
from migrations.sql.refusals import refusal
from migrations.sql.savepoints import LABELS, is_savepoint, unpaired
from migrations.sql.session_settings import other_encoding
from migrations.sql.summary import summary_of, tables_of

_ENCODING = "a migration is read and sent as UTF-8, and its letters would be taken for"
_ENCODING_REMEDY = (
    "Leave client_encoding alone: the server turns UTF-8 into what its database has by itself"
)
_INLINE_COPY = re.compile(r"\bcopy\b[^;]*\bfrom\s+stdin\b[^;]*;", re.IGNORECASE)
_PSQL_VARIABLE = re.compile(r""":(?:'\w+'|"\w+"|[A-Za-z_]\w*|\{)""")
_QUOTED_WORD_MAX_CHARS = 40
_SETS = (tree.VAR_SET_VALUE, tree.VAR_SET_DEFAULT, tree.VAR_RESET)
_WRITES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt", "copy_stmt")
"""A SELECT may have one of the others in its WITH."""
_ALTERS = (
    "alter_table_stmt",
    "rename_stmt",
    "drop_stmt",
    "truncate_stmt",
    "index_stmt",
    "create_trig_stmt",
)


class Script(NamedTuple):
    """A section in statements.

    `wrapper` are the lines of the BEGIN and COMMIT around all of it that were left out, `control`
    those of others that were. `apart` is the line of a statement for whose sake the parts between
    these have to be transactions of their own. `isolation` is the level that its transactions
    need, and `isolated` the line on which it asks for it.
    """

    statements: tuple[Statement, ...]
    wrapper: tuple[int, int] | None = None
    control: tuple[int, ...] = ()
    apart: int | None = None
    isolation: str = USUAL
    isolated: int | None = None


def split(
    sql: str, *, file: str, first_line: int = 1, verify: bool = False
) -> tuple[Statement, ...]:
    """The statements of `sql` in order; comments around them are left out.

    `first_line` is the 1-based line of `file` on which `sql` starts; it must start a line.
    `verify` allows only what a Verify section may hold: SELECT (also VALUES and TABLE) and DO.
    Raises SqlSyntaxError and ForbiddenSqlError.
    """
    return _statements(sql, _parsed(sql, file, first_line), file, first_line, verify=verify)


def script(
    sql: str,
    *,
    file: str,
    first_line: int = 1,
    foreign: bool = False,
    begun: bool | None = None,
    ended: bool = False,
    alone: bool = False,
) -> Script:
    """As `split`, and one BEGIN … COMMIT around all of it is left out. Raises as `split`.

    Settings of the session may stand before that BEGIN. `foreign` says that the text was written
    for another tool, `alone` that each statement runs by itself (`migrations.sql.refusals`).
    `begun` says whether there is a transaction when the script begins, and somebody else who ends
    the last one; `None` that it may begin and end none, nor have savepoints. Else every other plain
    BEGIN and COMMIT is left out, too, and each statement knows its part; savepoints that are paired
    stay. A BEGIN that nothing commits is refused where nobody else does, which `ended` says of a
    script that one transaction can take. An isolation level that the script asks for is left out,
    too.
    """
    raw = _parsed(sql, file, first_line)
    if begun is None:
        return _script(sql, raw, file, first_line, foreign=foreign, alone=alone)
    raw, isolation, asked = asked_for(raw)
    found = _script(
        sql, raw, file, first_line, foreign=foreign, begun=begun, ended=ended, alone=alone
    )
    if asked is None:
        return found
    line = first_line + sql.encode().count(b"\n", 0, asked.start)
    return found._replace(isolation=isolation, isolated=line)


def _script(
    sql: str,
    raw: list[RawStatement],
    file: str,
    first_line: int,
    *,
    foreign: bool,
    begun: bool | None = None,
    ended: bool = False,
    alone: bool,
) -> Script:
    """As `script`, of statements in which nothing but a BEGIN asks for an isolation level."""
    before = settings_before(raw)
    wrapped = _wrapped(raw[before:]) and (begun is not None or asked_for(raw).asked is None)
    said = {"foreign": foreign, "savepoints": begun is not None, "alone": alone}
    parts = None if wrapped or begun is None else _parts(raw, begun=begun, ended=ended)
    if not wrapped and parts is None:
        # What is not plain is named, and not the pair around it.
        odd = any(_controls(item) and not _is_plain(item.node) for item in raw)
        named = [item for item in raw if not (odd and _controls(item) and _is_plain(item.node))]
        if begun is not None:
            _refuse_unpaired(sql, named, None, file, first_line)
        return Script(_statements(sql, named, file, first_line, **said))
    data = sql.encode()
    control = [item for item in raw if _controls(item)]
    lines = [first_line + data.count(b"\n", 0, item.start) for item in control]
    inside = [item for item in raw if not _controls(item)]
    if begun is not None:
        _refuse_unpaired(sql, inside, parts, file, first_line)
    statements = _statements(sql, inside, file, first_line, **said)
    if wrapped:
        return Script(statements, wrapper=(lines[0], lines[1]))
    statements = tuple(map(_in_part, statements, parts or ()))
    return Script(statements, control=tuple(lines), apart=_apart(inside, statements))


def settings_before(raw: list[RawStatement]) -> int:
    """How many statements that set something for the session stand at the beginning.

    They mean the same inside of the transaction that begins behind them.
    """
    for index, item in enumerate(raw):
        if not _sets_for_session(item):
            return index
    return len(raw)


def is_session_setting(text: str) -> bool:
    """Whether a statement sets something for the rest of its session."""
    return all(map(_sets_for_session, parse(text)))


def _sets_for_session(item: RawStatement) -> bool:
    node = item.node
    return isinstance(node, tree.VariableSetStmt) and not node.is_local and node.kind in _SETS


def _parsed(sql: str, file: str, first_line: int) -> list[RawStatement]:
    try:
        return parse(sql)
    except GrammarError as error:
        raise _explain(sql, error, file, first_line) from None


def _parts(raw: list[RawStatement], *, begun: bool, ended: bool) -> list[int] | None:
    """In which transaction of its script each statement stands that begins and ends none.

    0 is in none; so is a part that holds what no transaction takes, because its statements can be
    run one by one only. `None` where the script begins and ends no transactions, or not plainly, or
    says something for the rest of one (SET LOCAL) where it has none.
    """
    found: list[tuple[int, RawStatement]] = []
    number, part = int(begun), int(begun)
    for item in raw:
        if not _controls(item):
            found.append((part, item))
        elif not _is_plain(item.node):
            return None
        elif item.node.kind not in BEGINS:
            part = 0
        elif not part:
            number += 1
            part = number
    dissolved = {one for one, item in found if kind_of(item) is StatementKind.OUTSIDE}
    parts = [(0 if one in dissolved else one, item) for one, item in found]
    lost = any(_holds_for_transaction(item) for one, item in parts if not one)
    ended = begun or (
        ended and not any(kind_of(item) is StatementKind.OUTSIDE for _, item in found)
    )
    if len(found) == len(raw) or lost or (part and not ended):
        return None
    return [one for one, _ in parts]


def _apart(raw: list[RawStatement], statements: Sequence[Statement]) -> int | None:
    """The line of the first statement that forbids one transaction for all parts, if there is one.

    It says something for the rest of its own, or it changes a table to which a part before it has
    written: what a deferred constraint has yet to check there would stop it.
    """
    if len({one.part for one in statements}) < 2:
        return None
    written: dict[str, int] = {}
    for item, one in zip(raw, statements, strict=True):
        if _holds_for_transaction(item):
            return one.line
        tables = {name.rpartition(".")[2] for name in tables_of(item)}
        if item.field in _WRITES:
            written |= dict.fromkeys(tables, one.part)
        elif item.field in _ALTERS and any(
            written.get(table, one.part) != one.part or (table in written and not one.part)
            for table in tables
        ):
            return one.line
    return None


def _in_part(statement: Statement, part: int) -> Statement:
    return replace(statement, part=part) if part else statement


def _controls(item: RawStatement) -> bool:
    return item.field == "transaction_stmt" and not is_savepoint(item)


def _is_plain(node: Any) -> bool:
    """Whether it is a BEGIN of what every transaction is, or a COMMIT that begins nothing."""
    if node.kind in BEGINS:
        return forbidden(node.options) == ""
    return node.kind == tree.TRANS_STMT_COMMIT and not node.chain


def _holds_for_transaction(item: RawStatement) -> bool:
    """Whether it says something for the rest of its transaction, and no longer."""
    if isinstance(item.node, tree.VariableSetStmt):
        return bool(item.node.is_local)
    return item.field == "constraints_set_stmt"


def _wrapped(raw: list[RawStatement]) -> bool:
    """Whether a plain BEGIN is the first statement and a plain COMMIT the last, and no other."""
    control = [_controls(item) for item in raw]
    if len(raw) < 2 or not (control[0] and control[-1]) or any(control[1:-1]):
        return False
    first, last = raw[0].node, raw[-1].node
    plain = _is_plain(first) and _is_plain(last)
    return plain and first.kind in BEGINS and last.kind not in BEGINS


def _statements(
    sql: str,
    raw: list[RawStatement],
    file: str,
    first_line: int,
    *,
    verify: bool = False,
    foreign: bool = False,
    savepoints: bool = False,
    alone: bool = False,
) -> tuple[Statement, ...]:
    data = sql.encode()
    plain = sql.isascii() or all(data[item.start : item.end].isascii() for item in raw)
    statements: list[Statement] = []
    line, at = first_line, 0
    for item in raw:
        line += data.count(b"\n", at, item.start)
        at = item.start
        text = data[item.start : item.end].decode().rstrip()
        kind = kind_of(item)
        allowed = savepoints and is_savepoint(item)
        if not allowed and (found := refusal(item, text, kind, verify, foreign, alone)):
            raise ForbiddenSqlError(file, line + found.line, found.problem, found.remedy)
        if not plain and (encoding := other_encoding(item, text)):
            raise ForbiddenSqlError(file, line, f"{_ENCODING} {encoding}", _ENCODING_REMEDY)
        index = concurrent_index(item) if kind is StatementKind.OUTSIDE else None
        statements.append(Statement(text, line, kind, summary_of(item), index))
    return tuple(statements)


def _refuse_unpaired(
    sql: str, raw: list[RawStatement], parts: list[int] | None, file: str, first_line: int
) -> None:
    """Raise ForbiddenSqlError for a savepoint that stands alone."""
    item = unpaired(zip(parts or [0] * len(raw), raw, strict=True))
    if item is not None:
        line = first_line + sql.encode().count(b"\n", 0, item.start)
        name, word = item.node.savepoint_name, LABELS[item.node.kind]
        remedy = f"Leave it out, or write SAVEPOINT {name} above it, in the same transaction"
        if item.node.kind == tree.TRANS_STMT_SAVEPOINT:
            remedy = f"Leave it out, or write RELEASE SAVEPOINT {name} where it ends"
        problem = f"{word} {name} without a counterpart is transaction control"
        raise ForbiddenSqlError(file, line, problem, remedy)


def _explain(sql: str, error: GrammarError, file: str, first_line: int) -> LoadError:
    """The most helpful error for text that PostgreSQL's grammar refuses."""
    if (start := _inline_copy_start(sql, error.position)) is not None:
        return PsqlScriptError(
            file,
            first_line + sql.count("\n", 0, start),
            "COPY … FROM STDIN with its data inline works in psql only",
            "Write INSERT INTO … VALUES, or load the data outside of the migration",
        )
    line = first_line + sql.count("\n", 0, error.position)
    column = error.position - sql.rfind("\n", 0, error.position)
    if variable := _PSQL_VARIABLE.match(sql, error.position):
        return PsqlScriptError(
            file,
            line,
            f"{variable.group()} is a variable of psql, not SQL",
            "Write its value, or a declared placeholder",
            column,
        )
    if sql[error.position : error.position + 1] == "\\":
        return _meta_command(sql, error.position, file, line, column)
    problem = f"PostgreSQL's grammar says: {_shortened(error.message)}"
    return SqlSyntaxError(file, line, problem, _syntax_remedy(error.message), column)


def _meta_command(sql: str, position: int, file: str, line: int, column: int) -> LoadError:
    word = re.match(r"\\\S*", sql[position:])
    spelled = word.group() if word else "\\"
    return PsqlScriptError(
        file,
        line,
        f"{spelled} is a command of psql, not SQL",
        "Leave it out, and write what it does as SQL",
        column,
    )


def _inline_copy_start(sql: str, position: int) -> int | None:
    """Offset of the COPY … FROM STDIN whose data starts before `position`; `None` without one."""
    for match in _INLINE_COPY.finditer(sql, 0, position):
        try:
            before = parse(sql[: match.end()])
        except GrammarError:
            continue
        if before and before[-1].field == "copy_stmt":
            return match.start()
    return None


def _syntax_remedy(message: str) -> str:
    if message.startswith("unterminated"):
        return "Close it; a marker line inside quotes or a block comment ends the section"
    if message.startswith(TOO_DEEP):
        return "Take the expression apart: it is nested too deeply"
    if message.endswith("at end of input"):
        return "Complete the last statement"
    return "Correct the statement; the text before this place was understood"


def _shortened(message: str) -> str:
    """The grammar's message with at most a few characters of the author's text."""
    head, near, quoted = message.partition(' at or near "')
    if not near:
        return head
    word = quoted.rstrip('"').split("\n", 1)[0]
    if len(word) > _QUOTED_WORD_MAX_CHARS:
        word = word[:_QUOTED_WORD_MAX_CHARS] + "…"
    return f'{head} at or near "{word}"'
