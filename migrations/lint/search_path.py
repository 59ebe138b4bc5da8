"""Which tables names without a schema mean, where a section has set its search_path; pure.

The catalog of a folder has tables of the usual schema by their bare names, those of others with the
schema in front. So the schema is written into the tree of a statement before rules read it.
"""

from __future__ import annotations

from typing import Any

from migrations.lint.folder_catalog import FolderCatalog
from migrations.lint.object_names import joined
from migrations.lint.rule import set_by_calls
from migrations.model.migration import Statement
from migrations.sql.grammar import RawStatement, relations, tree

_SETTING = "search_path"
_USER = "$user"
_MADE = {
    "create_stmt": lambda node: node.relation,
    "create_table_as_stmt": lambda node: node.into.rel,
    "select_stmt": lambda node: node.into_clause.rel,
    "view_stmt": lambda node: node.view,
}
"""What statements make, which is made in the first schema of the path."""
_DROPPED = (tree.OBJECT_TABLE, tree.OBJECT_VIEW, tree.OBJECT_MATVIEW, tree.OBJECT_FOREIGN_TABLE)
_TYPES = (tree.OBJECT_TYPE, tree.OBJECT_ATTRIBUTE)


class SearchPath:
    """The schemas that a section has set so far; none while names mean what they usually do."""

    def __init__(self, catalog: FolderCatalog) -> None:
        self._catalog = catalog
        self._schemas: tuple[str, ...] = ()

    def begin(self) -> None:
        """A section begins: its session has the usual path."""
        self._schemas = ()

    def take(self, raw: RawStatement, statement: Statement, *, in_transaction: bool) -> None:
        """Note what a statement makes of the path; SET LOCAL does nothing by itself."""
        node = raw.node
        if raw.field == "variable_set_stmt":
            about = node.kind == tree.VAR_RESET_ALL or node.name == _SETTING
            if about and (in_transaction or not node.is_local):
                self._schemas = _schemas(one.a_const.sval.sval for one in node.args)
        elif raw.field == "select_stmt":
            for _, value, left, _ in set_by_calls(statement.text, node, _SETTING):
                if in_transaction or left:
                    words = (one.strip().strip('"') for one in value.split(","))
                    self._schemas = _schemas(words)

    def resolve(self, raw: RawStatement) -> None:
        """Write into the statement's tree which schemas its names mean."""
        if not self._schemas or _is_of_type(raw):
            return
        made = _MADE[raw.field](raw.node) if raw.field in _MADE else None
        if made is not None and made.relname and not made.schemaname:
            made.schemaname = "" if made.relpersistence == "t" else self._schemas[0]
        found = list(relations(raw.node))
        queries = {one.ctename for one in found if isinstance(one, tree.CommonTableExpr)}
        for one in found:
            if (
                isinstance(one, tree.RangeVar)
                and not one.schemaname
                and one.relpersistence != "t"
                and one.relname not in queries
            ):
                one.schemaname = self._home_of(one.relname)
        if raw.field == "drop_stmt" and raw.node.remove_type in _DROPPED:
            for item in raw.node.objects:
                self._resolve_parts(item.list.items)

    def _resolve_parts(self, parts: Any) -> None:
        """The same for a name in its parts."""
        if len(parts) == 1 and (home := self._home_of(parts[0].string.sval)):
            parts.add().string.sval = parts[0].string.sval
            parts[0].string.sval = home

    def _home_of(self, name: str) -> str:
        """The schema in which a name is found; empty where that cannot be said."""
        for schema in self._schemas:
            if self._catalog.has_relation(joined([schema, name])):
                return schema
        # Some other file or tool has made it, in any of these.
        return "" if "public" in self._schemas else self._schemas[0]


def _schemas(words: Any) -> tuple[str, ...]:
    return tuple(one for one in words if one and one != _USER)


def _is_of_type(raw: RawStatement) -> bool:
    """Whether it is about a type, which the catalog has by the name that its author wrote."""
    match raw.field:
        case "alter_table_stmt":
            return raw.node.objtype in _TYPES
        case "rename_stmt":
            return raw.node.rename_type in _TYPES
        case field:
            return field == "composite_type_stmt"
