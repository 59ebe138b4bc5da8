"""What to call a statement and which tables it touches, for spans, logs and checks.

Labels hold no literals and take few different values: a verb, an object class, and the name of the
table or object as written; an index by its own name. What only failures, spans and stepwise runs
ask for is found when they ask: most statements of a folder are only read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from google.protobuf.message import Message

from migrations.sql.classify import qualified
from migrations.sql.grammar import (
    GrammarError,
    RawStatement,
    definition_names,
    descend,
    masked,
    parse,
    relations,
    tree,
)
from migrations.sql.savepoints import LABELS as SAVEPOINTS

_KEPT = 1_000
"""Statements that answers are remembered for: a rollout runs the same few again and again."""

_LABELS = {
    "index_stmt": "CREATE INDEX",
    "create_stmt": "CREATE TABLE",
    "view_stmt": "CREATE VIEW",
    "create_trig_stmt": "CREATE TRIGGER",
    "create_enum_stmt": "CREATE TYPE",
    "composite_type_stmt": "CREATE TYPE",
    "create_range_stmt": "CREATE TYPE",
    "create_seq_stmt": "CREATE SEQUENCE",
    "alter_seq_stmt": "ALTER SEQUENCE",
    "rule_stmt": "CREATE RULE",
    "alter_enum_stmt": "ALTER TYPE",
    "refresh_mat_view_stmt": "REFRESH MATERIALIZED VIEW",
    "variable_set_stmt": "SET",
    "variable_show_stmt": "SHOW",
    "constraints_set_stmt": "SET CONSTRAINTS",
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "create_fdw_stmt": "CREATE FOREIGN DATA WRAPPER",
    "check_point_stmt": "CHECKPOINT",
    "create_stats_stmt": "CREATE STATISTICS",
    "grant_role_stmt": "GRANT ROLE",
}
"""Labels where the grammar's own name (`lock_stmt`, LOCK) is not what people write."""

_CLASSES = {
    "MATVIEW": "MATERIALIZED VIEW",
    "TABCONSTRAINT": "CONSTRAINT",
    "DOMCONSTRAINT": "CONSTRAINT",
    "FDW": "FOREIGN DATA WRAPPER",
    "STATISTIC_EXT": "STATISTICS",
}
_RELATIONS = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
_PARTS_OF_RELATIONS = frozenset({"COLUMN", "TRIGGER", "POLICY", "RULE", "CONSTRAINT"})
_NAMED_BY_WORDS = frozenset({"drop_stmt", "comment_stmt"})
_CHANGE_ONE = frozenset(
    {"create_stmt", "index_stmt", "alter_table_stmt", "insert_stmt", "update_stmt", "delete_stmt"}
)
"""Statements about one relation, which the whole tree need not be walked for."""
_SETS = re.compile(r"\bSET\b", re.IGNORECASE)
_SETTING = frozenset(
    {
        "alter_database_set_stmt",
        "alter_function_stmt",
        "alter_role_set_stmt",
        "alter_system_stmt",
        "create_function_stmt",
        "variable_set_stmt",
    }
)
"""Statements that may give settings values."""
_NO_TARGET = frozenset({"DO", "SET", "SHOW"})
_NAME_FIELDS = ("funcname", "domainname", "type_name", "defnames")
_WORD_FIELDS = ("schemaname", "extname", "role", "dbname", "subname", "pubname", "tablespacename")


@lru_cache(maxsize=_KEPT)
def normalized(text: str) -> str:
    """A statement with its values as `$1`, `$2`, … and without comments."""
    return masked(text, _set_words(text) if _SETS.search(text) else ())


def _set_words(text: str) -> frozenset[int]:
    """Where the words are that settings are given: `SET a TO word`. None in what does not parse."""
    try:
        statements = parse(text)
    except GrammarError:
        return frozenset()
    return frozenset(
        value.a_const.location
        for statement in statements
        if statement.field in _SETTING
        for node in descend(statement.node)
        if isinstance(node, tree.VariableSetStmt) and node.kind == tree.VAR_SET_VALUE
        for value in node.args
        if value.HasField("a_const")
    )


@lru_cache(maxsize=_KEPT)
def tables(text: str) -> tuple[str, ...]:
    """The relations that a statement names; see `tables_of`."""
    return tuple(name for statement in parse(text) for name in tables_of(statement))


def tables_of(statement: RawStatement) -> tuple[str, ...]:
    """Relations that the statement names, as written, in order, without its own WITH queries.

    Names inside the bodies of functions and DO blocks are not seen.
    """
    if statement.field in _NAMED_BY_WORDS:
        return tuple(dict.fromkeys(_relations_named_by_words(statement.node)))
    if statement.field == "index_stmt":
        return (qualified(statement.node.relation),)
    if statement.field == "create_stmt":
        return tuple(dict.fromkeys(map(qualified, _relations_of_table(statement.node))))
    found = relations(statement.node)
    defined = {node.ctename for node in found if isinstance(node, tree.CommonTableExpr)}
    names = [qualified(node) for node in found if isinstance(node, tree.RangeVar)]
    return tuple(dict.fromkeys(name for name in names if name not in defined))


def summary_of(statement: RawStatement) -> str:
    """A label such as `ALTER TABLE users`.

    Exactly `DO` for a DO block; it starts with `SELECT` for SELECT, VALUES and TABLE.
    """
    label = kind_label(statement)
    return label if label in _NO_TARGET else f"{label} {_target(statement)}".rstrip()


