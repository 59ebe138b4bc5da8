"""A TCP proxy that can begin to swallow everything, as a network does that drops packets.

Nothing is refused and nothing is closed, which is what makes it hard: whoever waits for an answer
waits until its own patience ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 65_536


@dataclass
class BlackHole:
    """Passes bytes on to a server, both ways, as long as it is `open`."""

    host: str
    server_port: int
    port: int = 0
    closed: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """One for each client."""

    def swallow(self) -> None:
        """From now on nothing goes through, in any connection, old or new."""
        self.open.clear()

    def go_away(self) -> None:
        """Every connection is closed, and no new one is taken: a server that restarts."""
        self.gone = True
        for task in self.tasks:
            task.cancel()

    def come_back(self) -> None:
        """New connections are taken again."""
        self.gone = False

    def let_through(self) -> None:
        """What was kept goes on its way."""
        self.open.set()

    def instead_of(self, url: str) -> str:
        """The address of a server, by this way to it."""
        parts = urlsplit(url)
        login, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}@127.0.0.1:{self.port}").geturl()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        if self.closed or self.gone:
            return
        await self.open.wait()
        server_reader, server_writer = await asyncio.open_connection(self.host, self.server_port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, server_writer))
                group.create_task(self._pass_on(server_reader, writer))
        finally:
            server_writer.close()
            with suppress(ConnectionError):
                await server_writer.wait_closed()

    async def _pass_on(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            await self.open.wait()
            to.write(data)
            await to.drain()
        await self.open.wait()
        to.close()


@asynccontextmanager
async def before(url: str) -> AsyncIterator[BlackHole]:
    """A proxy in front of the server of this address."""
    parts = urlsplit(url)
    async with black_hole(parts.hostname or "", parts.port or 5432) as hole:
        yield hole


@asynccontextmanager
async def black_hole(host: str, server_port: int) -> AsyncIterator[BlackHole]:
    """A proxy in front of a server, open at first, until the block ends."""
    hole = BlackHole(host, server_port)
    hole.let_through()
    tasks = hole.tasks

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            # Being cancelled is the proxy's own end, which nobody is to hear of.
            with suppress(ConnectionError, ExceptionGroup, asyncio.CancelledError):
                await hole.serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, host, 0)
    hole.port = server.sockets[0].getsockname()[1]
    try:
        yield hole
    finally:
        server.close()
        hole.closed = True
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Who was accepted in the last moment finds it closed.
        await asyncio.sleep(0.01)
