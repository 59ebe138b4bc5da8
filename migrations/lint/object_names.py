"""Names of tables and other objects, as statements write them and the catalog has them; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migrations.sql.grammar import definition_names

_HOME = ("public", "pg_catalog")
"""Schemas that are left out of names: where things are looked up anyway."""


def name_of(relation: Any) -> str:
    """A relation's name as this catalog has it: `schema.table`, or `table` in the usual schema."""
    return joined([relation.schemaname, relation.relname])


def joined(parts: Iterable[str]) -> str:
    """A qualified name without the schemas that are looked up anyway."""
    words = [part for part in parts if part]
    return ".".join(words[1:] if len(words) > 1 and words[0] in _HOME else words)


def dropped_names(node: Any) -> list[tuple[str, ...]]:
    """The names of what a DROP statement takes away, in their parts."""
    found = []
    for item in node.objects:
        match item.WhichOneof("node"):
            case "list":
                found.append(definition_names(item.list.items))
            case "type_name":
                found.append(definition_names(item.type_name.names))
            case "object_with_args":
                found.append(definition_names(item.object_with_args.objname))
            case _:
                found.append((item.string.sval,))
    return found
