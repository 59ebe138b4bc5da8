"""An entry that a tenant puts behind his journal by hand, with a chain that is whole."""

from __future__ import annotations

from uuid import uuid4

import asyncpg

from migrations.model.attempt import Epoch
from migrations.target.entries import NewEntry, Said, State, next_head

FORGE = """
    INSERT INTO migration_ledger.journal (
        target, seq, head, command, rollout, migration, direction, step, state, statements, note,
        reason, database_uuid, owner, epoch_term, epoch_position, xid, finished_at, duration_ms,
        made_by)
    SELECT target, seq + 1, $1, $2, $3, $4, $5, 0, $6, 0, '', '', database_uuid, owner, $7, $8, xid,
        clock_timestamp(), 0, made_by
    FROM migration_ledger.journal ORDER BY seq DESC LIMIT 1
"""


async def forge(url: str, epoch: Epoch, *, rollout: str = "", migration: str = "") -> None:
    """Put an entry of this epoch behind the journal: a visit, or a migration of a rollout."""
    connection = await asyncpg.connect(url)
    try:
        last = await connection.fetchrow(
            "SELECT head, owner FROM migration_ledger.journal ORDER BY seq DESC LIMIT 1"
        )
        assert last is not None
        command = uuid4()
        state, direction = (State.APPLIED, "up") if migration else (State.VISITED, "")
        entry = NewEntry(migration, direction, 0, state, None, None)
        head = next_head(last["head"], Said(command, rollout, last["owner"], epoch), entry)
        place = (epoch.term, epoch.position)
        await connection.execute(
            FORGE, head, command, rollout, migration, direction, state.value, *place
        )
    finally:
        await connection.close()
