"""Whether somebody goes on with the tool that was adopted.

Asked before anything is applied, and only of targets whose journal remembers an adoption: one
SELECT on the other tool's table. A table that is gone is used by nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from migrations.adoption.history_tables import read_again
from migrations.adoption.marker import AdoptionMarker, marker_in
from migrations.errors import StillInUse
from migrations.model.foreign_history import ForeignHistory, Tool
from migrations.sql.literals import quote_literal
from migrations.target.entries import Entry
from migrations.target.session import Connection

NAMED_AT_MOST = 5
ADOPTED_ROWS = """
SELECT statement FROM migration_ledger.journal
WHERE target OPERATOR(pg_catalog.=) {target}
    AND state OPERATOR(pg_catalog.=) 'adopted' ORDER BY seq DESC LIMIT 1
"""


async def refuse_in_use(connection: Connection, entries: Sequence[Entry], target: str) -> None:
    """Raise StillInUse when the adopted table is not what it was; nothing for other targets."""
    marker = marker_in(entries)
    if not marker.table:
        return
    history = await read_again(connection, Tool(marker.source), marker.table)
    if history is None or history.digest == marker.digest:
        return
    if history.problem:
        raise StillInUse(f"{marker.source} was adopted here: {history.problem}")
    rows = await connection.fetchval(ADOPTED_ROWS.format(target=quote_literal(target)))
    raise StillInUse(_message(marker, history, json.loads(rows or "[]")))


def _message(marker: AdoptionMarker, history: ForeignHistory, before: Sequence[str]) -> str:
    now = [row.label for row in history.rows]
    said = [
        f"{word} {_listed(names)}"
        for word, names in (
            ("new:", [name for name in now if name not in before]),
            ("gone:", [name for name in before if name not in now]),
        )
        if names
    ]
    what = "; ".join(said) or "rows that were run again"
    return (
        f"{marker.source} was used here after its history was adopted ({marker.table}, {what}); "
        "take over what it did with `ledger adopt` (`ledger db adopt` for one database), and drop "
        "that table when nobody needs it; or go back to it with `ledger db export-history`"
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