def kind_label(statement: RawStatement) -> str:
    """The same without a name: `ALTER TABLE`, `CREATE INDEX CONCURRENTLY`."""
    label = _label(statement)
    return (
        f"{label} CONCURRENTLY" if getattr(statement.node, "concurrent", False) is True else label
    )


def _target(statement: RawStatement) -> str:
    """The first relation, else the object's own name; an index is made by its own."""
    if statement.field == "index_stmt":
        return statement.node.idxname or f"ON {qualified(statement.node.relation)}"
    if statement.field in _CHANGE_ONE:
        return qualified(statement.node.relation)
    if statement.field in _NAMED_BY_WORDS:
        named = _relations_named_by_words(statement.node)
        return named[0] if named else _own_name(statement.node)
    if statement.field == "select_stmt" and len(statement.node.from_clause) == 1:
        only = statement.node.from_clause[0]
        if only.HasField("range_var") and not statement.node.HasField("with_clause"):
            return qualified(only.range_var)
    first = next(iter(tables_of(statement)), "")
    return first or _own_name(statement.node)


def _label(statement: RawStatement) -> str:
    if spell := _SPELLED.get(statement.field):
        return spell(statement.node)
    return _spelled(statement.field)


@cache
def _spelled(field: str) -> str:
    return _LABELS.get(field) or field.removesuffix("_stmt").replace("_", " ").upper()


@cache
def _object_class(kind: tree.ObjectType) -> str:
    word = str(tree.ObjectType.Name(kind)).removeprefix("OBJECT_")
    return _CLASSES.get(word, word.replace("_", " "))


def _renamed(node: Any) -> str:
    renamed = _object_class(node.rename_type)
    return "ALTER TABLE" if renamed in _PARTS_OF_RELATIONS else f"ALTER {renamed}"


def _table_as(node: Any) -> str:
    if node.objtype == tree.OBJECT_MATVIEW:
        return "CREATE MATERIALIZED VIEW"
    return "CREATE TABLE AS"


_SPELLED: dict[str, Callable[[Any], str]] = {
    "drop_stmt": lambda node: f"DROP {_object_class(node.remove_type)}",
    "alter_table_stmt": lambda node: f"ALTER {_object_class(node.objtype)}",
    "rename_stmt": _renamed,
    "alter_owner_stmt": lambda node: f"ALTER {_object_class(node.object_type)}",
    "alter_object_schema_stmt": lambda node: f"ALTER {_object_class(node.object_type)}",
    "define_stmt": lambda node: f"CREATE {_object_class(node.kind)}",
    "create_function_stmt": lambda node: (
        "CREATE PROCEDURE" if node.is_procedure else "CREATE FUNCTION"
    ),
    "create_table_as_stmt": _table_as,
    "transaction_stmt": lambda node: SAVEPOINTS.get(node.kind, "TRANSACTION"),
    "vacuum_stmt": lambda node: "VACUUM" if node.is_vacuumcmd else "ANALYZE",
    "grant_stmt": lambda node: "GRANT" if node.is_grant else "REVOKE",
}
"""Labels that depend on more than the kind of statement."""


def _own_name(node: Message) -> str:
    """The name of an object that is not a relation; empty when it has none."""
    if isinstance(node, tree.DropStmt) and node.objects:
        return ".".join(_words(node.objects[0]))
    fields = node.DESCRIPTOR.fields_by_name
    for field in _NAME_FIELDS:
        if field in fields and not isinstance(parts := getattr(node, field), Message):
            return ".".join(definition_names(parts))
    for field in _WORD_FIELDS:
        if field in fields and isinstance(word := getattr(node, field), str) and word:
            return word
    return ""


def _relations_of_table(node: Any) -> list[Any]:
    """The table that CREATE TABLE makes, its parents, and those it refers to or is like.

    The same as a walk of the whole tree, which takes five times as long for the most common
    statement of all.
    """
    found = [node.relation, *(parent.range_var for parent in node.inh_relations)]
    for element in node.table_elts:
        if element.HasField("column_def"):
            constraints = [item.constraint for item in element.column_def.constraints]
        elif element.HasField("constraint"):
            constraints = [element.constraint]
        else:
            constraints = []
            found.append(element.table_like_clause.relation)
        found += [item.pktable for item in constraints if item.HasField("pktable")]
    return found


def _relations_named_by_words(node: Any) -> list[str]:
    """Tables of DROP and COMMENT, which the grammar keeps as bare words."""
    if isinstance(node, tree.DropStmt):
        kind, objects = _object_class(node.remove_type), list(node.objects)
    else:
        kind, objects = _object_class(node.objtype), [node.object]
    if kind in _RELATIONS:
        return [".".join(_words(item)) for item in objects]
    if kind in _PARTS_OF_RELATIONS:
        return [".".join(_words(item)[:-1]) for item in objects]
    return []


def _words(item: tree.Node) -> tuple[str, ...]:
    match item.WhichOneof("node"):
        case "list":
            return definition_names(item.list.items)
        case "string":
            return (item.string.sval,)
        case "type_name":
            return definition_names(item.type_name.names)
        case "object_with_args":
            return definition_names(item.object_with_args.objname)
        case _:
            return ()
