"""Rules about columns: what rewrites a table, and what old programs stumble over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.folder_catalog import (
    SERIALS,
    KnownColumn,
    type_of,
)
from migrations.lint.object_names import joined, name_of
from migrations.lint.rule import Case, Rule, called_functions
from migrations.sql.grammar import definition_names, tree

_TEXTS = ("text", "varchar")
_DIGITS = 6
"""Behind a second's point: what PostgreSQL keeps."""
_BOUNDED = {
    "varbit": math.inf,
    "timestamp": _DIGITS,
    "timestamptz": _DIGITS,
    "time": _DIGITS,
    "timetz": _DIGITS,
    "interval": _DIGITS,
}
"""Types whose values stay as they are when what is in brackets grows, and what none means."""
VOLATILE = frozenset(
    {
        "clock_timestamp",
        "gen_random_bytes",
        "gen_random_uuid",
        "gen_ulid",
        "nextval",
        "random",
        "timeofday",
        "txid_current",
        "uuid_generate_v1",
        "uuid_generate_v1mc",
        "uuid_generate_v4",
        "uuid_generate_v7",
        "uuidv4",
        "uuidv7",
    }
)


def is_free(before: KnownColumn, type_: str, modifiers: tuple[int, ...]) -> bool:
    """Whether PostgreSQL changes a column's type without touching a row.

    Source: the documentation of ALTER TABLE, and the server's own casts without a function.
    """
    was, had = before.type, before.modifiers
    if was in _TEXTS and type_ in _TEXTS:
        return not modifiers or (was == "varchar" and bool(had) and modifiers[0] >= had[0])
    if (was, type_) == ("cidr", "inet"):
        return True
    if was == type_ == "numeric":
        # More digits in front of the point; the same behind it.
        same_scale = had[1:] == modifiers[1:]
        return not modifiers or (bool(had) and same_scale and modifiers[0] >= had[0])
    if was == type_ and was in _BOUNDED:
        # Without bounds a value has as many digits as there can be.
        room = had[-1] if had else _BOUNDED[was]
        return not modifiers or modifiers[-1] >= room
    return was == type_ and had == modifiers


def _type_changes(
    case: Case, *, collations: bool = False
) -> Iterator[tuple[str, KnownColumn | None, Any, bool]]:
    """Each change of a column's type that may touch rows: column, what it was, what it is to be.

    With `collations` also what sorts in another way: no row is written, every index is.
    """
    table = case.known(case.node.relation)
    for command in case.commands(tree.AT_AlterColumnType):
        column = getattr(command, "def").column_def
        type_, modifiers = type_of(column.type_name)
        before = table.columns.get(command.name) if table else None
        computed = column.HasField("raw_default")
        if collations and column.HasField("coll_clause"):
            yield command.name, before, column, computed
            continue
        if before is not None and not computed and is_free(before, type_, modifiers):
            continue
        # What is not known was most likely a text of some length before it is one without.
        if before is None and not computed and type_ in _TEXTS:
            continue
        yield command.name, before, column, computed


