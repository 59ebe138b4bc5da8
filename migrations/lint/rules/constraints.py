"""Rules about constraints: what is checked, under which lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrations.lint.constraint_names import constraint_name
from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.folder_catalog import constraint_columns
from migrations.lint.object_names import name_of
from migrations.lint.rule import Case, Rule
from migrations.lint.rules.indexes import UNIQUE_INDEX
from migrations.sql.grammar import RawStatement, tree


def _added(case: Case, *kinds: int) -> Iterator[tuple[Any, str, Any]]:
    """Constraints that are added to a table in use, with the new column at which each stands."""
    for command in case.commands(tree.AT_AddConstraint, tree.AT_AddColumn):
        made = getattr(command, "def")
        if command.subtype == tree.AT_AddConstraint:
            if made.constraint.contype in kinds:
                yield made.constraint, "", None
            continue
        for item in made.column_def.constraints:
            if item.constraint.contype in kinds:
                yield item.constraint, made.column_def.colname, made.column_def


def _has_default(column: Any) -> bool:
    kinds = (tree.CONSTR_DEFAULT, tree.CONSTR_IDENTITY, tree.CONSTR_GENERATED)
    return any(item.constraint.contype in kinds for item in column.constraints)


def _foreign_key(case: Case) -> Iterator[Hit]:
    for constraint, name, column in _added(case, tree.CONSTR_FOREIGN):
        # The rows of a new column without a default hold nothing that could be wrong.
        if constraint.skip_validation or (column is not None and not _has_default(column)):
            continue
        columns = constraint_columns(constraint, name)
        table, target = name_of(case.node.relation), name_of(constraint.pktable)
        options = {"table": table, "column": columns[0], "to": target} if len(columns) == 1 else {}
        yield Hit(
            f"the foreign key from {table} ({', '.join(columns)}) to {target} is added without "
            "NOT VALID",
            constraint.location,
            options,
        )


def _check(case: Case) -> Iterator[Hit]:
    for constraint, name, _ in _added(case, tree.CONSTR_CHECK):
        if not constraint.skip_validation:
            said = f"CHECK {constraint.conname}".rstrip()
            table = name_of(case.node.relation)
            columns = constraint_columns(constraint, name)
            options = {"table": table, "column": columns[0], "value": "…"} if columns else {}
            yield Hit(f"{said} is added to {table} without NOT VALID", constraint.location, options)


def _same_transaction(case: Case) -> Iterator[Hit]:
    for command in case.commands(tree.AT_ValidateConstraint):
        table = name_of(case.node.relation)
        added = {
            constraint_name(table, made, constraint_columns(made))
            for one in (*[placed.raw for placed in case.before], case.raw)
            if one.field == "alter_table_stmt" and name_of(one.node.relation) == table
            for item in one.node.cmds
            if item.alter_table_cmd.subtype == tree.AT_AddConstraint
            and (made := getattr(item.alter_table_cmd, "def").constraint)
        }
        if command.name in added:
            yield Hit(f"{command.name} is added and validated in one transaction")


def _unique(case: Case) -> Iterator[Hit]:
    for constraint, name, _ in _added(case, tree.CONSTR_UNIQUE):
        if not constraint.indexname:
            columns = constraint_columns(constraint, name)
            table = name_of(case.node.relation)
            what = f"UNIQUE ({', '.join(columns)}) is added to {table} without USING INDEX"
            yield Hit(what, constraint.location, _one_column(table, columns))


def _primary_key(case: Case) -> Iterator[Hit]:
    for constraint, name, _ in _added(case, tree.CONSTR_PRIMARY):
        if not constraint.indexname:
            table = name_of(case.node.relation)
            what = f"a primary key is added to {table} without USING INDEX"
            options = _one_column(table, constraint_columns(constraint, name))
            yield Hit(what, constraint.location, options)


def _one_column(table: str, columns: Sequence[str]) -> Mapping[str, str]:
    """What fills the recipe of an index, where it is about one column."""
    return {"table": table, "column": columns[0]} if len(columns) == 1 else {}


def _key_on_nullable(case: Case) -> Iterator[Hit]:
    table = case.known(case.node.relation)
    if table is None:
        return
    for constraint, _, _ in _added(case, tree.CONSTR_PRIMARY):
        columns = table.indexes.get(constraint.indexname, ())
        nullable = [
            one for one in columns if one in table.columns and not table.columns[one].not_null
        ]
        if nullable and not all(_is_proven(case, one) for one in nullable):
            said = ", ".join(nullable)
            yield Hit(f"the primary key sets {said} of {table.name} NOT NULL", constraint.location)


def _exclusion(case: Case) -> Iterator[Hit]:
    for constraint, _, _ in _added(case, tree.CONSTR_EXCLUSION):
        yield Hit(f"EXCLUDE is added to {name_of(case.node.relation)}", constraint.location)


def _is_proven(case: Case, column: str) -> bool:
    """Whether a valid constraint says that the column holds no NULL."""
    table = case.known(case.node.relation)
    return table is not None and any(
        one.validated and one.not_null_of == column for one in table.constraints.values()
    )


def _set_not_null(case: Case) -> Iterator[Hit]:
    table = name_of(case.node.relation)
    for command in case.commands(tree.AT_SetNotNull):
        if not _is_proven(case, command.name):
            yield Hit(
                f"SET NOT NULL on {table}.{command.name} without a valid CHECK that proves it",
                options={"table": table, "column": command.name},
            )
    for constraint, column, made in _added(case, tree.CONSTR_NOTNULL):
        if constraint.skip_validation or made is not None:
            continue
        named = constraint_columns(constraint, column)[0]
        yield Hit(f"NOT NULL is added to {table}.{named} without NOT VALID", constraint.location,
                  {"table": table, "column": named})  # fmt: skip


def _foreign_keys(raw: RawStatement) -> Iterator[tuple[Any, str]]:
    """Every foreign key that a statement makes, with the column at which it stands."""
    parts: list[tuple[Any, str]] = []
    if raw.field == "create_stmt":
        for element in raw.node.table_elts:
            if element.HasField("column_def"):
                parts += _at_column(element.column_def)
            elif element.HasField("constraint"):
                parts.append((element.constraint, ""))
    elif raw.field == "alter_table_stmt":
        for item in raw.node.cmds:
            made = getattr(item.alter_table_cmd, "def")
            if item.alter_table_cmd.subtype == tree.AT_AddConstraint:
                parts.append((made.constraint, ""))
            elif item.alter_table_cmd.subtype == tree.AT_AddColumn:
                parts += _at_column(made.column_def)
    return ((one, name) for one, name in parts if one.contype == tree.CONSTR_FOREIGN)


def _at_column(column: Any) -> list[tuple[Any, str]]:
    return [(item.constraint, column.colname) for item in column.constraints]


def _no_index(case: Case) -> Iterator[Hit]:
    table = case.known(case.node.relation)
    if table is None or not table.complete:
        return
    for constraint, name in _foreign_keys(case.raw):
        columns = constraint_columns(constraint, name)
        served = any(
            set(keys[: len(columns)]) == set(columns) for keys in table.indexes.values() if keys
        )
        if columns and not served and set(columns) <= table.columns.keys():
            said = ", ".join(columns)
            options = {"table": table.name, "column": said} if len(columns) == 1 else {}
            yield Hit(f"no index begins with {table.name} ({said}), which refers to "
                      f"{name_of(constraint.pktable)}", constraint.location, options)  # fmt: skip


def _other_type(case: Case) -> Iterator[Hit]:
    table = case.known(case.node.relation)
    for constraint, name in _foreign_keys(case.raw):
        target = case.known(constraint.pktable)
        if table is None or target is None:
            continue
        columns = constraint_columns(constraint, name)
        keys = tuple(one.string.sval for one in constraint.pk_attrs) or next(
            (one.columns for one in target.constraints.values() if one.kind == tree.CONSTR_PRIMARY),
            (),
        )
        for column, key in zip(columns, keys, strict=False):
            mine, theirs = table.columns.get(column), target.columns.get(key)
            if mine and theirs and mine.type != theirs.type:
                yield Hit(
                    f"{table.name}.{column} is {mine.type} and refers to {target.name}.{key}, "
                    f"which is {theirs.type}",
                    constraint.location,
                )


def _parents(case: Case) -> Iterator[Hit]:
    if not case.in_transaction:
        return
    mine = _locked_by_keys(case, case.raw)
    if not mine:
        # Not to look back for nothing: a dump has thousands of statements in one file.
        return
    earlier: set[str] = set()
    for placed in case.before:
        earlier |= _locked_by_keys(case, placed.raw)
    if (
        mine - earlier
        and len(mine | earlier) > case.limits.parents
        and (earlier or len(mine) > case.limits.parents)
    ):
        tables = ", ".join(sorted(mine | earlier))
        yield Hit(f"foreign keys lock {tables} until this one transaction commits")


def _locked_by_keys(case: Case, raw: RawStatement) -> set[str]:
    """The tables in use that a statement's foreign keys refer to."""
    return {
        name_of(one.pktable)
        for one, _ in _foreign_keys(raw)
        if case.in_use(one.pktable) and name_of(one.pktable) != name_of(raw.node.relation)
    }


