"""Values and names as SQL text, for statements that go over the simple protocol.

Why not parameters: a parameterised statement costs two round trips, and a script of several
statements takes none. This module is the only place that turns a value or a name into SQL text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from uuid import UUID


class Expression(str):
    """SQL that stands where a value would; it goes in as it is."""

    __slots__ = ()


SqlValue = str | int | float | bool | UUID | datetime | None

_PLACEHOLDER = re.compile(r"(?<!:):([a-z_]+)\b")
_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def quote_ident(name: str) -> str:
    """A name in double quotes, as PostgreSQL reads it. Raises ValueError for NUL and empty."""
    if not name or "\0" in name:
        raise ValueError("a PostgreSQL name is neither empty nor contains NUL; correct the name")
    return '"' + name.replace('"', '""') + '"'


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


def printable(text: str) -> str:
    """What somebody called himself or his objects, without what moves a cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def bind(template: str, values: Mapping[str, SqlValue]) -> str:
    """`template` with each `:name` replaced by the literal of `values[name]`, in one pass."""
    pieces = list(_split(template))
    pieces[1::2] = [quote_literal(values[name]) for name in pieces[1::2]]
    return "".join(pieces)


@lru_cache(maxsize=256)
def _split(template: str) -> tuple[str, ...]:
    """Text, name, text, name, … text."""
    return tuple(_PLACEHOLDER.split(template))


def named_statements(file: str) -> dict[str, str]:
    """The statements of a `.sql` file of this package, by the names in its `-- name:` lines."""
    text = files("migrations").joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    bodies = (_COMMENT.sub("", body).strip() for body in parts[1::2])
    return dict(zip(parts[0::2], bodies, strict=True))
