"""Which statements take data away for good, in the words of whoever reads a question; pure.

What is hidden in functions and DO blocks is not seen: a block is named as such, for nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migrations.sql.classify import qualified
from migrations.sql.grammar import GrammarError, RawStatement, parse, tree
from migrations.sql.summary import summary_of, tables_of

_DROPPED = {
    tree.OBJECT_TABLE: "drops table",
    tree.OBJECT_FOREIGN_TABLE: "drops foreign table",
    tree.OBJECT_SCHEMA: "drops schema",
    tree.OBJECT_SEQUENCE: "drops sequence",
    tree.OBJECT_TYPE: "drops type",
}


def lost_by(statements: Iterable[str]) -> list[str]:
    """What these statements take away: `drops table users`, `drops column users.weight`."""
    found: dict[str, None] = {}
    for text in statements:
        try:
            parsed = list(parse(text))
        except GrammarError:
            continue
        for statement in parsed:
            found.update(dict.fromkeys(_lost(statement)))
    return list(found)


def _lost(statement: RawStatement) -> list[str]:
    node: Any = statement.node
    match statement.field:
        case "drop_stmt" if node.remove_type in _DROPPED:
            what = _DROPPED[node.remove_type]
            return [f"{what} {name}" for name in _names(statement)]
        case "alter_table_stmt" if node.objtype in (tree.OBJECT_TABLE, tree.OBJECT_FOREIGN_TABLE):
            table = qualified(node.relation)
            commands = (one.alter_table_cmd for one in node.cmds)
            return [
                f"drops column {table}.{one.name}"
                for one in commands
                if one.subtype == tree.AT_DropColumn
            ]
        case "truncate_stmt":
            return [f"empties table {qualified(one.range_var)}" for one in node.relations]
        case "delete_stmt":
            return [f"deletes from {qualified(node.relation)}"]
        case "do_stmt":
            return ["runs a DO block, whose effect is not looked into"]
        case _:
            return []


def _names(statement: RawStatement) -> list[str]:
    names = []
    for one in statement.node.objects:
        parts = [item.string.sval for item in one.list.items] or [one.string.sval]
        if one.HasField("type_name"):
            parts = [item.string.sval for item in one.type_name.names]
        names.append(".".join(part for part in parts if part))
    return names or list(tables_of(statement)) or [summary_of(statement)]
