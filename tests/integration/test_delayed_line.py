"""The line of the benchmarks: it forwards every byte in order, late, and ends when an end does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from ops.bench.contest.line import HOST, delayed_line, line_process

ROUND_TRIP_S = 0.05
MUCH = bytes(range(256)) * 4096


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says what it hears; its port."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    # Whoever is gone was heard: nothing is left to the loop of another test.
    await asyncio.gather(*serving)


async def test_every_answer_is_late_by_a_round_trip_and_the_first_by_the_handshake_too() -> None:
    async with echo() as port, delayed_line(HOST, port, ROUND_TRIP_S, noted=True) as line:
        clock = time.monotonic
        times = [clock()]
        reader, writer = await asyncio.open_connection(HOST, line.port)
        for word in (b"one", b"two", b"three"):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word
            times.append(clock())
        first, *others = (after - before for before, after in pairwise(times))
        # A busy machine makes it later, never earlier.
        assert first >= 2 * ROUND_TRIP_S
        assert min(others) >= ROUND_TRIP_S
        writer.close()
        await writer.wait_closed()
    assert [session.round_trips for session in line.sessions] == [4]


@pytest.mark.parametrize("round_trip_s", [0.0, 0.01])
async def test_a_megabyte_comes_through_as_it_was_sent(round_trip_s: float) -> None:
    async with echo() as port, delayed_line(HOST, port, round_trip_s, noted=True) as line:
        reader, writer = await asyncio.open_connection(HOST, line.port)
        writer.write(MUCH)
        assert await reader.readexactly(len(MUCH)) == MUCH
        writer.close()
        await writer.wait_closed()
    (session,) = line.sessions
    assert (session.said_bytes, session.heard_bytes) == (len(MUCH), len(MUCH))


async def test_whoever_hangs_up_is_heard_at_the_other_end() -> None:
    async def one_word(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"word")
        writer.close()

    server = await asyncio.start_server(one_word, HOST, 0)
    async with server, delayed_line(HOST, server.sockets[0].getsockname()[1], 0) as line:
        reader, writer = await asyncio.open_connection(HOST, line.port)
        assert await reader.read() == b"word"
        writer.close()
        await writer.wait_closed()


async def test_a_server_that_is_not_there_is_a_connection_that_ends() -> None:
    async with echo() as port:
        pass
    async with delayed_line(HOST, port, 0) as line:
        reader, writer = await asyncio.open_connection(HOST, line.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_it_runs_as_a_program_that_ends_with_its_input() -> None:
    async with echo() as port:
        with line_process(HOST, port, 1.0) as of_line:
            reader, writer = await asyncio.open_connection(HOST, of_line)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, of_line)