def _type_rewrites(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for name, before, column, _ in _type_changes(case):
        type_, _ = type_of(column.type_name)
        was = f" from {before.type}" if before else ""
        options = {"table": table, "column": f"{name}:{type_}"}
        yield Hit(f"the type of {table}.{name} changes{was} to {type_}", column.location, options)


def _type_drops_check(case: Case) -> Iterator[Hit]:
    table = case.known(case.node.relation)
    if table is None:
        return
    for name, _, column, _ in _type_changes(case, collations=True):
        bound = [
            *(
                said
                for said, one in table.constraints.items()
                if one.kind == tree.CONSTR_CHECK and name in one.columns
            ),
            *(said for said, keys in table.indexes.items() if name in keys),
        ]
        if bound:
            yield Hit(
                f"{', '.join(sorted(bound))} on {table.name}.{name} "
                f"{'is' if len(bound) == 1 else 'are'} checked or built again",
                column.location,
            )


def _added_columns(case: Case) -> Iterator[Any]:
    for command in case.commands(tree.AT_AddColumn):
        yield getattr(command, "def").column_def


def _has(column: Any, kind: int) -> Any:
    return next(
        (item.constraint for item in column.constraints if item.constraint.contype == kind), None
    )


def _generated(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for column in _added_columns(case):
        made = _has(column, tree.CONSTR_GENERATED)
        # `v` is VIRTUAL, of PostgreSQL 18, which is computed when it is read.
        if made is not None and made.generated_kind != "v":
            yield Hit(f"{table}.{column.colname} is GENERATED … STORED", column.location)


def _serial(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for column in _added_columns(case):
        written = joined(definition_names(column.type_name.names))
        identity = _has(column, tree.CONSTR_IDENTITY) is not None
        if written in SERIALS or identity:
            how = "an identity column" if identity else written
            options = {"table": table, "column": f"{column.colname}:bigint"}
            yield Hit(f"{table}.{column.colname} is added as {how}", column.location, options)


def _volatile_default(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for column in _added_columns(case):
        default = _has(column, tree.CONSTR_DEFAULT)
        if default is None:
            continue
        volatile = VOLATILE | case.catalog.volatile
        called = [name for name, _ in called_functions(default.raw_expr) if name in volatile]
        if called:
            yield Hit(
                f"the default of {table}.{column.colname} calls {called[0]}(), which gives each "
                "row another value",
                column.location,
                {"table": table, "column": f"{column.colname}:{type_of(column.type_name)[0]}"},
            )


_WHOLE = {
    tree.AT_SetLogged: "becomes LOGGED",
    tree.AT_SetUnLogged: "becomes UNLOGGED",
    tree.AT_SetTableSpace: "moves to the tablespace {name}",
    tree.AT_SetAccessMethod: "gets the access method {name}",
}
"""Commands that write a table anew, whatever stands in it."""


def _whole_table(case: Case) -> Iterator[Hit]:
    table, known = name_of(case.node.relation), case.known(case.node.relation)
    for command in case.commands(*_WHOLE):
        name = command.name or "by default"
        yield Hit(f"{table} {_WHOLE[command.subtype].format(name=name)}")
    for command in case.commands(tree.AT_SetExpression):
        column = known.columns.get(command.name) if known else None
        # What is VIRTUAL is computed when it is read.
        if column is None or not column.virtual:
            yield Hit(f"the expression of {table}.{command.name} changes")
    for column in _added_columns(case):
        type_, _ = type_of(column.type_name)
        if type_ in case.catalog.checked_domains:
            yield Hit(
                f"{table}.{column.colname} is added with the domain {type_}, whose conditions "
                "every row is tried by",
                column.location,
            )


def _required(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for column in _added_columns(case):
        filled = (tree.CONSTR_DEFAULT, tree.CONSTR_IDENTITY, tree.CONSTR_GENERATED)
        written = joined(definition_names(column.type_name.names))
        if (
            _has(column, tree.CONSTR_NOTNULL) is not None
            and not any(_has(column, kind) is not None for kind in filled)
            and written not in SERIALS
        ):
            yield Hit(
                f"{table}.{column.colname} is NOT NULL without a default",
                column.location,
                {"table": table, "column": column.colname},
            )


_ALTERS = ("alter_table_stmt",)

RULES = (
    Rule(
        "required-column",
        Severity.ERROR,
        "It fails in every database whose table holds a row, and programs that do not know the "
        "column can insert no more.",
        "Add it with a default, or without NOT NULL, fill it, and prove NOT NULL afterwards.",
        _ALTERS,
        _required,
        ("adding-required-field",),
        recipe="not-null",
    ),
    Rule(
        "default-rewrites",
        Severity.ERROR,
        "Every row is written anew while nobody can read or write the table.",
        "Add the column without a default, SET DEFAULT in a second statement, and fill the rows "
        "that are there in batches.",
        _ALTERS,
        _volatile_default,
        ("adding-field-with-default",),
        recipe="add-column",
        effect=Effect.REWRITES,
    ),
    Rule(
        "generated-rewrites",
        Severity.ERROR,
        "Every row is written anew while nobody can read or write the table.",
        "Add an ordinary column that a trigger keeps and a data migration fills; or VIRTUAL, from "
        "PostgreSQL 18 on.",
        _ALTERS,
        _generated,
        effect=Effect.REWRITES,
    ),
    Rule(
        "serial-rewrites",
        Severity.ERROR,
        "Each row is given a number, so all of them are written anew while nobody can read or "
        "write the table.",
        "Add an ordinary column and a sequence, SET DEFAULT nextval(…), and fill the rows that are "
        "there in batches.",
        _ALTERS,
        _serial,
        recipe="add-column",
        effect=Effect.REWRITES,
    ),
    Rule(
        "table-rewrites",
        Severity.ERROR,
        "Every row is written anew while nobody can read or write the table.",
        "Make a new table as it is to be, move the rows over in batches, and swap the two; add a "
        "column with the type under the domain, and a CHECK … NOT VALID that is validated later.",
        _ALTERS,
        _whole_table,
        effect=Effect.REWRITES,
    ),
    Rule(
        "type-rewrites",
        Severity.ERROR,
        "Every row is written anew while nobody can read or write the table.",
        "Add a column of the new type, keep both alike with a trigger, fill it in batches, and "
        "swap them.",
        _ALTERS,
        _type_rewrites,
        ("changing-column-type",),
        recipe="type-change",
        effect=Effect.REWRITES,
    ),
    Rule(
        "type-drops-check",
        Severity.WARNING,
        "What rests on the column is taken down and made again under the same lock: every row is "
        "checked, every index built.",
        "Change the type by a new column; its constraints and indexes are then made without "
        "blocking anybody.",
        _ALTERS,
        _type_drops_check,
        recipe="type-change",
        effect=Effect.SCANS,
    ),
)
