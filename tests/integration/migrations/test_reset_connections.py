"""A server, or what stands before it, that resets a connection: out of reach, not a wrong right."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from migrations.errors import Unreachable
from migrations.target.session import VERIFIED_TLS, ConnectionSettings, open_session

AUTHENTICATION_OK = b"R" + struct.pack("!ii", 8, 0)
TLS_OFFERED = b"S"


@asynccontextmanager
async def server_that_says(*answers: bytes, reset: bool) -> AsyncIterator[int]:
    """A port where each message is answered by the next of these, and then the line is cut."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
            await writer.drain()
        with suppress(TimeoutError):
            # After a login the client has nothing more to say.
            await asyncio.wait_for(reader.read(65_536), 0.2)
        if reset:
            made: socket.socket = writer.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize(
    ("answers", "sslmode"),
    [
        pytest.param((), "disable", id="at-once"),
        pytest.param((AUTHENTICATION_OK,), "disable", id="after-the-login"),
        pytest.param((), VERIFIED_TLS, id="before-tls"),
        pytest.param((TLS_OFFERED,), VERIFIED_TLS, id="within-tls"),
    ],
)
async def test_a_connection_that_is_cut_is_told_as_such_and_tried_again(
    answers: tuple[bytes, ...], sslmode: str, reset: bool
) -> None:
    async with server_that_says(*answers, reset=reset) as port:
        settings = ConnectionSettings(
            "127.0.0.1", port, "x", "u", sslmode=sslmode, allow_plaintext=True
        )
        with pytest.raises(Unreachable) as caught:
            await open_session(settings, application_name="t")
    assert caught.value.transient
    assert "cannot be reached" in caught.value.message
    for wrong in ("pg_hba", "SQLSTATE", "rights"):
        assert wrong not in caught.value.message
