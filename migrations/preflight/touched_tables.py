"""Which tables a migration touches, and how strongly, as far as its text says so. Pure.

Bodies of functions, DO blocks and programs are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from migrations.model.migration import Section
from migrations.model.preflight import TouchedTable, TouchedTables
from migrations.sql.grammar import (
    GrammarError,
    RawStatement,
    definition_names,
    parse,
    relations,
    tree,
)
from migrations.sql.literals import quote_ident
from migrations.sql.written_names import names_in

TABLES_AT_MOST = 500
"""Of one order: what is asked has a size."""

READS, WRITES, QUIETLY, BUILDS, GUARDS, ALTERS = 0, 2, 3, 4, 5, 7
"""Lock modes, weakest first, as `migrations.target.holder.MODES` counts them."""
_WANTED = {
    "select_stmt": READS,
    "view_stmt": READS,
    "create_table_as_stmt": READS,
    "grant_stmt": READS,
    "copy_stmt": WRITES,
    "insert_stmt": WRITES,
    "update_stmt": WRITES,
    "delete_stmt": WRITES,
    "merge_stmt": WRITES,
    "comment_stmt": QUIETLY,
    "create_stats_stmt": QUIETLY,
    "create_trig_stmt": GUARDS,
    "create_stmt": GUARDS,
}
"""Of statements that want less than to be alone with a table."""
_OWNERS = frozenset(
    {
        "alter_table_stmt",
        "index_stmt",
        "drop_stmt",
        "rename_stmt",
        "reindex_stmt",
        "cluster_stmt",
        "comment_stmt",
        "alter_owner_stmt",
        "alter_object_schema_stmt",
        "create_stats_stmt",
        "refresh_mat_view_stmt",
        "rule_stmt",
        "create_policy_stmt",
        "alter_policy_stmt",
    }
)
"""Statements for which a role has to own what they name."""
_CREATES = frozenset(
    {
        "create_stmt",
        "create_table_as_stmt",
        "view_stmt",
        "create_seq_stmt",
        "create_enum_stmt",
        "composite_type_stmt",
        "create_function_stmt",
        "create_domain_stmt",
    }
)
_ABOUT_ONE = frozenset({"create_stmt", "alter_table_stmt", "index_stmt"})
"""Statements about one relation, which others are named beside."""
_DROPPED = frozenset(
    {
        tree.OBJECT_TABLE,
        tree.OBJECT_VIEW,
        tree.OBJECT_MATVIEW,
        tree.OBJECT_FOREIGN_TABLE,
        tree.OBJECT_INDEX,
    }
)
_PARTS = frozenset({tree.OBJECT_TRIGGER, tree.OBJECT_POLICY, tree.OBJECT_RULE})
_QUIET_COMMANDS = frozenset(
    {
        tree.AT_ValidateConstraint,
        tree.AT_SetStatistics,
        tree.AT_SetOptions,
        tree.AT_ResetOptions,
        tree.AT_ClusterOn,
        tree.AT_DropCluster,
        tree.AT_AttachPartition,
    }
)
_GUARDED = frozenset(
    {
        tree.AT_EnableTrig,
        tree.AT_EnableTrigAll,
        tree.AT_EnableTrigUser,
        tree.AT_DisableTrig,
        tree.AT_DisableTrigAll,
        tree.AT_DisableTrigUser,
    }
)
"""Commands of ALTER TABLE that keep writers out, and no readers; source: its documentation."""


def touched_by(sections: Iterable[Section]) -> TouchedTables:
    """What these sections touch, as far as it is written in them; not what they make themselves."""
    return together(touched_by_each(sections))


def touched_by_each(sections: Iterable[Section]) -> list[TouchedTables]:
    """The same of each section: without what it, or one before it, makes itself."""
    found: list[TouchedTables] = []
    made: set[str] = set()
    for section in sections:
        parts: list[TouchedTables] = []
        for statement in section.statements:
            parts.append(_without(touched_in(statement.text), made))
            made |= _made_in(statement.text)
        if section.batches is not None:
            parts.append(_without(_batches(section.batches.table), made))
        found.append(together(parts))
    return found


def _without(touched: TouchedTables, made: set[str]) -> TouchedTables:
    return replace(touched, tables=tuple(one for one in touched.tables if one.name not in made))


@lru_cache(maxsize=1_000)
def _made_in(text: str) -> frozenset[str]:
    """The tables that a text makes for certain, by the names that it gives them."""
    try:
        statements = list(parse(text))
    except GrammarError:
        return frozenset()
    return frozenset(
        ".".join(map(quote_ident, _parts_of(one.node.relation)))
        for one in statements
        if one.field == "create_stmt" and not one.node.if_not_exists
    )


def together(parts: Iterable[TouchedTables], at_most: int = TABLES_AT_MOST) -> TouchedTables:
    """What all of these touch; of many tables, those that are named first."""
    found: dict[str, TouchedTable] = {}
    creates = snapshots = False
    for part in parts:
        creates, snapshots = creates or part.creates, snapshots or part.waits_for_snapshots
        for one in part.tables:
            _add(found, one)
    return TouchedTables(tuple(found.values())[:at_most], creates, snapshots)


def _add(found: dict[str, TouchedTable], one: TouchedTable) -> None:
    known = found.get(one.name, TouchedTable(one.name, READS))
    found[one.name] = TouchedTable(
        one.name, max(known.wanted, one.wanted), known.owners_only or one.owners_only
    )


def _batches(table: str) -> TouchedTables:
    try:
        names = names_in(table, ".")
    except ValueError:
        return TouchedTables()
    return TouchedTables((TouchedTable(".".join(map(quote_ident, names)), WRITES),))


@lru_cache(maxsize=1_000)
def touched_in(text: str) -> TouchedTables:
    """What a text of statements touches; nothing where it cannot be read."""
    found: dict[str, TouchedTable] = {}
    creates = snapshots = False
    try:
        statements = list(parse(text))
    except GrammarError:
        return TouchedTables()
    for statement in statements:
        node = statement.node
        creates |= statement.field in _CREATES
        snapshots |= _waits_for_snapshots(statement)
        wanted = _wanted(statement)
        owners = statement.field in _OWNERS
        subject = _parts_of(node.relation) if statement.field in _ABOUT_ONE else None
        for parts in _named(statement):
            name = ".".join(map(quote_ident, parts))
            if subject in (None, parts):
                if statement.field != "create_stmt":
                    _add(found, TouchedTable(name, wanted, owners))
            else:
                # What a foreign key refers to, a parent, or a partition.
                _add(found, TouchedTable(name, GUARDS))
    return TouchedTables(tuple(found.values()), creates, snapshots)


def _named(statement: RawStatement) -> list[tuple[str, ...]]:
    node = statement.node
    if statement.field == "drop_stmt":
        return _dropped(node)
    if statement.field == "comment_stmt":
        return _commented(node)
    found = relations(node)
    defined = {one.ctename for one in found if isinstance(one, tree.CommonTableExpr)}
    ranges = [one for one in found if isinstance(one, tree.RangeVar)]
    return [
        _parts_of(one)
        for one in ranges
        if one.relname and (one.schemaname or one.relname not in defined)
    ]


def _parts_of(relation: Any) -> tuple[str, ...]:
    schema = (relation.schemaname,) if relation.schemaname else ()
    return (*schema, relation.relname)


def _dropped(node: Any) -> list[tuple[str, ...]]:
    if node.remove_type in _DROPPED:
        names = [definition_names(item.list.items) for item in node.objects]
    elif node.remove_type in _PARTS:
        names = [definition_names(item.list.items)[:-1] for item in node.objects]
    else:
        names = []
    return [name for name in names if 1 <= len(name) <= 2]


def _commented(node: Any) -> list[tuple[str, ...]]:
    names = definition_names(node.object.list.items)
    if node.objtype == tree.OBJECT_COLUMN:
        names = names[:-1]
    elif node.objtype not in _DROPPED:
        return []
    return [names] if 1 <= len(names) <= 2 else []


def _wanted(statement: RawStatement) -> int:
    node = statement.node
    match statement.field:
        case "index_stmt":
            return QUIETLY if node.concurrent else BUILDS
        case "reindex_stmt":
            return QUIETLY if _has_option(node.params, "concurrently") else ALTERS
        case "vacuum_stmt":
            return ALTERS if _has_option(node.options, "full") else QUIETLY
        case "alter_table_stmt":
            kinds = {command.alter_table_cmd.subtype for command in node.cmds}
            if kinds <= _QUIET_COMMANDS:
                return QUIETLY
            return GUARDS if all(map(_only_guards, node.cmds)) else ALTERS
        case "drop_stmt":
            return QUIETLY if node.concurrent else ALTERS
        case field:
            return _WANTED.get(field, ALTERS)


def _only_guards(item: Any) -> bool:
    """Whether a command of ALTER TABLE lets others read the table, and nobody write."""
    command = item.alter_table_cmd
    made = getattr(command, "def").constraint
    adds_key = command.subtype == tree.AT_AddConstraint and made.contype == tree.CONSTR_FOREIGN
    return adds_key or command.subtype in _GUARDED or command.subtype in _QUIET_COMMANDS


def _waits_for_snapshots(statement: RawStatement) -> bool:
    if statement.field == "index_stmt":
        return bool(statement.node.concurrent)
    if statement.field == "reindex_stmt":
        return _has_option(statement.node.params, "concurrently")
    return False


def _has_option(options: Any, name: str) -> bool:
    return any(option.def_elem.defname == name for option in options)
