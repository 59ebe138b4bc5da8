"""At which isolation level a script wants its transactions; pure.

A level is chosen before the first statement takes its snapshot, so it goes to the BEGIN of the
section's own transaction, and what asked for it is left out. READ ONLY stays with the script, and
is refused: the row of the journal is written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from migrations.sql.grammar import RawStatement, tree
from migrations.sql.savepoints import is_savepoint

USUAL = "READ COMMITTED"
STRICTER = (USUAL, "REPEATABLE READ", "SERIALIZABLE")
"""What the server knows, each stricter than the one before."""
BEGINS = (tree.TRANS_STMT_BEGIN, tree.TRANS_STMT_START)
_READ_ONLY = "transaction_read_only"
_LEVEL = "transaction_isolation"
_FOR_ALL = "default_transaction_isolation"
_OFF = ("off", "of", "false", "no", "0")
"""How a setting that is on or off is switched off; short forms begin these."""


class Isolation(NamedTuple):
    """The strictest `level` that a script asks for, and on which of its statements.

    `left` are the other statements, without those that did nothing but ask.
    """

    left: list[RawStatement]
    level: str = USUAL
    asked: RawStatement | None = None


def asked_for(raw: Sequence[RawStatement]) -> Isolation:
    """What a script asks for where the server would still take it: before the first statement.

    Behind that, SET TRANSACTION stays, to be refused.
    """
    left: list[RawStatement] = []
    open_to_all, for_all = True, USUAL
    levels: list[tuple[str, RawStatement]] = [(USUAL, raw[0])] if raw else []
    for item in raw:
        level = _level_of(item)
        if _begins(item):
            levels.append((level or for_all, item))
            open_to_all = True
        elif level and _is_of_session(item):
            for_all = level
        elif level and open_to_all and not forbidden(item.node.args):
            levels[-1] = level, item
            continue
        elif not isinstance(item.node, (tree.VariableSetStmt, tree.ConstraintsSetStmt)):
            open_to_all = False
        left.append(item)
    strictest = max(levels, key=lambda one: STRICTER.index(one[0]), default=None)
    if strictest is None or strictest[0] == USUAL:
        return Isolation(left)
    return Isolation(left, *strictest)


def forbidden(options: Iterable[tree.Node]) -> str:
    """What options of a transaction ask for that none of ours can be; empty where nothing."""
    for option in options:
        if option.def_elem.defname == _READ_ONLY and option.def_elem.arg.a_const.ival.ival:
            return "READ ONLY"
    return ""


def setting_forbidden(node: tree.Node) -> str:
    """The setting that a SET turns on, and that no transaction of ours can have; empty for none."""
    if node.name not in (_READ_ONLY, f"default_{_READ_ONLY}") or not node.args:
        return ""
    value = node.args[0].a_const
    said = value.sval.sval.lower() or str(value.ival.ival)
    return "" if any(word.startswith(said) for word in _OFF) else str(node.name)


def level_in(options: Iterable[tree.Node]) -> str:
    """The level that options of a transaction name; empty for none."""
    for option in options:
        if option.def_elem.defname == _LEVEL:
            return _named(option.def_elem.arg)
    return ""


def _level_of(item: RawStatement) -> str:
    """The level that a statement asks for; empty for none."""
    node = item.node
    if _begins(item):
        return level_in(node.options)
    if not isinstance(node, tree.VariableSetStmt):
        return ""
    if node.kind == tree.VAR_SET_MULTI:
        return level_in(node.args)
    if node.kind == tree.VAR_SET_VALUE and node.name in (_LEVEL, _FOR_ALL):
        return _named(node.args[0])
    return ""


def _is_of_session(item: RawStatement) -> bool:
    """Whether a setting is for the transactions that begin behind it."""
    return item.node.name in ("SESSION CHARACTERISTICS", _FOR_ALL)


def _begins(item: RawStatement) -> bool:
    controls = item.field == "transaction_stmt" and not is_savepoint(item)
    return controls and item.node.kind in BEGINS


def _named(value: Any) -> str:
    level = value.a_const.sval.sval.upper()
    return level if level in STRICTER else USUAL
