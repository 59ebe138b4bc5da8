"""What PostgreSQL calls a constraint that is given no name; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrations.sql.grammar import tree

ENDINGS = {
    tree.CONSTR_PRIMARY: "pkey",
    tree.CONSTR_UNIQUE: "key",
    tree.CONSTR_FOREIGN: "fkey",
    tree.CONSTR_CHECK: "check",
    tree.CONSTR_EXCLUSION: "excl",
    tree.CONSTR_NOTNULL: "not_null",
}
"""How the names of constraints end, by their kind."""


def constraint_name(table: str, constraint: Any, columns: Sequence[str]) -> str:
    """The name of a table's constraint: its own, or the one that PostgreSQL gives it.

    A CHECK of several columns is called after its table alone.
    """
    kind = constraint.contype
    nameless = kind == tree.CONSTR_PRIMARY or (kind == tree.CONSTR_CHECK and len(columns) > 1)
    middle = () if nameless else columns
    return constraint.conname or "_".join([table.rpartition(".")[2], *middle, ENDINGS[kind]])
