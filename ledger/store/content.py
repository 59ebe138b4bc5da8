"""Texts by their SHA-256: stored once, never changed; the database checks each against its hash."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from ledger.errors import ContentNotFound
from ledger.store.connections import Pool
from ledger.store.queries import QUERIES
from ledger.store.refusals import translated


class ContentStore:
    """The content table."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put_many(self, texts: Iterable[bytes]) -> None:
        """Store these texts; those that are known are left alone. Raises NotPermitted."""
        try:
            await self._pool.execute(QUERIES["put_content"], list(texts))
        except asyncpg.PostgresError as error:
            raise translated(error) from error

    async def get(self, sha256: str) -> bytes:
        """The text with this hash (hex). Raises ContentNotFound."""
        body: bytes | None = await self._pool.fetchval(
            QUERIES["get_content"], bytes.fromhex(sha256)
        )
        if body is None:
            raise ContentNotFound(sha256)
        return body
