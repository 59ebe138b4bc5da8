"""A COMMIT whose answer never came: the journal says what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from migrations.model.attempt import Mode, Verdict
from migrations.runner import run
from tests.integration.migrations.world import IMPATIENT, World, users


class CommitEater:
    """A TCP proxy that cuts the line at the first COMMIT of a migration: before or after it ran."""

    def __init__(self, url: str, *, delivered: bool) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 5432)
        self._delivered = delivered
        self.eaten = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        answers = asyncio.create_task(self._pump(up_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"'001'" in data and b"COMMIT" in data and not self.eaten:
                    self.eaten += 1
                    answers.cancel()
                    if self._delivered:
                        up_writer.write(data)
                        await up_writer.drain()
                        await up_reader.read(65536)
                    break
                up_writer.write(data)
        finally:
            answers.cancel()
            writer.close()
            up_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@asynccontextmanager
async def _listening(proxy: CommitEater) -> AsyncIterator[int]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("delivered", [True, False])
async def test_the_journal_decides_what_an_unanswered_commit_did(
    world: World, delivered: bool
) -> None:
    proxy = CommitEater(world.url, delivered=delivered)
    async with _listening(proxy) as port:
        settings = replace(world.settings, port=port)
        outcome = await run(settings, world.work(Mode.UP, users()), IMPATIENT, world.hearing)
    assert proxy.eaten == 1
    assert outcome.verdict is Verdict.DONE
    assert [step.recovered for step in outcome.steps] == [delivered]
    assert await world.journal() == [("001", "up", 0, "applied")]
