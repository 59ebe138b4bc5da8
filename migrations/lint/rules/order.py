"""Rules about what comes too early in a file, or in an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Hit, Severity
from migrations.lint.folder_catalog import type_of
from migrations.lint.object_names import name_of
from migrations.lint.rule import Case, Rule
from migrations.sql.classify import enum_value_used
from migrations.sql.grammar import tree


def _enum_value(case: Case) -> Iterator[Hit]:
    if not case.in_transaction or case.node.old_val:
        return
    rest = case.section.statements[case.number :]
    made = [one for one in case.section.statements[: case.number] if "TYPE" in one.summary]
    if enum_value_used([*made, *rest]) is case.statement:
        yield Hit("a value is added to an enum and used further down in the same transaction")


_Use = tuple[str, str, int]
"""What is used, a table or a type; its name; and where."""


def _used_names(case: Case) -> Iterator[_Use]:
    """Tables and types that a statement needs."""
    node = case.node
    if case.raw.field == "create_stmt":
        yield from _used_by_table(node)
        return
    alters = case.raw.field == "alter_table_stmt"
    if alters and (node.missing_ok or node.objtype != tree.OBJECT_TABLE):
        return
    yield _table(node.relation)
    for item in node.cmds if alters else ():
        made = getattr(item.alter_table_cmd, "def")
        if made.HasField("column_def"):
            yield from _needed_by(made.column_def)
        elif made.constraint.HasField("pktable"):
            yield _table(made.constraint.pktable)


def _used_by_table(node: Any) -> Iterator[_Use]:
    for element in node.table_elts:
        if element.HasField("column_def"):
            yield from _needed_by(element.column_def)
        elif element.constraint.HasField("pktable"):
            yield _table(element.constraint.pktable)
    for parent in node.inh_relations:
        yield _table(parent.range_var)


def _table(relation: Any) -> _Use:
    return "table", name_of(relation), relation.location


def _needed_by(column: Any) -> Iterator[_Use]:
    if column.HasField("type_name"):
        name, _ = type_of(column.type_name)
        yield "type", name.removesuffix("[]"), column.type_name.location
    for item in column.constraints:
        if item.constraint.HasField("pktable"):
            yield _table(item.constraint.pktable)


def _too_early(case: Case) -> Iterator[Hit]:
    own = name_of(case.node.relation)
    for what, name, offset in _used_names(case):
        made = case.catalog.made.get(name)
        if (
            made is not None
            and made > case.at + 1
            and not (case.raw.field == "create_stmt" and name == own)
        ):
            yield Hit(
                f"the {what} {name} is used here and made only later, in "
                f"{case.catalog.places[made]}",
                max(offset, 0),
            )


RULES = (
    Rule(
        "enum-add-used",
        Severity.ERROR,
        "PostgreSQL refuses a new value of an enum in the transaction that adds it (SQLSTATE "
        "55P04).",
        "Add the value in a migration of its own, before the one that uses it.",
        ("alter_enum_stmt",),
        _enum_value,
    ),
    Rule(
        "used-before-made",
        Severity.ERROR,
        "The statement fails in every database that does not have it from elsewhere.",
        "Put the statement that makes it first; files run in the order of their versions.",
        ("create_stmt", "index_stmt", "create_trig_stmt", "alter_table_stmt"),
        _too_early,
        late=True,
    ),
)
