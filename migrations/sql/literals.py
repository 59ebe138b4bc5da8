"""Values and names as SQL text, for statements that go over the simple protocol.

Why not parameters: a parameterised statement costs two round trips, and a script of several
statements takes none. This module is the only place that turns a value or a name into SQL text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from uuid import UUID


class Expression(str):
    """SQL that stands where a value would; it goes in as it is."""

    __slots__ = ()


SqlValue = str | int | float | bool | UUID | datetime | None

_PLACEHOLDER = re.compile(r"(?<!:):([a-z_]+)\b")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def quote_ident(name: str) -> str:
    """A name in double quotes, as PostgreSQL reads it. Raises ValueError for NUL and empty."""
    if not name or "\0" in name:
        raise ValueError("a PostgreSQL name is neither empty nor contains NUL; correct the name")
    return '"' + name.replace('"', '""') + '"'


def quote_where_needed(name: str) -> str:
    """A name as people would write it: in quotes only where PostgreSQL wants them."""
    # The grammar costs a tenth of a second, which hardly any importer of this module pays.
    from migrations.sql.grammar import is_keyword

    return name if _PLAIN.fullmatch(name) and not is_keyword(name) else quote_ident(name)


def quote_literal(value: SqlValue) -> str:
    """A value as a literal; NUL, which PostgreSQL cannot store, becomes U+FFFD."""
    match value:
        case Expression():
            return str(value)
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case UUID():
            return f"'{value}'"
        case datetime():
            return f"'{value.isoformat()}'"
        case str():
            text = value.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("'", "''")
            # With a backslash inside, only the E form reads the same under every setting.
            return "E'" + text.replace("\\", "\\\\") + "'" if "\\" in text else f"'{text}'"


def bind(template: str, values: Mapping[str, SqlValue]) -> str:
    """`template` with each `:name` replaced by the literal of `values[name]`, in one pass."""
    pieces = list(_split(template))
    pieces[1::2] = [quote_literal(values[name]) for name in pieces[1::2]]
    return "".join(pieces)


@lru_cache(maxsize=256)
def _split(template: str) -> tuple[str, ...]:
    """Text, name, text, name, … text."""
    return tuple(_PLACEHOLDER.split(template))
