"""What a script sets for its session, and expects to hold for its later statements; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrations.model.migration import Statement

_SESSION = re.compile(r"(?:SET|RESET)\s+(?!LOCAL\b|TRANSACTION\b)", re.IGNORECASE)
_CONFIG = re.compile(
    r"SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\([^;]*,\s*(?:is_local\s*(?:=>|:=)\s*)?"
    r"(?:false|'f'|'false')\s*\)\s*;?\s*$",
    re.IGNORECASE,
)


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
