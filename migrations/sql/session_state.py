"""What a statement leaves in its session, or takes from there, beyond settings; pure.

Such state ends with the session. So a file that commits statement by statement must not rest on it:
after a crash it goes on in another session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from migrations.sql.grammar import descend, parse, relations, tree

_HINTS = re.compile(
    r"temp|prepare|declare|listen|\bload\b|advisory_lock|setseed|currval|lastval|u&", re.IGNORECASE
)
"""Without one of these words nothing is left, and the text need not be parsed."""
_UNSEEN = re.compile(
    r"set_config|setseed|\bload\b|\bset\s+(?:local\s+|session\s+)?(?:[\w$]+|\"[^\"]+\")\s*\.",
    re.IGNORECASE,
)
_KINDS = {
    "prepare_stmt": "a prepared statement",
    "listen_stmt": "LISTEN",
    "load_stmt": "a loaded library",
    "do_stmt": "",
}
_TEMPORARY = "pg_temp"
_HOLD = 0x20
"""CURSOR_OPT_HOLD."""
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
    if _is_temporary(node):
        return "a temporary object"
    return _of_calls(
        call.funcname[-1].string.sval
        for call in descend(node)
        if isinstance(call, tree.FuncCall) and call.funcname
    )


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
    if called & {"currval", "lastval"} and "nextval" not in called:
        return "currval() or lastval()"
    return ""


def wears_session(texts: Iterable[str]) -> bool:
    """Whether these texts may leave in a session what cannot be taken back there.

    A setting with a dot in its name is known to the session ever after, a library stays loaded.
    """
    return any(_UNSEEN.search(text) for text in texts)
