"""A transaction-mode pooler for PostgreSQL's wire protocol, as small as one can be honestly.

It does what PgBouncer does in that mode and what migrations cannot live with: a client is shown a
process id of the pooler's own (BackendKeyData), and each transaction runs on whichever server
connection of the same user and database is free. Logging in goes straight through to the server.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

SSL_REQUEST = 80877103
IDLE = b"I"
POOLER_PID = 4_000_000
"""Beyond what the system gives to processes."""


@dataclass(eq=False)
class Stream:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def message(self) -> tuple[bytes, bytes]:
        """The next message: its type and its body."""
        head = await self.reader.readexactly(5)
        (size,) = struct.unpack("!i", head[1:])
        return head[:1], await self.reader.readexactly(size - 4)

    async def send(self, kind: bytes, body: bytes) -> None:
        """Send one message; the first of a connection has no type."""
        self.writer.write(kind + struct.pack("!i", len(body) + 4) + body)
        await self.writer.drain()


@dataclass
class Pooler:
    """Shares server connections among clients; `switched` counts changes of server."""

    host: str
    server_port: int
    port: int = 0
    clients: int = 0
    switched: int = 0
    servers: list[Stream] = field(default_factory=list)
    free: dict[bytes, list[Stream]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its start-up packet to its end."""
        client = Stream(reader, writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            startup = await _startup(client)
            self.clients += 1
            server = Stream(*await asyncio.open_connection(self.host, self.server_port))
            self.servers.append(server)
            await server.send(b"", startup)
            await self._log_in(client, server)
            await self._share(client, server, _owner(startup))

    async def _log_in(self, client: Stream, server: Stream) -> None:
        """Relay the login; what names the server's process names ours instead."""
        while True:
            kind, body = await server.message()
            if kind == b"K":
                body = struct.pack("!ii", POOLER_PID + self.clients, 0)
            await client.send(kind, body)
            if kind == b"Z":
                return
            if kind == b"R" and struct.unpack("!i", body[:4])[0] in (3, 5, 10, 11):
                await server.send(*await client.message())

    async def _share(self, client: Stream, server: Stream, owner: bytes) -> None:
        """Each transaction takes a free server connection: the one that was free for longest."""
        free = self.free.setdefault(owner, [])
        free.append(server)
        while True:
            kind, body = await client.message()
            if kind == b"X":
                return
            chosen = free.pop(0)
            self.switched += chosen is not server
            server = chosen
            await server.send(kind, body)
            await self._transaction(client, server)
            free.append(server)

    async def _transaction(self, client: Stream, server: Stream) -> None:
        """Relay both ways until the server is idle outside of a transaction."""
        asking = asyncio.create_task(_forward(client, server))
        try:
            while True:
                kind, body = await server.message()
                over = (kind, body) == (b"Z", IDLE)
                if over:
                    # Before the client hears of it, so that no byte of its next question is lost.
                    asking.cancel()
                    await asyncio.wait([asking])
                await client.send(kind, body)
                if over:
                    return
        finally:
            asking.cancel()


@asynccontextmanager
async def pooler(host: str, server_port: int) -> AsyncIterator[Pooler]:
    """A pooler in front of a server, until the block ends."""
    shared = Pooler(host, server_port)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await shared.serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, host, 0)
    shared.port = server.sockets[0].getsockname()[1]
    try:
        yield shared
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in shared.servers:
            stream.writer.close()
            with suppress(ConnectionError):
                await stream.writer.wait_closed()


async def _forward(client: Stream, server: Stream) -> None:
    while True:
        await server.send(*await client.message())


async def _startup(client: Stream) -> bytes:
    """The start-up packet; encryption is declined."""
    while True:
        (size,) = struct.unpack("!i", await client.reader.readexactly(4))
        packet = await client.reader.readexactly(size - 4)
        if struct.unpack("!i", packet[:4])[0] != SSL_REQUEST:
            return packet
        client.writer.write(b"N")


def _owner(startup: bytes) -> bytes:
    """User and database: connections are shared among the clients that agree on both."""
    words = startup[4:].rstrip(b"\0").split(b"\0")
    fields = dict(zip(words[::2], words[1::2], strict=False))
    return fields[b"user"] + b"@" + fields.get(b"database", fields[b"user"])
