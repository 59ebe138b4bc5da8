"""A server that speaks PostgreSQL's login and nothing else: it asks, and keeps what it is told."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SSL_REQUEST = 80877103
CLEAR = struct.pack("!I", 3)
MD5 = struct.pack("!I4s", 5, b"salt")
GSS = struct.pack("!I", 7)
SSPI = struct.pack("!I", 9)
OK = struct.pack("!I", 0)
SASL = struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
OTHER_SASL = struct.pack("!I", 10) + b"PLAIN\0OAUTHBEARER\0\0"


def request(body: bytes) -> bytes:
    """An authentication message."""
    return b"R" + struct.pack("!I", len(body) + 4) + body


@dataclass
class Listener:
    """Where it listens, and every byte that clients sent after their start-up packet."""

    port: int = 0
    folder: str = ""
    heard: list[bytes] = field(default_factory=list)
    contacts: int = 0

    @property
    def said(self) -> bytes:
        """All of it."""
        return b"".join(self.heard)


Answer = Callable[[bytes], bytes]
"""From what a client has just sent to the answer; the start-up packet comes first."""


def always(body: bytes) -> Answer:
    """Asks for the same thing whatever comes."""
    return lambda _: request(body)


def scram(*, rounds: int = 4096, final: bytes = b"v=AAAA", signs: bool = True) -> Answer:
    """Plays SCRAM without knowing the password: it can offer, and not prove itself."""

    def answer(sent: bytes) -> bytes:
        if not sent.startswith(b"p"):
            return request(SASL)
        if b"SCRAM-SHA-256\0" in sent:
            nonce = sent.rpartition(b"r=")[2]
            first = b"r=" + nonce + b"server,s=" + b64encode(b"0123456789abcdef")
            return request(struct.pack("!I", 11) + first + b",i=%d" % rounds)
        done = request(struct.pack("!I", 12) + final) if signs else b""
        return done + request(OK)

    return answer


@asynccontextmanager
async def listening(answer: Answer, folder: str = "") -> AsyncIterator[Listener]:
    """A listener on loopback, or on a Unix socket in `folder`, until the block ends."""
    listener = Listener(folder=folder)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.contacts += 1
        try:
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                body = await reader.readexactly(length - 4)
                if struct.unpack_from("!I", body)[0] != SSL_REQUEST:
                    break
                writer.write(b"N")
            writer.write(answer(b""))
            while data := await reader.read(65_536):
                listener.heard.append(data)
                writer.write(answer(data))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    if folder:
        server = await asyncio.start_unix_server(serve, f"{folder}/.s.PGSQL.5432")
        listener.port = 5432
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
