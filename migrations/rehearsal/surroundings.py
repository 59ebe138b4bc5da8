"""What a folder takes for granted in a database, and a scratch database has not by itself.

An ordinary login may not make most extensions. What the folder's migrations ask for is made before
them, as whoever prepared a real database has done; not where the way back drops it, because then
the migrating role must have been able to make it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrations.model.migration import Migration
from migrations.scratch.schema import SqlSchema
from migrations.sql.grammar import parse
from migrations.sql.literals import quote_ident

MAKES = "CREATE EXTENSION"
DROPS = "DROP EXTENSION"


def surroundings(migrations: Sequence[Migration], target: str = "") -> SqlSchema | None:
    """The target's schema, and extensions; `None` where nothing is taken for granted."""
    made = list(dict.fromkeys(_extensions(migrations)))
    if target:
        made.insert(0, f"CREATE SCHEMA {quote_ident(target)}")
    return SqlSchema(";\n".join([*made, ""]), "the folder") if made else None


def _extensions(migrations: Sequence[Migration]) -> Iterator[str]:
    for one in migrations:
        back = one.down.statements if one.down is not None else ()
        if any(statement.summary.startswith(DROPS) for statement in back):
            continue
        for statement in one.up.statements:
            # Any other fails where the extension is there already.
            if statement.summary.startswith(MAKES) and parse(statement.text)[0].node.if_not_exists:
                yield statement.text
