"""Rules about what is renamed or taken away while programs of the last release still run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.object_names import dropped_names, joined, name_of
from migrations.lint.rule import Case, Rule
from migrations.sql.grammar import definition_names, tree

_IN_CONTRACT = ("contract",)
_RENAMED_ELSEWHERE = (
    tree.OBJECT_SCHEMA,
    tree.OBJECT_VIEW,
    tree.OBJECT_MATVIEW,
    tree.OBJECT_EXTENSION,
)
_KINDS = {
    tree.OBJECT_SCHEMA: "schema",
    tree.OBJECT_TYPE: "type",
    tree.OBJECT_DOMAIN: "domain",
    tree.OBJECT_FUNCTION: "function",
    tree.OBJECT_PROCEDURE: "procedure",
    tree.OBJECT_VIEW: "view",
    tree.OBJECT_MATVIEW: "materialized view",
    tree.OBJECT_SEQUENCE: "sequence",
    tree.OBJECT_ROUTINE: "routine",
    tree.OBJECT_AGGREGATE: "aggregate",
    tree.OBJECT_EXTENSION: "extension",
}
_RENAMED = {
    **{kind: name for kind, name in _KINDS.items() if kind not in _RENAMED_ELSEWHERE},
    tree.OBJECT_ATTRIBUTE: "attribute",
}
_RELATIONS = (tree.OBJECT_TABLE, tree.OBJECT_FOREIGN_TABLE)
_VIEWS = (tree.OBJECT_VIEW, tree.OBJECT_MATVIEW)


def _renames(case: Case) -> Iterator[Hit]:
    node = case.node
    if node.rename_type == tree.OBJECT_COLUMN and case.in_use(node.relation):
        table = name_of(node.relation)
        options = {"table": table, "column": node.subname, "to": node.newname}
        yield Hit(f"{table}.{node.subname} is called {node.newname} from here on", options=options)


def _renames_table(case: Case) -> Iterator[Hit]:
    node = case.node
    name = name_of(node.relation)
    # ALTER TABLE … RENAME may be written of an index, which no program names.
    if case.known(node.relation) is None and case.catalog.index_of(name):
        return
    if node.rename_type in (*_RELATIONS, *_VIEWS) and case.in_use(node.relation):
        yield Hit(f"{name_of(node.relation)} is called {node.newname} from here on")


def _renames_schema(case: Case) -> Iterator[Hit]:
    if case.node.rename_type == tree.OBJECT_SCHEMA:
        yield Hit(f"schema {case.node.subname} is called {case.node.newname} from here on")


def _renames_value(case: Case) -> Iterator[Hit]:
    if case.node.old_val:
        name = joined(definition_names(case.node.type_name))
        if case.catalog.made_by.get(name) not in case.fresh:
            yield Hit(f"a value of {name} gets another name")


def _moves(case: Case) -> Iterator[Hit]:
    node = case.node
    if node.object_type in (*_RELATIONS, *_VIEWS) and case.in_use(node.relation):
        yield Hit(f"{name_of(node.relation)} moves to the schema {node.newschema}")


def _renames_others(case: Case) -> Iterator[Hit]:
    if case.raw.field == "alter_object_schema_stmt":
        yield from _moves_others(case)
        return
    node = case.node
    kind = _RENAMED.get(node.rename_type)
    if kind is None:
        return
    name = joined(_renamed_parts(node))
    if case.catalog.made_by.get(name) not in case.fresh:
        was = f"{name}.{node.subname}" if node.subname else name
        yield Hit(f"{kind} {was} is called {node.newname} from here on")


def _moves_others(case: Case) -> Iterator[Hit]:
    kind = _KINDS.get(case.node.object_type)
    if kind is None or case.node.object_type in _VIEWS:
        return
    name = joined(_renamed_parts(case.node))
    if case.catalog.made_by.get(name) not in case.fresh:
        yield Hit(f"{kind} {name} moves to the schema {case.node.newschema}")


def _renamed_parts(node: Any) -> tuple[str, ...]:
    """The name of what is renamed or moved, as its kind has it."""
    match node.object.WhichOneof("node"):
        case "object_with_args":
            return definition_names(node.object.object_with_args.objname)
        case "list":
            return definition_names(node.object.list.items)
        case "string":
            return (node.object.string.sval,)
        case _:
            return (node.relation.schemaname, node.relation.relname)


def _drops_owned(case: Case) -> Iterator[Hit]:
    roles = ", ".join(one.role_spec.rolename or "the role itself" for one in case.node.roles)
    yield Hit(f"all that {roles} owns in the database is dropped")


def _dropped(case: Case) -> Iterator[tuple[int, str]]:
    for parts in dropped_names(case.node):
        yield case.node.remove_type, joined(parts)


def _drops_column(case: Case) -> Iterator[Hit]:
    for command in case.commands(tree.AT_DropColumn):
        yield Hit(f"{name_of(case.node.relation)}.{command.name} is dropped")


def _drops_not_null(case: Case) -> Iterator[Hit]:
    for command in case.commands(tree.AT_DropNotNull):
        yield Hit(f"{name_of(case.node.relation)}.{command.name} may be NULL from here on")


def _drops_table(case: Case) -> Iterator[Hit]:
    for kind, name in _dropped(case):
        if kind in _RELATIONS and case.is_used(case.catalog.table(name)):
            yield Hit(f"table {name} is dropped")


def _drops_others(case: Case) -> Iterator[Hit]:
    if case.raw.field == "drop_owned_stmt":
        yield from _drops_owned(case)
        return
    if case.raw.field == "alter_table_stmt":
        yield from _drops_attributes(case)
        return
    for kind, name in _dropped(case):
        if kind not in _KINDS or case.catalog.made_by.get(name) in case.fresh:
            continue
        if not case.made_again(_KINDS[kind].upper(), name):
            yield Hit(f"{_KINDS[kind]} {name} is dropped")


def _drops_attributes(case: Case) -> Iterator[Hit]:
    node = case.node
    name = name_of(node.relation)
    if node.objtype != tree.OBJECT_TYPE or case.catalog.made_by.get(name) in case.fresh:
        return
    for item in node.cmds:
        if item.alter_table_cmd.subtype == tree.AT_DropColumn:
            yield Hit(f"attribute {name}.{item.alter_table_cmd.name} is dropped")


def _drops_parents(case: Case) -> Iterator[Hit]:
    for kind, name in _dropped(case):
        table = case.catalog.table(name)
        if kind != tree.OBJECT_TABLE or table is None:
            continue
        parents = sorted(
            {
                one.target
                for one in table.constraints.values()
                if one.kind == tree.CONSTR_FOREIGN
                and one.target != name
                and case.is_used(case.catalog.table(one.target))
            }
        )
        if len(parents) > case.limits.parents:
            yield Hit(f"DROP TABLE {name} locks {', '.join(parents)}, too")


def _truncates(case: Case) -> Iterator[Hit]:
    for item in case.node.relations:
        if case.in_use(item.range_var):
            rest = ", and whatever refers to it" if case.node.behavior == tree.DROP_CASCADE else ""
            yield Hit(f"table {name_of(item.range_var)} is emptied{rest}")


_TAKE_AWAY = (
    "Leave it until no program uses it, and take it away in the contract phase of its change "
    "(`NAME.contract.sql`)."
)
_OLD_PROGRAM = "Programs of the last release fail from this moment until the last of them is gone."

RULES = (
    Rule(
        "rename-column",
        Severity.ERROR,
        _OLD_PROGRAM,
        "Add the new column, keep both alike with a trigger, and drop the old one in the contract "
        "phase.",
        ("rename_stmt",),
        _renames,
        ("renaming-column",),
        recipe="rename-column",
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "rename-table",
        Severity.ERROR,
        _OLD_PROGRAM,
        "Rename it, and in the same transaction make a view with the old name, which the contract "
        "phase drops.",
        ("rename_stmt",),
        _renames_table,
        ("renaming-table",),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "rename-schema",
        Severity.ERROR,
        _OLD_PROGRAM,
        "Make the new schema with views of what programs use, and drop the old one in the contract "
        "phase.",
        ("rename_stmt",),
        _renames_schema,
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "rename-enum-value",
        Severity.ERROR,
        "Programs of the last release go on writing the old word, which is refused.",
        "Add the new value, let programs write it, change the rows in batches, and leave the old "
        "value unused.",
        ("alter_enum_stmt",),
        _renames_value,
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "rename-object",
        Severity.ERROR,
        _OLD_PROGRAM,
        "Make the new one beside the old one, and drop the old one in the contract phase.",
        ("rename_stmt", "alter_object_schema_stmt"),
        _renames_others,
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "move-table",
        Severity.ERROR,
        _OLD_PROGRAM,
        "Move it, and in the same transaction make a view in its place, which the contract phase "
        "drops.",
        ("alter_object_schema_stmt",),
        _moves,
        ("ban-set-schema",),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "drop-column",
        Severity.WARNING,
        f"The data are gone. {_OLD_PROGRAM}",
        _TAKE_AWAY,
        ("alter_table_stmt",),
        _drops_column,
        ("ban-drop-column",),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "drop-not-null",
        Severity.INFO,
        "Programs that read the column do not expect a NULL in it.",
        "Do it when every program that reads the column takes a NULL.",
        ("alter_table_stmt",),
        _drops_not_null,
        ("ban-drop-not-null",),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "drop-table",
        Severity.WARNING,
        f"The data are gone. {_OLD_PROGRAM}",
        _TAKE_AWAY,
        ("drop_stmt",),
        _drops_table,
        ("ban-drop-table",),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "drop-object",
        Severity.WARNING,
        _OLD_PROGRAM,
        _TAKE_AWAY,
        ("drop_stmt", "drop_owned_stmt", "alter_table_stmt"),
        _drops_others,
        (
            "ban-drop-domain",
            "ban-drop-function",
            "ban-drop-schema",
            "ban-drop-sequence",
            "ban-drop-type",
            "ban-drop-view",
        ),
        quiet_in=_IN_CONTRACT,
    ),
    Rule(
        "drop-many-fks",
        Severity.WARNING,
        "The tables that it refers to are locked against readers, too, all at once.",
        "Drop the foreign keys first, each in a migration of its own with a short lock_timeout.",
        ("drop_stmt",),
        _drops_parents,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "truncate",
        Severity.WARNING,
        "The data are gone, and so are those of other tables with CASCADE; nobody can read the "
        "table meanwhile.",
        "Name each table, without CASCADE; or delete the rows in batches.",
        ("truncate_stmt",),
        _truncates,
        ("ban-truncate-cascade",),
        quiet_in=_IN_CONTRACT,
        effect=Effect.BLOCKS_WRITES,
    ),
)
