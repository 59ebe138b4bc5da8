"""What is counted in a whole fleet, and which words of a selection nothing in it has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import asyncpg

from ledger.domain.selection import is_glob
from ledger.domain.selection_words import NEAR, TAIL, SelectedWord
from ledger.store.views.port import PAGE
from ledger.store.views.rows import PoolRow, StandingRow, TroubleRow

EXAMPLES = 5
"""How many databases are named of those that are counted together."""


class FleetCounts:
    """The part of `ledger.store.views.queries.ReadModels` that counts a fleet."""

    async def unheard(self, words: Sequence[SelectedWord], *, retired: bool) -> list[SelectedWord]:
        """As `Views.unheard`."""
        values = [word.value for word in words]
        globs = [pattern_of(one) if one is not None and is_glob(one) else None for one in values]
        keys = [word.key for word in words]
        rows = await self._fetch("unheard", keys, values, globs, retired)
        return [words[row["number"] - 1] for row in rows]

    async def near(self, word: SelectedWord, *, retired: bool) -> list[str]:
        """As `Views.near`."""
        if word.value is None:
            rows = await self._fetch("near_labels", retired)
        else:
            rows = await self._fetch("near_values", word.key, word.value, NEAR, TAIL, retired)
        return [row["value"] for row in rows]

    async def fleet_pools(self) -> list[PoolRow]:
        """How many databases there are, by status and pool; retired ones, too."""
        rows = await self._fetch("fleet_pools", EXAMPLES)
        return [PoolRow._make((*row[:3], tuple(row["examples"]))) for row in rows]

    async def fleet_gaps(self, versions: Sequence[str]) -> list[str]:
        """Which of these versions some database lacks that has not retired."""
        return [row["version"] for row in await self._fetch("fleet_gaps", versions)]

    async def fleet_standings(self, versions: Sequence[str]) -> list[StandingRow]:
        """What the databases that have not retired have of these versions, the most alike first."""
        rows = await self._fetch("fleet_standings", versions, EXAMPLES)
        return [
            StandingRow(status, tuple(compress(versions, map(int, bits))), number, tuple(examples))
            for status, bits, number, examples in rows
        ]

    async def fleet_lacking(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """The next databases behind the id `after` that lack any of these versions."""
        return [row[0] for row in await self._fetch("fleet_lacking", versions, after, limit)]

    async def fleet_troubles(self, versions: Sequence[str]) -> list[TroubleRow]:
        """Where these versions failed, were lost or are unknown, and why; the most first."""
        rows = await self._fetch("fleet_troubles", versions, EXAMPLES, PAGE)
        return [TroubleRow._make((*row[:7], tuple(row["examples"]))) for row in rows]

    async def troubled_by(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """The next databases behind the id `after` of which that is true."""
        return [row[0] for row in await self._fetch("troubled_by", versions, after, limit)]

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        raise NotImplementedError


def pattern_of(glob: str) -> str:
    """A value that stands for several, as LIKE understands it."""
    literal = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return literal.replace("*", "%").replace("?", "_")
