"""One wording for what PostgreSQL writes in several, between releases and after a restore; pure.

- Before 16 a view of one relation says `SELECT users.id FROM users`, since then `SELECT id`.
- A condition `tag IN ('a', 'b')` on a varchar is written with one cast around the list; restored
  from that text, with a cast at each item.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PLAIN_COLUMNS_SINCE = 160000
"""The release since which columns of a view's only relation stand without its name."""

_ITEM = r"'(?:[^']|'')*'::character varying"
_LIST_CAST = re.compile(rf"\(ARRAY\[({_ITEM}(?:, {_ITEM})*)\]\)::text\[\]")


def worded(definition: str) -> str:
    """A condition with its casts where a restored database has them."""
    if "::character varying" not in definition:
        return definition
    return _LIST_CAST.sub(lambda found: f"ARRAY[{_each_cast(found[1])}]", definition)


def _each_cast(items: str) -> str:
    return ", ".join(f"({item})::text" for item in re.findall(_ITEM, items))


def plain_view(definition: str) -> str:
    """A view's text of a release before 16, as later ones write it."""
    # The grammar costs a tenth of a second, and newer servers need it not.
    from migrations.sql.grammar import GrammarError, parse

    try:
        (statement,) = parse(definition)
    except (GrammarError, ValueError):
        # Nobody can read it but the server; the text stays as it is.
        return definition
    data = definition.encode()
    for start, end in sorted(_qualifiers(statement.node, data), reverse=True):
        data = data[:start] + data[end:]
    return data.decode()


def _qualifiers(select: Any, data: bytes) -> Iterator[tuple[int, int]]:
    """Where in the text the name of the only relation stands before a column."""
    if select.HasField("larg") or len(select.from_clause) != 1:
        return
    source = select.from_clause[0]
    kind = source.WhichOneof("node")
    if kind == "join_expr":
        return
    relation = getattr(source, kind)
    name = relation.alias.aliasname or getattr(relation, "relname", "")
    for place in _columns_of(select, name):
        yield place, data.index(b".", place + len(name.encode())) + 1


def _columns_of(select: Any, name: str) -> Iterator[int]:
    """Where columns of the relation stand, apart from those in queries within the query."""
    waiting = [
        part
        for field, value in select.ListFields()
        if field.name not in ("with_clause", "from_clause")
        for part in _messages(value)
    ]
    while waiting:
        node = waiting.pop()
        kind = node.DESCRIPTOR.name
        if kind == "ColumnRef":
            names = [field.string.sval for field in node.fields]
            if len(names) == 2 and names[0] == name and names[1]:
                yield node.location
        elif kind != "SelectStmt":
            for _, value in node.ListFields():
                waiting += _messages(value)


def _messages(value: Any) -> list[Any]:
    if hasattr(value, "DESCRIPTOR"):
        return [value]
    if isinstance(value, (str, bytes, int, float, bool)):
        return []
    return [part for part in value if hasattr(part, "DESCRIPTOR")]
