"""What the files of a folder have made so far, as far as their statements say it.

A catalog of the folder's own words: tables with their columns, types, indexes and constraints.
What is made in functions and DO blocks, or stood there before the first file, is not known; a rule
that needs to know is silent then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.message import Message

from migrations.lint.constraint_names import ENDINGS, constraint_name
from migrations.lint.object_names import dropped_names, joined, name_of
from migrations.sql.grammar import RawStatement, definition_names, tree

SERIALS = {
    "smallserial": "int2",
    "serial2": "int2",
    "serial": "int4",
    "serial4": "int4",
    "bigserial": "int8",
    "serial8": "int8",
}
"""Words that stand for a type and a sequence."""
KEYS = (tree.CONSTR_PRIMARY, tree.CONSTR_UNIQUE)
_INDEX_LIKE = (tree.OBJECT_INDEX, tree.OBJECT_TABLE)
_CONDITIONS = (tree.CONSTR_CHECK, tree.CONSTR_NOTNULL)


@dataclass(frozen=True, slots=True)
class KnownColumn:
    """A column: its type as PostgreSQL calls it, with what stands in brackets."""

    type: str
    modifiers: tuple[int, ...] = ()
    not_null: bool = False
    virtual: bool = False
    """Whether it is computed when it is read."""


@dataclass(frozen=True, slots=True)
class KnownConstraint:
    """A constraint: its kind in the grammar, its columns, and what it refers to."""

    kind: int
    columns: tuple[str, ...]
    validated: bool = True
    target: str = ""
    not_null_of: str = ""
    """The column of a CHECK that says no more than that it IS NOT NULL."""


@dataclass(slots=True)
class KnownTable:
    """A table that a file makes. `complete` says that all of its columns are known."""

    name: str
    made_by: str
    complete: bool
    partition_key: tuple[str, ...] = ()
    partitioned: bool = False
    temporary: bool = False
    columns: dict[str, KnownColumn] = field(default_factory=dict)
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constraints: dict[str, KnownConstraint] = field(default_factory=dict)


def type_of(node: Any) -> tuple[str, tuple[int, ...]]:
    """A type's name without its usual schema, an array with `[]`, and its modifiers."""
    name = joined(definition_names(node.names))
    modifiers = tuple(one.a_const.ival.ival for one in node.typmods if one.HasField("a_const"))
    return SERIALS.get(name, name) + "[]" * len(node.array_bounds), modifiers


def columns_in(expression: Any) -> tuple[str, ...]:
    """The columns that an expression names, each once."""
    found: dict[str, None] = {}
    pending = [expression]
    while pending:
        node = pending.pop()
        if isinstance(node, tree.ColumnRef):
            found.update(dict.fromkeys(definition_names(node.fields)[-1:]))
            continue
        for descriptor, value in node.ListFields():
            if descriptor.message_type is None:
                continue
            pending += (value,) if isinstance(value, Message) else value
    return tuple(found)


def is_not_null_check(expression: Any) -> str:
    """The column, when the expression is `column IS NOT NULL` and no more; else empty."""
    test = expression.null_test
    if not expression.HasField("null_test") or test.nulltesttype != tree.IS_NOT_NULL:
        return ""
    return (columns_in(test.arg) or ("",))[-1] if test.arg.HasField("column_ref") else ""


