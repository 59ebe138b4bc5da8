"""How long migrations take and how often they fail, from the rows of what ran."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from ledger.domain.performance import (
    MigrationSummary,
    Running,
    SizeClass,
    SlowRun,
    Spread,
    Usual,
    class_of,
)
from ledger.domain.selection import Term
from ledger.store.connections import Pool
from ledger.store.views.queries import terms_json
from migrations.sql.named_statements import named_statements

_SELECTED = """($4::jsonb IS NULL OR EXISTS (
    SELECT FROM ledger.fleet_database AS fleet WHERE fleet.database = one.database
    AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset($4::jsonb)
            AS term (key text, "values" text[], globs text[], negated boolean)
        CROSS JOIN LATERAL (
            SELECT CASE term.key WHEN 'id' THEN fleet.database WHEN 'pool' THEN fleet.pool
                WHEN 'status' THEN fleet.status ELSE fleet.labels ->> term.key END AS value) AS own
        WHERE term.negated = coalesce(
            own.value = ANY (term."values") OR own.value LIKE ANY (term.globs), false))))"""
_NAMED = "one.database = ANY (ARRAY(SELECT jsonb_array_elements_text($4::jsonb)))"
_TEXTS = named_statements("ledger.store.views", "performance.sql", commented=True)
QUERIES = {name: text.replace("{selected}", _SELECTED) for name, text in _TEXTS.items()}
FEW_QUERIES = {name: text.replace("{selected}", _NAMED) for name, text in _TEXTS.items()}
"""The same of databases by name, each looked for by an index; $4 are their names as JSON."""
FEW = 1000
"""So many databases are looked for by name; of more, everything that ran is gone through."""


class RunScope(NamedTuple):
    """What is looked at: migrations, from when until when, in the selected databases.

    `few` are the names of these, where they are not many.
    """

    versions: Sequence[str]
    since: datetime
    until: datetime
    terms: Sequence[Term] | None
    few: Sequence[str] | None = None

    def statement(self, name: str) -> str:
        """The one of this name that suits how many databases there are."""
        return (QUERIES if self.few is None else FEW_QUERIES)[name]

    def arguments(self) -> tuple[object, ...]:
        """As the statements take them."""
        if self.few is not None:
            return (self.versions, self.since, self.until, json.dumps(list(self.few)))
        terms = None if self.terms is None else terms_json(self.terms)
        return (self.versions, self.since, self.until, terms)


class PerformanceTable:
    """What `ledger.execution` tells, as far as it was projected."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def versions(self, limit: int) -> list[str]:
        """The last versions, by name, of which something ran."""
        return [row["version"] for row in await self._pool.fetch(QUERIES["versions"], limit)]

    async def few(self, terms: Sequence[Term] | None) -> list[str] | None:
        """The names of the databases that a selection means; `None` if they are many, or all."""
        if terms is None:
            return None
        rows = await self._pool.fetch(QUERIES["few"], terms_json(terms), FEW + 1)
        return [row["database"] for row in rows] if len(rows) <= FEW else None

    async def summaries(self, scope: RunScope) -> list[MigrationSummary]:
        """How often each migration ran, by direction, and how long it took."""
        rows = await self._pool.fetch(scope.statement("summaries"), *scope.arguments())
        return [
            MigrationSummary(
                row["version"],
                row["direction"],
                row["executions"],
                row["successes"],
                _spread(row) if row["successes"] else None,
                row["first_at"],
                row["last_at"],
            )
            for row in rows
        ]

    async def failures(self, scope: RunScope) -> dict[tuple[str, str], dict[str, int]]:
        """How often each migration and direction failed, by class of error."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for version, direction, error, number in await self._pool.fetch(
            scope.statement("failures"), *scope.arguments()
        ):
            found.setdefault((version, direction), {})[error] = number
        return found

    async def sizes(self, scope: RunScope) -> list[SizeClass]:
        """How long each migration took, by the size of the largest table."""
        rows = await self._pool.fetch(scope.statement("sizes"), *scope.arguments())
        return [
            SizeClass(
                row["version"],
                row["direction"],
                row["magnitude"],
                row["executions"],
                _spread(row),
            )
            for row in rows
        ]

    async def slowest(self, scope: RunScope, limit: int) -> list[SlowRun]:
        """Where migrations took the longest."""
        rows = await self._pool.fetch(scope.statement("slowest"), *scope.arguments(), limit)
        return [SlowRun(*row) for row in rows]

    async def usual(
        self, versions: Sequence[str], direction: str, of: int, table_mb: float | None = None
    ) -> list[Usual]:
        """How long these usually take, of the last ones that succeeded.

        With `table_mb`, of those whose largest table was about as large.
        """
        upto = None if table_mb is None else class_of(table_mb)
        # What is up to one megabyte is one class, with nothing below it.
        above = None if upto is None else upto / 10 if upto > 1 else -1.0
        rows = await self._pool.fetch(QUERIES["usual"], versions, direction, of, above, upto)
        return [Usual(row["version"], row["number"], *row["percentiles"]) for row in rows]

    async def running(self, rollout: str, since_before: datetime, limit: int) -> list[Running]:
        """What runs in a rollout since before a moment, the oldest first."""
        rows = await self._pool.fetch(QUERIES["running"], rollout, since_before, limit)
        return [Running(*row) for row in rows]

    async def pace(
        self, rollout: str, version: str, direction: str, since: datetime, of: int
    ) -> tuple[int, datetime | None]:
        """How often a migration succeeded in a rollout since then, of the last, and since when."""
        row = await self._pool.fetchrow(QUERIES["pace"], rollout, version, direction, since, of)
        return (row["number"], row["since"]) if row else (0, None)


def _spread(row: asyncpg.Record) -> Spread:
    p50, p95 = row["percentiles"]
    return Spread(p50, p95, row["longest"])
