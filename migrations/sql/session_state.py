"""What a statement leaves in its session, or takes from there, beyond settings; pure.

Such state ends with the session. So a file that commits statement by statement must not rest on it:
after a crash it goes on in another session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from migrations.sql.grammar import descend, enclosed, parse, relations, tree
from migrations.sql.session_settings import is_set_config

_HINTS = re.compile(
    r"temp|prepare|declare|listen|\bload\b|advisory_lock|setseed|currval|lastval|u&|set_config"
    r"|dblink_connect|\bdo\b",
    re.IGNORECASE,
)
"""Without one of these words nothing is left, and the text need not be parsed."""
_UNSEEN = re.compile(
    r"set_config|setseed|\bload\b|dblink_connect|_SHARED\b|\bGD\s*\["
    r"|\bset\s+(?:local\s+|session\s+)?(?:[\w$]+|\"[^\"]+\")\s*\.",
    re.IGNORECASE,
)
_KINDS = {
    "prepare_stmt": "a prepared statement",
    "listen_stmt": "LISTEN",
    "load_stmt": "a loaded library",
}
_SETS_INSIDE = re.compile(
    r"(?:\b(?:BEGIN|THEN|LOOP|ELSE)\b|;|\bEXECUTE\s+(?:format\s*\(\s*)?')\s*(?:RE)?SET\s+"
    r"(?!(?:LOCAL|CONSTRAINTS|TRANSACTION)\b)|\bset_config\s*\((?![^;]*\btrue\s*\))",
    re.IGNORECASE,
)
"""What a DO block sets for longer than its transaction."""
_TEMPORARY = "pg_temp"
_HOLD = 0x20
"""CURSOR_OPT_HOLD."""
_CALLED = re.compile(r"\b(pg_(?:try_)?advisory_lock(?:_shared)?|setseed|dblink_connect)\s*\(")
_LOCKS = (
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
)


def rests_on_session(text: str) -> str:
    """Which state of its session the statement makes or reads; empty for none that can be seen."""
    if not _HINTS.search(text):
        return ""
    (raw,) = parse(text)
    node: Any = raw.node
    if isinstance(node, tree.DeclareCursorStmt):
        return "a cursor WITH HOLD" if node.options & _HOLD else ""
    if raw.field in _KINDS:
        return _KINDS[raw.field]
    if raw.field == "do_stmt":
        bodies = (one.def_elem.arg.string.sval for one in node.args if one.def_elem.defname == "as")
        return _of_block("".join(map(_without_comments, bodies)))
    if _is_temporary(node):
        return "a temporary object"
    calls = [one for one in descend(node) if isinstance(one, tree.FuncCall) and one.funcname]
    if any(map(_sets_for_longer, calls)) and not is_set_config(text):
        return "a setting that set_config() makes among other things"
    return _of_calls(call.funcname[-1].string.sval for call in calls)


def _of_block(text: str) -> str:
    """The state that a DO block makes for what comes behind it."""
    if _SETS_INSIDE.search(text):
        return "a setting that a DO block makes"
    return _of_calls(_CALLED.findall(text))


def _without_comments(body: str) -> str:
    """A text with a blank in the place of each comment."""
    kept, at = [], 0
    for start, end in enclosed(body):
        if body.startswith(("--", "/*"), start):
            kept.append(body[at:start])
            at = end
    return " ".join([*kept, body[at:]])


def _sets_for_longer(call: Any) -> bool:
    """Whether a call sets something for longer than its transaction, or may."""
    if call.funcname[-1].string.sval != "set_config" or not call.args:
        return False
    last = call.args[-1]
    if last.HasField("named_arg_expr"):
        last = last.named_arg_expr.arg
    return not last.a_const.boolval.boolval


def _is_temporary(node: Any) -> bool:
    """Whether it names an object of the session that outlives its transaction."""
    if isinstance(node, tree.CreateStmt) and node.oncommit == tree.ONCOMMIT_DROP:
        return False
    if isinstance(node, tree.CreateFunctionStmt):
        return bool(node.funcname[0].string.sval == _TEMPORARY)
    return any(
        isinstance(one, tree.RangeVar)
        and (one.relpersistence == "t" or one.schemaname == _TEMPORARY)
        for one in relations(node)
    )


def _of_calls(names: Iterable[str]) -> str:
    called = set(names)
    if called & set(_LOCKS):
        return "an advisory lock of the session"
    if "setseed" in called:
        return "the seed of random()"
    if called & {"dblink_connect", "dblink_connect_u"}:
        return "a connection of dblink"
    if called & {"currval", "lastval"} and "nextval" not in called:
        return "currval() or lastval()"
    return ""


def wears_session(texts: Iterable[str]) -> bool:
    """Whether these texts may leave in a session what cannot be taken back there.

    A setting with a dot in its name is known to the session ever after, a library stays loaded.
    """
    return any(_UNSEEN.search(text) for text in texts)