class FolderCatalog:
    """The catalog, as it stands behind the statements that were taken."""

    def __init__(self) -> None:
        self.tables: dict[str, KnownTable] = {}
        self.views: dict[str, str] = {}
        """Materialized views, and which migration made each."""
        self.made: dict[str, int] = {}
        """When each table and type was first made for certain, counted in statements."""
        self.made_by: dict[str, str] = {}
        """Which migration made each type, view, function or schema."""
        self.dropped: set[str] = set()
        self.checked_domains: set[str] = set()
        """Domains that not every value of the type under them fits."""
        self.volatile: set[str] = set()
        """Functions that may say something else each time, without their schema."""
        self.taken = 0
        self.places: dict[int, str] = {}
        """In which file each statement stands that made something for certain."""
        self._by = ""
        self._file = ""
        self._line = 0

    def begin(self, version: str, file: str) -> None:
        """From here on, what is made is made by this migration."""
        self._by, self._file = version, file

    def table(self, name: str) -> KnownTable | None:
        """The table, if a file made it."""
        return self.tables.get(name)

    def has_relation(self, name: str) -> bool:
        """Whether files have made a table or view of this name."""
        return name in self.tables or name in self.views or name in self.made_by

    def index_of(self, name: str) -> KnownTable | None:
        """The table that has this index, if files made both."""
        bare = name.rpartition(".")[2]
        return next((one for one in self.tables.values() if bare in one.indexes), None)

    def take(self, raw: RawStatement, line: int = 0) -> None:
        """Note what a statement makes, changes and drops; `line` is where it stands."""
        self.taken += 1
        self._line = line
        take = _TAKES.get(raw.field)
        if take is not None:
            take(self, raw.node)

    def _make(self, name: str, *, for_certain: bool = True) -> None:
        self.made_by.setdefault(name, self._by)
        if for_certain and name not in self.dropped:
            self.made.setdefault(name, self.taken)
            self.places[self.taken] = f"{self._file}:{self._line}"

    def _create(self, node: Any) -> None:
        name = name_of(node.relation)
        self._make(name, for_certain=not node.if_not_exists)
        if node.if_not_exists and name in self.tables:
            return
        strategy = node.partspec if node.HasField("partspec") else None
        table = KnownTable(
            name,
            self._by,
            complete=not node.inh_relations,
            partitioned=strategy is not None,
            partition_key=tuple(
                one.partition_elem.name for one in (strategy.part_params if strategy else ())
            ),
            temporary=node.relation.relpersistence == "t",
        )
        for element in node.table_elts:
            match element.WhichOneof("node"):
                case "column_def":
                    self._add_column(table, element.column_def)
                case "constraint":
                    _constrain(table, element.constraint)
                case _:
                    table.complete = False
        self.tables[name] = table

    def _create_as(self, node: Any) -> None:
        name = name_of(node.into.rel)
        if node.objtype == tree.OBJECT_MATVIEW:
            self.views.setdefault(name, self._by)
            self.made_by.setdefault(name, self._by)
            return
        self._make(name, for_certain=not node.if_not_exists)
        temporary = node.into.rel.relpersistence == "t"
        self.tables.setdefault(
            name, KnownTable(name, self._by, complete=False, temporary=temporary)
        )

    def _select(self, node: Any) -> None:
        if node.HasField("into_clause"):
            name = name_of(node.into_clause.rel)
            self.tables.setdefault(name, KnownTable(name, self._by, complete=False))

    def _index(self, node: Any) -> None:
        table = self.tables.get(name_of(node.relation))
        if table is None:
            return
        keys = tuple(one.index_elem.name for one in node.index_params)
        # One that leaves rows out serves nobody who looks for any of them.
        partial = node.HasField("where_clause")
        table.indexes[node.idxname or f"{table.name}_{'_'.join(keys)}_idx"] = (
            () if partial else keys
        )

    def _type(self, node: Any) -> None:
        parts = node.domainname if hasattr(node, "domainname") else node.type_name
        self._make(joined(definition_names(parts)))

    def _domain(self, node: Any) -> None:
        self._type(node)
        if {one.constraint.contype for one in node.constraints} & {*_CONDITIONS}:
            self.checked_domains.add(joined(definition_names(node.domainname)))

    def _alter_domain(self, node: Any) -> None:
        # One is added, or NOT NULL; where one is taken away, others may be left.
        if node.subtype in ("C", "O"):
            self.checked_domains.add(joined(definition_names(node.type_name)))

    def _composite(self, node: Any) -> None:
        self._make(name_of(node.typevar))

    def _view(self, node: Any) -> None:
        if not node.replace:
            self.made_by.setdefault(name_of(node.view), self._by)

    def _function(self, node: Any) -> None:
        name = definition_names(node.funcname)
        if not node.replace:
            self.made_by.setdefault(joined(name), self._by)
        said = {
            o.def_elem.arg.string.sval for o in node.options if o.def_elem.defname == "volatility"
        }
        if said & {"immutable", "stable"}:
            self.volatile.discard(name[-1])
        else:
            self.volatile.add(name[-1])

    def _schema(self, node: Any) -> None:
        if not node.if_not_exists:
            self.made_by.setdefault(node.schemaname, self._by)

    def _drop(self, node: Any) -> None:
        for name in map(joined, dropped_names(node)):
            self.dropped.add(name)
            self.checked_domains.discard(name)
            self.made_by.pop(name, None)
            if node.remove_type == tree.OBJECT_TABLE:
                self.tables.pop(name, None)
            elif node.remove_type == tree.OBJECT_MATVIEW:
                self.views.pop(name, None)
            elif node.remove_type == tree.OBJECT_INDEX and (table := self.index_of(name)):
                table.indexes.pop(name.rpartition(".")[2], None)

    def _rename(self, node: Any) -> None:
        name = name_of(node.relation)
        table = self.tables.get(name)
        if table is None:
            # Of an index, too, ALTER TABLE … RENAME may be written.
            owner = self.index_of(name) if node.rename_type in _INDEX_LIKE else None
            if owner is not None:
                owner.indexes[node.newname] = owner.indexes.pop(node.relation.relname)
            return
        if node.rename_type == tree.OBJECT_TABLE:
            self._call(table, joined([node.relation.schemaname, node.newname]))
        elif node.rename_type == tree.OBJECT_COLUMN and node.subname in table.columns:
            table.columns[node.newname] = table.columns.pop(node.subname)
        elif node.rename_type == tree.OBJECT_TABCONSTRAINT and node.subname in table.constraints:
            table.constraints[node.newname] = table.constraints.pop(node.subname)

    def _move(self, node: Any) -> None:
        table = self.tables.get(name_of(node.relation))
        if table is not None:
            self._call(table, joined([node.newschema, node.relation.relname]))

    def _call(self, table: KnownTable, name: str) -> None:
        before, table.name = table.name, name
        self.tables[name] = self.tables.pop(before)
        for one in self.tables.values():
            for said, known in one.constraints.items():
                if known.target == before:
                    one.constraints[said] = replace(known, target=name)

    def _alter(self, node: Any) -> None:
        table = self.tables.get(name_of(node.relation))
        for item in node.cmds:
            command = item.alter_table_cmd
            if table is None:
                # Nothing is known of its columns; but what is proven from here on, is.
                if command.subtype not in (tree.AT_AddConstraint, tree.AT_ValidateConstraint):
                    continue
                table = KnownTable(name_of(node.relation), "", complete=False)
                self.tables[table.name] = table
            self._change(table, command)

    def _change(self, table: KnownTable, command: Any) -> None:
        made = getattr(command, "def")
        known = table.columns.get(command.name)
        match command.subtype:
            case tree.AT_AddColumn:
                self._add_column(table, made.column_def)
            case tree.AT_DropColumn:
                table.columns.pop(command.name, None)
            case tree.AT_AlterColumnType if known is not None:
                type_, modifiers = type_of(made.column_def.type_name)
                table.columns[command.name] = replace(known, type=type_, modifiers=modifiers)
            case tree.AT_SetNotNull | tree.AT_DropNotNull if known is not None:
                proven = command.subtype == tree.AT_SetNotNull
                table.columns[command.name] = replace(known, not_null=proven)
            case tree.AT_AddConstraint:
                _constrain(table, made.constraint)
            case tree.AT_ValidateConstraint if before := table.constraints.get(command.name):
                table.constraints[command.name] = replace(before, validated=True)
            case tree.AT_DropConstraint:
                table.constraints.pop(command.name, None)
                table.indexes.pop(command.name, None)
            case _:
                pass

    def _add_column(self, table: KnownTable, column: Any) -> None:
        type_, modifiers = type_of(column.type_name)
        constraints = [item.constraint for item in column.constraints]
        kinds = {one.contype for one in constraints}
        not_null = bool(kinds & {tree.CONSTR_NOTNULL, tree.CONSTR_PRIMARY})
        virtual = any(one.generated_kind == "v" for one in constraints)
        table.columns[column.colname] = KnownColumn(type_, modifiers, not_null, virtual)
        for one in constraints:
            _constrain(table, one, column.colname)


