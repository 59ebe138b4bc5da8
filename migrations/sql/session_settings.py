"""What a script sets for its session, and expects to hold for its later statements; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrations.model.migration import Statement
from migrations.sql.grammar import RawStatement, tree

_SESSION = re.compile(r"(?:SET|RESET)\s+(?!LOCAL\b|TRANSACTION\b)", re.IGNORECASE)
_CONFIG = re.compile(
    r"SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\([^;]*,\s*(?:is_local\s*(?:=>|:=)\s*)?"
    r"(?:false|'f'|'false')\s*\)\s*;?\s*$",
    re.IGNORECASE,
)


_ENCODES = re.compile(r"\bset_config\s*\(\s*'client_encoding'\s*,\s*'([^']*)'", re.IGNORECASE)
_AS_WRITTEN = ("", "utf8", "unicode", "sqlascii")
"""Encodings in which the server takes the letters of a migration for what they are."""


def other_encoding(item: RawStatement, text: str) -> str:
    """The encoding that a statement says its session speaks from here on; empty for our own."""
    name = ""
    if isinstance(item.node, tree.VariableSetStmt):
        if item.node.name == "client_encoding" and item.node.args:
            name = item.node.args[0].a_const.sval.sval
    elif found := _ENCODES.search(text):
        name = found[1]
    return "" if re.sub(r"[\W_]", "", name).lower() in _AS_WRITTEN else name


def carried(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Those of the statements whose settings outlive their own transaction, in order.

    SET LOCAL and SET TRANSACTION do not; `set_config` does when its last argument says so, as in
    the header of every pg_dump.
    """
    return tuple(one for one in statements if _sets(one))


def is_set_config(text: str) -> bool:
    """Whether a statement does nothing but set what outlives its transaction, by function."""
    return _CONFIG.match(text) is not None


def _sets(statement: Statement) -> bool:
    if statement.summary == "SET":
        return _SESSION.match(statement.text) is not None
    return statement.summary.startswith("SELECT") and is_set_config(statement.text)
