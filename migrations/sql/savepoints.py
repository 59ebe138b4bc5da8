"""SAVEPOINT, RELEASE and ROLLBACK TO: they begin and end no transaction, but need one; pure."""

from __future__ import annotations

from collections.abc import Iterable

from migrations.sql.grammar import RawStatement, tree

LABELS = {
    tree.TRANS_STMT_SAVEPOINT: "SAVEPOINT",
    tree.TRANS_STMT_RELEASE: "RELEASE SAVEPOINT",
    tree.TRANS_STMT_ROLLBACK_TO: "ROLLBACK TO SAVEPOINT",
}
"""What they are called, which nothing else is."""


def is_savepoint(item: RawStatement) -> bool:
    """Whether it makes, gives up or goes back to a savepoint."""
    return item.field == "transaction_stmt" and item.node.kind in LABELS


def unpaired(items: Iterable[tuple[int, RawStatement]]) -> RawStatement | None:
    """The first that has no counterpart in its own transaction, whose number stands beside it.

    Nothing releases a SAVEPOINT or goes back to it, or to one around it; or none has that name.
    """
    made: list[RawStatement] = []
    there: list[RawStatement] = []
    used: set[int] = set()
    at = 0
    for part, item in items:
        if part != at:
            there, at = [], part
        if not is_savepoint(item):
            continue
        if item.node.kind == tree.TRANS_STMT_SAVEPOINT:
            made.append(item)
            there.append(item)
            continue
        while there and there[-1].node.savepoint_name != item.node.savepoint_name:
            used.add(there.pop().start)
        if not there:
            return item
        used.add(there[-1].start)
        if item.node.kind == tree.TRANS_STMT_RELEASE:
            there.pop()
    return next((one for one in made if one.start not in used), None)