def constraint_columns(constraint: Any, column: str = "") -> tuple[str, ...]:
    """The columns of a constraint; `column` is the one it stands at, if it does."""
    if constraint.contype == tree.CONSTR_CHECK:
        return columns_in(constraint.raw_expr)
    named = constraint.fk_attrs if constraint.contype == tree.CONSTR_FOREIGN else constraint.keys
    return definition_names(named) or ((column,) if column else ())


def _constrain(table: KnownTable, constraint: Any, column: str = "") -> None:
    kind = constraint.contype
    if kind not in ENDINGS:
        return
    columns = constraint_columns(constraint, column)
    name = constraint_name(table.name, constraint, columns)
    table.constraints[name] = KnownConstraint(
        kind,
        columns,
        validated=not constraint.skip_validation,
        target=name_of(constraint.pktable) if kind == tree.CONSTR_FOREIGN else "",
        not_null_of=(
            is_not_null_check(constraint.raw_expr)
            if kind == tree.CONSTR_CHECK
            else (columns or ("",))[0]
            if kind == tree.CONSTR_NOTNULL
            else ""
        ),
    )
    if kind in KEYS:
        table.indexes[name] = table.indexes.get(constraint.indexname, columns)
    if kind == tree.CONSTR_PRIMARY:
        for one in table.indexes[name]:
            if known := table.columns.get(one):
                table.columns[one] = replace(known, not_null=True)


_TAKES = {
    "create_stmt": FolderCatalog._create,
    "create_table_as_stmt": FolderCatalog._create_as,
    "select_stmt": FolderCatalog._select,
    "index_stmt": FolderCatalog._index,
    "create_enum_stmt": FolderCatalog._type,
    "create_range_stmt": FolderCatalog._type,
    "create_domain_stmt": FolderCatalog._domain,
    "alter_domain_stmt": FolderCatalog._alter_domain,
    "composite_type_stmt": FolderCatalog._composite,
    "view_stmt": FolderCatalog._view,
    "create_function_stmt": FolderCatalog._function,
    "create_schema_stmt": FolderCatalog._schema,
    "drop_stmt": FolderCatalog._drop,
    "rename_stmt": FolderCatalog._rename,
    "alter_object_schema_stmt": FolderCatalog._move,
    "alter_table_stmt": FolderCatalog._alter,
}
"""What is noted of each kind of statement."""
