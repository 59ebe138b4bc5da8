"""A line to a PostgreSQL server that is cut where it hurts: at a COMMIT, before or after it ran."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class Cut(StrEnum):
    """When the line is cut."""

    BEFORE = "before"
    """The server never hears of it."""
    AFTER = "after"
    """The server did it, and its answer is lost."""
    FAREWELL = "farewell"
    """The server did it and answers, says good-bye behind it, and the line stays open."""


FAREWELL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
GOOD_BYE = b"E" + struct.pack("!i", len(FAREWELL) + 4) + FAREWELL
"""What a backend that is terminated sends, whether somebody asks or not."""
READY = b"Z\0\0\0\5"
"""How ReadyForQuery begins; one byte follows, which says whether a transaction is open."""


@dataclass(eq=False)
class CutLine:
    """Relays sessions; cuts the line at the `nth` message from a client that has all of `words`.

    With `away` nobody is let in from then on, as while a server fails over.
    """

    host: str
    server_port: int
    words: tuple[bytes, ...]
    cut: Cut
    nth: int = 1
    away: bool = False
    port: int = 0
    seen: int = 0
    gone: bool = False

    def is_cut(self) -> bool:
        """Whether it came to that."""
        return self.seen >= self.nth

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session, from its first byte to its end."""
        if self.gone:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(self.host, self.server_port)
        answers = asyncio.create_task(_pump(up_reader, writer))
        try:
            while data := await reader.read(262_144):
                if not self.is_cut() and all(word in data for word in self.words):
                    self.seen += 1
                    if self.is_cut():
                        self.gone = self.away
                        answers.cancel()
                        await asyncio.wait([answers])
                        if self.cut is not Cut.BEFORE:
                            up_writer.write(data)
                            answer = await _answer(up_reader)
                        if self.cut is Cut.FAREWELL:
                            writer.write(answer + GOOD_BYE)
                            await reader.read()
                        break
                up_writer.write(data)
        finally:
            answers.cancel()
            for one in (writer, up_writer):
                one.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """All that the server says until it is ready again; servers send it in one piece or in many."""
    answer = b""
    while not answer[-6:].startswith(READY) and (data := await reader.read(262_144)):
        answer += data
    return answer


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(262_144):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def cut_line(
    url: str, *words: bytes, cut: Cut, nth: int = 1, away: bool = False
) -> AsyncIterator[CutLine]:
    """A line to the server at `url`, until the block ends."""
    parts = urlsplit(url)
    line = CutLine(parts.hostname or "", parts.port or 5432, words, cut, nth, away)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    async with server:
        yield line