_TWO_STEPS = (
    "Add it NOT VALID, and VALIDATE it in a statement that commits by itself: writers go on while "
    "the rows are read."
)
_ALTERS = ("alter_table_stmt",)
_MAKES_KEYS = ("create_stmt", "alter_table_stmt")

RULES = (
    Rule(
        "fk-validates",
        Severity.ERROR,
        "Both tables take no writes while every row is looked up.",
        _TWO_STEPS,
        _ALTERS,
        _foreign_key,
        ("adding-foreign-key-constraint",),
        recipe="foreign-key",
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "fk-no-index",
        Severity.WARNING,
        "Every DELETE and every change of a key in the table referred to reads this whole table.",
        "Build an index on the referring columns, CONCURRENTLY if the table is in use.",
        _MAKES_KEYS,
        _no_index,
        recipe="index-concurrently",
        late=True,
    ),
    Rule(
        "fk-type-mismatch",
        Severity.WARNING,
        "Every comparison converts one side, and a value may fit in one table alone.",
        "Give the referring column the type of the key.",
        _MAKES_KEYS,
        _other_type,
        recipe="type-change",
        late=True,
    ),
    Rule(
        "fk-two-tables",
        Severity.WARNING,
        "Each table takes no writes until all of them are done, and another transaction that "
        "wants them in another order ends in a deadlock.",
        "Write one migration for each table that is referred to.",
        _MAKES_KEYS,
        _parents,
        recipe="foreign-key",
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "check-validates",
        Severity.ERROR,
        "Nobody can read or write the table while every row is checked.",
        _TWO_STEPS,
        _ALTERS,
        _check,
        ("constraint-missing-not-valid",),
        recipe="check",
        effect=Effect.SCANS,
    ),
    Rule(
        "validate-same-tx",
        Severity.ERROR,
        "The lock of the first statement is held while the second reads every row, as if NOT VALID "
        "were not there.",
        "Let each statement commit by itself: mark the section `notransaction`, or write two "
        "migrations.",
        _ALTERS,
        _same_transaction,
        recipe="foreign-key",
        effect=Effect.SCANS,
    ),
    Rule(
        "unique-blocks",
        Severity.ERROR,
        "Nobody can read or write the table while its index is built.",
        "Write CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX in the "
        "next migration.",
        _ALTERS,
        _unique,
        ("disallowed-unique-constraint",),
        recipe=UNIQUE_INDEX,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "pk-blocks",
        Severity.ERROR,
        "Nobody can read or write the table while its index is built.",
        "Write CREATE UNIQUE INDEX CONCURRENTLY, then ADD PRIMARY KEY USING INDEX in the next "
        "migration.",
        _ALTERS,
        _primary_key,
        ("adding-serial-primary-key-field",),
        recipe=UNIQUE_INDEX,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "pk-sets-not-null",
        Severity.WARNING,
        "A primary key makes its columns NOT NULL, and for that reads every row under a lock that "
        "lets nobody in, index or not.",
        "First prove it: a CHECK (column IS NOT NULL) NOT VALID, VALIDATE, SET NOT NULL.",
        _ALTERS,
        _key_on_nullable,
        recipe="not-null",
        effect=Effect.SCANS,
    ),
    Rule(
        "exclusion-blocks",
        Severity.ERROR,
        "Nobody can read or write the table while its index is built, and there is no CONCURRENTLY "
        "for it.",
        "Make a new table with the constraint and move the rows over in batches, or add it while "
        "the table is small.",
        _ALTERS,
        _exclusion,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "not-null-scans",
        Severity.ERROR,
        "Nobody can read or write the table while every row is read.",
        "First a CHECK (column IS NOT NULL) NOT VALID, then VALIDATE it, then SET NOT NULL, which "
        "then reads nothing, then drop the CHECK.",
        _ALTERS,
        _set_not_null,
        ("adding-not-nullable-field",),
        recipe="not-null",
        effect=Effect.SCANS,
    ),
)
