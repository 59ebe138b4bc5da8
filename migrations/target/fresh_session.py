"""What a session that was used takes before it is like a new one.

    used ──▶ worn? ──yes──▶ SessionWorn: the next migration begins in a session of its own
              │ no
              ▼
        cursors, LISTEN, temporary objects, sequences' values, prepared statements, settings away

So the result of a migration does not depend on what ran before it in the same session. All of it
goes along with what begins the next one, and a session that begins once pays nothing.
"""

from __future__ import annotations

from typing import TypeAlias

from migrations.sql.literals import Expression
from migrations.target.journal import statement
from migrations.target.lock import LockKey

Freshening: TypeAlias = dict[str, Expression]
"""Parts of `begin`, `alone` and `clear` in `journal.sql`."""

UNTOUCHED: Freshening = {"cleared": Expression(""), "remembered": Expression("")}


def freshening(
    database_oid: int, key: LockKey, *, used: bool, again: bool, keep_prepared: bool
) -> Freshening:
    """The parts for a session that was `used`, and may begin `again`.

    With `keep_prepared` only the cheap ones: a data migration's batches come one after the other.
    """
    brought = Expression(statement("brought_along", database_oid=database_oid))
    cleared = []
    if used and not keep_prepared:
        cleared += [statement("worn", brought_along=brought, **key.halves), "DEALLOCATE ALL"]
    if used:
        cleared.append(statement("cleared"))
    remembered = [statement("remembered", brought_along=brought)] if again else []
    return {
        "cleared": Expression("".join(f"{one};\n" for one in cleared)),
        "remembered": Expression("".join(f"{one};\n" for one in remembered)),
    }
