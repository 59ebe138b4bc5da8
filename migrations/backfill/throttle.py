"""Pauses of a data migration: it waits while the server has more to do than it was allowed to add.

Asked between two batches, with no transaction open, at most once a second. A limit that cannot be
read is an error and not a free pass: without the right to see, everything looks idle.
"""

from __future__ import annotations

import asyncpg

from migrations.errors import DataRefused
from migrations.model.migration import Pauses
from migrations.running.retry import failed_at
from migrations.sql.named_statements import named_statements
from migrations.target.look import looking
from migrations.target.session import is_connection_lost
from migrations.target.target import Target

POLL_S = 1.0
"""Fine enough to let a burst pass, rare enough to cost nothing."""

_SQL = named_statements("migrations.backfill", "data.sql")
_MONITOR = "grant pg_monitor to the migrating user, or take the pause out"


class Throttle:
    """Remembers when it last looked."""

    def __init__(self, target: Target, pauses: Pauses) -> None:
        self._target = target
        self._pauses = pauses
        self._idle = pauses == Pauses()
        self._looked = float("-inf")

    async def passed(self) -> float:
        """Return when nothing stands in the way; the seconds that were waited for it.

        Raises StatementFailed.
        """
        clock = self._target.clock
        if self._idle or clock.monotonic() - self._looked < POLL_S:
            return 0.0
        started = clock.monotonic()
        while reason := await self._reason():
            waited = clock.monotonic() - started
            self._target.observer.waiting(reason, waited, POLL_S)
            await clock.sleep(POLL_S)
        self._looked = clock.monotonic()
        return self._looked - started

    async def _reason(self) -> str:
        """What is above its limit; empty when nothing is."""
        return await self._lag() or await self._active() or await self._gate()

    async def _lag(self) -> str:
        pauses = self._pauses
        if pauses.lag_s is None and pauses.lag_bytes is None:
            return ""
        (row,) = await self._target.connection.fetch(_SQL["lag"])
        if row["hidden"]:
            raise failed_at(DataRefused(f"the lag of standbys is hidden; {_MONITOR}"), None)
        if pauses.lag_s is not None and row["seconds"] > pauses.lag_s:
            return f"until standbys catch up ({row['seconds']:.1f} s behind, {pauses.lag_s:g} s go)"
        if pauses.lag_bytes is not None and row["bytes"] > pauses.lag_bytes:
            return (
                f"until standbys catch up ({row['bytes']:,} bytes behind, {pauses.lag_bytes:,} go)"
            )
        return ""

    async def _active(self) -> str:
        limit = self._pauses.active
        if limit is None:
            return ""
        (row,) = await self._target.connection.fetch(_SQL["active"])
        if row["hidden"]:
            raise failed_at(DataRefused(f"other sessions are hidden; {_MONITOR}"), None)
        if row["active"] <= limit:
            return ""
        return f"for the server to calm down ({row['active']} active sessions, {limit} go)"

    async def _gate(self) -> str:
        """The gates, read-only, under the section's time limits."""
        for gate in self._pauses.gates:
            try:
                async with looking(self._target.connection, as_the_script=True):
                    rows = await self._target.connection.fetch(gate.text)
            except asyncpg.PostgresError as error:
                if is_connection_lost(self._target.connection, error):
                    raise
                raise failed_at(error, gate) from None
            if not rows or any(not row or row[0] is not True for row in rows):
                return f"for the gate on line {gate.line} to open"
        return ""
