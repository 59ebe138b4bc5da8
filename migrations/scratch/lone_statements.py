"""What is known of statements that PostgreSQL refuses in a transaction, by their kind; pure.

A trace holds a statement in a transaction to look at it, so of these it cannot see anything. The
table of kinds in `tests/golden` is checked against live servers, these among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations.model.traces import LockMode
from migrations.sql.classify import qualified, reindexes_concurrently
from migrations.sql.grammar import RawStatement, tree
from migrations.sql.summary import tables_of

NEVER_RUN = frozenset(
    {
        "alter_database_stmt",
        "alter_system_stmt",
        "create_subscription_stmt",
        "create_table_space_stmt",
        "createdb_stmt",
        "discard_stmt",
        "drop_table_space_stmt",
        "dropdb_stmt",
    }
)
"""What reaches beyond the scratch database, or is about no table."""


@dataclass(frozen=True, slots=True)
class KnownEffects:
    """What a kind does to the tables that it names."""

    tables: tuple[str, ...] = ()
    mode: LockMode = LockMode.SHARE_UPDATE_EXCLUSIVE
    rewrites: bool = False
    scans: bool = False


def known_effects(raw: RawStatement) -> KnownEffects:
    """What a statement of this kind does; tables are named as they are written."""
    named, node = tables_of(raw), raw.node
    match raw.field:
        case "index_stmt":
            return KnownEffects((qualified(node.relation),), scans=True)
        case "reindex_stmt" if reindexes_concurrently(node):
            # An index names no table.
            tables = named if node.kind == tree.REINDEX_OBJECT_TABLE else ()
            return KnownEffects(tables, scans=True)
        case "reindex_stmt":
            return KnownEffects((), LockMode.SHARE, scans=True)
        case "vacuum_stmt" if any(one.def_elem.defname == "full" for one in node.options):
            return KnownEffects(named, LockMode.ACCESS_EXCLUSIVE, rewrites=True, scans=True)
        case "vacuum_stmt":
            return KnownEffects(named)
        case "alter_table_stmt":
            # The partition is locked against everybody, but only when nobody uses it any more.
            return KnownEffects((qualified(node.relation),))
        case "cluster_stmt":
            return KnownEffects((), LockMode.ACCESS_EXCLUSIVE, rewrites=True, scans=True)
        case _:
            return KnownEffects()
