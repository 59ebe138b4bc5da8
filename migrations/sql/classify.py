"""How one statement must run, by PostgreSQL's grammar.

This follows the server's own verdict (PostgreSQL 18.6, SQLSTATE 25001 inside a
transaction block). Three things the grammar cannot tell are left to the server: REINDEX or CLUSTER
of a table that happens to be partitioned, and DROP or ALTER SUBSCRIPTION of one that has a
replication slot. ALTER TYPE … ADD VALUE runs inside a transaction, but the new value cannot be
*used* before the commit (SQLSTATE 55P04), unless the type is as new: use it in the next migration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from migrations.model.migration import ConcurrentIndex, Statement, StatementKind
from migrations.sql.grammar import RawStatement, definition_names, parse, tree
from migrations.sql.literals import quote_ident, quote_literal


def kind_of(statement: RawStatement) -> StatementKind:
    """Whether the server takes the statement inside a transaction block."""
    judge = _OUTSIDE.get(statement.field)
    if judge is None or not judge(statement.node):
        return StatementKind.TRANSACTIONAL
    return StatementKind.OUTSIDE


def concurrent_index(statement: RawStatement) -> ConcurrentIndex | None:
    """The index that the statement builds or drops concurrently; `None` for all others."""
    match statement.node:
        case tree.IndexStmt(concurrent=True) as index:
            schema = index.relation.schemaname or None
            names = filter(None, (schema, index.relation.relname))
            table = ".".join(map(quote_ident, names))
            return ConcurrentIndex("create", index.idxname, schema, table, index.if_not_exists)
        case tree.DropStmt(concurrent=True) as drop if drop.objects:
            *schema_parts, name = definition_names(drop.objects[0].list.items)
            return ConcurrentIndex("drop", name, ".".join(schema_parts) or None, None)
        case _:
            return None


def enum_value_used(statements: Sequence[Statement]) -> Statement | None:
    """The first ALTER TYPE … ADD VALUE whose value a later statement may use; `None` for none.

    A later statement that spells the value as a literal may use it. A type that is made by one of
    the statements takes new values in the same transaction.
    """
    made = {one.summary.removeprefix("CREATE TYPE ") for one in statements}
    for index, statement in enumerate(statements):
        if not statement.summary.startswith("ALTER TYPE"):
            continue
        node = parse(statement.text)[0].node
        if not isinstance(node, tree.AlterEnumStmt) or node.old_val:
            continue
        name = ".".join(definition_names(node.type_name))
        spelled = quote_literal(node.new_val)
        if name not in made and any(spelled in later.text for later in statements[index + 1 :]):
            return statement
    return None


def qualified(relation: tree.RangeVar) -> str:
    """`schema.table` or `table`, as written."""
    if relation.schemaname:
        return f"{relation.schemaname}.{relation.relname}"
    return str(relation.relname)


def detaches_concurrently(alter: tree.AlterTableStmt) -> bool:
    """Whether one of the commands is DETACH PARTITION … CONCURRENTLY."""
    commands = (command.alter_table_cmd for command in alter.cmds)
    return any(getattr(command, "def").partition_cmd.concurrent for command in commands)


def reindexes_concurrently(reindex: tree.ReindexStmt) -> bool:
    """Whether REINDEX was asked to let writers pass."""
    return _option(reindex.params, "concurrently") not in (None, "false", "off", "0")


def _reindexes_outside(reindex: tree.ReindexStmt) -> bool:
    whole = (tree.REINDEX_OBJECT_SCHEMA, tree.REINDEX_OBJECT_SYSTEM, tree.REINDEX_OBJECT_DATABASE)
    return reindex.kind in whole or reindexes_concurrently(reindex)


def _makes_slot(create: tree.CreateSubscriptionStmt) -> bool:
    values = (_option(create.options, "connect"), _option(create.options, "create_slot"))
    return not any(value in ("false", "off", "0") for value in values)


def _option(options: Iterable[tree.Node], name: str) -> str | None:
    """The value of a WITH or parenthesised option, lower case; `on` when it stands alone."""
    for option in options:
        if option.def_elem.defname == name:
            if not option.def_elem.HasField("arg"):
                return "on"
            value = option.def_elem.arg
            return (
                str(value.integer.ival) if value.HasField("integer") else value.string.sval.lower()
            )
    return None


_OUTSIDE: dict[str, Callable[[Any], bool]] = {
    "index_stmt": lambda index: bool(index.concurrent),
    "drop_stmt": lambda drop: bool(drop.concurrent),
    "vacuum_stmt": lambda vacuum: bool(vacuum.is_vacuumcmd),
    "reindex_stmt": _reindexes_outside,
    "cluster_stmt": lambda cluster: not cluster.HasField("relation"),
    "alter_table_stmt": detaches_concurrently,
    "alter_database_stmt": lambda alter: _option(alter.options, "tablespace") is not None,
    "create_subscription_stmt": _makes_slot,
    "discard_stmt": lambda discard: bool(discard.target == tree.DISCARD_ALL),
    "createdb_stmt": lambda _: True,
    "dropdb_stmt": lambda _: True,
    "create_table_space_stmt": lambda _: True,
    "drop_table_space_stmt": lambda _: True,
    "alter_system_stmt": lambda _: True,
}
"""Which statements of a kind are refused in a transaction block; kinds not named never are."""
